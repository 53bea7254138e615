"""Scores by subgroup: spans that have something in common.

A family of buckets puts every span, gold or predicted, into one bucket that depends only on the
span and its sentence. A correct span is therefore in the same bucket on both sides, and the counts
of each family add up to the total.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ner.evaluation.pairs import Pair
from ner.evaluation.score import Score, Section, percents, table
from ner.sentence import Sentence, Span

SMALL = 30  # gold spans below which the figures of a bucket are unreliable


@dataclass(frozen=True)
class SeenInTraining:
    """The tokens, mentions and labels of the training sentences.

    Attributes:
        tokens: All tokens.
        mentions: The labels of each mention, by its tokens.
        labels: The number of spans of each label.
    """

    tokens: frozenset[str]
    mentions: Mapping[tuple[str, ...], frozenset[str]]
    labels: Mapping[str, int]

    @classmethod
    def of(cls, sentences: Iterable[Sentence]) -> SeenInTraining:
        """Collect them from training sentences."""
        tokens: set[str] = set()
        mentions: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        labels: Counter[str] = Counter()
        for sentence in sentences:
            tokens.update(sentence.tokens)
            for span in sentence.spans or ():
                mentions[sentence.tokens[span.start : span.end]].add(span.label)
                labels[span.label] += 1
        held = {form: frozenset(found) for form, found in mentions.items()}
        return cls(frozenset(tokens), held, labels)


@dataclass(frozen=True)
class Context:
    """The context a family may use besides the span and its sentence.

    Attributes:
        known: The contents of the training sentences; ``None`` if these are not given.
        gold: The number of gold spans of each label.
    """

    known: SeenInTraining | None
    gold: Mapping[str, int] = field(default_factory=dict)


Place = Callable[[Sentence, Span, Context], str]


@dataclass(frozen=True, slots=True)
class Family:
    """A way to put spans into buckets.

    Attributes:
        title: The title of its table.
        place: Returns the bucket of a span.
        buckets: All buckets, in order.
        needs_training: Whether it needs the training sentences.
    """

    title: str
    place: Place
    buckets: tuple[str, ...]
    needs_training: bool = False


def _between(limits: Sequence[int]) -> tuple[Callable[[int], str], tuple[str, ...]]:
    """Return a function from numbers to buckets that end at the limits, and the buckets."""
    names = []
    low = 1
    for limit in limits:
        names.append(str(limit) if limit == low else f"{low:,}-{limit:,}")
        low = limit + 1
    names.append(f"{low:,} or more")

    def place(number: int) -> str:
        return names[sum(number > limit for limit in limits)]

    return place, tuple(names)


_mention_length, _MENTION_LENGTHS = _between([1, 2, 3, 4])
_sentence_length, _SENTENCE_LENGTHS = _between([5, 10, 20, 30, 50])
_frequency, _FREQUENCIES = _between([99, 999, 9999])
_sentence_of_document, _POSITIONS = _between([1, 3, 10, 30])
_NEVER, _NO_DOCUMENT = "never", "no document known"


def _seen(sentence: Sentence, span: Span, context: Context) -> str:
    known = context.known.mentions if context.known else {}
    labels = known.get(sentence.tokens[span.start : span.end])
    if labels is None:
        return "unseen"
    if span.label not in labels:
        return "seen with other labels"
    return "seen" if len(labels) == 1 else "seen with this and other labels"


def _vocabulary(sentence: Sentence, span: Span, context: Context) -> str:
    known = context.known.tokens if context.known else frozenset()
    unknown = sum(token not in known for token in sentence.tokens[span.start : span.end])
    if not unknown:
        return "all tokens seen"
    return "no token seen" if unknown == span.end - span.start else "some tokens unseen"


def _case(sentence: Sentence, span: Span, context: Context) -> str:
    tokens = sentence.tokens[span.start : span.end]
    letters = "".join(filter(str.isalpha, "".join(tokens)))
    if letters.upper() == letters.lower():
        return "no case"  # digits, signs, or a script without case
    if letters == letters.lower():
        return "lower"
    if letters == letters.upper() and len(letters) > 1:
        return "UPPER"
    return "Title" if all(_titled(token) for token in tokens) else "mixed"


def _titled(token: str) -> bool:
    """Return whether a token is in title case."""
    letters = "".join(filter(str.isalpha, token))
    return letters[1:] == letters[1:].lower() and letters[:1] == letters[:1].upper()


def _position(sentence: Sentence, span: Span, context: Context) -> str:
    if sentence.document is None:
        return _NO_DOCUMENT
    return _sentence_of_document(sentence.position + 1)


def _label_frequency(sentence: Sentence, span: Span, context: Context) -> str:
    counts = context.known.labels if context.known else context.gold
    number = counts.get(span.label, 0)
    return _frequency(number) if number else _NEVER


FAMILIES: Mapping[str, Family] = {
    "mention": Family(
        "mention in the training sentences",
        _seen,
        ("seen", "seen with this and other labels", "seen with other labels", "unseen"),
        needs_training=True,
    ),
    "vocabulary": Family(
        "tokens of the mention in the training sentences",
        _vocabulary,
        ("all tokens seen", "some tokens unseen", "no token seen"),
        needs_training=True,
    ),
    "mention_length": Family(
        "tokens of the mention",
        lambda sentence, span, context: _mention_length(span.end - span.start),
        _MENTION_LENGTHS,
    ),
    "sentence_length": Family(
        "tokens of the sentence",
        lambda sentence, span, context: _sentence_length(len(sentence)),
        _SENTENCE_LENGTHS,
    ),
    "case": Family(
        "letters of the mention", _case, ("Title", "UPPER", "lower", "mixed", "no case")
    ),
    "position": Family("sentence of its document", _position, (*_POSITIONS, _NO_DOCUMENT)),
    "label_frequency": Family(
        "frequency of the label in training (in gold if training is not given)",
        _label_frequency,
        (*reversed(_FREQUENCIES), _NEVER),
    ),
}


@dataclass(frozen=True, slots=True, repr=False)
class Buckets(Section):
    """The scores of each bucket of each family.

    Attributes:
        families: The scores by family and bucket, without empty buckets.
        placed: Returns the bucket of a span in each family, as ``{family: bucket}``.
    """

    families: Mapping[str, Mapping[str, Score]]
    placed: Callable[[Sentence, Span], dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        return {
            family: {bucket: score.as_json() for bucket, score in buckets.items()}
            for family, buckets in self.families.items()
        }

    def lines(self) -> list[str]:
        rows: list[list[object]] = [["", "precision", "recall", "F1", "gold "]]
        titles = {}  # by the number of the row below
        for family, buckets in self.families.items():
            titles[len(rows)] = FAMILIES[family].title
            for bucket, score in buckets.items():
                mark = "*" if score.gold < SMALL else " "
                rows.append([bucket, *percents(score.as_json()), f"{score.gold}{mark}"])
        lines = ["Scores by subgroup"]
        for number, line in enumerate(table(rows, indent=4)):
            if number in titles:
                lines.append(f"  {titles[number]}")
            lines.append(line)
        if any(str(row[-1]).endswith("*") for row in rows):
            lines.append(f"  * fewer than {SMALL} gold spans: the figures are unreliable")
        return lines


def bucket_scores(pairs: Sequence[Pair], train: Iterable[Sentence] | None = None) -> Buckets:
    """Score each bucket of all families that apply.

    Pairs of bare spans count as sentences without tokens: only families that depend on nothing but
    the span are meaningful for them.

    Args:
        pairs: The gold and predicted spans.
        train: The training sentences; without them, two families are omitted.
    """
    gold = Counter(span.label for pair in pairs for span in pair.gold)
    context = Context(None if train is None else SeenInTraining.of(train), gold)
    chosen = {
        name: family
        for name, family in FAMILIES.items()
        if context.known is not None or not family.needs_training
    }

    def placed(sentence: Sentence, span: Span) -> dict[str, str]:
        return {name: family.place(sentence, span, context) for name, family in chosen.items()}

    counts: dict[str, defaultdict[str, list[int]]] = {
        name: defaultdict(lambda: [0, 0, 0]) for name in chosen
    }
    for pair in pairs:
        sentence = pair.sentence or Sentence(())
        right = set(pair.gold).intersection(pair.predicted)
        for column, spans in enumerate((right, pair.predicted, pair.gold)):
            for span in spans:
                for family, bucket in placed(sentence, span).items():
                    counts[family][bucket][column] += 1
    return Buckets({name: _in_order(FAMILIES[name], counts[name]) for name in chosen}, placed)


def _in_order(family: Family, counts: Mapping[str, Sequence[int]]) -> dict[str, Score]:
    return {bucket: Score(*counts[bucket]) for bucket in family.buckets if bucket in counts}
