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
    """A labelled stretch of tokens, ``tokens[start:end]``.

    Two spans are equal when their boundaries and label are; the score is only a remark.

    Attributes:
        start: The first token, counted from 0.
        end: One past the last token.
        label: The type of entity.
        score: The probability of the span, from the CRF's marginals, where it is known.

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
    """The tokens of the sentences that belong together, in their order.

    Attributes:
        tokens: One tuple of tokens per sentence.
        id: What the file calls the document, or empty.

    Raises:
        TypeError: A text stands where there should be tokens.
    """

    tokens: tuple[tuple[str, ...], ...]
    id: str = ""

    def __post_init__(self) -> None:
        if str in (type(self.tokens), *map(type, self.tokens)):
            raise TypeError(
                "a document is made of the tokens of its sentences, a tuple for each, got "
                f"{self.tokens!r:.80}"
            )

    @cached_property
    def mentions(self) -> Mapping[str, tuple[tuple[int, int], ...]]:
        """The places of each lower-cased form: ``form -> ((sentence, token), ...)``."""
        places: dict[str, list[tuple[int, int]]] = {}
        for row, tokens in enumerate(self.tokens):
            for column, token in enumerate(tokens):
                places.setdefault(token.lower(), []).append((row, column))
        return {form: tuple(found) for form, found in places.items()}

    def __getstate__(self) -> dict[str, object]:
        return {"tokens": self.tokens, "id": self.id}  # what is derived is derived again

    def __deepcopy__(self, memo: object) -> Document:
        return self  # nothing in it can be changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The provenance of sentences as a reader knows it; those of a file may share one.

    A format whose writer needs to know more has a class of its own, derived from this one.

    Attributes:
        path: What the file is called in messages.
        scheme: The name of the scheme of its tags, where it has tags.
        line_each: Whether each token has a line of its own, one below the other.
    """

    path: str = field(default="", compare=False)
    scheme: str | None = None
    line_each: bool = False


@dataclass(frozen=True, slots=True)
class Sentence:
    """The tokens of a sentence, and what is known of them.

    Attributes:
        tokens: The tokens, never changed from what the file holds.
        spans: The entities; ``None`` when nobody has annotated the sentence, and empty when
            somebody has and found no entity in it.
        columns: Other columns of the file by name, one value per token.
        unknown: The tokens of an annotated sentence whose annotation is missing.
        document: The document the sentence stands in, where that is known.
        position: Which sentence of its document this is, counted from 0.
        line: The line of the file the sentence begins on, counted from 1; 0 where unknown.
        text: The text the tokens were cut from, where that is known.
        vectors: A vector for each token, made outside, where there is one, ``(tokens, width)``.
        offsets: For each token its ``(start, end)`` characters in ``text``.
        labels: The labels its annotators looked for, so that a token outside of the spans may be
            part of an entity of any other; ``None`` where they looked for all.
        tags: The tags as its file spells them, where it has tags.
        origin: What its reader knows of the file it comes from.

    Raises:
        TypeError: A text stands where there should be tokens, labels or a column's values.
        ValueError: A column has not one value for each token, or a span or an unknown token is
            not within the sentence.
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
        refuse_text(self.tokens)
        if type(self.tokens) is not tuple or isinstance(self.spans, list):
            self._freeze()
        if isinstance(self.labels, str):
            raise TypeError(f"labels are a set of words, got the text {self.labels!r}")
        for span in self.spans or ():
            if span.end > len(self.tokens):
                raise ValueError(f"{span} ends beyond its sentence, {_has(self.tokens)}")
        if self.unknown and not 0 <= min(self.unknown) <= max(self.unknown) < len(self.tokens):
            raise ValueError(
                f"unknown tokens {sorted(self.unknown)!r:.80} are not all of their sentence, "
                f"{_has(self.tokens)}"
            )
        if self.columns and isinstance(self.columns, dict):  # others are cut from a file if asked
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
        """The line a token stands on, or else its sentence; 0 where that is not known."""
        each = self.line and self.origin is not None and self.origin.line_each
        return self.line + place if each else self.line

    def _freeze(self) -> None:
        """Make tuples of lists, so that the sentence equals any other like it."""
        object.__setattr__(self, "tokens", tuple(self.tokens))
        if self.spans is not None:
            object.__setattr__(self, "spans", tuple(self.spans))


def check_column(name: str, values: Sequence[str], tokens: int) -> None:
    """Check that a column has a string for each token.

    Raises:
        TypeError: It is a text.
        ValueError: It has not one value for each token.
    """
    if isinstance(values, str):
        raise TypeError(f"the column {name!r} should hold a word for each token, is {values!r}")
    if len(values) != tokens:
        raise ValueError(f"the column {name!r} should hold {tokens} words, holds {len(values)}")


def in_document(sentences: Iterable[Sentence], id: str = "") -> tuple[Sentence, ...]:  # noqa: A002
    """The same sentences, as one document."""
    together = tuple(sentences)
    document = Document(tuple(sentence.tokens for sentence in together), id)
    return tuple(
        replace(sentence, document=document, position=position)
        for position, sentence in enumerate(together)
    )


def as_sentences(given: Iterable[Sentence | Sequence[str]]) -> list[Sentence]:
    """Sentences as they are, and lists of tokens as sentences.

    Raises:
        TypeError: It is one sentence, or a text is among them, which would be read as a list of its
            characters.
    """
    refuse_text(given)
    if isinstance(given, Sentence):
        raise TypeError("expected a list of sentences, got one: put it in a list")
    sentences = []
    for one in given:
        refuse_text(one)
        sentences.append(one if isinstance(one, Sentence) else Sentence(tuple(one)))
    return sentences


def refuse_text(given: object) -> None:
    """Refuse a text where tokens are expected: it would be read as a list of its characters.

    Raises:
        TypeError: It is one.
    """
    if isinstance(given, str):
        raise TypeError(
            f"expected sentences or lists of tokens, got the text {given[:40]!r}: cut it into "
            'tokens first, as by text.split(), or tag texts with spaCy or "ner tag --from text"'
        )


def _has(tokens: Sequence[str]) -> str:
    return f"which has {len(tokens)} token{'s' * (len(tokens) != 1)}"
