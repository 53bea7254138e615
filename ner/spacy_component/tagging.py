"""Tagging of documents, around the annotation that they have; needs no torch.

`ExportedNer` is the component of an exported model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn, Self

import srsly
from spacy import util
from spacy.errors import Errors
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.vocab import Vocab

from ner import runtime
from ner.analysis.alternatives import ClampedEngine, clampable
from ner.errors import ConfigError, ModelError
from ner.inference.batch_engine import WHOLE
from ner.inference.decoding import Decoding
from ner.runtime.directory import MANIFEST
from ner.sentence import Sentence, Span, SpanWithAlternatives
from ner.spacy_component.documents import (
    DocSentence,
    annotate,
    annotate_group,
    clamped,
    given_ents,
    moved,
    pieces,
    without,
)
from ner.storage.addresses import local
from ner.storage.atomic import atomic_directory
from ner.storage.manifest import is_file_name, read_consistently

if TYPE_CHECKING:
    from ner.tagger import Tagger

    AnyTagger = Tagger | runtime.ExportedTagger

SETTINGS = (
    "overwrite_ents", "spans_key", "min_score", "alternatives", "use_sents", "device"
)  # fmt: skip


class TaggingPipe(TrainablePipe):  # type: ignore[misc]
    """A component that sets the entities that a tagger finds; the settings are those of ``NerCrf``.

    Raises:
        ConfigError: A setting is out of its range.
    """

    overwrite_ents: bool
    spans_key: str | None
    min_score: float
    alternatives: int
    use_sents: bool
    device: str | None

    def __init__(self, vocab: Vocab, name: str, scorer: Any, settings: Mapping[str, Any]) -> None:
        Decoding(min_score=settings["min_score"])  # raises ConfigError if out of range
        if settings["alternatives"] < 0:
            raise ConfigError(f"alternatives must be at least 0, got {settings['alternatives']}")
        self.vocab, self.name = vocab, name
        self.scorer = scorer or util.registry.scorers.get("spacy.ner_scorer.v1")()
        for setting in SETTINGS:
            setattr(self, setting, settings[setting])

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return {setting: getattr(self, setting) for setting in SETTINGS}

    def tag(
        self, tagger: AnyTagger, docs: Sequence[Doc], rows: list[list[DocSentence]]
    ) -> list[tuple[Span, ...]]:
        """Return the spans of documents, given their sentences."""
        if not self.overwrite_ents:
            labels = clampable(tagger.scheme, tagger.labels)
            rows = [clamped(doc, row, labels) for doc, row in zip(docs, rows, strict=True)]
        return tag_pieces(tagger, rows, alternatives=self.alternatives)

    def set_annotations(self, docs: Iterable[Doc], spans: Sequence[Sequence[Span]]) -> None:
        """Write spans to the documents."""
        for doc, found in zip(docs, spans, strict=True):
            kept = [span for span in found if (span.score or 0.0) >= self.min_score]
            if self.spans_key is not None:
                given = [] if self.overwrite_ents else given_ents(doc)
                annotate_group(doc, self.spans_key, given, kept)
            annotate(doc, kept, overwrite=self.overwrite_ents)

    def become_exported(self) -> None:
        """Become the component of an exported model.

        The path in the configuration of a saved pipeline need not exist any more, so that only its
        files tell which kind of model it has.
        """
        vocab, name, scorer, settings = self.vocab, self.name, self.scorer, self.settings()
        self.__dict__.clear()
        self.__class__ = ExportedNer
        ExportedNer.__init__(self, vocab, None, name, scorer=scorer, **settings)


class ExportedNer(TaggingPipe):
    """A spaCy component that tags entities with an exported model, without torch.

    It cannot be trained. The files of the model are kept in memory, to be saved with the pipeline.

    Args:
        vocab: The vocabulary of the pipeline.
        model: The directory of the model, or its address; ``None`` if loading sets it.
        name: The name of the component.
        scorer: The scorer of examples.
        later: Read the directory only when it is needed, since loading may replace it.
        settings: The settings of ``NerCrf``.

    Raises:
        ConfigError: A setting is out of its range, or onnxruntime is not installed.
        ModelError: The directory is not that of a valid exported model.
    """

    is_trainable = False

    def __init__(
        self,
        vocab: Vocab,
        model: str | Path | None,
        name: str,
        *,
        scorer: Any = None,
        later: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(vocab, name, scorer, settings)
        if self.device not in (None, "cpu", "auto"):
            raise ConfigError(f"device {self.device}: exported models run on the CPU")
        self.model: None = None
        self.cfg: dict[str, Any] = {}
        self._directory = model
        self._files: dict[str, bytes] = {}
        self._tagger: runtime.ExportedTagger | None = None
        if not later:
            self._read_directory()

    def __repr__(self) -> str:
        return f"<ExportedNer {self.name!r}: {', '.join(self.labels) or 'no model yet'}>"

    @property
    def tagger(self) -> runtime.ExportedTagger | None:
        """The exported model; ``None`` before it is loaded."""
        self._read_directory()
        return self._tagger

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the entities it predicts."""
        return () if self._tagger is None else self._tagger.labels

    @property
    def label_data(self) -> tuple[str, ...]:
        """The labels, as ``spacy init labels`` writes them."""
        return self.labels

    def predict(self, docs: Iterable[Doc]) -> list[tuple[Span, ...]]:
        """Return the spans of each document, which is not modified.

        Raises:
            ValueError: No model was loaded.
        """
        together = list(docs)
        if self.tagger is None:
            raise ValueError(Errors.E109.format(name=self.name))
        rows = [pieces(doc, use_sents=self.use_sents) for doc in together]
        return self.tag(self.tagger, together, rows)

    def update(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse to be trained.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f"{self.name} is an exported model, which cannot be trained. Load the model that it "
            "was exported from, or exclude the component from training: frozen_components = "
            f'["{self.name}"], nlp.select_pipes(disable="{self.name}")'
        )

    def initialize(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse to be trained."""
        self.update()

    def rehearse(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse to be trained."""
        self.update()

    def add_label(self, label: str) -> int:
        """Return 0 for a label of the model; refuse any other."""
        return 0 if label in self.labels else self.update()

    def use_params(self, params: Any) -> Iterator[None]:
        """Change nothing, since none of the trained weights are its own."""
        yield

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the model, which ``ner.load`` can read, too."""
        self._read_directory()
        if self._files and "model" not in exclude:
            with atomic_directory(Path(path), holds=MANIFEST.name) as folder:
                _write(folder, self._files)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Read a component from ``to_disk``, or any exported model."""
        if "model" not in exclude:
            self._directory = path
            self._read_directory()
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialise the component."""
        self._read_directory()
        parts = {"exported": lambda: srsly.msgpack_dumps(self._files)}
        data: bytes = util.to_bytes({} if "model" in exclude else parts, exclude)
        return data

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Read a component from ``to_bytes``."""
        util.from_bytes(data, {} if "model" in exclude else {"exported": self.take}, exclude)
        return self

    def take(self, data: bytes) -> None:
        """Use the files of an exported model, packed by ``to_bytes``."""
        if files := srsly.msgpack_loads(data):
            with TemporaryDirectory() as folder:
                _write(Path(folder), files)
                self.from_disk(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.vocab, self.name, self.scorer, self.settings(), self.to_bytes())

    def _read_directory(self) -> None:
        """Read the model directory, if that is pending."""
        if self._directory is not None:
            folder, self._directory = local(self._directory), None
            self._tagger, self._files = read_consistently(
                folder, lambda: (runtime.load(folder), _files(folder))
            )


def _files(folder: Path) -> dict[str, bytes]:
    names = (MANIFEST.name, *MANIFEST.describe(folder)["files"])
    return {name: (folder / name).read_bytes() for name in names}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        if not is_file_name(name):
            raise ModelError(f"{name!r} is not a valid name of a model file")
        (folder / name).write_bytes(content)


def _restored(
    vocab: Vocab, name: str, scorer: Any, settings: Mapping[str, Any], data: bytes
) -> ExportedNer:
    """Restore a pickled component."""
    return ExportedNer(vocab, None, name, scorer=scorer, **settings).from_bytes(data)


def tag_pieces(
    tagger: AnyTagger, rows: Sequence[Sequence[DocSentence]], *, alternatives: int = 0
) -> list[tuple[Span, ...]]:
    """Return the spans of documents, without those that are given.

    Args:
        tagger: The tagger.
        rows: The sentences of each document; annotated ones are tagged around their annotation.
        alternatives: The maximum number of alternatives of a span; tagging is slower if above 0.
    """
    sentences = [_opened(part.sentence, alternatives) for row in rows for part in row]
    free = [sentence for sentence in sentences if sentence.spans is None]
    bound = [sentence for sentence in sentences if sentence.spans is not None]
    found = iter(tagger.predict(free))
    around: Iterator[tuple[Span, ...]] = iter(())
    if bound:
        engine = ClampedEngine(tagger, tagger.decoding, alternatives=alternatives)
        around = iter(engine.predict(bound))
    own = iter(sentences)
    return [
        tuple(
            _moved(span, part.places)
            for part in row
            for span in without(
                next(found if next(own).spans is None else around), part.sentence.spans or ()
            )
        )
        for row in rows
    ]


def _opened(sentence: Sentence, alternatives: int) -> Sentence:
    """Mark all tokens of a sentence as unknown if only the clamped engine can tag it.

    Only that engine gives alternatives, and supports long sentences with given vectors.
    """
    long = sentence.vectors is not None and len(sentence) > WHOLE
    if sentence.spans is not None or not (alternatives or long):
        return sentence
    return replace(sentence, spans=(), unknown=frozenset(range(len(sentence))))


def _moved(span: Span, places: Sequence[int]) -> Span:
    """Map a span and its alternatives from the tagger's tokens to those of the document."""
    if isinstance(span, SpanWithAlternatives):
        own = moved(span, places)
        alternatives = tuple(moved(other, places) for other in span.alternatives)
        return SpanWithAlternatives(own.start, own.end, own.label, own.score, alternatives)
    return moved(span, places)
