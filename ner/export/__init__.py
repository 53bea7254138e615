"""Export a tagger to run without torch; ``ner.runtime`` loads it.

The libraries of a format are imported on use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ner.embeddings import ContextEmbedding, Embedding, TransformerEmbedding, TypeEmbedding
from ner.errors import ConfigError
from ner.indexers import INDEXERS
from ner.inference.fast import moves_of
from ner.runtime.directory import EMISSIONS, MANIFEST, SPLITS, TRANSFORMERS, TYPES
from ner.scorer import Scorer
from ner.storage.atomic import atomic_directory
from ner.tagger import Tagger, model_card

__all__ = ["FORMATS", "write"]


def write_onnx(tagger: Tagger, path: Path, *, int8: bool) -> None:
    """Write a tagger as ONNX graphs, with the files they need."""
    try:
        from ner.export.network import emissions_graph, types_graph
        from ner.export.transformer import transformer_graph
    except ImportError as error:
        if error.name is None or not error.name.startswith("onnx"):
            raise
        raise ConfigError(
            "export needs the package onnx; install it with pip install 'ner-crf[onnx]'"
        ) from None
    network = tagger.network
    graphs = {
        TYPES: types_graph(network, int8=int8),
        EMISSIONS: emissions_graph(network, int8=int8),
    }
    for name, part in zip(TRANSFORMERS, network.context_embeddings, strict=False):
        if isinstance(part, TransformerEmbedding):
            graphs[name] = transformer_graph(part, int8=int8)
    with atomic_directory(path, holds=MANIFEST.name) as folder:
        for name, graph in graphs.items():
            (folder / name).write_bytes(graph)
        (folder / "README.md").write_text(model_card(tagger), encoding="utf-8", newline="\n")
        MANIFEST.write(folder, _described(tagger, int8=int8))


FORMATS: Mapping[str, Callable[..., None]] = {"onnx": write_onnx}


def write(tagger: Tagger, path: Path | str, *, format: str = "onnx", int8: bool = False) -> None:  # noqa: A002
    """Export a tagger to run without torch; the directory is written atomically.

    Args:
        tagger: The tagger.
        path: The directory to write.
        format: ``onnx``.
        int8: Quantise weights to 8 bits: a quarter of the size, slightly less accurate.

    Raises:
        ConfigError: The format is unknown, or its library is not installed.
        OSError: The directory cannot be written; an existing one is unchanged.
    """
    if format not in FORMATS:
        raise ConfigError(f"unknown format {format!r}; expected {', '.join(FORMATS)}")
    FORMATS[format](tagger, Path(path), int8=int8)


def _described(tagger: Tagger, *, int8: bool) -> dict[str, Any]:
    network = tagger.network
    return {
        "precision": "int8" if int8 else "float32",
        "scheme": network.scheme.name,
        "labels": list(network.labels),
        "types": [_indexer(part) for part in network.type_embeddings],
        "contexts": [_indexer(part) for part in network.context_embeddings],
        "crf": _scores(network),
        "decoding": asdict(tagger.decoding),
        "tokenizer": tagger.tokenizer,
        "embeddings": list(tagger.embeddings),
        "metrics": {name: tagger.metrics[name] for name in SPLITS if name in tagger.metrics},
    }


def _indexer(part: Embedding) -> dict[str, Any]:
    assert isinstance(part, TypeEmbedding | ContextEmbedding), "every embedding is one or the other"
    kinds = {kind: name for name, kind in INDEXERS.items()}
    return {"kind": kinds[type(part.indexer)], **part.indexer.settings()}


def _scores(network: Scorer) -> dict[str, Any]:
    """Return the scores of the CRF; ``None`` where forbidden."""
    moves = moves_of(network)
    return {name: _listed(getattr(moves, name).tolist()) for name in moves.__slots__}


def _listed(scores: list[Any]) -> list[Any]:
    return [
        _listed(one) if isinstance(one, list) else None if one == float("-inf") else one
        for one in scores
    ]
