"""Sentences, their documents, and spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWN = 12  # tokens, and entities, of a sentence in its repr


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """A labelled span of tokens, ``tokens[start:end]``.

    Spans are equal if their boundaries and labels are; the score is ignored.

    Attributes:
        start: The first token, from 0.
        end: One past the last token.
        label: The entity type.
        score: The probability of the span, from the CRF's marginals, if known.

    Raises:
        ValueError: Not ``0 <= start < end``.
    """

    start: int
    end: int
    label: str
    score: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(
                f"a span needs 0 <= start < end, got start={self.start}, end={self.end}"
            )

    def __repr__(self) -> str:
        score = "" if self.score is None else f", score={self.score:.4f}"
        return f"Span({self.start}, {self.end}, {self.label!r}{score})"


@dataclass(frozen=True, slots=True)
class SpanWithAlternatives(Span):
    """A span with its alternatives.

    Attributes:
        alternatives: The most probable other spans that overlap it, the most probable first.
    """

    alternatives: tuple[Span, ...] = field(default=(), compare=False)


@dataclass(frozen=True, eq=False)
class Document:
    """The tokens of the sentences of a document, in order.

    Attributes:
        tokens: One tuple of tokens per sentence.
        id: The name of the document in its file, or empty.

    Raises:
        TypeError: There is a string in place of tokens.
    """

    tokens: tuple[tuple[str, ...], ...]
    id: str = ""

    def __post_init__(self) -> None:
        if str in (type(self.tokens), *map(type, self.tokens)):
            raise TypeError(
                f"a document needs a tuple of tokens per sentence, got {self.tokens!r:.80}"
            )

    @cached_property
    def mentions(self) -> Mapping[str, tuple[tuple[int, int], ...]]:
        """The positions of each lower-cased form: ``form -> ((sentence, token), ...)``."""
        places: dict[str, list[tuple[int, int]]] = {}
        for row, tokens in enumerate(self.tokens):
            for column, token in enumerate(tokens):
                places.setdefault(token.lower(), []).append((row, column))
        return {form: tuple(found) for form, found in places.items()}

    def __getstate__(self) -> dict[str, object]:
        return {"tokens": self.tokens, "id": self.id}  # derived values are computed again

    def __deepcopy__(self, memo: object) -> Document:
        return self  # it is immutable


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The provenance of sentences, which those of a file may share.

    Formats whose writers need more derive a class from this one.

    Attributes:
        path: The name of the file in messages.
        scheme: The name of the scheme of its tags, if it has tags.
        line_each: Whether each token has its own line.
    """

    path: str = field(default="", compare=False)
    scheme: str | None = None
    line_each: bool = False


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence.

    Attributes:
        tokens: The tokens, unchanged from the file.
        spans: The entities; ``None`` if the sentence is not annotated, empty if it is annotated and
            has none.
        columns: Other columns of the file by name, one value per token.
        unknown: The tokens of an annotated sentence whose annotation is missing.
        document: The document of the sentence, if known.
        position: The index of the sentence in its document.
        line: The line of the file on which the sentence starts, from 1; 0 if unknown.
        text: The text that was tokenized, if known.
        vectors: External vectors of the tokens, ``(tokens, width)``.
        offsets: The ``(start, end)`` characters of each token in ``text``.
        labels: The annotated labels: tokens outside of spans may belong to entities of any other
            label. ``None`` if all labels are annotated.
        tags: The tags as in the file, if it has tags.
        origin: The provenance of the sentence.

    Raises:
        TypeError: There is a string in place of tokens, labels or the values of a column.
        ValueError: A column does not have one value per token, or a span or an unknown token is
            outside of the sentence.
    """

    tokens: tuple[str, ...]
    spans: tuple[Span, ...] | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    unknown: frozenset[int] = frozenset()
    document: Document | None = field(default=None, compare=False, repr=False)
    position: int = field(default=0, compare=False)
    line: int = field(default=0, compare=False)
    text: str | None = field(default=None, compare=False, repr=False)
    offsets: tuple[tuple[int, int], ...] | None = field(default=None, compare=False, repr=False)
    labels: frozenset[str] | None = None
    vectors: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    tags: tuple[str, ...] | None = field(default=None, compare=False, repr=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if type(self.tokens) is not tuple or isinstance(self.spans, list):
            refuse_text(self.tokens)
            self._freeze()
        if isinstance(self.labels, str):
            raise TypeError(f"labels must be a set of strings, got the string {self.labels!r}")
        for span in self.spans or ():
            if span.end > len(self.tokens):
                raise ValueError(f"{span} ends beyond its sentence, {_has(self.tokens)}")
        if self.unknown and not 0 <= min(self.unknown) <= max(self.unknown) < len(self.tokens):
            raise ValueError(
                f"unknown tokens {sorted(self.unknown)!r:.80} are not all in their sentence, "
                f"{_has(self.tokens)}"
            )
        if isinstance(self.columns, dict):  # others are read from a file on demand
            for name, values in self.columns.items():
                check_column(name, values, len(self.tokens))

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        words = " ".join(self.tokens[:SHOWN])
        more = f" ... ({len(self)} tokens)" if len(self) > SHOWN else ""
        if self.spans is None:
            return f"<Sentence {words!r}{more}, not annotated>"
        found = ", ".join(
            f"{' '.join(self.tokens[one.start : one.end])} ({one.label})"
            for one in self.spans[:SHOWN]
        )
        return f"<Sentence {words!r}{more}: {found or 'no entities'}>"

    def line_of(self, place: int) -> int:
        """Return the line of a token, or else of its sentence; 0 if unknown."""
        each = self.line and self.origin is not None and self.origin.line_each
        return self.line + place if each else self.line

    def _freeze(self) -> None:
        """Convert lists to tuples, so that equal sentences compare equal."""
        object.__setattr__(self, "tokens", tuple(self.tokens))
        if self.spans is not None:
            object.__setattr__(self, "spans", tuple(self.spans))


def check_column(name: str, values: Sequence[str], tokens: int) -> None:
    """Check that a column has a string for each token.

    Raises:
        TypeError: It is a string.
        ValueError: It does not have one value per token.
    """
    if isinstance(values, str):
        raise TypeError(f"column {name!r} needs a value per token, got the string {values!r}")
    if len(values) != tokens:
        raise ValueError(f"column {name!r} needs a value per token ({tokens}), got {len(values)}")


def in_document(sentences: Iterable[Sentence], id: str = "") -> tuple[Sentence, ...]:  # noqa: A002
    """Return sentences as one document."""
    together = tuple(sentences)
    document = Document(tuple(sentence.tokens for sentence in together), id)
    return tuple(
        replace(sentence, document=document, position=position)
        for position, sentence in enumerate(together)
    )


def as_sentences(given: Iterable[Sentence | Sequence[str]]) -> list[Sentence]:
    """Return sentences unchanged, and lists of tokens as sentences.

    Raises:
        TypeError: A single sentence or a string is given.
    """
    refuse_text(given)
    if isinstance(given, Sentence):
        raise TypeError("expected a list of sentences, got a single one; put it in a list")
    sentences = []
    for one in given:
        refuse_text(one)
        sentences.append(one if isinstance(one, Sentence) else Sentence(tuple(one)))
    return sentences


def refuse_text(given: object) -> None:
    """Refuse a string in place of tokens, since it would be read as a list of its characters.

    Raises:
        TypeError: It is a string.
    """
    if isinstance(given, str):
        raise TypeError(
            f"expected sentences or lists of tokens, got the string {given[:40]!r}; use tag() for "
            "texts, or split it into tokens"
        )


def _has(tokens: Sequence[str]) -> str:
    return f"which has {len(tokens)} token{'s' * (len(tokens) != 1)}"
