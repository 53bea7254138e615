"""The linear-chain conditional random field, over tags given as integers.

Names are imported on first access, so that `ner.crf.core` can be used without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ner.crf.chain import DECODERS as DECODERS
    from ner.crf.chain import Decoder as Decoder
    from ner.crf.chain import LinearChain as LinearChain
    from ner.crf.chain import Paths as Paths
    from ner.crf.chain import SpanTags as SpanTags
    from ner.crf.chain import greedy as greedy
    from ner.crf.chain import n_best as n_best
    from ner.crf.chain import posterior as posterior
    from ner.crf.chain import viterbi as viterbi
    from ner.crf.layer import CRF as CRF

_HOMES = {
    "CRF": "ner.crf.layer",
    "DECODERS": "ner.crf.chain",
    "Decoder": "ner.crf.chain",
    "LinearChain": "ner.crf.chain",
    "Paths": "ner.crf.chain",
    "SpanTags": "ner.crf.chain",
    "greedy": "ner.crf.chain",
    "n_best": "ner.crf.chain",
    "posterior": "ner.crf.chain",
    "viterbi": "ner.crf.chain",
}

__all__ = [
    "CRF",
    "DECODERS",
    "Decoder",
    "LinearChain",
    "Paths",
    "SpanTags",
    "greedy",
    "n_best",
    "posterior",
    "viterbi",
]


def __getattr__(name: str) -> object:
    """Import a public name on first access (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
