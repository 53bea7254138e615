"""The recursions on the CPU: the numpy code in `linear`, given and giving padded tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.crf.lattice import Lattice, not_a_tag, numbers
from ner.crf.linear import Linear, Room
from ner.crf.messages import Gradient, Messages, Question, illegal
from ner.crf.packing import Packing


@dataclass(frozen=True, slots=True)
class Packed:
    """Sums over the paths of a lattice, on the CPU.

    linear: the recursions; None without a single token.
    gold: the tag of each packed token; None without gold tags.
    totals: the log partitions, ``(batch,)``.
    scores: the scores of the gold paths, ``(batch,)``; 0 without gold tags.
    """

    packing: Packing
    linear: Linear | None
    gold: NDArray[np.int64] | None
    shape: torch.Size
    totals: NDArray[np.float64]
    scores: NDArray[np.float64]

    @staticmethod
    def of(
        lattice: Lattice, tags: Tensor | None = None, ends: tuple[Tensor, Tensor] | None = None
    ) -> Packed | None:
        """Run both recursions.

        Args:
            lattice: The scores.
            tags: Gold tags, ``(batch, length)``; anything at padding.
            ends: What takes the place of the lattice's start and end, ``(batch, tags)`` each.

        Returns:
            None where float64 cannot hold the weights (see `Linear.of`).

        Raises:
            ValueError: for a number that is no tag.
        """
        emissions = numbers(lattice.emissions)
        batch, length, count = emissions.shape
        packing = Packing.of(lattice.lengths.numpy(), length, count)
        totals, scores = np.zeros((2, batch))
        gold = None if tags is None else _packed_tags(tags, packing, count)
        if not len(packing.tokens):
            return Packed(packing, None, gold, lattice.emissions.shape, totals, scores)
        room = Room(packing, count, emissions.dtype)
        np.take(emissions.reshape(-1, count), packing.tokens, 0, room.emissions, "clip")
        if lattice.candidates is not None:
            known = lattice.candidates.numpy().reshape(-1, count)
            room.emissions[~np.take(known, packing.tokens, axis=0)] = -np.inf
        parts = (lattice.transitions, lattice.start, lattice.end)
        moves, start, end = (part.detach().numpy().astype(np.float64) for part in parts)
        if gold is not None:
            scores[packing.sentences] = _score(packing, room.emissions, (moves, start, end), gold)
        if ends is not None:
            start, end = (part.numpy()[packing.sentences] for part in ends)
        linear = Linear.of(packing, room, moves, start, end)
        if linear is None:
            return None
        totals[packing.sentences] = linear.log_partition
        return Packed(packing, linear, gold, lattice.emissions.shape, totals, scores)

    @property
    def log_partition(self) -> Tensor:
        """The log of the sum over all paths, ``(batch,)``, float64."""
        return torch.from_numpy(self.totals)

    def answer(self, question: Question) -> Tensor:
        """The answer to the question that the gold tags came from.

        Raises:
            ValueError: where gold tags are not legal, naming the sentence.
        """
        values = (self.totals - self.scores) * question.factor
        total = values.sum()
        if not math.isfinite(total):
            raise illegal(int(np.flatnonzero(~np.isfinite(values))[0]))
        if question.summed:
            return torch.tensor(float(total), dtype=question.dtype)
        return torch.from_numpy(values).to(question.dtype)

    def gradient(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Gradient:
        """The derivatives of the weighted log partitions, less those of gold paths' scores.

        Args:
            weights: ``(batch,)``, or one for all.
            factor: What all weights are multiplied by.
            dtype: The type of the emissions' derivatives.
        """
        batch, length, count = self.shape
        if self.linear is None:
            moves, ends = torch.zeros(count, count, dtype=dtype), torch.zeros(count, dtype=dtype)
            return Gradient(torch.zeros(self.shape, dtype=dtype), moves, ends, ends)
        packing, n = self.packing, len(self.packing.tokens)
        by = numbers(weights).astype(np.float64) * factor
        found = self.linear.gradient(by[packing.sentences] if by.ndim else by, self.gold)
        kind = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
        rows = self.linear.room.ahead.reshape(-1).view(kind)[: (n + 1) * count].reshape(-1, count)
        rows[:n], rows[n] = found.nodes, 0.0
        places = np.full(batch * length, n)
        places[packing.tokens[packing.reverse]] = np.arange(n)
        parts = (found.moves, found.start, found.end)
        return Gradient(
            torch.from_numpy(np.take(rows, places, axis=0)).view(self.shape).to(dtype),
            *(torch.from_numpy(part.astype(kind)) for part in parts),
        )

    def messages(self) -> Messages:
        """The messages, ``(batch, length, tags)``."""
        batch, length, tags = self.shape
        alpha, beta = np.zeros((2, batch * length, tags))
        if self.linear is not None:
            tokens = self.packing.tokens
            before, behind = self.linear.messages()
            alpha[tokens], beta[tokens[self.packing.reverse]] = before, behind
        return Messages(
            torch.from_numpy(alpha).view(self.shape),
            torch.from_numpy(beta).view(self.shape),
            self.log_partition,
        )

    def edges(self) -> tuple[Tensor, Tensor]:
        """The logs of alpha at last and of beta at first tokens, ``(batch, tags)`` each.

        They are 0 for a sentence without a token.
        """
        alpha, beta = np.zeros((2, self.shape[0], self.shape[2]))
        if self.linear is not None:
            sentences = self.packing.sentences
            alpha[sentences], beta[sentences] = self.linear.edges()
        return torch.from_numpy(alpha), torch.from_numpy(beta)


def _packed_tags(tags: Tensor, packing: Packing, count: int) -> NDArray[np.int64]:
    """The tag of each packed token."""
    gold: NDArray[np.int64] = np.take(tags.numpy().reshape(-1), packing.tokens)
    if len(gold) and (gold.min() < 0 or gold.max() >= count):
        place = int(np.flatnonzero((gold < 0) | (gold >= count))[0])
        sentence = int(packing.sentences[packing.row[place]])
        raise not_a_tag(sentence, int(packing.step[place]), int(gold[place]), count)
    return gold


def _score(
    packing: Packing,
    nodes: NDArray[np.floating],
    moves: tuple[NDArray[np.float64], ...],
    gold: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The score of each row's gold path."""
    rows, count = len(packing.lengths), nodes.shape[1]
    taken = nodes.reshape(-1)[np.arange(0, nodes.size, count) + gold]
    score = moves[1][gold[:rows]] + moves[2][gold[packing.reverse[:rows]]]
    score += np.bincount(packing.row, taken, rows)
    pairs = gold[packing.previous] * count + gold[rows:]
    return score + np.bincount(packing.row[rows:], moves[0].reshape(-1)[pairs], rows)
