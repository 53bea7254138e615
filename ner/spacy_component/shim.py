"""The shim, which is what thinc calls the holder of another framework's network in a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from thinc.api import Model, Optimizer, Shim, get_torch_default_device
from thinc.util import torch2xp, xp2torch

from ner.indexed import TypeTable
from ner.scorer import Scorer
from ner.tagger import Tagger

Layer = Model[Any, Any]

REMEMBERED = 1 << 16  # distinct tokens


class NetworkShim(Shim):
    """Holds a network for thinc: updates it, lends it other weights, writes it down.

    Attributes:
        version: Grows whenever the weights change, so that what was made of them can be renewed.
    """

    def __init__(self, network: Scorer | None = None) -> None:
        super().__init__(network)
        self.version = 0
        self._table: TypeTable | None = None

    @property
    def network(self) -> Scorer | None:
        """The network, always in evaluation mode but for the forward pass of an update."""
        network: Scorer | None = self._model
        return network

    @network.setter
    def network(self, network: Scorer | None) -> None:
        self._model = network
        self._table = None
        self.version += 1

    def table(self) -> TypeTable | None:
        """What the tokens trained on are as numbers; new where it has grown too large."""
        if self.network is not None and (self._table is None or len(self._table) > REMEMBERED):
            self._table = self.network.type_table()
        return self._table

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let thinc's optimizer change the weights by the gradients that have come together."""
        if self.network is None:
            return
        for name, weight in self.network.named_parameters():
            if weight.grad is None:
                continue
            own: Any = torch2xp(weight.data)
            gradient: Any = torch2xp(weight.grad)
            changed, _ = optimizer((self.id, name), own, gradient)
            new = xp2torch(changed, device=weight.device)
            # Were the weights to become what came back, which may be a view of them, each step
            # would add a link to a chain of views.
            if new.data_ptr() != weight.data_ptr():
                weight.data.copy_(new)
            weight.grad = None  # not zeroed in place: who asked for the gradient may keep it
        self.version += 1

    @contextmanager
    def use_params(self, params: Mapping[Any, Any]) -> Iterator[None]:
        """Lend the network other weights, such as an optimizer's averages."""
        weights = dict(self.network.named_parameters()) if self.network is not None else {}
        lent = {name: params[self.id, name] for name in weights if (self.id, name) in params}
        own = {name: weights[name].data for name in lent}
        for name, value in lent.items():
            weights[name].data = xp2torch(value, device=weights[name].device).clone()
        self.version += 1
        try:
            yield
        finally:
            for name, value in own.items():
                weights[name].data = value
            self.version += 1

    def to_device(self, device_type: str, device_id: int) -> None:
        if self.network is not None:
            self.network.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def to_bytes(self) -> bytes:
        """The network as the bytes of a model directory; nothing is pickled."""
        return b"" if self.network is None else Tagger(self.network).to_bytes()

    def from_bytes(self, data: bytes) -> NetworkShim:
        device = str(get_torch_default_device())
        self.network = Tagger.from_bytes(data, device=device).network if data else None
        return self


def shim_of(model: Layer) -> NetworkShim:
    """What holds the network of a layer."""
    shim = model.shims[0]
    assert isinstance(shim, NetworkShim)
    return shim


def network_of(model: Layer) -> Scorer:
    """The network of a layer that has one."""
    network = shim_of(model).network
    assert network is not None, "the layer was neither fitted nor loaded"
    return network
