"""The choice among the engines."""

from __future__ import annotations

from ner.inference.decoding import Decoding
from ner.inference.fast import FastEngine
from ner.inference.plain import PlainEngine
from ner.scorer import Scorer


def engine_for(network: Scorer, decoding: Decoding | None = None) -> FastEngine | PlainEngine:
    """The fastest engine that can tag with a network, as it is now.

    Args:
        network: The network.
        decoding: How spans are chosen.
    """
    engine = FastEngine if FastEngine.serves(network) else PlainEngine
    return engine(network, decoding or Decoding())
