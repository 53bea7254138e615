"""The tagger: sentences in, spans out; and its directory on disk."""

from __future__ import annotations

import html
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ner import model_directory
from ner.config import ConfigError, dump, parse
from ner.evaluation.score import percent
from ner.indexers.columns import columns_of
from ner.inference import Decoding, FastEngine, PlainEngine, engine_for
from ner.inference.span_decoder import NBestParse
from ner.model_directory import ModelError
from ner.schemes import Scheme
from ner.scorer import Scorer
from ner.sentence import Sentence, Span, as_sentences, refuse_text
from ner.storage.manifest import is_file_name, parse_json, read_consistently
from ner.streaming.tokenizers import BUILTIN, checked_name
from ner.texts import TagsTexts

if TYPE_CHECKING:
    from ner.redaction import Redacted, Redactor


class Tagger(TagsTexts):
    """Finds entities.

    Args:
        network: The network that scores tags.
        metrics: What is known of how good it is, as JSON holds it.
        config: The settings it was trained with.
        decoding: How spans are chosen.
        tokenizer: The tokenizer of raw texts: ``builtin``, ``spacy`` or ``spacy:LANGUAGE``.
    """

    def __init__(
        self,
        network: Scorer,
        *,
        metrics: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        decoding: Decoding | None = None,
        tokenizer: str = BUILTIN,
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.decoding = decoding or Decoding()
        self._engine: FastEngine | PlainEngine | None = None
        self.metrics = dict(metrics or {})
        self.config = dict(config or {})

    def __repr__(self) -> str:
        parts = ", ".join(self.network.named_embeddings())
        return (
            f"<Tagger of {', '.join(self.labels)}: {parts} embeddings, "
            f"{weights_of(self.network):,} weights, {self.network.scheme.name}, "
            f"{self.decoding.decode} decoding, {self.tokenizer} tokenizer>"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the entities it finds."""
        return self.network.labels

    @property
    def embeddings(self) -> tuple[str, ...]:
        """The names of its embeddings."""
        return tuple(self.network.named_embeddings())

    @property
    def scheme(self) -> Scheme:
        """The scheme that writes its spans as tags."""
        return self.network.scheme

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the other columns of a sentence that it looks at."""
        return columns_of(part.indexer for part in self.network.context_embeddings)

    def predict(self, sentences: Iterable[Sentence | Sequence[str]]) -> list[tuple[Span, ...]]:
        """The spans of each sentence, each with its probability as ``score``.

        Args:
            sentences: Sentences, or lists of tokens. Existing annotation is ignored.

        Raises:
            TypeError: A string is given instead of a list of tokens.
        """
        return self.engine().predict(as_sentences(sentences))

    def stream(self, tokens: Iterable[str]) -> Iterator[tuple[tuple[str, ...], tuple[Span, ...]]]:
        """Tag one sentence of any length in bounded memory, on the CPU.

        Yields:
            Some next tokens of the sentence, and the spans among them, counted from the first of
            these.

        Raises:
            TypeError: The tokens are a string.
        """
        refuse_text(tokens)
        yield from self.engine().stream(tokens)

    def alternatives(
        self, sentences: Iterable[Sentence | Sequence[str]], count: int
    ) -> list[tuple[NBestParse, ...]]:
        """The most probable readings of each sentence, the best first.

        Args:
            sentences: Sentences, or lists of tokens.
            count: The most readings of a sentence.

        Raises:
            TypeError: A string is given instead of a list of tokens.
            ValueError: ``count`` is below 1.
        """
        return self.engine().alternatives(as_sentences(sentences), count)

    def redactor(
        self,
        replacement: str = "label",
        *,
        coverage: float | None = None,
        patterns: Sequence[tuple[str, re.Pattern[str]]] = (),
        key: bytes = b"",
        tokenizer: str | None = None,
    ) -> Redactor:
        """Return what replaces entities in texts.

        Args:
            replacement: ``mask``, ``label``, ``hash`` or ``pseudonym``.
            coverage: The share of entity tokens to cover, as promised by the development
                sentences; ``None`` for what the tagger finds.
            patterns: What else to hide; see ``ner.redaction.compiled``.
            key: Of hashes.
            tokenizer: What cuts texts into tokens, where not the tagger's own.

        Raises:
            ConfigError: An argument cannot be used, or the coverage cannot be promised.
        """
        from ner.redaction import Redactor, Replacer
        from ner.redaction.promise import promising, redacting, stored
        from ner.streaming.tokenizers import text_tokenizer

        decoding = self.decoding
        if coverage is not None:
            point = promising(stored(self.metrics), coverage)
            decoding = redacting(decoding, point.miss_cost)
        engine = engine_for(self.network, decoding)
        replacer = Replacer(replacement, key)
        cut = text_tokenizer(tokenizer or self.tokenizer)
        return Redactor(engine.predict, cut, replacer, patterns)

    def redact(self, text: str, replacement: str = "label", **options: Any) -> Redacted:
        """Return a text with its entities replaced; the options are those of ``redactor``.

        Raises:
            TypeError: It is not a text.
            ConfigError: An option cannot be used, or the coverage cannot be promised.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a text to redact, got {type(text).__name__}")
        return self.redactor(replacement, **options).redact([text])[0]

    def engine(self) -> FastEngine | PlainEngine:
        """The inference engine of the current network; rebuilt only when the network changes."""
        engine = self._engine
        made_for = None if engine is None else (engine.network, engine.decoding)
        if engine is None or made_for != (self.network, self.decoding) or not engine.fits():
            engine = self._engine = engine_for(self.network, self.decoding)
        return engine

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engine": None}  # made again where it is needed

    def save(self, path: Path | str, *, texts: Mapping[str, str] | None = None) -> None:
        """Write the tagger as a model directory, which is whole or not there at all.

        Args:
            path: Where.
            texts: Other files of text to lie in it, by name; a README.md goes before the usual one.
        """
        own = {
            "metrics.json": json.dumps(self.metrics, indent=1, allow_nan=False) + "\n",
            "config.yaml": dump(self.config),
            "README.md": model_card(self),
        }
        files = {**own, **(texts or {})}
        model_directory.write(
            Path(path),
            self.network,
            texts=files,
            more={"decoding": asdict(self.decoding), "tokenizer": self.tokenizer},
        )

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
            sizes = parse_json(data[8 : 8 + length])
        except (ValueError, RecursionError):
            sizes = None
        kinds = {type(size) for size in sizes.values()} if isinstance(sizes, dict) else {None}
        if not kinds <= {int} or min(sizes.values(), default=0) < 0:
            raise ModelError("these bytes are not a tagger's")
        place = 8 + length
        with tempfile.TemporaryDirectory() as folder:
            for name, size in sizes.items():
                if not is_file_name(name):
                    raise ModelError(f"{name!r} is no name of a file of a model")
                (Path(folder) / name).write_bytes(data[place : place + size])
                place += size
            return load(folder, device=device)


def load(path: Path | str, *, device: str = "cpu") -> Tagger:
    """Read a model directory: offline, without pickle, without running anything in it.

    Args:
        path: The directory.
        device: Where to put the network: ``auto`` is CUDA where there is one.

    Raises:
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner.
    """
    folder, place = Path(path), pick_device(device)
    tagger = read_consistently(folder, lambda: _load(folder))
    tagger.network.to(place)
    return tagger


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
            config=parse(config),
            decoding=Decoding.read(description.get("decoding", {})),
            tokenizer=checked_name(description.get("tokenizer", BUILTIN)),
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder}: not a usable model: {error}") from error


def weights_of(network: Scorer) -> int:
    """Return the number of weights."""
    return sum(weight.numel() for weight in network.parameters())


def pick_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: The device is not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # one that is not used here either
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"no device is called {name!r}; there are auto, cpu, cuda")
    here = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= here:
        found = f"{here} CUDA devices" if here else "no CUDA device"
        raise ConfigError(f"device {name}: torch finds {found} here; use cpu")
    return device


def _in_markdown(label: str) -> str:
    """Return a label as text of Markdown: neither an element, nor a link, nor code."""
    return re.sub(r"[\[\]`\\]", r"\\\g<0>", html.escape(label, quote=False))


def decision_line(metrics: Mapping[str, Any]) -> str:
    """Say how spans are chosen and what that is worth, where training decided it."""
    chosen = metrics.get("decoding")
    if not isinstance(chosen, dict):
        return ""
    try:
        figures, threshold = chosen["development"], chosen["threshold"]
        way = "best path" if chosen["decode"] == "viterbi" else f"spans above {threshold:.3f}"
        return (
            f"decoding: {way}, temperature {chosen['temperature']:.2f}; development F1 "
            f"{percent(figures['f1'])} ({percent(figures['cross_fitted'])} cross-fitted), "
            f"best path {percent(figures['best_path'])}"
        )
    except (KeyError, TypeError, ValueError):  # metrics of a model are anything
        return ""


def model_card(tagger: Tagger) -> str:
    """A short page in Markdown on what the model is and how good it was found to be."""
    lines = [
        "# A named entity tagger",
        "",
        f"Made with `ner`: {', '.join(tagger.network.named_embeddings())} embeddings, a BiLSTM and "
        f"a CRF ({tagger.network.scheme.name}).",
        "",
        f"Labels: {', '.join(map(_in_markdown, tagger.labels))}.",
        "",
    ]
    for split in ("development", "test"):
        scores = tagger.metrics.get(split)
        if isinstance(scores, dict) and isinstance(scores.get("f1"), float):
            lines.append(
                f"- {split}: F1 {percent(scores['f1'])}, precision "
                f"{percent(scores['precision'])}, recall {percent(scores['recall'])}, "
                f"{scores['gold']} entities, exact spans"
            )
    if decision := decision_line(tagger.metrics):
        lines.append(f"- {decision}")
    lines += ["", "```python", "import ner", "", 'tagger = ner.load("PATH")', "```", ""]
    return "\n".join(lines)
