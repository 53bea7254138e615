"""The weights of a network, arranged for tagging on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ner.crf import LinearChain
from ner.embeddings import ContextEmbedding, TypeEmbedding
from ner.indexers import Arrays
from ner.inference.context_gates import ContextGates
from ner.inference.layout import Layout
from ner.inference.recurrence import Layer
from ner.inference.type_gates import TypeGates
from ner.network import Network
from ner.sentence import Sentence

CACHE = 96 << 20  # bytes of remembered gates
FEWEST = 4096  # tokens that are remembered, however wide the gates


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Sentences as a prepared network reads them.

    Attributes:
        tables: For each network the gates of distinct tokens.
        rows: For each network and sentence the row of each token in the table.
        contexts: For each context embedding and sentence what it made of the tokens.
    """

    tables: list[Tensor]
    rows: list[list[NDArray[np.int64]]]
    contexts: list[list[Arrays]]

    def windows(self, bounds: Sequence[tuple[int, int]]) -> Reading:
        """Of a reading of one sentence, stretches of its tokens as sentences."""
        return Reading(
            self.tables,
            [[own[0][start:end] for start, end in bounds] for own in self.rows],
            [
                [tuple(array[start:end] for array in own[0]) for start, end in bounds]
                for own in self.contexts
            ],
        )


class Prepared:
    """A copy of a network's weights as they are now, and what has been computed with them.

    Args:
        network: A network of float32 on the CPU, or an ensemble of such.
        cache: The most bytes of gates that are remembered.
    """

    def __init__(self, network: Network, *, cache: int = CACHE) -> None:
        networks: list[Network] = getattr(network, "networks", [network])
        self._members = [_Member(member, cache // len(networks)) for member in networks]
        self._contexts: list[ContextEmbedding] = network.context_embeddings
        everything = tuple(range(len(self._contexts)))
        self._places: list[tuple[int, ...]] = getattr(network, "context_places", [everything])
        chains = [
            member.crf.chain(torch.zeros(0, 1, len(network.tags)), torch.zeros(0).long())
            for member in networks
        ]
        self.moves, self.start, self.end = (
            torch.stack([getattr(chain, name).detach() for chain in chains]).mean(0)
            for name in ("transitions", "start", "end")
        )

    @property
    def capacity(self) -> int:
        """The most tokens that can be read at a time."""
        return min(member.types.capacity for member in self._members)

    def read(self, sentences: Sequence[Sentence]) -> Reading:
        """Sentences, of at most ``capacity`` tokens together, as numbers."""
        tokens = [sentence.tokens for sentence in sentences]
        ends = list(accumulate(map(len, tokens)))
        bounds = list(zip([0, *ends], ends, strict=False))
        looked = [member.types.look_up(tokens) for member in self._members]
        return Reading(
            [table for table, _ in looked],
            [[rows[start:end] for start, end in bounds] for _, rows in looked],
            [[part.index(sentence) for sentence in sentences] for part in self._contexts],
        )

    def contexts(self, sentence: Sentence) -> list[Arrays]:
        """What each context embedding makes of a sentence of any length."""
        return [part.index(sentence) for part in self._contexts]

    def read_stretch(self, tokens: tuple[str, ...], contexts: list[Arrays]) -> Reading:
        """Tokens of one sentence, at most ``capacity``, whose contexts are known."""
        looked = [member.types.look_up([tokens]) for member in self._members]
        return Reading(
            [table for table, _ in looked], [[rows] for _, rows in looked], [[c] for c in contexts]
        )

    def emissions(self, reading: Reading, numbers: Sequence[int]) -> NDArray[np.float32]:
        """The emissions of some sentences, longest first, in flat order ``(tokens, tags)``."""
        lengths = np.array([len(reading.rows[0][number]) for number in numbers])
        layout = Layout.of(lengths)
        contexts = [[own[number] for number in numbers] for own in reading.contexts]
        total: Tensor | None = None
        for member, table, own, places in zip(
            self._members, reading.tables, reading.rows, self._places, strict=True
        ):
            rows = np.concatenate([own[number] for number in numbers])
            read = [contexts[place] for place in places]
            emissions = member.emissions(layout, table, rows, read)
            total = emissions if total is None else total.add_(emissions)
        assert total is not None, "an ensemble has members"
        return (total if len(self._members) == 1 else total.div_(len(self._members))).numpy()

    def chain(self, emissions: NDArray[np.float32], lengths: NDArray[np.int64]) -> LinearChain:
        """The distribution over paths of padded emissions, ``(batch, length, tags)``."""
        return LinearChain(
            torch.from_numpy(emissions), self.moves, self.start, self.end, torch.from_numpy(lengths)
        )


class _Member:
    """One network."""

    def __init__(self, network: Network, cache: int) -> None:
        self.layers = _layers(network)
        first = self.layers[0]
        columns, bias, place = [], first.bias.clone(), 0
        self.contexts = []
        for part in network.embeddings.values():
            assert isinstance(part, TypeEmbedding | ContextEmbedding), "there are no others"
            own = torch.arange(place, place + part.width)
            place += part.width
            if isinstance(part, TypeEmbedding):
                columns.append(own)
            else:
                self.contexts.append(ContextGates(part, first.inputs[own], first.directions))
                bias += self.contexts[-1].constant
        self.types = TypeGates(
            network.type_embeddings,
            first.inputs[torch.cat(columns)],
            bias,
            first.directions,
            max(FEWEST, cache // (first.inputs.shape[1] * first.inputs.element_size())),
        )
        halved = 2.0 * network.projection.weight.detach()
        self._projections = [part.t().contiguous() for part in torch.split(halved, first.width, 1)]
        self._bias = network.projection.bias.detach().clone()

    def emissions(
        self,
        layout: Layout,
        table: Tensor,
        rows: NDArray[np.int64],
        contexts: Sequence[Sequence[Arrays]],
    ) -> Tensor:
        """The emissions of the tokens of a layout, in flat order, ``(tokens, tags)``."""
        first = self.layers[0]
        orders = [torch.from_numpy(order) for order in layout.orders[: first.directions]]
        gates = table.new_empty(first.directions, len(rows), table.shape[2])
        flat = torch.from_numpy(rows)
        for order, own, out in zip(orders, table, gates, strict=True):
            torch.index_select(own, 0, flat[order], out=out)
        for part, sentences in zip(self.contexts, contexts, strict=True):
            part.add_to(gates, sentences, layout)
        outputs = first.run(gates, layout.counts)
        for layer in self.layers[1:]:
            inputs = layer.gates(_flat(outputs, orders)).chunk(layer.directions, 1)
            gates = torch.stack([own[order] for own, order in zip(inputs, orders, strict=True)])
            outputs = layer.run(gates, layout.counts)
        emissions = table.new_empty(len(rows), len(self._bias))
        emissions[orders[0]] = torch.addmm(self._bias, outputs[0], self._projections[0])
        for order, output, weights in zip(
            orders[1:], outputs[1:], self._projections[1:], strict=True
        ):
            emissions.index_add_(0, order, output @ weights)
        return emissions


def _layers(network: Network) -> list[Layer]:
    encoder = network.encoder
    stacks: list[list[nn.LSTM]] = [list(encoder.forwards)]  # type: ignore[arg-type]
    if encoder.bidirectional:
        stacks.append(list(encoder.backwards))  # type: ignore[arg-type]
    return [
        Layer(pair, 2.0 if number else 1.0) for number, pair in enumerate(zip(*stacks, strict=True))
    ]


def _flat(outputs: Tensor, orders: Sequence[Tensor]) -> Tensor:
    """Outputs in packed order as flat ones, ``(tokens, directions * width)``."""
    directions, tokens, width = outputs.shape
    flat = outputs.new_empty(tokens, directions * width)
    for order, own, part in zip(orders, outputs, torch.split(flat, width, 1), strict=True):
        part[order] = own
    return flat
