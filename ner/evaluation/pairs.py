"""Pair gold and predicted spans, sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from ner.sentence import Sentence, Span

Annotated = Sentence | Sequence[Span]


@dataclass(frozen=True, slots=True)
class Pair:
    """The gold and the predicted spans of one sentence, each in order and without repetition.

    Attributes:
        gold: The gold spans.
        predicted: The predicted spans, without those on tokens whose annotation is missing and
            those of labels that were not annotated in the sentence.
        sentence: The gold sentence, if more than its spans is known.
        prediction: The predicted sentence, likewise.
    """

    gold: tuple[Span, ...]
    predicted: tuple[Span, ...]
    sentence: Sentence | None = None
    prediction: Sentence | None = None

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens of the sentence; empty if they are not known."""
        return self.sentence.tokens if self.sentence is not None else ()


def pair_up(
    gold: Iterable[Annotated],
    predicted: Iterable[Annotated],
    *,
    same_tokens: bool = True,
    names: tuple[str, str] = ("gold", "predictions"),
) -> tuple[Pair, ...]:
    """Pair gold and predicted sentences.

    Predictions without gold annotation are neither correct nor wrong: spans on tokens and in
    sentences that are not annotated do not count, nor do those of labels that were not annotated in
    the sentence.

    Args:
        gold: Sentences, or the spans of each.
        predicted: The same sentences with predicted spans, or the spans of each.
        same_tokens: Whether sentences must have the same tokens, or only as many.
        names: The names of the two in errors: usually their files.

    Raises:
        ValueError: The sentences differ, one was not predicted, or none has gold annotation.
    """
    pairs = []
    door = _Door(names, same_tokens)
    for number, (one, other) in enumerate(zip_longest(gold, predicted)):
        if one is None or other is None:
            raise ValueError(door.too_few(number, one or other, gold_ends=one is None))
        pairs.append(door.pair(number, one, other))
    door.check_annotation()
    return tuple(pairs)


class _Door:
    """The checks of each pair of sentences; the arguments are those of ``pair_up``."""

    def __init__(self, names: tuple[str, str], same_tokens: bool) -> None:
        self.names = names
        self.same_tokens = same_tokens
        self.unannotated = self.annotated = 0

    def pair(self, number: int, one: Annotated, other: Annotated) -> Pair:
        predicted = self._predicted(number, other)
        if not isinstance(one, Sentence):
            self.annotated += 1
            return Pair(_in_order(one), predicted)
        prediction = other if isinstance(other, Sentence) else None
        if prediction is not None:
            self._check_tokens(number, one, prediction)
        self._check_ends(number, one, predicted)
        if one.spans is None:
            self.unannotated += 1
            return Pair((), (), one, prediction)
        self.annotated += 1
        if one.unknown:
            predicted = tuple(
                span for span in predicted if one.unknown.isdisjoint(range(span.start, span.end))
            )
        if one.labels is not None:
            predicted = tuple(span for span in predicted if span.label in one.labels)
        return Pair(_in_order(one.spans), predicted, one, prediction)

    def check_annotation(self) -> None:
        if self.unannotated and not self.annotated:
            raise ValueError(f"{self.names[0]}: no sentence has gold annotation")

    def too_few(self, number: int, extra: Annotated | None, *, gold_ends: bool) -> str:
        short, long = self.names if gold_ends else self.names[::-1]
        at = place(long, extra, number) if isinstance(extra, Sentence) else long
        return (
            f"{at}: sentence {number + 1} is missing from {short}, which has {number}; "
            "both files must have the same sentences in the same order"
        )

    def _predicted(self, number: int, other: Annotated) -> tuple[Span, ...]:
        if not isinstance(other, Sentence):
            return _in_order(other)
        if other.spans is None:
            at = place(self.names[1], other, number)
            raise ValueError(f"{at}: the sentence has no predictions")
        return _in_order(other.spans)

    def _check_tokens(self, number: int, one: Sentence, other: Sentence) -> None:
        if len(one) == len(other) and (not self.same_tokens or one.tokens == other.tokens):
            return
        token = 0
        if self.same_tokens:
            both = zip(one.tokens, other.tokens, strict=False)
            token = next((at for at, (a, b) in enumerate(both) if a != b), 0)
        here = place(self.names[0], one, number, token)
        there = place(self.names[1], other, number, token)
        if self.same_tokens and one.tokens[token:] and one.tokens[token] != other.tokens[token]:
            what = f"token {other.tokens[token]!r} where {here} has {one.tokens[token]!r}"
        else:
            tokens = f"{len(other)} token{'s' * (len(other) != 1)}"
            what = f"{tokens} in the sentence where {here} has {len(one)}"
        raise ValueError(f"{there}: {what}; both files must have the same sentences in order")

    def _check_ends(self, number: int, one: Sentence, predicted: tuple[Span, ...]) -> None:
        for name, spans in zip(self.names, (one.spans or (), predicted), strict=True):
            end = max((span.end for span in spans), default=0)
            if end > len(one):
                raise ValueError(
                    f"{place(name, one, number)}: a span ends at token {end} of a sentence "
                    f"that has {len(one)}"
                )


def place(name: str, sentence: Sentence, number: int, token: int = 0) -> str:
    """Return the place of a token: ``name:line``, or the number of the sentence."""
    if not sentence.line:
        return f"{name}, sentence {number + 1}"
    return f"{name}:{sentence.line_of(token)}"


def _in_order(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return spans sorted and without repetition, which they usually are already."""
    if all(a < b for a, b in pairwise(spans)):
        return tuple(spans)
    return tuple(sorted(set(spans)))
