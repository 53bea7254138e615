"""Word vectors from counts, and classes of words from the vectors.

Words are counted at each of the four positions around a word, the counts are weighed by positive
pointwise mutual information with smoothed contexts (Levy, Goldberg and Dagan 2015), and a
randomised singular value decomposition (Halko, Martinsson and Tropp 2011) makes them narrow. Words
that are too rare to take part in the decomposition are folded in: their vector is their own row
times the right singular vectors. Every vector has length 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from ner.indexers.words import normalised
from ner.pretraining.text import NumberedText

POSITIONS = (-2, -1, 1, 2)  # of the words that are counted, from a word
SMOOTHING = 0.75  # the power of the counts of contexts
CHUNK = 1 << 21  # tokens that are counted at a time
SPARE, PASSES = 10, 3  # more columns than are wanted, and power iterations
CLUSTERED, ROUNDS = 50_000, 15  # frequent words that are clustered, and how often they move
BLOCK = 1 << 13  # words that are compared with all centres at a time

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The normalised words of a text, the frequent ones first.

    Attributes:
        words: The words, lower-cased and with every digit a 0.
        counts: How often each occurs.
        of_number: The word of each number of the text, counted from 0; number 0 has -1.
    """

    words: list[str]
    counts: Integers
    of_number: NDArray[np.int32]

    @classmethod
    def of(cls, text: NumberedText) -> Words:
        """Count the words of a text."""
        known: dict[str, int] = {}
        place = [known.setdefault(word, len(known)) for word in normalised(text.forms)]
        found = np.zeros(len(text.forms) + 1, np.int64)
        for start in range(0, len(text.numbers), CHUNK):
            found += np.bincount(text.numbers[start : start + CHUNK], minlength=len(found))
        counts = np.bincount(place, weights=found[1:], minlength=len(known)).astype(np.int64)
        order = np.argsort(-counts, kind="stable")
        rank = np.empty(len(known), np.int32)
        rank[order] = np.arange(len(known))
        names = list(known)
        of_number = np.concatenate([np.array([-1], np.int32), rank[place]])
        return cls([names[number] for number in order], counts[order], of_number)


def word_vectors(
    text: NumberedText, words: Words, *, width: int, contexts: int, min_count: int, seed: int
) -> Floats:
    """Return a vector for each word, ``(words, width)``; 0 for one that is met in no context.

    Args:
        text: The text.
        words: Its words.
        width: The width of the vectors.
        contexts: How many of the most frequent words are counted as neighbours.
        min_count: How often a word must occur to take part in the decomposition.
        seed: Of the random projection.

    Raises:
        ValueError: The text has fewer words than the vectors are wide.
    """
    frequent = int((words.counts >= min_count).sum())
    if frequent < width + SPARE:
        raise ValueError(
            f"the text has {frequent:,} words that occur {min_count} times or more; vectors of "
            f"width {width} need {width + SPARE:,}: give more text, or lower width or min_count"
        )
    blocks = [
        ppmi(_counts(text, words, position, contexts), frequent=frequent) for position in POSITIONS
    ]
    weights = sparse.hstack(blocks, format="csr", dtype=np.float32)
    values, right = _decomposed(weights[:frequent], width, np.random.default_rng(seed))
    vectors: Floats = weights @ (right / np.sqrt(np.maximum(values, 1e-6)))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    return vectors


def _counts(text: NumberedText, words: Words, position: int, contexts: int) -> sparse.csr_array:
    """Count how often each word has each context at a position, ``(words, contexts + 1)``.

    The last context is the end of the sentence.
    """
    shape = (len(words.words), contexts + 1)
    total = sparse.csr_array(shape, dtype=np.float32)
    reach = abs(position)
    for start in range(0, len(text.numbers), CHUNK):
        ids = words.of_number[text.numbers[max(start - reach, 0) : start + CHUNK]]
        left, right = ids[:-reach], ids[reach:]
        word, context = (left, right) if position > 0 else (right, left)
        context = np.where(context < 0, contexts, np.where(context < contexts, context, -1))
        kept = (word >= 0) & (context >= 0)
        ones = np.ones(int(kept.sum()), np.float32)
        total = total + sparse.csr_array((ones, (word[kept], context[kept])), shape=shape)
    return total


def ppmi(counts: sparse.csr_array, *, frequent: int) -> sparse.csr_array:
    """Return the positive pointwise mutual information of counts ``(words, contexts)``.

    Args:
        counts: How often each word has each context.
        frequent: The number of words, at the beginning, that the contexts are counted in.
    """
    total = float(counts[:frequent].sum())
    of_word = np.asarray(counts.sum(axis=1), np.float64).ravel()
    of_context = np.asarray(counts[:frequent].sum(axis=0), np.float64).ravel() ** SMOOTHING
    of_context *= total / max(of_context.sum(), 1e-12)
    pairs = counts.tocoo()
    expected = of_word[pairs.row] * of_context[pairs.col]  # times total
    with np.errstate(divide="ignore"):
        values = np.log(pairs.data * total) - np.log(expected)
    kept = (values > 0) & np.isfinite(values)
    chosen = (values[kept].astype(np.float32), (pairs.row[kept], pairs.col[kept]))
    return sparse.csr_array(chosen, shape=counts.shape)


def _decomposed(
    matrix: sparse.csr_array, width: int, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the largest singular values and their right vectors, ``(columns, width)``."""
    turned = matrix.T.tocsr()
    size = min(width + SPARE, *matrix.shape)
    base = random.standard_normal((matrix.shape[1], size), np.float32)
    for _ in range(PASSES):  # LU keeps the columns apart at a fraction of the cost of QR
        base = linalg.lu(matrix @ base, permute_l=True)[0]
        base = linalg.lu(turned @ base, permute_l=True)[0]
    base = np.linalg.qr(matrix @ base)[0]
    outer, inner = np.linalg.qr(turned @ base)
    left, values, _ = np.linalg.svd(inner)
    right: Floats = outer @ left[:, :width]
    return values[:width], right


def word_classes(vectors: Floats, *, clusters: int, own: int, seed: int) -> Integers:
    """Return the class of each word: a cluster of vectors, or a class of its own.

    Args:
        vectors: The vectors of length 1, ``(words, width)``, those of frequent words first.
        clusters: The number of clusters, by spherical k-means.
        own: The number of most frequent words that are classes of their own, after the clusters.
        seed: Of the first centres.
    """
    sample = vectors[:CLUSTERED]
    clusters = min(clusters, len(sample))
    random = np.random.default_rng(seed)
    centres = sample[np.sort(random.choice(len(sample), clusters, replace=False))]
    for _ in range(ROUNDS):
        nearest = np.concatenate(list(_nearest(sample, centres)))
        member = sparse.csr_array(
            (np.ones(len(sample), np.float32), (nearest, np.arange(len(sample)))),
            shape=(clusters, len(sample)),
        )
        sums = member @ sample
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-9), centres)
    classes = np.concatenate(list(_nearest(vectors, centres)))
    own = min(own, len(classes))
    classes[:own] = clusters + np.arange(own)
    return classes


def _nearest(vectors: Floats, centres: Floats) -> Iterator[Integers]:
    """Yield the centre nearest to each vector, a block at a time."""
    for start in range(0, len(vectors), BLOCK):
        yield np.argmax(vectors[start : start + BLOCK] @ centres.T, axis=1)
