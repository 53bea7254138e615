"""Embeddings: each module has one way to turn tokens into vectors.

A new part is a class with the contract of ``TypeEmbedding`` or ``ContextEmbedding``, a line
in ``EMBEDDINGS`` and a test.
"""

from __future__ import annotations

from ner.embeddings.affixes import AffixEmbedding
from ner.embeddings.base import ContextEmbedding, Embedding, TypeEmbedding
from ner.embeddings.characters import CharacterCNN, CharacterLSTM
from ner.embeddings.columns import ColumnEmbedding
from ner.embeddings.document import DocumentEmbedding
from ner.embeddings.gazetteers import GazetteerEmbedding
from ner.embeddings.given import GivenEmbedding
from ner.embeddings.pairs import PairEmbedding
from ner.embeddings.pretrained import PretrainedEmbedding
from ner.embeddings.topic import TopicEmbedding
from ner.embeddings.vectors import VectorEmbedding
from ner.embeddings.words import WordEmbedding

EMBEDDINGS: dict[str, type[Embedding]] = {
    "words": WordEmbedding,
    "characters": CharacterCNN,
    "character_lstm": CharacterLSTM,
    "affixes": AffixEmbedding,
    "document": DocumentEmbedding,
    "topic": TopicEmbedding,
    "pairs": PairEmbedding,
    "vectors": VectorEmbedding,
    "pretrained": PretrainedEmbedding,
    "columns": ColumnEmbedding,
    "gazetteers": GazetteerEmbedding,
    "given": GivenEmbedding,
}

__all__ = [
    "EMBEDDINGS",
    "AffixEmbedding",
    "CharacterCNN",
    "CharacterLSTM",
    "ColumnEmbedding",
    "ContextEmbedding",
    "DocumentEmbedding",
    "Embedding",
    "GazetteerEmbedding",
    "GivenEmbedding",
    "PairEmbedding",
    "PretrainedEmbedding",
    "TopicEmbedding",
    "TypeEmbedding",
    "VectorEmbedding",
    "WordEmbedding",
]
