"""The methods of every tagger: sentences in, spans out; text in, a document object out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol, overload

from ner.inference.span_decoder import NBestParse
from ner.sentence import Sentence, Span, as_sentences, in_document, refuse_text
from ner.streaming.tokenizers import tokenizer_named
from ner.streaming.writers import marked
from ner.tokenizer import split_sentences

if TYPE_CHECKING:
    from ner.crf.core.scores import ChainScores
    from ner.tokenizer import Offsets

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
        self, texts: str, *, tokenizer: str | None = None
    ) -> TaggedText: ...
    @overload
    def tag(  # type: ignore[overload-overlap] # so is a list
        self, texts: Sequence[str], *, tokenizer: str | None = None
    ) -> list[TaggedText]: ...
    @overload
    def tag(
        self, texts: Iterable[str], *, tokenizer: str | None = None
    ) -> Iterator[TaggedText]: ...
    def tag(
        self, texts: str | Iterable[str], *, tokenizer: str | None = None
    ) -> TaggedText | list[TaggedText] | Iterator[TaggedText]:
        """Find the entities of raw texts, each text one document.

        Args:
            texts: A text; a list of texts, which gives a list; or any other iterable of texts,
                which gives an iterator that holds a batch at a time.
            tokenizer: ``builtin``, ``spacy`` (for English) or ``spacy:LANGUAGE``; by default the
                model's, which is ``builtin`` unless its training data were tokenized otherwise.

        Raises:
            ConfigError: The tokenizer is unknown.
            TypeError: A text is not a string.
        """
        name = tokenizer or self.tokenizer
        cut = tokenizer_named(name)
        if isinstance(texts, str):
            return next(_tagged(self.predict, iter([texts]), name, cut))
        found = _tagged(self.predict, iter(texts), name, cut)
        return list(found) if isinstance(texts, Sequence) else found


Predict = Callable[[Iterable[Sentence]], list[tuple[Span, ...]]]
Tokenize = Callable[[str], "Offsets"]


def _tagged(
    predict: Predict, texts: Iterator[str], name: str, cut: Tokenize
) -> Iterator[TaggedText]:
    """Yield the texts tagged, a batch at a time."""
    for some in _batches(texts):
        parts = [sentences_in(text, cut) for text in some]
        spans = iter(predict([one for sentences, _ in parts for one in sentences]))
        for text, (sentences, starts) in zip(some, parts, strict=True):
            found = tuple(replace(one, spans=tuple(next(spans))) for one in sentences)
            yield TaggedText(text, tuple(_entities(found, starts)), found, name)


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


def sentences_in(text: str, cut: Tokenize) -> tuple[tuple[Sentence, ...], list[int]]:
    """Return the sentences of a text, as one document, and the character each starts at."""
    tokens = cut(text)
    sentences, starts = [], []
    for first, last in split_sentences(text, tokens):
        begin, end = tokens[first][0], tokens[last - 1][1]
        places = tokens[first:last]
        words = tuple(text[start:stop] for start, stop in places)
        offsets = tuple((start - begin, stop - begin) for start, stop in places)
        sentences.append(Sentence(words, text=text[begin:end], offsets=offsets))
        starts.append(begin)
    return in_document(sentences), starts


def _entities(sentences: Sequence[Sentence], starts: Sequence[int]) -> Iterator[Entity]:
    for sentence, begin in zip(sentences, starts, strict=True):
        assert sentence.text is not None, "it was cut from a text"
        assert sentence.offsets is not None, "it was cut from a text"
        for span in sentence.spans or ():
            start, end = sentence.offsets[span.start][0], sentence.offsets[span.end - 1][1]
            yield Entity(
                sentence.text[start:end], span.label, begin + start, begin + end, span.score
            )
