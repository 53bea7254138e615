"""Pretraining of embeddings and BiLSTM: the class of each word from the words around it.

The forward state of the word before and the backward state of the word after, which have not seen
the word itself, predict its class (a cloze over classes of words instead of words, which keeps the
output layer small). Only the first layer of the encoder can be trained so: the states of a second
one have seen both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ner.embeddings import EMBEDDINGS, TypeEmbedding
from ner.encoder import Encoder
from ner.pretraining.text import NumberedText
from ner.training.optimisation import (
    RowTables,
    optimizer_tensors,
    restore_optimizer,
    scale_gradients,
)

SHORTEST, LONGEST = 4, 60  # tokens of the sentences that are learnt from
WARMUP, LAST = 200, 0.03  # steps over which the learning rate rises; its share at the end
NOISE = 3.0  # tokens by which sentences of a batch may differ in length, at random
CLIP = 1.0  # the longest gradient
NO_CLASS = -100  # what torch's cross-entropy leaves out

Integers = NDArray[np.int64]


class ClozeNetwork(nn.Module):
    """Embeddings, an encoder of one layer, and the classes of words.

    Args:
        embeddings: The embeddings by name, each of the token alone.
        encoder: The encoder.
        classes: The number of classes.
    """

    def __init__(
        self, embeddings: Mapping[str, TypeEmbedding], encoder: Encoder, classes: int
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(dict(embeddings))
        self.parts = dict(embeddings)
        self.encoder = encoder
        self.ahead = nn.Linear(encoder.width, classes)
        self.back = nn.Linear(encoder.width, classes, bias=False)

    def loss(self, batch: ClozeBatch) -> tuple[Tensor, Tensor]:
        """Return the mean loss of the words that have a class, and the share predicted right."""
        distinct = torch.cat(
            [part(*arrays) for part, arrays in zip(self.parts.values(), batch.arrays, strict=True)],
            dim=1,
        )
        vectors = distinct.index_select(0, batch.rows.view(-1)).view(*batch.rows.shape, -1)
        states = self.encoder(vectors, batch.lengths)
        width = self.encoder.width
        before = F.pad(states[:, :-1, :width], (0, 0, 1, 0))
        known = batch.classes != NO_CLASS
        scores = self.ahead(before[known])
        if self.encoder.bidirectional:
            last = torch.arange(batch.rows.shape[1]) == batch.lengths[:, None] - 1
            after = F.pad(states[:, 1:, width:], (0, 0, 0, 1)).masked_fill(last.unsqueeze(2), 0.0)
            scores = torch.addmm(scores, after[known], self.back.weight.T)
        wanted = batch.classes[known]
        own = scores.detach().gather(1, wanted.unsqueeze(1)).squeeze(1)
        right = (own == scores.detach().amax(1)).float().mean()  # argmax is six times slower
        return F.cross_entropy(scores, wanted), right

    def settings(self) -> dict[str, Any]:
        """Return the settings that rebuild the embeddings and the encoder, as JSON."""
        names = {part: name for name, part in EMBEDDINGS.items()}
        return {
            "embeddings": {
                name: {"kind": names[type(part)], **part.settings()}
                for name, part in self.parts.items()
            },
            "encoder": self.encoder.settings(),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights of the embeddings and the encoder by name."""
        kept = ("embeddings.", "encoder.")
        return {name: w for name, w in self.state_dict().items() if name.startswith(kept)}


@dataclass(frozen=True, slots=True, eq=False)
class ClozeBatch:
    """Sentences to predict the classes of.

    Attributes:
        arrays: The input of each embedding for the distinct tokens.
        rows: The distinct token of each token, ``(batch, length)``.
        lengths: ``(batch,)``.
        classes: The class of each token, or ``NO_CLASS``, ``(batch, length)``.
    """

    arrays: tuple[tuple[Tensor, ...], ...]
    rows: Tensor
    lengths: Tensor
    classes: Tensor


class ClozeData:
    """The batches of a text, in an order that a seed decides.

    Args:
        text: The text.
        embeddings: The embeddings that the distinct tokens are indexed for.
        classes: The class of each form of the text.
        tokens: About how many tokens are learnt from; of a longer text a random part.
        batch_tokens: The tokens of a batch.
        seed: Of the order.
    """

    def __init__(
        self,
        text: NumberedText,
        embeddings: Sequence[TypeEmbedding],
        classes: Integers,
        *,
        tokens: int,
        batch_tokens: int,
        seed: int,
    ) -> None:
        self._numbers = text.numbers
        self._classes = classes
        self._arrays = [part.index(text.forms) for part in embeddings]
        random = np.random.default_rng(seed)
        places = random.permutation(text.sentences(SHORTEST, LONGEST))
        kept = int(np.searchsorted(np.cumsum(places[:, 1]), tokens)) + 1
        places = places[:kept]
        order = np.argsort(places[:, 1] + random.uniform(0, NOISE, len(places)), kind="stable")
        places = places[order]
        ends = np.cumsum(places[:, 1]) // batch_tokens
        cuts = np.flatnonzero(np.diff(ends)) + 1
        self.batches = np.split(places, cuts)
        random.shuffle(self.batches)

    def __len__(self) -> int:
        return len(self.batches)

    def tokens(self, first: int, last: int) -> int:
        """Return the number of tokens of some batches."""
        return int(sum(batch[:, 1].sum() for batch in self.batches[first:last]))

    def __getitem__(self, number: int) -> ClozeBatch:
        places = self.batches[number]
        starts, lengths = places[:, 0], places[:, 1]
        columns = np.arange(int(lengths.max()))
        inside = columns < lengths[:, None]
        flat = np.asarray(self._numbers[(starts[:, None] + columns)[inside]]) - 1
        types, inverse = np.unique(flat, return_inverse=True)
        rows = np.zeros(inside.shape, np.int64)
        rows[inside] = inverse
        classes = np.full(inside.shape, NO_CLASS, np.int64)
        classes[inside] = self._classes[flat]
        arrays = tuple(
            tuple(torch.from_numpy(array[types]) for array in arrays) for arrays in self._arrays
        )
        return ClozeBatch(
            arrays, torch.from_numpy(rows), torch.from_numpy(lengths), torch.from_numpy(classes)
        )


class ClozeTraining:
    """Steps of Adam over the batches of a text, with what a checkpoint needs.

    Args:
        network: The network.
        data: Its batches.
        rate: The highest learning rate.
        steps: How many steps to take.
    """

    def __init__(self, network: ClozeNetwork, data: ClozeData, rate: float, steps: int) -> None:
        self.network = network
        self.data = data
        self.rate = rate
        self.steps = min(steps, len(data))
        self.step = 0
        self._rows = RowTables(network, {})
        tables = self._rows.tables
        dense = [
            p for name, p in network.named_parameters() if p.requires_grad and name not in tables
        ]
        self._optimizer = torch.optim.Adam(dense, rate, fused=True)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        """Take the remaining steps; yield the loss and the share of classes predicted right."""
        self.network.train()
        while self.step < self.steps:
            yield self._take(self.data[self.step])

    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        rise = min(1.0, (self.step + 1) / WARMUP)
        return self.rate * rise * (1.0 - (1.0 - LAST) * self.step / self.steps)

    def settle(self) -> None:
        """Bring all weights to where the steps so far have them."""
        self._rows.settle()

    def _take(self, batch: ClozeBatch) -> tuple[float, float]:
        self.network.zero_grad()
        with self._rows.watching():
            loss, right = self.network.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
        self._rows.coalesce()
        length = scale_gradients(self.network.parameters(), CLIP, always=False)
        if not math.isfinite(length):
            raise ValueError(f"the gradient of step {self.step + 1} is {length}; lower the rate")
        rate = self.learning_rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._rows.step(rate, 1.0)
        self.step += 1
        return loss.item(), right.item()

    def tensors(self) -> dict[str, Tensor]:
        """Return all that steps change, by name, as ``restore`` takes it."""
        parts: dict[str, Mapping[str, Tensor]] = {
            "network": {
                name: weight
                for name, weight in self.network.named_parameters()
                if weight.requires_grad
            },
            "optimizer": optimizer_tensors(self._optimizer),
            "rows": self._rows.tensors(),
            "random": {"state": torch.get_rng_state()},
        }
        return {f"{part}.{name}": t for part, named in parts.items() for name, t in named.items()}

    def restore(self, step: int, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Continue from the tensors of a step."""
        self.step = step
        self.network.load_state_dict(parts["network"], strict=False)
        restore_optimizer(self._optimizer, parts["optimizer"])
        self._rows.restore(parts["rows"])
        torch.set_rng_state(parts["random"]["state"])


PARTS = ("network", "optimizer", "rows", "random")
