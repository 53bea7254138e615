"""Redaction: replace entities in texts; `promise` measures the share that is found."""

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
DIGITS = 12  # hexadecimal digits of a hash


@dataclass(frozen=True, slots=True)
class Hidden:
    """A replaced part of a text; the original text is not stored.

    Attributes:
        start, end: The character offsets in the original text.
        label: The label.
        replacement: The replacement.
        score: The probability of the span; ``None`` for a match of a pattern.
    """

    start: int
    end: int
    label: str
    replacement: str
    score: float | None = None


class Replacer:
    """Chooses replacements; equal texts with the same label in a document get the same one.

    Args:
        way: ``mask`` (a block for each character that is not a space), ``label`` (``[PER]``),
            ``hash`` (``[PER-3f5a...]``, keyed) or ``pseudonym`` (``[PER-1]``, numbered by
            document).
        key: The secret key of the hashes. Anyone who has it can test guesses.

    Raises:
        ConfigError: The way is unknown, or ``hash`` has no key.
    """

    def __init__(self, way: str, key: bytes = b"") -> None:
        if way not in WAYS:
            raise ConfigError(f"must be one of {', '.join(WAYS)}, got {way!r}", key="replacement")
        if way == "hash" and not key:
            raise ConfigError(
                "hash needs a secret key; without one, anyone could test guesses", key="key"
            )
        self.way, self._key = way, key
        self._numbers: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}

    def new_document(self) -> None:
        """Forget the pseudonyms."""
        self._numbers, self._counts = {}, {}

    def __call__(self, text: str, label: str) -> str:
        """Return the replacement of a text."""
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
    """Normalise case and white space."""
    return " ".join(text.casefold().split())


def _mask(text: str, label: str) -> str:
    return "".join(sign if sign.isspace() else "\N{FULL BLOCK}" for sign in text)


Predict = Callable[[list[Sentence]], list[tuple[Span, ...]]]
Found = tuple[int, int, str, float | None]  # characters, label, probability


@dataclass(frozen=True, slots=True)
class Redacted:
    """A redacted text.

    Attributes:
        text: The new text.
        hidden: The replaced parts, in the order of the text.
    """

    text: str
    hidden: tuple[Hidden, ...]

    def counts(self) -> Counter[str]:
        """Return how often each label was replaced."""
        return Counter(one.label for one in self.hidden)

    def doubtful(self, sure: float = 0.5) -> bool:
        """Return whether the model was unsure about a replaced part, which needs a review."""
        return any(one.score is not None and one.score < sure for one in self.hidden)


class Redactor:
    """Replaces entities found by a tagger or by patterns.

    If a pattern and the model overlap, all of both is replaced, under the pattern's label.

    Args:
        predict: Tags sentences, with the decoding of the operating point.
        tokenizer: Splits texts into tokens.
        replacer: Chooses replacements.
        patterns: Regular expressions, each with its label.
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
        """Start a new document; pseudonyms are consistent within one."""
        self.replacer.new_document()

    def redact(self, texts: Iterable[str]) -> list[Redacted]:
        """Redact texts of the current document.

        Raises:
            ValueError: A text cannot be tagged; the message does not contain the text.
        """
        held = list(texts)
        sentences = [self.tokenizer(text) for text in held]
        try:
            found = self.predict(sentences)
        except ValueError:
            raise ValueError("a text cannot be tagged (its content is not shown here)") from None
        return [
            self._replaced(text, _in_characters(sentence, spans))
            for text, sentence, spans in zip(held, sentences, found, strict=True)
        ]

    def _replaced(self, text: str, found: list[Found]) -> Redacted:
        """Replace the spans found, and all matches of the patterns."""
        own: list[Found] = [
            (match.start(), match.end(), label, None)
            for label, pattern in self.patterns
            for match in pattern.finditer(text)
            if match.end() > match.start()
        ]
        return replaced(text, [*own, *found], self.replacer)


def replaced(text: str, found: Iterable[Found], replacer: Replacer) -> Redacted:
    """Replace parts of a text; those that overlap are replaced as one."""
    parts, hidden, place = [], [], 0
    for start, end, label, score in joined(found):
        replacement = replacer(text[start:end], label)
        parts += [text[place:start], replacement]
        hidden.append(Hidden(start, end, label, replacement, score))
        place = end
    return Redacted("".join([*parts, text[place:]]), tuple(hidden))


def joined(found: Iterable[Found]) -> list[Found]:
    """Sort parts and merge overlapping ones; the label of a pattern takes precedence."""
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
    """Convert token spans to character offsets."""
    places = sentence.offsets or ()
    return [(places[s.start][0], places[s.end - 1][1], s.label, s.score) for s in spans]


def compiled(patterns: Mapping[str, str | Iterable[str]]) -> list[tuple[str, re.Pattern[str]]]:
    """Compile regular expressions given by label.

    Raises:
        ConfigError: A pattern is not a valid regular expression.
    """
    found = []
    for label, given in patterns.items():
        for one in [given] if isinstance(given, str) else given:
            try:
                found.append((label, re.compile(one)))
            except re.error as error:
                raise ConfigError(
                    f"a pattern of {label} is not a valid regular expression: {error.msg}"
                ) from None
    return found


def gazetteer(phrases: Mapping[str, Iterable[str]]) -> list[tuple[str, re.Pattern[str]]]:
    """Return patterns that match the phrases of each label as whole words, longest first."""
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
