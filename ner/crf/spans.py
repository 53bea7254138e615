"""The tags that spell spans, in tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ner.crf.core.spans import SpanTable


@dataclass(frozen=True, slots=True, eq=False)
class SpanTags:
    """The tags that spell a span of each label; every field is ``(labels,)``, of integers.

    single: the tag of a span of one token.
    first, inside, last: the tags of the first, the inner and the last token of a longer span.
    prolonging: the tag which at the next token would make the span longer, or -1 where the
        scheme closes its spans itself (BIOES, BILOU, BMES).

    For BIO `single` and `first` are B, `inside`, `last` and `prolonging` are I.
    """

    single: Tensor
    first: Tensor
    inside: Tensor
    last: Tensor
    prolonging: Tensor

    def __post_init__(self) -> None:
        shapes = {name: tuple(getattr(self, name).shape) for name in self.__slots__}
        if len(set(shapes.values())) != 1 or self.single.dim() != 1:
            raise ValueError(f"the fields of SpanTags must all be (labels,), got {shapes}")

    def to(self, device: torch.device | str) -> SpanTags:
        """Return the same table on another device."""
        return SpanTags(*(getattr(self, name).to(device) for name in self.__slots__))

    def table(self) -> SpanTable:
        """Return the same table in arrays."""
        return SpanTable(*(getattr(self, name).cpu().numpy() for name in self.__slots__))
