"""The linear-chain conditional random field, over tags given as integers.

Names are imported on first access, so that `ner.crf.core` can be used without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ner.loading import lazily

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


__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
