"""What is asked of recursions over a lattice, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked of the scores of a batch: log partitions, less the scores of gold paths.

    lengths: ``(batch,)``.
    candidates: ``(batch, length, tags)``, or None.
    tags: gold tags, ``(batch, length)``, anything at padding; or None: log partitions alone.
    factor: what every sentence's value is multiplied by.
    summed: whether the values are summed over sentences.
    dtype: the type of the answer.
    """

    lengths: Tensor
    candidates: Tensor | None = None
    tags: Tensor | None = None
    factor: float = 1.0
    summed: bool = False
    dtype: torch.dtype = torch.float64


@dataclass(frozen=True, slots=True, eq=False)
class Messages:
    """What the two recursions leave behind, in logs and float64.

    log_alpha: the total weight of all beginnings that end in this tag at this token, its
        emission included, ``(batch, length, tags)``.
    log_beta: the total weight of all endings that follow this tag at this token, its emission
        left out, ``(batch, length, tags)``.
    log_partition: ``(batch,)``, 0 for an empty sentence.

    Beyond a sentence's length the values mean nothing, but are no NaN.
    """

    log_alpha: Tensor
    log_beta: Tensor
    log_partition: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Gradient:
    """The derivatives of a weighted sum of log partitions, less those of gold paths' scores.

    emissions: ``(batch, length, tags)``, 0 at padding; with weights of 1 and no gold paths, the
        probability of each tag at each token.
    transitions: ``(tags, tags)``. start, end: ``(tags,)``.
    """

    emissions: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor


def answer(log_partition: Tensor, score: Tensor | None, question: Question) -> Tensor:
    """The answer to a question, ``(batch,)`` or a scalar."""
    values = log_partition if score is None else log_partition - score
    values = values.sum() if question.summed else values
    return (values * question.factor).to(question.dtype)


def check_legal(scores: Tensor) -> Tensor:
    """Scores of gold paths, if all are legal.

    Raises:
        ValueError: where one is not, naming the sentence.
    """
    if not torch.isfinite(scores.detach().sum()):
        raise illegal(int((~torch.isfinite(scores)).nonzero()[0]))
    return scores


def illegal(sentence: int) -> ValueError:
    """The error that a sentence's gold tags are not legal."""
    return ValueError(
        f"the gold tags of sentence {sentence} are not legal: they hold a forbidden transition, "
        "start, end or tag"
    )
