"""Redaction: what is replaced in texts, and by what; `promise` says how much of it is found."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from ner.errors import ConfigError
from ner.sentence import Sentence, Span
from ner.streaming.tokenizers import TextTokenizer

WAYS = ("mask", "label", "hash", "pseudonym")
DIGITS = 12  # of a hash, hexadecimal


@dataclass(frozen=True, slots=True)
class Hidden:
    """A stretch of a text that was replaced; it does not hold what it hides.

    Attributes:
        start, end: The characters of the original text.
        label: What it was taken for.
        replacement: What stands in its place.
        score: The probability the model gave it; ``None`` for what a pattern found.
    """

    start: int
    end: int
    label: str
    replacement: str
    score: float | None = None


class Replacer:
    """Chooses replacements, the same for the same text and label within a document.

    Args:
        way: ``mask`` (a block for each character that is not a space), ``label`` (``[PER]``),
            ``hash`` (``[PER-3f5a...]``, keyed) or ``pseudonym`` (``[PER-1]``, numbered by
            document).
        key: Of the hashes: who has it can test guesses.

    Raises:
        ConfigError: There is no such way, or hashes have no key.
    """

    def __init__(self, way: str, key: bytes = b"") -> None:
        if way not in WAYS:
            raise ConfigError(f"must be one of {', '.join(WAYS)}, got {way!r}", key="replacement")
        if way == "hash" and not key:
            raise ConfigError("hashes need a secret key, or anybody could test guesses", key="key")
        self.way, self._key = way, key
        self._numbers: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}

    def new_document(self) -> None:
        """Forget the pseudonyms."""
        self._numbers, self._counts = {}, {}

    def __call__(self, text: str, label: str) -> str:
        """Return what stands in place of a text."""
        ways: dict[str, Callable[[str, str], str]] = {
            "mask": _mask,
            "label": lambda _, label: f"[{label}]",
            "hash": self._hash,
            "pseudonym": self._pseudonym,
        }
        return ways[self.way](text, label)

    def _hash(self, text: str, label: str) -> str:
        spelt = f"{label}\0{_form(text)}".encode("utf-8", "surrogatepass")
        return f"[{label}-{hmac.new(self._key, spelt, hashlib.sha256).hexdigest()[:DIGITS]}]"

    def _pseudonym(self, text: str, label: str) -> str:
        key = label, _form(text)
        if key not in self._numbers:
            self._counts[label] = self._counts.get(label, 0) + 1
            self._numbers[key] = self._counts[label]
        return f"[{label}-{self._numbers[key]}]"


def _form(text: str) -> str:
    """A text without what spelling varies: case, and the width of spaces."""
    return " ".join(text.casefold().split())


def _mask(text: str, label: str) -> str:
    return "".join(sign if sign.isspace() else "\N{FULL BLOCK}" for sign in text)


Predict = Callable[[list[Sentence]], list[tuple[Span, ...]]]
Found = tuple[int, int, str, float | None]  # characters, label, probability


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without what was hidden in it.

    Attributes:
        text: The new text.
        hidden: What was replaced, by its place in the original text.
    """

    text: str
    hidden: tuple[Hidden, ...]

    def counts(self) -> Counter[str]:
        """Return how often each label was replaced."""
        return Counter(one.label for one in self.hidden)

    def doubtful(self, sure: float = 0.5) -> bool:
        """Return whether the model was unsure of something hidden, so that a person should look."""
        return any(one.score is not None and one.score < sure for one in self.hidden)


class Redactor:
    """Replaces what a tagger and patterns find in texts.

    Where a pattern and the model overlap, all of both is hidden, under the pattern's label.

    Args:
        predict: Tags sentences, with the decoding of the operating point.
        tokenizer: Cuts texts into tokens.
        replacer: Chooses replacements.
        patterns: Regular expressions with the labels of what they match.
    """

    def __init__(
        self,
        predict: Predict,
        tokenizer: TextTokenizer,
        replacer: Replacer,
        patterns: Sequence[tuple[str, re.Pattern[str]]] = (),
    ) -> None:
        self.predict, self.tokenizer = predict, tokenizer
        self.replacer, self.patterns = replacer, patterns

    def new_document(self) -> None:
        """Begin a document: pseudonyms are consistent within one."""
        self.replacer.new_document()

    def redact(self, texts: Iterable[str]) -> list[Redacted]:
        """Return texts of the document under way, redacted.

        Raises:
            ValueError: A text cannot be tagged; the message holds nothing of it.
        """
        held = list(texts)
        sentences = [self.tokenizer(text) for text in held]
        try:
            found = self.predict(sentences)
        except ValueError:
            raise ValueError("a text cannot be tagged, and is not shown") from None
        return [
            self._replaced(text, _in_characters(sentence, spans))
            for text, sentence, spans in zip(held, sentences, found, strict=True)
        ]

    def _replaced(self, text: str, found: list[Found]) -> Redacted:
        """A text with stretches replaced; the patterns look at all of it."""
        own: list[Found] = [
            (match.start(), match.end(), label, None)
            for label, pattern in self.patterns
            for match in pattern.finditer(text)
            if match.end() > match.start()
        ]
        parts, hidden, place = [], [], 0
        for start, end, label, score in joined([*own, *found]):
            replacement = self.replacer(text[start:end], label)
            parts += [text[place:start], replacement]
            hidden.append(Hidden(start, end, label, replacement, score))
            place = end
        return Redacted("".join([*parts, text[place:]]), tuple(hidden))


def joined(found: Iterable[Found]) -> list[Found]:
    """Return stretches in order, those that overlap as one; a pattern's label goes first."""
    together: list[Found] = []
    for one in sorted(found, key=lambda one: (one[0], one[1])):
        if not together or one[0] >= together[-1][1]:
            together.append(one)
            continue
        start, end, label, score = together[-1]
        if score is not None and one[3] is None:
            label, score = one[2], None
        together[-1] = (start, max(end, one[1]), label, score)
    return together


def _in_characters(sentence: Sentence, spans: Iterable[Span]) -> list[Found]:
    """Spans of tokens by the characters of the text."""
    places = sentence.offsets or ()
    return [(places[s.start][0], places[s.end - 1][1], s.label, s.score) for s in spans]


def compiled(patterns: Mapping[str, str | Iterable[str]]) -> list[tuple[str, re.Pattern[str]]]:
    """Return regular expressions by label, ready to search.

    Raises:
        ConfigError: One is not a regular expression.
    """
    found = []
    for label, given in patterns.items():
        for one in [given] if isinstance(given, str) else given:
            try:
                found.append((label, re.compile(one)))
            except re.error as error:
                raise ConfigError(f"a pattern of {label} is not valid: {error.msg}") from None
    return found


def gazetteer(phrases: Mapping[str, Iterable[str]]) -> list[tuple[str, re.Pattern[str]]]:
    """Return patterns that find whole words and phrases of lists, by label, the longest first."""
    found = []
    for label, some in phrases.items():
        ordered = sorted(set(filter(None, some)), key=len, reverse=True)
        if ordered:
            words = "|".join(map(re.escape, ordered))
            found.append((label, re.compile(rf"(?<!\w)(?:{words})(?!\w)")))
    return found


def total_counts(redacted: Iterable[Redacted]) -> dict[str, int]:
    """Return how often each label was replaced in texts."""
    counts = Counter(chain.from_iterable(one.counts().elements() for one in redacted))
    return dict(sorted(counts.items()))
