"""Suspects: where a tagger is sure of something other than the annotation, one for each place."""

from dataclasses import replace

import pytest

from ner.evaluation.review import Opinion, decided, rank_suspects
from ner.sentence import Sentence, Span, in_document

TOKENS = ("Ada", "Obi", "of", "Kestrel", "Foods", "spoke")


def opinion(predicted, gold=(), probabilities=(), outside=(), **more):
    given = tuple(map(tuple, (predicted, probabilities, outside)))
    return Opinion(Sentence(TOKENS, tuple(gold), **more), *given)


@pytest.mark.parametrize(
    ("predicted", "kind", "suggestion", "probability"),
    [
        ([Span(0, 2, "PER", 0.25)], "agree", None, 0.75),
        ([Span(0, 2, "ORG", 0.9)], "label", Span(0, 2, "ORG"), 0.9),
        ([Span(0, 1, "PER", 0.8)], "boundary", Span(0, 1, "PER"), 0.8),
        ([Span(1, 3, "ORG", 0.7)], "both", Span(1, 3, "ORG"), 0.7),
        ([], "remove", None, 0.6),
    ],
)
def test_a_gold_span_is_as_suspect_as_something_else_is_probable(
    predicted, kind, suggestion, probability
):
    gold = Span(0, 2, "PER")
    (found,) = rank_suspects([opinion(predicted, [gold], [0.25], [0.6])])
    assert (found.kind, found.gold, found.suggestion) == (kind, gold, suggestion)
    assert found.probability == pytest.approx(probability)
    assert found.gold_probability == 0.25


def test_a_missing_span_is_as_suspect_as_it_is_probable():
    (found,) = rank_suspects([opinion([Span(3, 5, "ORG", 0.9)])])
    assert (found.kind, found.gold, found.gold_probability) == ("add", None, None)
    assert found.probability == 0.9
    assert found.shown() == "Ada Obi of [O Kestrel Foods] spoke"
    assert found.change() == "ORG Kestrel Foods"


def test_overlapping_spans_are_one_suspect():
    predicted = [Span(0, 1, "PER", 0.9), Span(1, 2, "PER", 0.9)]
    (found,) = rank_suspects([opinion(predicted, [Span(0, 2, "PER")], [0.1], [0.0])])
    assert found.gold == Span(0, 2, "PER")


def test_the_likeliest_errors_come_first_and_places_of_agreement_last():
    """Added entities are right more often than changed ones, and those than removed ones."""
    per = Span(0, 2, "PER")
    opinions = [
        opinion([Span(0, 2, "PER", 0.1)], [per], [0.1], [0.0]),
        opinion([Span(0, 2, "ORG", 0.6)], [per], [0.0], [0.0]),
        opinion([Span(0, 2, "PER", 0.99)]),
        opinion([], [per], [0.0], [0.97]),
        opinion([Span(0, 2, "PER", 0.3)], [per], [0.3], [0.0]),
        opinion([Span(3, 5, "ORG", 0.2)]),
        opinion([Span(0, 1, "PER", 0.9)], [per], [0.0], [0.0]),
    ]
    assert [s.number for s in rank_suspects(opinions)] == [2, 6, 1, 3, 5, 0, 4]


def test_the_same_change_to_the_same_words_is_one_suspect():
    per, org = Span(0, 2, "PER"), Span(3, 5, "ORG", 0.7)
    opinions = [
        opinion([org]),
        opinion([replace(org, score=0.9)]),
        opinion([Span(3, 5, "LOC", 0.6)]),
        opinion([per], [per], [0.5], [0.0]),
        opinion([per], [per], [0.5], [0.0]),
        opinion([replace(org, score=0.8)], line=4),
    ]
    found = rank_suspects(opinions)
    assert [s.number for s in found] == [1, 2, 3, 4]
    assert [s.number for s in found[0].repeats] == [5, 0]
    repeats = found[0].as_json()["repeats"]
    assert [(one["sentence"], one["line"], one["probability"]) for one in repeats] == [
        (5, 4, 0.8),
        (0, None, 0.7),
    ]
    assert all((one["gold"], one["suggestion"]["start"]) == (None, 3) for one in repeats)


def test_what_nobody_annotated_is_not_suspected():
    spans = [Span(0, 2, "PER", 0.9)]
    assert not rank_suspects([Opinion(Sentence(TOKENS), tuple(spans), (), ())])
    assert not rank_suspects([opinion(spans, unknown=frozenset({1}))])


def test_a_suspect_says_where_it_stands():
    sentence = in_document([Sentence(TOKENS, (Span(0, 2, "PER"),), line=7)], "a")[0]
    (found,) = rank_suspects([Opinion(sentence, (), (0.1,), (0.8,))])
    said = found.as_json()
    assert (said["line"], said["document"], said["kind"]) == (7, "a", "remove")
    assert said["gold"]["text"] == "Ada Obi"
    assert said["suggestion"] is None
    assert found.change() == "no entity"


def test_suspects_about_one_predicted_span_can_all_be_accepted():
    """It covers two gold spans: one is to be extended, the other to be removed, in any order."""
    sentence = Sentence(("New", "York", "Times"), (Span(0, 2, "LOC"), Span(2, 3, "ORG")))
    whole = (Span(0, 3, "ORG", 0.9),)
    found = rank_suspects([Opinion(sentence, whole, (0.1, 0.1), (0.0, 0.0))])
    assert {one.gold for one in found} == set(sentence.spans)
    decisions = [{**one.as_json(), "accepted": True} for one in found]
    for order in (decisions, decisions[::-1]):
        (changed,) = decided([sentence], order)
        assert changed.spans == whole
