"""The tagger: sentences in, spans out; and its directory on disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ner import model_directory, native
from ner.errors import ConfigError
from ner.evaluation.score import percent
from ner.indexers.columns import columns_of
from ner.inference.cpu_network import StoredEngine
from ner.inference.decoding import Decoding
from ner.model_directory import ModelError
from ner.schemes import Scheme
from ner.storage.addresses import local
from ner.storage.manifest import is_file_name, parse_json, read_consistently
from ner.stored import StoredNetwork
from ner.streaming.tokenizers import BUILTIN, checked_name
from ner.texts import BaseTagger

if TYPE_CHECKING:
    import torch

    from ner.inference import FastEngine, PlainEngine
    from ner.redaction import Pattern, Redacted, Redactor
    from ner.scorer import Scorer

    Engine = FastEngine | PlainEngine | StoredEngine

_BUILDING = Lock()
GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # one exists where torch might find a GPU


class Tagger(BaseTagger):
    """Finds entities.

    Args:
        network: The network that scores tags; one that was read from a directory tags without torch
            until `network` is asked for.
        metrics: Its scores, as JSON values.
        config: The settings it was trained with, or their YAML.
        decoding: The decoding of spans.
        tokenizer: The tokenizer of raw texts: ``builtin``, ``spacy`` or ``spacy:LANGUAGE``.
    """

    def __init__(
        self,
        network: Scorer | StoredNetwork,
        *,
        metrics: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | str | None = None,
        decoding: Decoding | None = None,
        tokenizer: str = BUILTIN,
    ) -> None:
        self._held = network
        self.tokenizer = tokenizer
        self.decoding = decoding or Decoding()
        self._engine: Engine | None = None
        self.metrics = dict(metrics or {})
        self._config = config or {}

    def __repr__(self) -> str:
        return (
            f"<Tagger of {', '.join(self.labels)}: {', '.join(self.embeddings)} embeddings, "
            f"{weights_of(self._held):,} weights, {self.scheme.name}, "
            f"{self.decoding.decode} decoding, {self.tokenizer} tokenizer>"
        )

    @property
    def network(self) -> Scorer:
        """The network that scores tags; torch is imported to build it."""
        with _BUILDING:
            if isinstance(self._held, StoredNetwork):
                self._held = model_directory.built(self._held.settings, self._held.weights)
            return self._held

    @network.setter
    def network(self, network: Scorer) -> None:
        self._held = network

    @cached_property
    def config(self) -> dict[str, Any]:
        """The settings it was trained with; YAML is parsed when they are asked for.

        Raises:
            ConfigError: The YAML is invalid.
        """
        from ner.config import parse  # takes 20 ms, and tagging does not need it

        return parse(self._config) if isinstance(self._config, str) else dict(self._config)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the entities it finds."""
        return self._held.labels

    @property
    def embeddings(self) -> tuple[str, ...]:
        """The names of its embeddings."""
        return tuple(self._held.named_embeddings())

    @property
    def scheme(self) -> Scheme:
        """The scheme that writes its spans as tags."""
        return self._held.scheme

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the further columns of a sentence that it reads."""
        held = self._held
        if isinstance(held, StoredNetwork):
            return held.columns()
        return columns_of(part.indexer for part in held.context_embeddings)

    def redactor(
        self,
        replacement: str = "label",
        *,
        coverage: float | None = None,
        patterns: Sequence[Pattern] = (),
        key: bytes = b"",
        tokenizer: str | None = None,
    ) -> Redactor:
        """Return a redactor, which replaces entities in texts.

        Args:
            replacement: ``mask``, ``label``, ``hash`` or ``pseudonym``.
            coverage: The share of entity tokens to cover, as measured on development sentences;
                ``None`` to replace the entities that the tagger finds.
            patterns: Further patterns to replace; see ``ner.redaction.read_patterns``.
            key: The secret key of hashes.
            tokenizer: The tokenizer of texts; by default the tagger's own.

        Raises:
            ConfigError: An argument is invalid, or the coverage cannot be reached.
        """
        from ner.redaction import Redactor, Replacer

        return Redactor.of(
            self,
            Replacer(replacement, key),
            coverage=coverage,
            patterns=patterns,
            tokenizer=tokenizer,
        )

    def redact(self, text: str, replacement: str = "label", **options: Any) -> Redacted:
        """Return a text with its entities replaced; the options are those of ``redactor``.

        Raises:
            TypeError: ``text`` is not a string.
            ConfigError: An option is invalid, or the coverage cannot be reached.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a text to redact, got {type(text).__name__}")
        return self.redactor(replacement, **options).redact([text])[0]

    def engine(self) -> Engine:
        """Return the inference engine, rebuilt only if network or decoding have changed."""
        engine = self._engine
        made_for = None if engine is None else (engine.network, engine.decoding)
        if engine is None or made_for != (self._held, self.decoding) or not engine.fits():
            engine = self._engine = self._engine_for(self.decoding)
        return engine

    def _engine_for(self, decoding: Decoding) -> Engine:
        """Return an engine for the network, by torch only if numpy and the kernels do not do."""
        held = self._held
        if isinstance(held, StoredNetwork) and native.kernels is not None:
            return StoredEngine(held, decoding)
        from ner.inference import engine_for

        return engine_for(self.network, decoding)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engine": None}  # rebuilt on demand

    def save(self, path: Path | str, *, texts: Mapping[str, str] | None = None) -> None:
        """Write the tagger as a model directory, atomically.

        Args:
            path: The directory.
            texts: Further text files by name; a README.md replaces the default one.
        """
        from ner.config import dump

        own = {
            "metrics.json": json.dumps(self.metrics, indent=1, allow_nan=False) + "\n",
            "config.yaml": dump(self.config),
            "README.md": model_card(self),
        }
        files = {**own, **(texts or {})}
        model_directory.write(
            Path(path),
            self.network.merged(),
            texts=files,
            more={"decoding": asdict(self.decoding), "tokenizer": self.tokenizer},
        )

    def include_transformer(self) -> None:
        """Store the weights of frozen transformers with the model, when it is saved."""
        from ner.embeddings import TransformerEmbedding

        for stack in self.network.stacks:
            for part in stack.embeddings.values():
                if isinstance(part, TransformerEmbedding):
                    part.include_weights()

    def to_bytes(self) -> bytes:
        """Return the files of the model directory as bytes."""
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as folder:
            self.save(Path(folder) / "model")
            files = {file.name: file.read_bytes() for file in (Path(folder) / "model").iterdir()}
        sizes = json.dumps({name: len(files[name]) for name in sorted(files)}).encode()
        return b"".join(
            [len(sizes).to_bytes(8, "little"), sizes, *(files[n] for n in sorted(files))]
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "cpu") -> Tagger:
        """Read a tagger from the bytes of ``to_bytes``.

        Raises:
            ModelError: The bytes are not those of a tagger.
        """
        from tempfile import TemporaryDirectory

        length = int.from_bytes(data[:8], "little")
        try:
            sizes = parse_json(data[8 : 8 + length])
        except (ValueError, RecursionError):
            sizes = None
        kinds = {type(size) for size in sizes.values()} if isinstance(sizes, dict) else {None}
        if not kinds <= {int} or min(sizes.values(), default=0) < 0:
            raise ModelError("not the bytes of a tagger")
        place = 8 + length
        with TemporaryDirectory() as folder:
            for name, size in sizes.items():
                if not is_file_name(name):
                    raise ModelError(f"{name!r} is not a valid name of a model file")
                (Path(folder) / name).write_bytes(data[place : place + size])
                place += size
            return load(folder, device=device)


def load(path: Path | str, *, device: str = "cpu") -> Tagger:
    """Read a model directory: offline, without pickle, without running code from it.

    Args:
        path: The directory, or its address; see ``ner.load``.
        device: The device of the network; ``auto`` is CUDA if available, else the CPU.

    Raises:
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner.
    """
    here = device == "cpu" or (device == "auto" and not _may_have_gpu())
    place, folder = None if here else pick_device(device), local(path)
    tagger = read_consistently(folder, lambda: _load(folder))
    if place is not None and place.type != "cpu":
        tagger.network.to(place)
    return tagger


def _may_have_gpu() -> bool:
    """Return whether there may be a GPU, without importing torch."""
    return os.name == "nt" or any(Path(one).exists() for one in GPUS)


def _load(folder: Path) -> Tagger:
    network, description = model_directory.read(folder)
    metrics, config = (
        model_directory.text(folder, description, name) for name in ("metrics.json", "config.yaml")
    )
    try:
        known = parse_json(metrics.encode())
        return Tagger(
            network,
            metrics=known if isinstance(known, dict) else None,
            config=config,
            decoding=Decoding.read(description.get("decoding", {})),
            tokenizer=checked_name(description.get("tokenizer", BUILTIN)),
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder}: not a usable model: {error}") from error


def weights_of(network: Scorer | StoredNetwork) -> int:
    """Return the number of weights."""
    if isinstance(network, StoredNetwork):
        return sum(weight.size for weight in network.weights.values())
    return sum(weight.numel() for weight in network.parameters())


def pick_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is CUDA if available, else the CPU.

    Raises:
        ConfigError: The device is not available.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # refused below
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"unknown device {name!r}; expected auto, cpu or cuda")
    here = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= here:
        found = f"{here} CUDA device{'s' * (here != 1)}" if here else "no CUDA device"
        raise ConfigError(f"device {name}: torch finds {found}; use cpu")
    return device


def _in_markdown(label: str) -> str:
    """Escape a label for Markdown."""
    import html

    return re.sub(r"[\[\]`\\]", r"\\\g<0>", html.escape(label, quote=False))


def decision_line(metrics: Mapping[str, Any]) -> str:
    """Describe the decoding and its scores, if training chose it."""
    chosen = metrics.get("decoding")
    if not isinstance(chosen, dict):
        return ""
    try:
        figures, threshold = chosen["development"], chosen["threshold"]
        way = "best path" if chosen["decode"] == "viterbi" else f"spans above {threshold:.3f}"
        if own := chosen.get("label_thresholds"):
            way += f" ({', '.join(f'{label} {one:.3f}' for label, one in own.items())})"
        return (
            f"decoding: {way}, temperature {chosen['temperature']:.2f}; development F1 "
            f"{percent(figures['f1'])} ({percent(figures['cross_fitted'])} cross-fitted), "
            f"best path {percent(figures['best_path'])}"
        )
    except (KeyError, TypeError, ValueError):  # the metrics of a model may contain anything
        return ""


def model_card(tagger: Tagger) -> str:
    """Return a page in Markdown on what the model is and how good it was found to be.

    It begins with the metadata that the Hugging Face hub reads.
    """
    metrics = tagger.metrics
    lines = [
        *_front_matter(tagger),
        "# A named entity tagger",
        "",
        f"Made with `ner`: {', '.join(tagger.network.named_embeddings())} embeddings, a BiLSTM and "
        f"a CRF ({tagger.network.scheme.name}).",
        "",
        f"Labels: {', '.join(map(_in_markdown, tagger.labels))}.",
        "",
        *[f"- {line}" for split in ("development", "test") if (line := _scored(metrics, split))],
    ]
    if decision := decision_line(metrics):
        lines.append(f"- {decision}")
    lines += [
        "",
        *_label_table(metrics),
        UNTESTED if _scored(metrics, "test") else "It was not scored on a test file.",
        _versions(),
        "",
        "```python",
        "import ner",
        "",
        'tagger = ner.load("PATH")  # or the address at which it is shared',
        'tagger.tag("Angela Merkel met Tim Cook in Berlin.").entities',
        "```",
        "",
    ]
    return "\n".join(lines)


UNTESTED = (
    "Other texts than those of its test file, other languages and other labels were not tested; "
    "nor was speed, which `ner bench` measures where the model is used."
)


def _versions() -> str:
    """Say which versions wrote the model, as far as they are known."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    own = ""
    with contextlib.suppress(PackageNotFoundError):  # run from a folder that is not installed
        own = f" {version('ner-crf')}"
    return f"Written by ner{own} with torch {torch.__version__.partition('+')[0]}."


def _front_matter(tagger: Tagger) -> list[str]:
    """Return the metadata of the card as YAML."""
    from ner.config import dump

    known: dict[str, Any] = {
        "library_name": "ner",
        "pipeline_tag": "token-classification",
        "tags": ["named-entity-recognition", "bilstm-crf", "safetensors"],
    }
    scores = tagger.metrics.get("test")
    if isinstance(scores, dict):
        figures = [
            {"type": name, "value": round(scores[name], 4)}
            for name in ("f1", "precision", "recall")
            if isinstance(scores.get(name), float)
        ]
        task = {"type": "token-classification", "name": "named entity recognition"}
        dataset = {"type": "test", "name": "the test file of its configuration"}
        result = {"task": task, "dataset": dataset, "metrics": figures}
        known["model-index"] = [{"name": "ner tagger", "results": [result]}]
    return ["---", dump(known).rstrip(), "---", ""]


def _scored(metrics: Mapping[str, Any], split: str) -> str:
    """Return a line with the scores of a split, if they are known."""
    scores = metrics.get(split)
    if not (isinstance(scores, dict) and isinstance(scores.get("f1"), float)):
        return ""
    return (
        f"{split}: F1 {percent(scores['f1'])}, precision {percent(scores['precision'])}, recall "
        f"{percent(scores['recall'])}, {scores['gold']} entities, exact spans"
    )


def _label_table(metrics: Mapping[str, Any]) -> list[str]:
    """Return the scores of each label on the test sentences, with intervals, if they are known."""
    try:
        rows = [
            f"| {_in_markdown(label)} | {percent(one['precision'])} | {percent(one['recall'])} | "
            f"{percent(one['f1'])} | {' - '.join(map(percent, one['interval'] or [None]))} | "
            f"{one['gold']} |"
            for label, one in metrics["labels"]["test"].items()
        ]
    except (KeyError, TypeError, AttributeError, ValueError):  # metrics of a model are anything
        return []
    head = "| test | precision | recall | F1 | 95 % interval of F1 | entities |"
    return [head, "|---|---|---|---|---|---|", *rows, ""] if rows else []
