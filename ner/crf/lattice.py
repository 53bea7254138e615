"""The scores of a batch of linear chains, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.crf.core.scores import ChainScores, check_lengths, not_a_tag


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """The scores of the tag sequences of each sentence of a batch.

    emissions: ``(batch, length, tags)``; anything at padding. Minus infinity forbids a tag.
    transitions: ``(tags, tags)``, from the row's tag to the column's; minus infinity where
        forbidden.
    start, end: ``(tags,)``; minus infinity where forbidden.
    lengths: the number of tokens of each sentence, ``(batch,)``; 0 is allowed.
    candidates: the tags that each token may have, bool ``(batch, length, tags)``, or None.

    Raises:
        ValueError: Shapes or types do not match, or lengths are out of range. (Lengths on an
            accelerator are not checked, since the host would have to wait for them.)
    """

    emissions: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor
    lengths: Tensor
    candidates: Tensor | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def mask(self) -> Tensor:
        """True at tokens, false at padding, ``(batch, length)``."""
        positions = torch.arange(self.emissions.shape[1], device=self.lengths.device)
        return positions < self.lengths.unsqueeze(1)

    def arrays(self) -> ChainScores:
        """Return the scores as arrays on the host, without a copy where possible."""
        candidates = None if self.candidates is None else self.candidates.cpu().numpy()
        parts = (self.emissions, self.transitions, self.start, self.end)
        emissions, transitions, start, end = map(numbers, parts)
        lengths = self.lengths.cpu().numpy()
        return ChainScores(emissions, transitions, start, end, lengths, candidates)

    def nodes(self) -> Tensor:
        """Return the emissions in float64: 0 at padding, -inf for tags that are not candidates."""
        inside = self.mask.unsqueeze(2)
        nodes = torch.where(inside, self.emissions.double(), 0.0)
        if self.candidates is None:
            return nodes
        return nodes.masked_fill(inside & ~self.candidates, -torch.inf)

    def score(self, tags: Tensor) -> Tensor:
        """Return the scores of paths, float64; differentiable.

        Args:
            tags: ``(batch, length)``, or several paths per sentence, ``(batch, n, length)``;
                anything at padding.

        Returns:
            ``(batch,)`` or ``(batch, n)``; minus infinity for paths that are not legal.

        Raises:
            ValueError: A tag is out of range. (On an accelerator, the score is NaN instead.)
        """
        if tags.dim() == 2:
            return self.score(tags.unsqueeze(1)).squeeze(1)
        mask = self.mask.unsqueeze(1)
        tags = torch.where(mask, tags, 0).long()
        wrong = (tags < 0) | (tags >= self.emissions.shape[2])
        if tags.device.type == "cpu" and wrong.any():
            sentence, path, token = wrong.nonzero()[0].tolist()
            raise not_a_tag(
                sentence, token, int(tags[sentence, path, token]), self.emissions.shape[2]
            )
        return torch.where(wrong.any(2), torch.nan, self._score(tags.masked_fill(wrong, 0), mask))

    def _score(self, tags: Tensor, mask: Tensor) -> Tensor:
        """Return the scores of paths, ``(batch, n)``, given valid tags, ``(batch, n, length)``."""
        places = tags.transpose(1, 2)
        nodes = self.emissions.gather(2, places).double()
        if self.candidates is not None:
            nodes = torch.where(self.candidates.gather(2, places), nodes, -torch.inf)
        total = torch.where(mask.transpose(1, 2), nodes, 0.0).sum(1)
        if tags.shape[2] == 0:
            return total
        moves = self.transitions.double()[tags[..., :-1], tags[..., 1:]]
        total = total + torch.where(mask[..., 1:], moves, 0.0).sum(2)
        last = (self.lengths - 1).clamp_min(0)[:, None, None].expand(-1, tags.shape[1], -1)
        ends = self.end.double()[tags.gather(2, last).squeeze(2)]
        total = total + self.start.double()[tags[..., 0]] + ends
        return torch.where(self.lengths.unsqueeze(1) > 0, total, 0.0)


def _check(lattice: Lattice) -> None:
    """Raise ValueError for shapes or types that do not match."""
    emissions = lattice.emissions
    if emissions.dim() != 3:
        raise ValueError(f"emissions must be (batch, length, tags), got {tuple(emissions.shape)}")
    batch, length, tags = emissions.shape
    _check_shape("transitions", lattice.transitions, (tags, tags))
    _check_shape("start", lattice.start, (tags,))
    _check_shape("end", lattice.end, (tags,))
    _check_shape("lengths", lattice.lengths, (batch,))
    if lattice.candidates is not None:
        _check_shape("candidates", lattice.candidates, (batch, length, tags))
    if lattice.candidates is not None and lattice.candidates.dtype != torch.bool:
        raise ValueError(f"candidates must be bool, got {lattice.candidates.dtype}")
    if lattice.lengths.is_floating_point() or lattice.lengths.dtype == torch.bool:
        raise ValueError(f"lengths must be integers, got {lattice.lengths.dtype}")
    if lattice.lengths.device.type == "cpu":
        check_lengths(lattice.lengths.numpy(), length)


def _check_shape(name: str, value: Tensor, expected: tuple[int, ...]) -> None:
    """Raise ValueError for a tensor whose shape does not match the emissions."""
    if value.shape != expected:
        raise ValueError(f"{name} must be {expected} to match emissions, got {tuple(value.shape)}")


def numbers(tensor: Tensor) -> NDArray[np.floating]:
    """Return a tensor as a float32 or float64 array, without a copy where possible."""
    tensor = tensor.detach()
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    array: NDArray[np.floating] = (tensor if tensor.device.type == "cpu" else tensor.cpu()).numpy()
    return array
