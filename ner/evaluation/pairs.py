"""The door of evaluation: gold and predicted spans, sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ner.sentence import Sentence, Span

Annotated = Sentence | Sequence[Span]


@dataclass(frozen=True, slots=True)
class Pair:
    """The gold and the predicted spans of one sentence, each in order and without repetition.

    Attributes:
        gold: What is right.
        predicted: What was predicted, less any span on a token whose annotation is missing.
        sentence: The gold sentence, where more is known of it than its spans.
    """

    gold: tuple[Span, ...]
    predicted: tuple[Span, ...]
    sentence: Sentence | None = None

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens of the sentence; none where they are not known."""
        return self.sentence.tokens if self.sentence is not None else ()


def pair_up(
    gold: Iterable[Annotated],
    predicted: Iterable[Annotated],
    *,
    same_tokens: bool = True,
    names: tuple[str, str] = ("gold", "predictions"),
) -> tuple[Pair, ...]:
    """Bring gold and predicted sentences together.

    Args:
        gold: Sentences, or the spans of each.
        predicted: The same sentences as somebody predicted them, or the spans of each.
        same_tokens: Refuse sentences that differ in their tokens and not only in their spans.
        names: What to call the two in errors: mostly the names of their files.

    Raises:
        ValueError: There are not as many of one as of the other, two sentences that should be
            the same are not, or a sentence has no annotation.
    """
    right, said = list(gold), list(predicted)
    pairs = []
    for number, (one, other) in enumerate(zip(right, said, strict=False)):
        if isinstance(one, Sentence) and isinstance(other, Sentence):
            _check_tokens(one, other, (number, names), same_tokens=same_tokens)
        pairs.append(_pair(one, other, (number, names)))
    if len(right) != len(said):
        raise ValueError(_numbers(right, said, names))
    return tuple(pairs)


Place = tuple[int, tuple[str, str]]


def _pair(one: Annotated, other: Annotated, place: Place) -> Pair:
    number, names = place
    gold = _spans(one, number, names[0])
    predicted = _spans(other, number, names[1])
    if not isinstance(one, Sentence):
        return Pair(gold, predicted)
    if one.unknown:
        predicted = tuple(
            span for span in predicted if one.unknown.isdisjoint(range(span.start, span.end))
        )
    return Pair(gold, predicted, one)


def _spans(annotated: Annotated, number: int, name: str) -> tuple[Span, ...]:
    if not isinstance(annotated, Sentence):
        return _in_order(annotated)
    if annotated.spans is None:
        raise ValueError(
            f"{place(name, annotated, number)}: the sentence has no annotation to score"
        )
    return _in_order(annotated.spans)


def _in_order(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Sorted, each once; most often they are both already, and that is quick to see."""
    if all(a < b for a, b in zip(spans, spans[1:], strict=False)):
        return tuple(spans)
    return tuple(sorted(set(spans)))


def _check_tokens(one: Sentence, other: Sentence, where: Place, *, same_tokens: bool) -> None:
    number, names = where
    if len(one) == len(other) and (not same_tokens or one.tokens == other.tokens):
        return
    differs = next(
        (at for at, (a, b) in enumerate(zip(one.tokens, other.tokens, strict=False)) if a != b),
        None,
    )
    here, there = place(names[0], one, number), place(names[1], other, number)
    if differs is None or not same_tokens:
        what = f"{len(other)} tokens where {here} has {len(one)}"
    else:
        here = place(names[0], one, number, differs)
        there = place(names[1], other, number, differs)
        what = f"token {other.tokens[differs]!r} where {here} has {one.tokens[differs]!r}"
    raise ValueError(f"{there}: {what}; both must hold the same sentences in the same order")


def place(name: str, sentence: Sentence, number: int, token: int = 0) -> str:
    """Where a token of a sentence stands: ``name:line``, or which sentence where unknown."""
    if sentence.line:
        return f"{name}:{sentence.line + token}"
    return f"{name}, sentence {number + 1}"


def _numbers(right: list[Annotated], said: list[Annotated], names: tuple[str, str]) -> str:
    longer, name = (right, names[0]) if len(right) > len(said) else (said, names[1])
    extra = longer[min(len(right), len(said))]
    line = f" (the first one too many is at line {extra.line})" if _has_line(extra) else ""
    return (
        f"{names[0]} has {len(right)} sentences and {names[1]} has {len(said)}: "
        f"{name} has more{line}; both must hold the same sentences"
    )


def _has_line(annotated: Annotated) -> bool:
    return isinstance(annotated, Sentence) and annotated.line > 0
