"""Pretrained vectors from a file: GloVe, word2vec, fastText, numpy, safetensors, spaCy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ner.embeddings.base import TypeEmbedding, check_widths, vectors_of
from ner.embeddings.vector_files import (
    VectorFormat,
    WordVectors,
    format_of,
    mapped_format_of,
    opened_fasttext,
    read,
)
from ner.indexers.base import UNKNOWN, token_counts
from ner.indexers.vectors import ReferencedIndexer
from ner.indexers.words import PretrainedIndexer, forms
from ner.sentence import Sentence


class PretrainedEmbedding(TypeEmbedding):
    """Pretrained vectors; words without one share a vector that is initialised with zeros.

    A token is looked up as written, then in lower case, then with each digit replaced by 0. The
    vectors are stored with the model; the file is not needed again.

    Args:
        words: The words that have a vector.
        rows: The row of each word, from 0, where several words share one.
        vector_width: The width of the file's vectors.
        tuned: Whether training changes them.
        projection: The width to project the vectors to by a learned matrix; ``None`` to keep them.

    Raises:
        ValueError: A width is below 1.
    """

    indexer: PretrainedIndexer
    remarks: tuple[str, ...] = ()

    def __init__(
        self,
        words: Sequence[str],
        *,
        rows: Sequence[int] = (),
        vector_width: int = 1,
        tuned: bool = False,
        projection: int | None = None,
    ) -> None:
        super().__init__()
        check_widths(vector_width=vector_width, projection=projection)
        self.indexer = PretrainedIndexer(words, rows=rows)
        self.tuned = tuned
        self.width = vector_width if projection is None else projection
        self.vectors = nn.Embedding(self.indexer.count, vector_width)
        self.vectors.weight.requires_grad_(False).zero_()
        self.vectors.weight.requires_grad_(tuned)
        self.projection = (
            None if projection is None else nn.Linear(vector_width, projection, bias=False)
        )

    @classmethod
    def fit(  # noqa: PLR0913 - one argument for each setting
        cls,
        sentences: Iterable[Sentence],
        *,
        file: str | None = None,
        format: VectorFormat | None = None,  # noqa: A002 - the word users know
        vectors: str = "all",
        only_training_words: bool = False,
        prune: int | None = None,
        tuned: bool = False,
        projection: int | None = None,
    ) -> TypeEmbedding:
        """Read the vectors of a file.

        Args:
            sentences: The training sentences, for the coverage and for ``only_training_words``.
            file: The file with the vectors, compressed or not.
            format: ``text`` (GloVe, word2vec, fastText ``.vec``), ``binary`` (word2vec ``.bin``),
                ``fasttext`` (a model of fastText, ``.bin``), ``numpy`` or ``safetensors`` (with a
                ``.txt`` file beside it, one word per line), or ``spacy`` (the folder of a pipeline,
                or the name of an installed one). By default inferred from extension and content.
            vectors: Which vectors the model contains: ``all``; ``pack``, those of training words,
                for a small model that will see no other words; ``prune N``, those of the first N
                words of the file, most often the frequent ones, and of training words; or
                ``reference``, none: the model refers to the file, by its path and SHA-256.
            only_training_words: The same as ``vectors: pack``.
            prune: The same as ``vectors: prune N``.
            tuned: Whether training changes the vectors.
            projection: The width to project the vectors to by a learned matrix; by default they
                are not projected.

        Raises:
            ValueError: The file contains no vectors.
            OSError: The file cannot be read.
        """
        most, referenced = _most(vectors, only_training_words, prune)
        if referenced and file is not None:
            if tuned:
                raise ValueError("vectors that are tuned belong to the model: use `vectors: pack`")
            return ReferencedEmbedding.fit(
                sentences, file=file, format=format, projection=projection
            )
        tokens = token_counts(sentences)
        table = WordVectors([], np.zeros((0, 1), np.float32))
        if file is not None:
            table = _chosen(Path(file), format, tokens, most)
        part = cls(
            table.words,
            rows=table.rows.tolist(),
            vector_width=table.vectors.shape[1],
            tuned=tuned,
            projection=projection,
        )
        with torch.no_grad():
            part.vectors.weight[2:] = torch.from_numpy(table.vectors)
        if file is not None:
            known = [token for token in tokens if part.indexer.place(token) != UNKNOWN]
            part.remarks = (_coverage(file, len(part.indexer.vocabulary.items), known, tokens),)
        return part

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "vector_width": self.vectors.embedding_dim,
            "tuned": self.tuned,
            "projection": None if self.projection is None else self.projection.out_features,
        }

    def forward(self, indices: Tensor) -> Tensor:
        """Return the vectors of the tokens, ``(tokens, width)``."""
        vectors = vectors_of(self.vectors, indices)
        return vectors if self.projection is None else vectors_of(self.projection, vectors)


class ReferencedEmbedding(TypeEmbedding):
    """Pretrained vectors that stay in their file, to which the model refers.

    The file is mapped into memory. Tokens are looked up as by `PretrainedEmbedding`, those without
    a vector get zeros; a model of fastText composes the vectors of unknown words.

    Args:
        file: The file.
        format: As for ``PretrainedEmbedding.fit``; not compressed, nor a spaCy pipeline.
        sha256: The SHA-256 of the file, and of the file of its words where that is another one.
        vector_width: The width of the file's vectors.
        projection: The width to project the vectors to by a learned matrix; ``None`` to keep them.

    Raises:
        ConfigError: The file is missing, or not the one that the model was trained with.
        ValueError: A width is below 1.
    """

    indexer: ReferencedIndexer
    remarks: tuple[str, ...] = ()

    def __init__(
        self,
        file: str,
        *,
        format: str,  # noqa: A002 - the word users know
        sha256: Sequence[str] = (),
        vector_width: int = 0,
        projection: int | None = None,
    ) -> None:
        super().__init__()
        check_widths(projection=projection)
        self.indexer = ReferencedIndexer(
            file, format=format, sha256=sha256, vector_width=vector_width
        )
        inner = self.indexer.width
        self.width = inner if projection is None else projection
        self.projection = None if projection is None else nn.Linear(inner, projection, bias=False)

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        file: str,
        format: VectorFormat | None = None,  # noqa: A002 - as above
        projection: int | None = None,
    ) -> Self:
        """Open a file; the arguments are those of ``PretrainedEmbedding.fit``.

        Raises:
            ConfigError: The file is missing, compressed, or a folder.
            ValueError: The file contains no vectors.
        """
        part = cls(file, format=mapped_format_of(Path(file), format), projection=projection)
        tokens = token_counts(sentences)
        vectors = part.indexer.vectors
        known = [token for token in tokens if vectors.vector_of(token) is not None]
        part.remarks = (_coverage(file, len(vectors.places), known, tokens),)
        return part

    def settings(self) -> dict[str, Any]:
        out = None if self.projection is None else self.projection.out_features
        return {**self.indexer.settings(), "projection": out}

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the vectors of the tokens, ``(tokens, width)``."""
        return vectors if self.projection is None else vectors_of(self.projection, vectors)


def _most(vectors: str, only_training_words: bool, prune: int | None) -> tuple[int | None, bool]:
    """Return how many of a file's first words to keep, and whether to refer to the file instead.

    Raises:
        ValueError: The settings are invalid, or contradict each other.
    """
    if vectors != "all" and (only_training_words or prune is not None):
        raise ValueError("give `vectors` alone, without `prune` and `only_training_words`")
    if prune is not None and prune < 0:
        raise ValueError(f"prune must be at least 0, got {prune}")
    found = _VECTORS.fullmatch(vectors)
    if found is None:
        raise ValueError(f"vectors must be all, pack, prune N or reference, got {vectors!r}")
    if vectors == "pack" or only_training_words:
        return 0, False
    return int(found[1]) if found[1] else prune, vectors == "reference"


_VECTORS = re.compile(r"all|pack|reference|prune (\d+)")


def _chosen(
    file: Path,
    kind: VectorFormat | None,
    tokens: Iterable[str],
    most: int | None,
) -> WordVectors:
    """Return the vectors of the first words of a file, and of all training words.

    A model of fastText composes those of training words that it does not have.
    """
    if (kind or format_of(file)) == "fasttext":
        model = opened_fasttext(file)
        own = [
            next((form for form in forms(token) if model.places.of(form) >= 0), token)
            for token in tokens
        ]
        words = list(dict.fromkeys((*model.words()[:most], *own)))
        return WordVectors(words, model.vectors_of(words))
    table = read(file, kind)
    if most is None:
        return table
    wanted = {form for token in tokens for form in forms(token)}
    return table.only([n for n, word in enumerate(table.words) if n < most or word in wanted])


def _coverage(file: str, count: int, known: Sequence[str], tokens: Counter[str]) -> str:
    types, occurrences = max(len(tokens), 1), max(tokens.total(), 1)
    return (
        f"{file}: {count:,} words have a vector; "
        f"they cover {100 * len(known) / types:.1f} % of the distinct training words and "
        f"{100 * sum(tokens[token] for token in known) / occurrences:.1f} % of the tokens"
    )
