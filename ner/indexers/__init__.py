"""Indexers: each module turns tokens into the indices that an embedding looks up.

They are the counterparts of the modules of ``ner.embeddings`` and need no torch: every embedding
has an indexer, and exported models contain only the indexers.
"""

from __future__ import annotations

from ner.indexers.base import Arrays, ContextIndexer, Indexer, TypeIndexer
from ner.indexers.characters import AffixIndexer, CharacterIndexer, PairIndexer
from ner.indexers.columns import ColumnIndexer, GazetteerIndexer
from ner.indexers.document import DocumentIndexer, TopicIndexer
from ner.indexers.transformer import TransformerIndexer
from ner.indexers.vectors import ReferencedIndexer
from ner.indexers.words import GivenIndexer, PretrainedIndexer, VectorIndexer, WordIndexer

INDEXERS: dict[str, type[Indexer]] = {
    "words": WordIndexer,
    "characters": CharacterIndexer,
    "character_lstm": CharacterIndexer,
    "affixes": AffixIndexer,
    "document": DocumentIndexer,
    "topic": TopicIndexer,
    "pairs": PairIndexer,
    "vectors": VectorIndexer,
    "pretrained": PretrainedIndexer,
    "referenced": ReferencedIndexer,
    "columns": ColumnIndexer,
    "gazetteers": GazetteerIndexer,
    "given": GivenIndexer,
    "transformer": TransformerIndexer,
}

__all__ = [
    "INDEXERS",
    "AffixIndexer",
    "Arrays",
    "CharacterIndexer",
    "ColumnIndexer",
    "ContextIndexer",
    "DocumentIndexer",
    "GazetteerIndexer",
    "GivenIndexer",
    "Indexer",
    "PairIndexer",
    "PretrainedIndexer",
    "ReferencedIndexer",
    "TopicIndexer",
    "TransformerIndexer",
    "TypeIndexer",
    "VectorIndexer",
    "WordIndexer",
]
