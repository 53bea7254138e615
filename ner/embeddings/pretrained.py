"""Pretrained vectors from a file: GloVe, word2vec, fastText, numpy, safetensors, spaCy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ner.embeddings.base import TypeEmbedding, check_widths, vectors_of
from ner.embeddings.vector_files import FastText, VectorFormat, WordVectors, format_of, read
from ner.indexers.base import UNKNOWN, token_counts
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
        only_training_words: bool = False,
        prune: int | None = None,
        tuned: bool = False,
        projection: int | None = None,
    ) -> Self:
        """Read the vectors of a file.

        Args:
            sentences: The training sentences, for the coverage and for ``only_training_words``.
            file: The file with the vectors, compressed or not.
            format: ``text`` (GloVe, word2vec, fastText ``.vec``), ``binary`` (word2vec ``.bin``),
                ``fasttext`` (a model of fastText, ``.bin``), ``numpy`` or ``safetensors`` (with a
                ``.txt`` file beside it, one word per line), or ``spacy`` (the folder of a pipeline,
                or the name of an installed one). By default inferred from extension and content.
            only_training_words: Keep only the vectors of training words, for a small model that
                will see no other words.
            prune: Keep the vectors of this many words, the first of the file, and of training
                words; in most files the frequent ones come first.
            tuned: Whether training changes the vectors.
            projection: The width to project the vectors to by a learned matrix; by default they
                are not projected.

        Raises:
            ValueError: The file contains no vectors.
            OSError: The file cannot be read.
        """
        tokens = token_counts(sentences)
        if prune is not None and prune < 0:
            raise ValueError(f"prune must be at least 0, got {prune}")
        most = 0 if only_training_words else prune
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
            part.remarks = (_coverage(file, part, tokens),)
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
        model = FastText.load(file)
        words = list(dict.fromkeys((*list(model.words)[:most], *tokens)))
        return WordVectors(words, model.vectors_of(words))
    table = read(file, kind)
    if most is None:
        return table
    wanted = {form for token in tokens for form in forms(token)}
    return table.only([n for n, word in enumerate(table.words) if n < most or word in wanted])


def _coverage(file: str, part: PretrainedEmbedding, tokens: Counter[str]) -> str:
    found = [token for token in tokens if part.indexer.place(token) != UNKNOWN]
    types, occurrences = max(len(tokens), 1), max(tokens.total(), 1)
    return (
        f"{file}: {len(part.indexer.vocabulary.items):,} vectors; "
        f"they cover {100 * len(found) / types:.1f} % of the distinct training words and "
        f"{100 * sum(tokens[token] for token in found) / occurrences:.1f} % of the tokens"
    )
