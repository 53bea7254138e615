"""Suspects: what a tagger finds improbable, one for each place."""

import math

import pytest

from ner.evaluation.suspects import Opinion, rank_suspects
from ner.sentence import Sentence, Span, in_document

TOKENS = ("Ada", "Obi", "of", "Kestrel", "Foods", "spoke")


def opinion(gold, probabilities, predicted, **more):
    return Opinion(Sentence(TOKENS, tuple(gold), **more), tuple(probabilities), tuple(predicted))


@pytest.mark.parametrize(
    ("gold", "predicted", "kind", "suggestion"),
    [
        (Span(0, 2, "PER"), [Span(0, 2, "PER", 0.6)], "agree", None),
        (Span(0, 2, "PER"), [Span(0, 2, "ORG", 0.9)], "label", Span(0, 2, "ORG")),
        (Span(0, 2, "PER"), [Span(0, 1, "PER", 0.9)], "boundary", Span(0, 1, "PER")),
        (Span(0, 2, "PER"), [Span(1, 3, "ORG", 0.9)], "both", Span(1, 3, "ORG")),
        (Span(0, 2, "PER"), [], "remove", None),
    ],
)
def test_a_gold_span_is_as_surprising_as_it_is_improbable(gold, predicted, kind, suggestion):
    (found,) = rank_suspects([opinion([gold], [0.25], predicted)])
    assert (found.kind, found.gold, found.suggestion) == (kind, gold, suggestion)
    assert found.surprise == pytest.approx(-math.log(0.25))


def test_a_missing_span_is_as_surprising_as_it_is_probable():
    (found,) = rank_suspects([opinion([], [], [Span(3, 5, "ORG", 0.9)])])
    assert (found.kind, found.gold) == ("add", None)
    assert found.surprise == pytest.approx(-math.log(0.1))
    assert found.shown() == "Ada Obi of [O Kestrel Foods] spoke"
    assert found.change() == "ORG Kestrel Foods (0.900)"


def test_overlapping_spans_are_one_suspect():
    predicted = [Span(0, 1, "PER", 0.9), Span(1, 2, "PER", 0.9)]
    (found,) = rank_suspects([opinion([Span(0, 2, "PER")], [0.1], predicted)])
    assert found.gold == Span(0, 2, "PER")


def test_the_most_surprising_come_first_and_certain_ones_not_at_all():
    opinions = [
        opinion([Span(0, 2, "PER")], [0.5], [Span(0, 2, "PER", 0.5)]),
        opinion([Span(0, 2, "PER")], [1.0], [Span(0, 2, "PER", 1.0)]),
        opinion([Span(0, 2, "ORG")], [0.0], [Span(0, 2, "PER", 1.0)]),
        opinion([], [], [Span(0, 2, "PER", 0.99)]),
    ]
    assert [s.number for s in rank_suspects(opinions)] == [2, 3, 0]
    assert math.isfinite(rank_suspects(opinions)[0].surprise)


def test_what_nobody_annotated_is_not_suspected():
    spans = [Span(0, 2, "PER", 0.9)]
    assert not rank_suspects([Opinion(Sentence(TOKENS), (), tuple(spans))])
    assert not rank_suspects([opinion([], [], spans, unknown=frozenset({1}))])


def test_a_suspect_says_where_it_stands():
    sentence = in_document([Sentence(TOKENS, (Span(0, 2, "PER"),), line=7)], "a")[0]
    (found,) = rank_suspects([Opinion(sentence, (0.1,), ())])
    said = found.as_json()
    assert (said["line"], said["document"], said["kind"]) == (7, "a", "remove")
    assert said["gold"]["text"] == "Ada Obi"
    assert said["suggestion"] is None
    assert found.change() == "no entity"
