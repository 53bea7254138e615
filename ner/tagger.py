"""The tagger: sentences in, spans out; and its directory on disk."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ner.config import ConfigError, dump
from ner.inference import PlainEngine
from ner.network import Network
from ner.sentence import Sentence, Span
from ner.storage import recover, replacing_directory, sha256

FORMAT = 1  # of the model directory
DESCRIPTION, WEIGHTS = "tagger.json", "weights.safetensors"
LARGEST_DESCRIPTION = 1 << 28  # bytes


class ModelError(ValueError):
    """A model directory that cannot be used; the message says why and what to do."""


class Tagger:
    """Finds entities.

    Args:
        network: The network that scores tags.
        metrics: What is known of how good it is, as JSON holds it.
        config: The settings it was trained with.
    """

    def __init__(
        self,
        network: Network,
        *,
        metrics: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.network = network
        self.metrics = dict(metrics or {})
        self.config = dict(config or {})

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the entities it finds."""
        return self.network.labels

    def predict(self, sentences: Iterable[Sentence | Sequence[str]]) -> list[tuple[Span, ...]]:
        """The spans of each sentence, each with its probability as ``score``.

        Args:
            sentences: Sentences, or lists of tokens. What is already annotated is not looked at.
        """
        given = [s if isinstance(s, Sentence) else Sentence(tuple(s)) for s in sentences]
        return PlainEngine(self.network).predict(given)

    def save(self, path: Path | str) -> None:
        """Write the tagger as a model directory, which is whole or not there at all."""
        with replacing_directory(Path(path)) as folder:
            weights = {name: tensor.contiguous().cpu() for name, tensor in self._weights().items()}
            save_file(weights, folder / WEIGHTS)
            _write_json(folder / "metrics.json", self.metrics)
            (folder / "config.yaml").write_text(dump(self.config), encoding="utf-8")
            (folder / "README.md").write_text(model_card(self), encoding="utf-8")
            files = sorted(path for path in folder.iterdir())
            description = {
                "format": FORMAT,
                "network": self.network.settings(),
                "files": {file.name: {"sha256": sha256(file)} for file in files},
            }
            _write_json(folder / DESCRIPTION, description)

    def to_bytes(self) -> bytes:
        """The tagger as bytes: the files of its model directory, in one."""
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder) / "model")
            files = {file.name: file.read_bytes() for file in (Path(folder) / "model").iterdir()}
        sizes = json.dumps({name: len(files[name]) for name in sorted(files)}).encode()
        return b"".join(
            [len(sizes).to_bytes(8, "little"), sizes, *(files[n] for n in sorted(files))]
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "cpu") -> Tagger:
        """Read a tagger from what ``to_bytes`` gave.

        Raises:
            ModelError: The bytes are not such.
        """
        length = int.from_bytes(data[:8], "little")
        try:
            sizes = json.loads(data[8 : 8 + length])
        except ValueError:
            raise ModelError("these bytes are not a tagger's") from None
        place = 8 + length
        with tempfile.TemporaryDirectory() as folder:
            for name, size in sizes.items():
                if Path(name).name != name:
                    raise ModelError(f"{name!r} is no name of a file of a model")
                (Path(folder) / name).write_bytes(data[place : place + size])
                place += size
            return load(folder, device=device)

    def _weights(self) -> dict[str, torch.Tensor]:
        weights = self.network.state_dict()
        for name, tensor in weights.items():
            if not torch.isfinite(tensor).all():
                raise ModelError(f"the weights {name} are not finite; the model was not saved")
        return weights


def load(path: Path | str, *, device: str = "cpu") -> Tagger:
    """Read a model directory: offline, without pickle, without running anything in it.

    Args:
        path: The directory.
        device: Where to put the network: ``auto`` is CUDA where there is one.

    Raises:
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner.
    """
    folder = Path(path)
    recover(folder)
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "missing"
        raise ModelError(f"{folder}: expected a model directory, it is {kind}")
    description = _read_description(folder)
    network = _read_network(folder, description["network"])
    network.to(pick_device(device)).eval()
    metrics = _read_json(folder / "metrics.json")
    return Tagger(network, metrics=metrics if isinstance(metrics, dict) else None)


def pick_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {name}: torch finds no CUDA device here; use cpu")
    try:
        return torch.device(name)
    except RuntimeError:
        raise ConfigError(f"no device is called {name!r}; there are auto, cpu, cuda") from None


def model_card(tagger: Tagger) -> str:
    """A short page in Markdown on what the model is and how good it was found to be."""
    lines = [
        "# A named entity tagger",
        "",
        f"Made with `ner`: {', '.join(tagger.network.embeddings)} embeddings, a BiLSTM and a CRF "
        f"({tagger.network.scheme.name}).",
        "",
        f"Labels: {', '.join(tagger.labels)}.",
        "",
    ]
    for split in ("development", "test"):
        scores = tagger.metrics.get(split)
        if isinstance(scores, dict) and isinstance(scores.get("f1"), float):
            lines.append(
                f"- {split}: F1 {100 * scores['f1']:.2f}, precision "
                f"{100 * scores['precision']:.2f}, recall {100 * scores['recall']:.2f}, "
                f"{scores['gold']} entities, exact spans"
            )
    lines += ["", "```python", "import ner", "", 'tagger = ner.load("PATH")', "```", ""]
    return "\n".join(lines)


def _read_description(folder: Path) -> dict[str, Any]:
    description = _read_json(folder / DESCRIPTION)
    if not isinstance(description, dict) or not isinstance(description.get("format"), int):
        raise ModelError(f"{folder / DESCRIPTION}: describes no tagger")
    if description["format"] > FORMAT:
        raise ModelError(
            f"{folder}: written by a newer version of ner (format {description['format']}, this "
            f"one reads up to {FORMAT}); upgrade with `pip install -U ner-crf`"
        )
    files = description.get("files")
    if not isinstance(files, dict) or WEIGHTS not in files or "network" not in description:
        raise ModelError(f"{folder / DESCRIPTION}: describes no tagger")
    for name, facts in files.items():
        if Path(name).name != name:
            raise ModelError(f"{folder / DESCRIPTION}: {name!r} is no name of a file beside it")
        _verify(folder / name, facts)
    return description


def _verify(file: Path, facts: Any) -> None:
    if file.is_symlink() or not file.is_file():
        raise ModelError(f"{file}: missing; copy the model directory again, whole")
    if not isinstance(facts, dict) or sha256(file) != facts.get("sha256"):
        raise ModelError(
            f"{file}: not the file the model was saved with (its SHA-256 differs); "
            "copy the model directory again, whole"
        )


def _read_network(folder: Path, settings: Any) -> Network:
    """The network, built only when the file of weights is known to hold just its tensors."""
    weights = folder / WEIGHTS
    try:
        with torch.device("meta"):
            plan = Network.from_settings(settings).state_dict()
        _compare(plan, weights)
        network = Network.from_settings(settings)
        network.load_state_dict(load_file(weights))
    except ModelError:
        raise
    except (
        SafetensorError,
        RuntimeError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{folder}: not a usable model: {reason}") from error
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{weights}: the weights {name} are not finite")
    return network


def _compare(plan: Mapping[str, torch.Tensor], weights: Path) -> None:
    """Check names, shapes and kinds of tensors against the file's header, before any is read."""
    with safe_open(weights, framework="pt") as file:
        held = set(file.keys())
        if held != set(plan):
            odd = min(held ^ set(plan))
            raise ModelError(
                f"{weights}: does not match {DESCRIPTION}: {odd} is in one of them only"
            )
        for name, tensor in plan.items():
            shape = tuple(file.get_slice(name).get_shape())
            if shape != tuple(tensor.shape):
                raise ModelError(
                    f"{weights}: {name} has the shape {shape}, {DESCRIPTION} says "
                    f"{tuple(tensor.shape)}"
                )


def _read_json(file: Path) -> Any:
    try:
        if file.stat().st_size > LARGEST_DESCRIPTION:
            raise ModelError(f"{file}: larger than any model's")
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{file}: missing; is {file.parent} a model directory?") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{file}: not JSON ({error})") from None


def _write_json(file: Path, content: Any) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")
