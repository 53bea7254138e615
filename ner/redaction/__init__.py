"""Redaction: replace entities in texts; `promise` measures the share that is found."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from ner.analysis.alternatives import ClampedEngine, GivesChains, clampable
from ner.errors import ConfigError
from ner.inference.decoding import Decoding
from ner.sentence import Sentence, Span
from ner.streaming.tokenizers import TextTokenizer, blank, spacy_language, text_tokenizer
from ner.texts import Parts, predict_parts

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
Finder = Callable[[str], Iterable[tuple[int, int, str]]]  # from a text to characters and labels
Pattern = Finder | tuple[str, re.Pattern[str]]  # or a regular expression with its label


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


class AnyTagger(GivesChains, Protocol):
    """A tagger, exported or not."""

    metrics: dict[str, Any]
    tokenizer: str

    @property
    def decoding(self) -> Decoding:
        """The decoding of spans."""


class Redactor:
    """Replaces entities found by a tagger or by patterns.

    What a pattern matches is always replaced, and the tagger finds what is most probable beside it.
    If the two overlap, all of both is replaced, under the pattern's label.

    Args:
        predict: Tags sentences around what is annotated, with the decoding of the operating point.
        tokenizer: Splits texts into tokens.
        replacer: Chooses replacements.
        patterns: The patterns.
        labels: The labels that ``predict`` can tag around.
    """

    def __init__(
        self,
        predict: Predict,
        tokenizer: TextTokenizer,
        replacer: Replacer,
        patterns: Sequence[Pattern] = (),
        labels: Collection[str] = (),
    ) -> None:
        self.predict, self.tokenizer = predict, tokenizer
        self.replacer, self.patterns, self.labels = replacer, patterns, labels

    @classmethod
    def of(
        cls,
        tagger: AnyTagger,
        replacer: Replacer,
        *,
        coverage: float | None = None,
        patterns: Sequence[Pattern] = (),
        tokenizer: str | None = None,
    ) -> Redactor:
        """Return the redactor of a tagger, exported or not; see ``Tagger.redactor``.

        Raises:
            ConfigError: The tokenizer is unknown, or the coverage cannot be reached.
        """
        decoding = tagger.decoding
        if coverage is not None:
            from ner.redaction.promise import promising, redacting, stored  # imports torch

            decoding = redacting(decoding, promising(stored(tagger.metrics), coverage).miss_cost)
        engine = ClampedEngine(tagger, decoding)
        cut = text_tokenizer(tokenizer or tagger.tokenizer)
        labels = clampable(tagger.scheme, tagger.labels)
        return cls(engine.predict, cut, replacer, patterns, labels)

    def new_document(self) -> None:
        """Start a new document; pseudonyms are consistent within one."""
        self.replacer.new_document()

    def redact(self, texts: Iterable[str]) -> list[Redacted]:
        """Redact texts of the current document.

        Raises:
            ValueError: A text cannot be tagged; the message does not contain the text.
        """
        held = list(texts)
        given = [matches(text, self.patterns) for text in held]
        sentences = [
            around(self.tokenizer(text), own, self.labels)
            for text, own in zip(held, given, strict=True)
        ]
        try:
            found = predict_parts(self.predict, list(map(Parts.of, sentences)))
        except ValueError:
            raise ValueError("a text cannot be tagged (its content is not shown here)") from None
        return [
            replaced(text, [*own, *_in_characters(sentence, spans)], self.replacer)
            for text, own, sentence, spans in zip(held, given, sentences, found, strict=True)
        ]


def matches(text: str, patterns: Iterable[Pattern]) -> list[Found]:
    """Return what patterns match in a text."""
    found: list[Found] = []
    for one in patterns:
        if callable(one):
            spans = one(text)
        else:
            label, pattern = one
            spans = ((match.start(), match.end(), label) for match in pattern.finditer(text))
        found += [(start, end, label, None) for start, end, label in spans if end > start]
    return found


def around(sentence: Sentence, given: Iterable[Found], labels: Collection[str]) -> Sentence:
    """Annotate a text with matches, for the rest to be found around them.

    Annotated are those with one of the labels that begin and end with a token; of those that
    overlap, the first. The tagger sees nothing of the others, which are replaced all the same.
    """
    offsets = sentence.offsets or ()
    starts = {start: place for place, (start, _) in enumerate(offsets)}
    ends = {end: place + 1 for place, (_, end) in enumerate(offsets)}
    spans: list[Span] = []
    for start, end, label, _ in sorted(given, key=lambda one: (one[0], -one[1])):
        first, last = starts.get(start, -1), ends.get(end, -1)
        if label in labels and (spans[-1].end if spans else 0) <= first < last:
            spans.append(Span(first, last, label))
    if not spans:
        return sentence
    known = {token for span in spans for token in range(span.start, span.end)}
    unknown = frozenset(range(len(sentence))) - known
    return replace(sentence, spans=tuple(spans), unknown=unknown)


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


def read_patterns(path: Path | str, tokenizer: str = "builtin") -> list[Pattern]:
    """Read patterns: lines ``LABEL<tab>regular expression``, or ``.jsonl`` of an entity ruler.

    Args:
        path: The file. The patterns of ``.jsonl`` are those of spaCy's entity ruler: phrases, or
            attributes of tokens.
        tokenizer: The tokenizer of texts, which names the language for spaCy.

    Raises:
        ConfigError: A pattern is not valid.
    """
    if str(path).endswith(".jsonl"):
        return [entity_ruler(path, spacy_language(tokenizer) or "en")]
    return list(compiled(by_label(path)))


def by_label(path: Path | str) -> dict[str, list[str]]:
    """Read a file of lines ``LABEL<tab>pattern``.

    Raises:
        ConfigError: A line is not of that form.
    """
    found: dict[str, list[str]] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        label, tab, pattern = line.partition("\t")
        if line.strip() and not (tab and label and pattern):
            raise ConfigError(f"{path}:{number}: expected LABEL, a tab and a pattern")
        if line.strip():
            found.setdefault(label, []).append(pattern)
    return found


def entity_ruler(path: Path | str, language: str) -> Finder:
    """Return what finds the patterns of spaCy's entity ruler.

    Raises:
        ConfigError: A pattern is not valid.
    """
    nlp = blank(language)
    ruler: Any = nlp.add_pipe("entity_ruler", config={"validate": True})
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            if line.strip():
                ruler.add_patterns([json.loads(line)])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{path}:{number}: not a pattern of spaCy: {reason}") from None

    def find(text: str) -> list[tuple[int, int, str]]:
        with nlp.memory_zone():  # its strings are forgotten
            return [(one.start_char, one.end_char, one.label_) for one in nlp(text).ents]

    return find


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
