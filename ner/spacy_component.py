"""The tagger as a component of a spaCy pipeline: it reads tokens and sets ``doc.ents``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy.errors import Errors
from spacy.pipeline import Pipe
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab

from ner.batch import batched
from ner.sentence import Document, Sentence, Span
from ner.tagger import Tagger, load

if not DocSpan.has_extension("score"):
    DocSpan.set_extension("score", default=None)
if hasattr(os, "register_at_fork"):  # OpenMP's threads do not outlive a fork: torch would hang
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence of a ``Doc`` without its white space.

    Attributes:
        sentence: The tokens the tagger sees.
        places: Where each of them stands in the ``Doc``.
    """

    sentence: Sentence
    places: tuple[int, ...]


class NerCrf(Pipe):
    """Finds entities in documents with a tagger.

    Entities that a document already has are kept, and only what is free of them is set.

    Args:
        vocab: Of the pipeline.
        name: Of the component.
        model: A model directory; ``None`` where ``from_disk`` or ``from_bytes`` brings it.
        overwrite_ents: Whether entities set before are forgotten.
        spans_key: Also write all spans to ``doc.spans`` under this key, with
            ``attrs["scores"]``.
        min_score: Keep spans at least so probable.
        device: Where the tagger runs.
    """

    def __init__(  # noqa: PLR0913 - one argument for each setting, as spaCy wants them
        self,
        vocab: Vocab,
        name: str = "ner_crf",
        *,
        model: str | Path | None = None,
        overwrite_ents: bool = False,
        spans_key: str | None = None,
        min_score: float = 0.0,
        device: str = "cpu",
    ) -> None:
        self.vocab = vocab
        self.name = name
        self.overwrite_ents = overwrite_ents
        self.spans_key = spans_key
        self.min_score = min_score
        self.device = device
        self.scorer = registry.scorers.get("spacy.ner_scorer.v1")()
        self.tagger: Tagger | None = None if model is None else load(model, device=device)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the entities it finds."""
        return () if self.tagger is None else self.tagger.labels

    @property
    def label_data(self) -> tuple[str, ...]:
        """The labels, as ``spacy init labels`` writes them."""
        return self.labels

    def __call__(self, doc: Doc) -> Doc:
        """Find the entities of a document."""
        for done in self.pipe([doc], batch_size=1):
            return done
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Find the entities of a stream of documents, in their order."""
        handle: Callable[..., Any] = self.get_error_handler()
        for docs in batched(stream, batch_size):
            try:
                self.set_annotations(docs, self.predict(docs))
            except Exception as error:  # spaCy's handler decides about any error
                handle(self.name, self, docs, error)
            yield from docs

    def predict(self, docs: Iterable[Doc]) -> list[tuple[Span, ...]]:
        """The spans of each document, in its tokens. Changes nothing."""
        if self.tagger is None:
            raise ValueError(Errors.E109.format(name=self.name))
        pieces = [list(_pieces(doc)) for doc in docs]
        spans = iter(self.tagger.predict([piece.sentence for row in pieces for piece in row]))
        return [
            tuple(_moved(span, piece.places) for piece in row for span in next(spans))
            for row in pieces
        ]

    def set_annotations(self, docs: Iterable[Doc], spans: Sequence[Sequence[Span]]) -> None:
        """Write spans into the documents. Computes nothing."""
        for doc, found in zip(docs, spans, strict=True):
            kept = [span for span in found if (span.score or 0.0) >= self.min_score]
            if self.spans_key is not None:
                doc.spans[self.spans_key] = [_doc_span(doc, span) for span in kept]
                scores = np.array([span.score for span in kept], dtype=np.float64)
                doc.spans[self.spans_key].attrs["scores"] = scores
            self._set_ents(doc, kept)

    def _set_ents(self, doc: Doc, spans: Sequence[Span]) -> None:
        ents = [_doc_span(doc, span) for span in spans]
        if self.overwrite_ents:
            doc.set_ents(ents, default="outside")
            return
        before = doc.to_array("ENT_IOB")
        free = [span for span in ents if not np.isin(before[span.start : span.end], (1, 3)).any()]
        doc.set_ents(free, default="unmodified")
        after = doc.to_array("ENT_IOB")
        outside = [doc[int(place) : int(place) + 1] for place in np.flatnonzero(after == 0)]
        if outside:
            doc.set_ents(free, outside=outside, default="unmodified")

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score the entities of examples, as spaCy's own ``ner`` does."""
        scores: dict[str, Any] = self.scorer(examples, **kwargs)
        return scores

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the tagger as a model directory."""
        if self.tagger is not None:
            self.tagger.save(path)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> NerCrf:
        """Read the tagger from a model directory."""
        self.tagger = load(path, device=self.device)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The tagger as bytes."""
        return b"" if self.tagger is None else self.tagger.to_bytes()

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> NerCrf:
        """Read the tagger from what ``to_bytes`` gave."""
        self.tagger = Tagger.from_bytes(data, device=self.device) if data else None
        return self


def _pieces(doc: Doc) -> Iterator[Piece]:
    """The sentences of a document, where they are known; else all of it as one."""
    if not len(doc):
        return
    starts = [0]
    if doc.has_annotation("SENT_START"):
        flags = doc.to_array("SENT_START")
        starts = [place for place in range(len(doc)) if place == 0 or flags[place] == 1]
    words = [token.text for token in doc]
    rows = [
        tuple(place for place in range(start, end) if not words[place].isspace())
        for start, end in zip(starts, [*starts[1:], len(doc)], strict=True)
    ]
    rows = [row for row in rows if row]
    document = Document(tuple(tuple(words[place] for place in row) for row in rows))
    for position, row in enumerate(rows):
        tokens = document.tokens[position]
        yield Piece(Sentence(tokens, document=document, position=position), row)


def _moved(span: Span, places: Sequence[int]) -> Span:
    """A span of the tokens the tagger saw, in the tokens of the document."""
    return Span(places[span.start], places[span.end - 1] + 1, span.label, span.score)


def _doc_span(doc: Doc, span: Span) -> DocSpan:
    found = DocSpan(doc, span.start, span.end, label=span.label)
    found._.score = span.score
    return found
