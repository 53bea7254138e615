"""Embeddings: each module implements one way to turn tokens into vectors.

To add one, implement ``TypeEmbedding`` or ``ContextEmbedding``, and add it to ``EMBEDDINGS``.
"""

from __future__ import annotations

from ner.embeddings.base import ContextEmbedding, Embedding, TypeEmbedding
from ner.embeddings.characters import AffixEmbedding, CharacterCNN, CharacterLSTM, PairEmbedding
from ner.embeddings.columns import ColumnEmbedding, GazetteerEmbedding
from ner.embeddings.document import DocumentEmbedding, TopicEmbedding
from ner.embeddings.pretrained import PretrainedEmbedding, ReferencedEmbedding
from ner.embeddings.transformer import TransformerEmbedding
from ner.embeddings.words import GivenEmbedding, VectorEmbedding, WordEmbedding

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
    "referenced": ReferencedEmbedding,
    "columns": ColumnEmbedding,
    "gazetteers": GazetteerEmbedding,
    "given": GivenEmbedding,
    "transformer": TransformerEmbedding,
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
    "ReferencedEmbedding",
    "TopicEmbedding",
    "TransformerEmbedding",
    "TypeEmbedding",
    "VectorEmbedding",
    "WordEmbedding",
]
