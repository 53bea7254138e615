"""Named entity recognition with a BiLSTM and a CRF: train, evaluate, plug into spaCy.

Everything here is imported when it is first asked for (PEP 562): reading, checking and
scoring files never waits for torch or spaCy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ner.loading import lazily

if TYPE_CHECKING:
    from ner.evaluation import Report, Score, evaluate
    from ner.formats import read, write
    from ner.models import load
    from ner.schemes import SCHEMES, Scheme
    from ner.sentence import Document, Sentence, Span
    from ner.tagger import Tagger
    from ner.texts import Entity, TaggedText
    from ner.training import Epoch, train

__version__ = "0.2.0"

_HOMES = {
    "Document": "ner.sentence",
    "Entity": "ner.texts",
    "Epoch": "ner.training",
    "Report": "ner.evaluation",
    "SCHEMES": "ner.schemes",
    "Scheme": "ner.schemes",
    "Score": "ner.evaluation",
    "Sentence": "ner.sentence",
    "Span": "ner.sentence",
    "TaggedText": "ner.texts",
    "Tagger": "ner.tagger",
    "evaluate": "ner.evaluation",
    "load": "ner.models",
    "read": "ner.formats",
    "train": "ner.training",
    "write": "ner.formats",
}

__all__ = [  # noqa: RUF022 - the types first, then what is done with them
    "Document",
    "Entity",
    "Epoch",
    "Report",
    "SCHEMES",
    "Scheme",
    "Score",
    "Sentence",
    "Span",
    "TaggedText",
    "Tagger",
    "evaluate",
    "load",
    "read",
    "train",
    "write",
]


__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "__doc__"])
