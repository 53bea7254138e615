"""The methods of every tagger: sentences in, spans out; text in, a document object out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol, overload

from ner.inference.span_decoder import NBestParse
from ner.sentence import Sentence, Span, as_sentences, in_document, refuse_text
from ner.streaming.tokenizers import text_tokenizer
from ner.streaming.writers import marked
from ner.tokenizer import split_sentences

if TYPE_CHECKING:
    from ner.crf.core.scores import ChainScores

BATCH = 100_000  # characters tagged together, and at least one text
MOST_TEXTS = 1000  # tagged together
SHOWN = 60  # characters of a text in its repr


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity of a text, ``text[start_char:end_char]``.

    Attributes:
        text: Its characters.
        label: Its type.
        start_char: The first character, counted from 0.
        end_char: One past the last character.
        score: Its probability, if known; entities that differ only in it are equal.
    """

    text: str
    label: str
    start_char: int
    end_char: int
    score: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, repr=False)
class TaggedText:
    """A text and the entities found in it, which a notebook highlights.

    Attributes:
        text: The text as given.
        entities: The entities, in the order of the text.
        sentences: The sentences, each with its own ``text``, ``offsets`` and ``spans``.
        tokenizer: The tokenizer that was used: ``builtin`` or ``spacy:LANGUAGE``.
    """

    text: str
    entities: tuple[Entity, ...]
    sentences: tuple[Sentence, ...]
    tokenizer: str

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= SHOWN else f"{self.text[:SHOWN]}..."
        found = ", ".join(f"{one.text} ({one.label})" for one in self.entities[:5])
        more = len(self.entities) - 5
        found += f" and {more} more" if more > 0 else ""
        return f"<TaggedText {text!r}: {found or 'no entities'}>"

    def _repr_html_(self) -> str:
        spans = [
            {"start": one.start_char, "end": one.end_char, "label": one.label, "score": one.score}
            for one in self.entities
        ]
        inner = marked({"text": self.text, "spans": spans})
        return f'<div style="line-height:1.8;white-space:pre-wrap">{inner}</div>'


class Engine(Protocol):
    """Tags sentences; the methods are those of ``BaseTagger``."""

    def predict(self, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]: ...

    def alternatives(
        self, sentences: Sequence[Sentence], count: int
    ) -> list[tuple[NBestParse, ...]]: ...

    def stream(
        self, tokens: Iterable[str]
    ) -> Iterator[tuple[tuple[str, ...], tuple[Span, ...]]]: ...

    def chains(self, sentences: Sequence[Sentence]) -> Iterator[tuple[list[int], ChainScores]]: ...


class BaseTagger(ABC):
    """A tagger of sentences and texts, of which a subclass provides the engine.

    Attributes:
        tokenizer: The default tokenizer of texts.
    """

    tokenizer: str

    @abstractmethod
    def engine(self) -> Engine:
        """Return the current inference engine."""

    def predict(self, sentences: Iterable[Sentence | Sequence[str]]) -> list[tuple[Span, ...]]:
        """Return the spans of each sentence, with their probabilities as scores.

        Args:
            sentences: Sentences, or lists of tokens. Existing annotation is ignored.

        Raises:
            TypeError: A string is given instead of a list of tokens.
        """
        return self.engine().predict(as_sentences(sentences))

    def alternatives(
        self, sentences: Iterable[Sentence | Sequence[str]], count: int
    ) -> list[tuple[NBestParse, ...]]:
        """Return the most probable parses of each sentence, best first.

        Args:
            sentences: Sentences, or lists of tokens.
            count: The maximum number of parses per sentence.

        Raises:
            TypeError: A string is given instead of a list of tokens.
            ValueError: ``count`` is below 1.
        """
        return self.engine().alternatives(as_sentences(sentences), count)

    def stream(self, tokens: Iterable[str]) -> Iterator[tuple[tuple[str, ...], tuple[Span, ...]]]:
        """Tag one sentence of any length in bounded memory, on the CPU.

        Yields:
            The next tokens of the sentence, and the spans among them, relative to the first of
            these tokens.

        Raises:
            TypeError: The tokens are a string.
        """
        refuse_text(tokens)
        yield from self.engine().stream(tokens)

    def chains(self, sentences: Sequence[Sentence]) -> Iterator[tuple[list[int], ChainScores]]:
        """Yield the indices of some sentences, and the scores of their tags; no empty sentences."""
        return self.engine().chains(sentences)

    @overload
    def tag(  # type: ignore[overload-overlap] # a string is also an iterable of strings
        self, texts: str, *, tokenizer: str | None = None, split: bool = True
    ) -> TaggedText: ...
    @overload
    def tag(  # type: ignore[overload-overlap] # so is a list
        self, texts: Sequence[str], *, tokenizer: str | None = None, split: bool = True
    ) -> list[TaggedText]: ...
    @overload
    def tag(
        self, texts: Iterable[str], *, tokenizer: str | None = None, split: bool = True
    ) -> Iterator[TaggedText]: ...
    def tag(
        self, texts: str | Iterable[str], *, tokenizer: str | None = None, split: bool = True
    ) -> TaggedText | list[TaggedText] | Iterator[TaggedText]:
        """Find the entities of raw texts, each text one document.

        Args:
            texts: A text; a list of texts, which gives a list; or any other iterable of texts,
                which gives an iterator that holds a batch at a time.
            tokenizer: ``builtin``, ``spacy`` (for English) or ``spacy:LANGUAGE``; by default the
                model's, which is ``builtin`` unless its training data were tokenized otherwise.
            split: Split texts into sentences, as ``ner tag`` and ``ner serve`` do.

        Raises:
            ConfigError: The tokenizer is unknown.
            TypeError: A text is not a string.
        """
        name = tokenizer or self.tokenizer
        cut = text_tokenizer(name)
        parts = partial(Parts.of, split=split)
        given = iter([texts]) if isinstance(texts, str) else iter(texts)
        found = _tagged(self.predict, given, name, lambda text: parts(cut(text)))
        if isinstance(texts, str):
            return next(found)
        return list(found) if isinstance(texts, Sequence) else found


Predict = Callable[[list[Sentence]], Sequence[tuple[Span, ...]]]


@dataclass(frozen=True, slots=True)
class Parts:
    """A text as one sentence, and its sentences, which are tagged as one document.

    Attributes:
        whole: All tokens of the text.
        firsts: The index of the first token of each sentence.
        sentences: The sentences, with what is annotated in them.
    """

    whole: Sentence
    firsts: tuple[int, ...]
    sentences: tuple[Sentence, ...]

    @classmethod
    def of(cls, whole: Sentence, *, split: bool = True) -> Parts:
        """Split a text, but no span that is annotated; what is not from a text stays whole."""
        if not split or whole.text is None or whole.offsets is None:
            return cls(whole, (0,), (whole,))
        inner = {token for s in whole.spans or () for token in range(s.start + 1, s.end)}
        bounds = split_sentences(whole.text, list(whole.offsets))
        firsts = tuple(first for first, _ in bounds if first not in inner)
        ends = (*firsts[1:], len(whole))
        parts = (_part(whole, *bound) for bound in zip(firsts, ends, strict=False))
        return cls(whole, firsts, in_document(parts))

    def spans(self, found: Iterator[tuple[Span, ...]]) -> tuple[Span, ...]:
        """Return the spans of the whole text, taking those of its sentences from an iterator."""
        return tuple(
            Span(span.start + first, span.end + first, span.label, span.score) if first else span
            for first in self.firsts
            for span in next(found)
        )


def _part(whole: Sentence, first: int, last: int) -> Sentence:
    """Return the tokens [first, last) of a text as a sentence, with what is annotated in them."""
    assert whole.text is not None, "only texts are split"
    assert whole.offsets is not None, "only texts are split"
    begin, end = whole.offsets[first][0], whole.offsets[last - 1][1]
    offsets = tuple((start - begin, stop - begin) for start, stop in whole.offsets[first:last])
    part = Sentence(whole.tokens[first:last], text=whole.text[begin:end], offsets=offsets)
    if whole.spans is None:
        return part
    spans = (s for s in whole.spans if first <= s.start < last)
    return replace(
        part,
        spans=tuple(replace(s, start=s.start - first, end=s.end - first) for s in spans),
        unknown=frozenset(token - first for token in whole.unknown if first <= token < last),
    )


def as_one_document(parts: Sequence[Parts]) -> list[Parts]:
    """Return texts whose sentences are together one document."""
    rest = iter(in_document(chain.from_iterable(own.sentences for own in parts)))
    return [replace(own, sentences=tuple(islice(rest, len(own.sentences)))) for own in parts]


def predict_parts(predict: Predict, parts: Sequence[Parts]) -> list[tuple[Span, ...]]:
    """Tag texts sentence by sentence; return the spans of each text, by its tokens."""
    found = iter(predict([one for own in parts for one in own.sentences]))
    return [own.spans(found) for own in parts]


def _tagged(
    predict: Predict, texts: Iterator[str], name: str, cut: Callable[[str], Parts]
) -> Iterator[TaggedText]:
    """Yield the texts tagged, a batch at a time."""
    for some in _batches(texts):
        parts = [cut(text) for text in some]
        found = iter(predict([one for own in parts for one in own.sentences]))
        for text, own in zip(some, parts, strict=True):
            sentences = tuple(replace(one, spans=next(found)) for one in own.sentences)
            spans = own.spans(one.spans or () for one in sentences)
            yield TaggedText(text, tuple(_entities(own.whole, spans)), sentences, name)


def _batches(rest: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(rest, 1)):
        size = len(_checked(some[0]))
        while size < BATCH and len(some) < MOST_TEXTS and (more := list(islice(rest, 1))):
            size += len(_checked(more[0]))
            some += more
        yield some


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(
            f"expected texts, got {type(text).__name__}; use predict() for tokens or sentences"
        )
    return text


def _entities(whole: Sentence, spans: Sequence[Span]) -> Iterator[Entity]:
    text, offsets = whole.text or "", whole.offsets or ()
    for span in spans:
        start, end = offsets[span.start][0], offsets[span.end - 1][1]
        yield Entity(text[start:end], span.label, start, end, span.score)
