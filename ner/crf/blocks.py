"""The recursions over long sentences, on the CPU, in blocks of tokens and bounded memory.

The forward recursion goes once over all blocks and keeps what enters each of them. A gradient or
messages are then found block by block, from the last to the first, with both recursions inside a
block, from what enters it and what follows it. So the memory beside scores and result is that of
one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ner.crf.lattice import Lattice
from ner.crf.logspace import LogSpace
from ner.crf.messages import Gradient, Messages, Question, answer, check_legal
from ner.crf.packed import Packed

CELLS = 1 << 22  # a batch of more emissions than this is cut into blocks
_BLOCK = 1 << 20  # emissions in a block


class _LostError(ArithmeticError):
    """Float64 cannot hold the weights of a block and of what follows it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Edge:
    """What meets before a block's first token.

    entering: the log of the weight of all beginnings, by the tag of the block's first token, its
        emission left out, ``(batch, tags)``.
    before: the log of alpha at the token before the block, ``(batch, tags)``; None at first.
    """

    entering: Tensor
    before: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Sums over the paths of a lattice of long sentences, on the CPU.

    log_partition: ``(batch,)``, float64.
    """

    lattice: Lattice
    tags: Tensor | None
    size: int
    edges: list[_Edge]
    log_partition: Tensor

    @staticmethod
    def of(lattice: Lattice, tags: Tensor | None = None) -> Blocks | None:
        """Run the forward recursion.

        Args:
            lattice: The scores.
            tags: Gold tags, ``(batch, length)``; anything at padding.

        Returns:
            None where float64 cannot hold the weights (see `Linear.of`).
        """
        batch, length, count = lattice.emissions.shape
        size = max(1, _BLOCK // (batch * count))
        moves = lattice.transitions.detach().double()
        edge = _Edge(lattice.start.detach().double().expand(batch, count), None)
        found = Blocks(lattice, tags, size, [], torch.zeros(batch, dtype=torch.float64))
        open_ = torch.zeros(batch, count, dtype=torch.float64)
        for first in range(0, length, size):
            found.edges.append(edge)
            packed = found._block(first, open_, None)
            if packed is None:
                return None
            ends = (lattice.lengths > first) & (lattice.lengths <= first + size)
            found.log_partition[ends] = packed.log_partition[ends]
            before, _ = packed.edges()
            edge = _Edge((before.unsqueeze(2) + moves).logsumexp(1), before)
        return found

    def answer(self, question: Question) -> Tensor:
        """The answer to the question that the gold tags came from.

        Raises:
            ValueError: where gold tags are not legal, naming the sentence.
        """
        score = None if self.tags is None else check_legal(self.lattice.score(self.tags))
        return answer(self.log_partition, score, question)

    def gradient(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Gradient:
        """The derivatives of the weighted log partitions, less those of gold paths' scores.

        Args:
            weights: ``(batch,)``, or one for all.
            factor: What all weights are multiplied by.
            dtype: The type of the emissions' derivatives.
        """
        try:
            return self._gradient(weights, factor, dtype)
        except _LostError:
            return LogSpace.of(self.lattice, self.tags).gradient(weights, factor, dtype)

    def _gradient(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Gradient:
        lattice, tags = self.lattice, self.tags
        by = (weights.double() * factor).expand(len(lattice.lengths))
        nodes = torch.zeros(lattice.emissions.shape, dtype=dtype)
        scores = lattice.transitions.detach().double()
        moves = torch.zeros_like(scores)
        for first, packed, beta in self._backwards():
            inside = packed.gradient(by, 1.0, torch.float64)
            nodes[:, first : first + self.size] = inside.emissions
            moves += inside.transitions
            before = self.edges[first // self.size].before
            if before is None:
                continue
            here = torch.where(lattice.lengths > first, by, 0.0)
            pairs = before.unsqueeze(2) + scores + (beta - self.log_partition[:, None]).unsqueeze(1)
            pairs = torch.where((here != 0.0)[:, None, None], pairs, -torch.inf)
            moves += (pairs.exp() * here[:, None, None]).sum(0)
            if tags is not None:
                known = lattice.lengths > first
                places = tags[known, first - 1] * len(moves) + tags[known, first]
                moves.view(-1).scatter_add_(0, places, -here[known])
        rows, last = torch.arange(len(nodes)), (lattice.lengths - 1).clamp_min(0)
        ends = nodes[:, 0].double().sum(0), nodes[rows, last].double().sum(0)
        return Gradient(nodes, moves, *ends)

    def messages(self) -> Messages:
        """The messages, ``(batch, length, tags)``."""
        try:
            return self._messages()
        except _LostError:
            return LogSpace.of(self.lattice).messages()

    def _messages(self) -> Messages:
        alpha = torch.zeros(self.lattice.emissions.shape, dtype=torch.float64)
        beta = torch.zeros_like(alpha)
        for first, packed, _ in self._backwards():
            inside = packed.messages()
            alpha[:, first : first + self.size] = inside.log_alpha
            beta[:, first : first + self.size] = inside.log_beta
        return Messages(alpha, beta, self.log_partition)

    def _backwards(self) -> Iterator[tuple[int, Packed, Tensor]]:
        """From the last block to the first: its first token, sums, and weights of endings.

        The last are logs, ``(batch, tags)``, and count from the block's first token on.
        """
        lattice = self.lattice
        moves = lattice.transitions.detach().double()
        following = torch.zeros(lattice.emissions.shape[0], len(moves), dtype=torch.float64)
        for first in range((len(self.edges) - 1) * self.size, -1, -self.size):
            packed = self._block(first, following, self.tags)
            if packed is None:
                raise _LostError
            _, beta = packed.edges()
            beta = beta + self._cut(first, first + 1).nodes()[:, 0]
            yield first, packed, beta
            following = (moves + beta.unsqueeze(1)).logsumexp(2)

    def _block(self, first: int, following: Tensor, tags: Tensor | None) -> Packed | None:
        """The sums of a block, given the logs of what follows it, ``(batch, tags)``."""
        lattice = self.lattice
        last = first + self.size
        ends = (lattice.lengths <= last).unsqueeze(1)
        end = torch.where(ends, lattice.end.detach().double(), following)
        tags = None if tags is None else tags[:, first:last].contiguous()
        entering = self.edges[first // self.size].entering
        return Packed.of(self._cut(first, last), tags, (entering, end))

    def _cut(self, first: int, last: int) -> Lattice:
        """The lattice of some tokens."""
        lattice = self.lattice
        candidates = lattice.candidates
        return Lattice(
            lattice.emissions.detach()[:, first:last],
            lattice.transitions.detach(),
            lattice.start.detach(),
            lattice.end.detach(),
            (lattice.lengths - first).clamp(0, last - first),
            None if candidates is None else candidates[:, first:last].contiguous(),
        )
