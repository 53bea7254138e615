"""What a token gives to the gates of the first layer, computed once per distinct token."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.embeddings import TypeEmbedding
from ner.inference.token_cache import TokenCache


class TypeGates:
    """The gates of tokens: a row per token and direction.

    Args:
        embeddings: The embeddings that see the token alone.
        weights: From their vectors, side by side, to gates, ``(width, directions * gates)``.
        bias: ``(directions * gates,)``.
        directions: How many there are.
        capacity: The most tokens that are remembered.
    """

    def __init__(
        self,
        embeddings: Sequence[TypeEmbedding],
        weights: Tensor,
        bias: Tensor,
        directions: int,
        capacity: int,
    ) -> None:
        self.capacity = capacity
        gates = weights.shape[1] // directions
        # no method of ours: in a circle of references, old weights and rows would stay for long
        compute = partial(_gates, embeddings, weights, bias, directions)
        self._remembered = TokenCache(compute, (directions, capacity, gates))

    def __len__(self) -> int:
        return len(self._remembered)

    def look_up(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, NDArray[np.int64]]:
        """The table, ``(directions, capacity, gates)``, and the row of each token in it.

        The rows stay valid for this table, whatever other threads look up meanwhile.

        Args:
            sentences: At most ``capacity`` tokens.
        """
        table, rows = self._remembered.look_up(sentences)
        return torch.from_numpy(table), rows


def _gates(
    embeddings: Sequence[TypeEmbedding],
    weights: Tensor,
    bias: Tensor,
    directions: int,
    tokens: list[str],
) -> NDArray[np.float32]:
    """Compute the gates of some tokens, ``(directions, tokens, gates)``."""
    vectors = [part(*map(torch.from_numpy, part.index(tokens))) for part in embeddings]
    gates = torch.addmm(bias, torch.cat(vectors, dim=1), weights)
    directed = gates.view(len(tokens), directions, -1).transpose(0, 1)
    arranged: NDArray[np.float32] = directed.numpy()
    return arranged
