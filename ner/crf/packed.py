"""The recursions on the CPU: the numpy code in `linear`, given and giving padded tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.crf.lattice import Lattice
from ner.crf.linear import Linear
from ner.crf.messages import Gradient, Messages
from ner.crf.packing import Packing


def numbers(tensor: Tensor) -> NDArray[np.floating]:
    """A tensor's numbers as an array of float32 or float64, without a copy where possible."""
    tensor = tensor.detach()
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    array: NDArray[np.floating] = tensor.cpu().numpy()
    return array


@dataclass(frozen=True, slots=True)
class Packed:
    """Sums over the paths of a lattice, on the CPU.

    log_partition: ``(batch,)``, float64.
    """

    packing: Packing
    emissions: NDArray[np.floating]
    moves: tuple[NDArray[np.float64], ...]
    shape: torch.Size
    linear: Linear | None
    log_partition: Tensor

    @staticmethod
    def of(lattice: Lattice) -> Packed | None:
        """Run both recursions; None where float64 cannot hold the weights (see `Linear.of`)."""
        emissions = numbers(lattice.emissions)
        batch, length, tags = emissions.shape
        packing = Packing.of(lattice.lengths.cpu().numpy(), length)
        packed = np.take(emissions.reshape(-1, tags), packing.tokens, axis=0)
        if lattice.candidates is not None:
            allowed = lattice.candidates.cpu().numpy().reshape(-1, tags)
            packed[~np.take(allowed, packing.tokens, axis=0)] = -np.inf
        moves = tuple(
            numbers(part).astype(np.float64)
            for part in (lattice.transitions, lattice.start, lattice.end)
        )
        log_partition, linear = np.zeros(batch), None
        if len(packed):
            linear = Linear.of(packing, packed, *moves)
            if linear is None:
                return None
            log_partition[packing.sentences] = linear.log_partition
        return Packed(
            packing, packed, moves, lattice.emissions.shape, linear, torch.from_numpy(log_partition)
        )

    def score(self, tags: Tensor) -> Tensor:
        """The score of one path per sentence, ``(batch,)``, float64.

        Args:
            tags: ``(batch, length)``; anything at padding.

        Raises:
            ValueError: for a number that is no tag.
        """
        scores = np.zeros(self.shape[0])
        if len(self.emissions):
            scores[self.packing.sentences] = self._score(self._gold(tags))
        return torch.from_numpy(scores)

    def _gold(self, tags: Tensor) -> NDArray[np.int64]:
        """The tag of each packed token."""
        gold: NDArray[np.int64] = np.take(tags.cpu().numpy().reshape(-1), self.packing.tokens)
        if gold.min() < 0 or gold.max() >= self.shape[2]:
            place = int(np.flatnonzero((gold < 0) | (gold >= self.shape[2]))[0])
            sentence, token = divmod(int(self.packing.tokens[place]), self.shape[1])
            raise ValueError(
                f"tags of sentence {sentence} hold {gold[place]} at token {token}; expected "
                f"0 to {self.shape[2] - 1}"
            )
        return gold

    def _score(self, gold: NDArray[np.int64]) -> NDArray[np.float64]:
        """The score of each row's path."""
        packing, (moves, start, end) = self.packing, self.moves
        rows, tags = len(packing.lengths), self.shape[2]
        nodes = self.emissions.reshape(-1)[np.arange(0, self.emissions.size, tags) + gold]
        score = start[gold[:rows]] + end[gold[packing.reverse[:rows]]]
        score += np.bincount(packing.row, nodes, rows)
        pairs = gold[packing.previous] * tags + gold[rows:]
        return score + np.bincount(packing.row[rows:], moves.reshape(-1)[pairs], rows)

    def gradient(self, weights: Tensor, tags: Tensor | None, dtype: torch.dtype) -> Gradient:
        """The derivatives of the weighted log partitions, less those of gold paths' scores.

        Args:
            weights: ``(batch,)``.
            tags: ``(batch, length)``, or None.
            dtype: The type of the emissions' derivatives.
        """
        batch, length, tag_count = self.shape
        nodes = torch.zeros(batch * length, tag_count, dtype=_storable(dtype))
        if self.linear is None:
            sums = [torch.zeros_like(torch.from_numpy(part)) for part in self.moves]
        else:
            gold = None if tags is None else self._gold(tags)
            row_weights = numbers(weights).astype(np.float64)[self.packing.sentences]
            packed = self.linear.gradient(row_weights, gold)
            nodes.numpy()[self.packing.tokens[self.packing.reverse]] = packed.nodes
            sums = [torch.from_numpy(part) for part in (packed.moves, packed.start, packed.end)]
        return Gradient(nodes.view(self.shape).to(dtype), *sums)

    def messages(self) -> Messages:
        """The messages, ``(batch, length, tags)``."""
        batch, length, tags = self.shape
        alpha, beta = np.zeros((2, batch * length, tags))
        if self.linear is not None:
            tokens = self.packing.tokens
            alpha[tokens], beta[tokens[self.packing.reverse]] = self.linear.messages()
        return Messages(
            torch.from_numpy(alpha).view(self.shape),
            torch.from_numpy(beta).view(self.shape),
            self.log_partition,
        )


def _storable(dtype: torch.dtype) -> torch.dtype:
    """A type that numpy knows as well."""
    return dtype if dtype == torch.float64 else torch.float32
