"""The fast road on a CPU: the spans of the plain one, several times sooner.

What a token gives to the first layer by itself is computed once and remembered, and the
recurrence is laid out without padding; the rest of the road is that of ``BatchEngine``.
"""

from __future__ import annotations

from threading import Lock

import torch
from torch import Tensor

from ner.inference.batch_engine import BatchEngine
from ner.inference.cpu_network import CPUNetwork
from ner.inference.decoding import VITERBI, Decoding
from ner.inference.plain import PlainEngine
from ner.inference.span_decoder import SpanDecoder
from ner.inference.token_cache import CACHE
from ner.scorer import Scorer


class FastEngine(BatchEngine[Tensor]):
    """Tags on the CPU with a network of float32. May be used by several threads at once.

    The weights are copied when it is first used and whenever they have changed since, as an
    optimiser or ``load_state_dict`` changes them. (A change by way of ``parameter.data`` is seen
    by nobody.)

    Args:
        network: The network; it is read, never changed.
        decoding: How spans are chosen.
        cache: The most bytes of gates that are remembered.
    """

    def __init__(
        self, network: Scorer, decoding: Decoding = VITERBI, *, cache: int = CACHE
    ) -> None:
        super().__init__(SpanDecoder(network.scheme, network.labels, decoding))
        self.network = network
        self.decoding = decoding
        self.cache = cache
        self._parameters = list(network.parameters())  # to go through the modules takes time
        self._lock = Lock()
        self._current: tuple[tuple[int, ...], CPUNetwork] | None = None

    @staticmethod
    def serves(network: Scorer) -> bool:
        """Whether it can tag with this network, as it is now."""
        return not network.training and _usual(list(network.parameters()))

    def fits(self) -> bool:
        """Whether it can tag with its network, as that is now."""
        return not self.network.training and _usual(self._parameters)

    def emitter(self) -> CPUNetwork:
        """The weights as they are now."""
        state = tuple([part for w in self._parameters for part in (w.data_ptr(), w._version)])
        current = self._current
        if current is None or current[0] != state:
            with self._lock:
                current = self._current
                if current is None or current[0] != state:
                    with torch.inference_mode():
                        prepared = CPUNetwork(self.network, cache=self.cache)
                    current = self._current = state, prepared
        return current[1]


def _usual(weights: list[torch.nn.Parameter]) -> bool:
    return all(
        w.dtype is torch.float32 and w.device.type == "cpu" and not w.is_inference()
        for w in weights
    )


def engine_for(network: Scorer, decoding: Decoding | None = None) -> FastEngine | PlainEngine:
    """The fastest engine that can tag with a network, as it is now.

    Args:
        network: The network.
        decoding: How spans are chosen.
    """
    engine = FastEngine if FastEngine.serves(network) else PlainEngine
    return engine(network, decoding or Decoding())
