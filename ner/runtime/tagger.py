"""The tagger of an exported model: sentences in, spans out, its graphs run by onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.errors import ConfigError, ModelError
from ner.indexers import Arrays, ContextIndexer, TypeIndexer
from ner.indexers.columns import columns_of
from ner.indexers.transformer import TransformerIndexer
from ner.inference.batch_engine import BatchEngine, GateBatch
from ner.inference.decoding import Decoding
from ner.inference.gates import CACHE, TokenCache, capacity_of
from ner.inference.span_decoder import SpanDecoder
from ner.runtime.directory import EMISSIONS, TRANSFORMERS, TYPES, Exported, read
from ner.sentence import Sentence
from ner.texts import BaseTagger

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


class OnnxEmitter:
    """Computes emissions; thread-safe.

    Args:
        exported: The model.
        threads: The number of threads of a graph.
        cache: The maximum number of bytes of cached gates.

    Raises:
        ConfigError: onnxruntime is not installed.
        ModelError: The graphs do not match the description.
    """

    def __init__(self, exported: Exported, *, threads: int = 1, cache: int = CACHE) -> None:
        self.moves = exported.moves
        self._indexers: Sequence[ContextIndexer] = exported.contexts
        for place, indexer in enumerate(exported.contexts):
            if isinstance(indexer, TransformerIndexer):
                indexer.reader = _reader(exported, place, threads, indexer.state_width)
        self._types = _Session(exported.graphs[TYPES], TYPES, threads)
        self._emissions = _Session(exported.graphs[EMISSIONS], EMISSIONS, threads)
        width = self._types.width_of("gates")
        if width < 1 or self._emissions.width_of("emissions") != len(self.moves.start):
            raise ModelError(f"{EMISSIONS} does not output emissions of the model's tags")
        self._gates = TokenCache[str](
            partial(_gates, self._types, exported.types), (capacity_of(cache, 4 * width), width)
        )

    @property
    def capacity(self) -> int:
        """The maximum number of tokens read at a time."""
        return self._gates.capacity

    def contexts(self, sentences: Sequence[Sentence]) -> list[list[Arrays]]:
        """Return the output of each context indexer for sentences of any length."""
        return [indexer.index_all(sentences) for indexer in self._indexers]

    def read(self, sentences: Sequence[Sequence[str]], contexts: list[list[Arrays]]) -> GateBatch:
        """Index sentences with at most ``capacity`` tokens together.

        Args:
            sentences: The tokens of each sentence.
            contexts: The output of each context indexer for each sentence.
        """
        looked = [self._gates.look_up(sentences)]
        return GateBatch.of(looked, list(map(len, sentences)), contexts)

    def emissions(self, reading: GateBatch, numbers: Sequence[int]) -> Floats:
        """Return the emissions of some sentences, longest first, ``(tokens, tags)``."""
        (table,), (rows,) = reading.tables, reading.rows
        lengths = np.array([len(rows[number]) for number in numbers])
        inside = np.arange(lengths[0]) < lengths[:, None]
        types, own = np.unique(
            np.concatenate([rows[number] for number in numbers]), return_inverse=True
        )
        given = {"gates": table[types], "rows": _padded(own, inside), "lengths": lengths}
        for number, sentences in enumerate(reading.contexts):
            arrays, places = _distinct([sentences[n] for n in numbers])
            given[f"places{number}"] = _padded(places, inside)
            given |= {f"context{number}_{at}": array for at, array in enumerate(arrays)}
        emissions: Floats = self._emissions.run(given, inside.shape)[inside]
        return emissions


class _Session:
    """A graph with one output, ready to run."""

    def __init__(self, graph: bytes, name: str, threads: int) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it would write a file of events
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(
                "an exported model needs onnxruntime: pip install 'ner-crf[runtime]'"
            ) from None
        self._name = name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.log_severity_level = 4  # errors are raised, with names of the graph
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has its own error classes
            raise self._unusable(error) from error

    def width_of(self, output: str) -> int:
        """Return the size of the last axis of its only output, which must have this name."""
        outputs = self._session.get_outputs()
        if [one.name for one in outputs] != [output]:
            raise ModelError(f"{self._name} has no output {output}")
        width = outputs[0].shape[-1]
        return width if isinstance(width, int) else -1

    def run(self, given: Mapping[str, NDArray[Any]], axes: tuple[int, ...]) -> Floats:
        """Return the output, whose first axes must be those given.

        Raises:
            ModelError: The graph does not take these inputs, or returns another shape.
        """
        try:
            found: Floats = self._session.run(None, dict(given))[0]
        except Exception as error:  # as above
            raise self._unusable(error) from error
        if found.shape[: len(axes)] != axes:
            raise ModelError(f"{self._name}: output of shape {found.shape}, expected {axes} first")
        return found

    def _unusable(self, error: Exception) -> ModelError:
        return ModelError(f"{self._name}: onnxruntime failed: {str(error).splitlines()[0]}")


def _reader(
    exported: Exported, place: int, threads: int, width: int
) -> Callable[[Integers, Integers], Floats]:
    """Return the model that computes the states of a context indexer's transformer.

    Raises:
        ModelError: Its graph is missing, or outputs states of another width.
    """
    name = TRANSFORMERS[place]
    if name not in exported.graphs:
        raise ModelError(f"{name}, the transformer of the model, is missing")
    session = _Session(exported.graphs[name], name, threads)
    if session.width_of("states") != width:
        raise ModelError(f"{name} does not output states of width {width}")
    return lambda ids, mask: session.run({"ids": ids, "mask": mask}, ids.shape)


def _gates(types: _Session, indexers: Sequence[TypeIndexer], tokens: list[str]) -> Floats:
    """Compute the gates of tokens in the first layer, ``(tokens, gates)``."""
    return types.run(
        {
            f"type{number}_{at}": array
            for number, indexer in enumerate(indexers)
            for at, array in enumerate(indexer.index(tokens))
        },
        (len(tokens),),
    )


def _padded(flat: Integers, inside: NDArray[np.bool_]) -> Integers:
    """Pad values of tokens with 0, ``(batch, length)``."""
    padded = np.zeros(inside.shape, np.int64)
    padded[inside] = flat
    return padded


def _distinct(sentences: Sequence[Arrays]) -> tuple[Arrays, Integers]:
    """Return the rows of sentences' arrays, equal runs once, and the run of each token.

    The first row is of zeros, which most tokens have.
    """
    arrays = [np.concatenate(parts) for parts in zip(*sentences, strict=True)]
    changes = reduce(np.logical_or, (_any(array[1:] != array[:-1]) for array in arrays))
    heads = np.flatnonzero(np.concatenate(([True], changes)))
    runs = np.repeat(np.arange(len(heads)), np.diff(heads, append=len(arrays[0])))
    filled = reduce(np.logical_or, (_any(array[heads]) for array in arrays))
    places = np.where(filled, np.cumsum(filled), 0)[runs]
    rows = heads[filled]
    return tuple(np.concatenate([np.zeros_like(a[:1]), a[rows]]) for a in arrays), places


def _any(array: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(array.any(axis=tuple(range(1, array.ndim))), dtype=np.bool_)


class ExportedTagger(BaseTagger):
    """Finds entities as ``ner.Tagger`` does, without torch; thread-safe.

    Args:
        exported: The model.
        threads: The number of threads of a graph.
        decoding: The decoding; by default that of the model.

    Raises:
        ConfigError: onnxruntime is not installed.
        ModelError: The model cannot be run.
    """

    def __init__(
        self, exported: Exported, *, threads: int = 1, decoding: Decoding | None = None
    ) -> None:
        self.labels = exported.labels
        self.columns = columns_of(exported.contexts)
        self.scheme = exported.scheme
        self.tokenizer = exported.tokenizer
        self.metrics = dict(exported.metrics)
        self.embeddings = exported.embeddings
        self._emitter = OnnxEmitter(exported, threads=threads)
        self.decoding = decoding or exported.decoding

    def __repr__(self) -> str:
        return (
            f"<ExportedTagger of {', '.join(self.labels)}: {self.scheme.name}, "
            f"{self.decoding.decode} decoding, {self.tokenizer} tokenizer>"
        )

    @property
    def decoding(self) -> Decoding:
        """The decoding of spans."""
        return self._engine.decoder.decoding

    @decoding.setter
    def decoding(self, decoding: Decoding) -> None:
        self._engine = _Engine(self._emitter, SpanDecoder(self.scheme, self.labels, decoding))

    def engine(self) -> _Engine:
        return self._engine


class _Engine(BatchEngine):
    """The batch engine on onnxruntime."""

    def __init__(self, emitter: OnnxEmitter, decoder: SpanDecoder) -> None:
        super().__init__(decoder)
        self._emitter = emitter

    def emitter(self) -> OnnxEmitter:
        return self._emitter


def load(path: Path | str, *, threads: int = 1) -> ExportedTagger:
    """Load an exported model: offline, without pickle.

    Args:
        path: The directory that ``ner export`` wrote.
        threads: The number of threads of a graph.

    Raises:
        ConfigError: onnxruntime is not installed.
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner.
    """
    return ExportedTagger(read(Path(path)), threads=threads)
