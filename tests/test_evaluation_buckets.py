"""Buckets: each span is in one bucket of each family, and families add up."""

import pytest
from evaluation_samples import random_pair

import ner
from ner.evaluation import Score, Settings, evaluate
from ner.evaluation.buckets import FAMILIES, Context, SeenInTraining, bucket_scores
from ner.evaluation.pairs import pair_up
from ner.sentence import Sentence, Span, in_document

TRAIN = [
    Sentence(("Ada", "Obi", "met", "Kestrel"), (Span(0, 2, "PER"), Span(3, 4, "ORG"))),
    Sentence(("Kestrel", "flew", "Ada"), (Span(0, 1, "MISC"), Span(2, 3, "PER"))),
]


def test_each_family_adds_up_to_the_total():
    for seed in range(100):
        gold, predicted = random_pair(seed)
        report = evaluate(gold, predicted, settings=Settings(train=random_pair(seed + 1)[0]))
        assert set(report.buckets.families) == set(FAMILIES)
        for buckets in report.buckets.families.values():
            assert sum(buckets.values(), Score()) == report.exact


def place(family, tokens, span, *, position=0, document=True):
    sentence = Sentence(tuple(tokens), (span,))
    if document:
        sentence = in_document([Sentence(("x",))] * position + [sentence])[-1]
    return FAMILIES[family].place(sentence, span, Context(SeenInTraining.of(TRAIN)))


@pytest.mark.parametrize(
    ("family", "tokens", "span", "bucket"),
    [
        ("mention", ["Ada", "Obi"], Span(0, 2, "PER"), "seen"),
        ("mention", ["Ada", "Obi"], Span(0, 2, "ORG"), "seen with other labels"),
        ("mention", ["Kestrel"], Span(0, 1, "ORG"), "seen with this and other labels"),
        ("mention", ["Obi"], Span(0, 1, "PER"), "unseen"),
        ("vocabulary", ["Ada", "met"], Span(0, 2, "PER"), "all tokens seen"),
        ("vocabulary", ["Ada", "Ng"], Span(0, 2, "PER"), "some tokens unseen"),
        ("vocabulary", ["Ng"], Span(0, 1, "PER"), "no token seen"),
        ("mention_length", ["a"], Span(0, 1, "PER"), "1"),
        ("mention_length", ["a"] * 4, Span(0, 4, "PER"), "4"),
        ("mention_length", ["a"] * 9, Span(0, 9, "PER"), "5 or more"),
        ("sentence_length", ["a"] * 5, Span(0, 1, "PER"), "1-5"),
        ("sentence_length", ["a"] * 6, Span(0, 1, "PER"), "6-10"),
        ("sentence_length", ["a"] * 51, Span(0, 1, "PER"), "51 or more"),
        ("case", ["Ada", "Obi"], Span(0, 2, "PER"), "Title"),
        ("case", ["A."], Span(0, 1, "PER"), "Title"),
        ("case", ["UNESCO"], Span(0, 1, "ORG"), "UPPER"),
        ("case", ["ada"], Span(0, 1, "PER"), "lower"),
        ("case", ["Bank", "of", "Accra"], Span(0, 3, "ORG"), "mixed"),
        ("case", ["McKay"], Span(0, 1, "PER"), "mixed"),
        ("case", ["1999"], Span(0, 1, "MISC"), "no case"),
        ("case", ["東京"], Span(0, 1, "LOC"), "no case"),
        ("label_frequency", ["a"], Span(0, 1, "PER"), "1-99"),
        ("label_frequency", ["a"], Span(0, 1, "LOC"), "never"),
    ],
)
def test_spans_are_in_the_bucket_they_belong_in(family, tokens, span, bucket):
    assert place(family, tokens, span) == bucket
    assert bucket in FAMILIES[family].buckets


@pytest.mark.parametrize(
    ("position", "bucket"), [(0, "1"), (2, "2-3"), (3, "4-10"), (10, "11-30"), (30, "31 or more")]
)
def test_sentences_are_counted_from_the_start_of_their_document(position, bucket):
    assert place("position", ["a"], Span(0, 1, "X"), position=position) == bucket


def test_a_sentence_without_a_document_is_told_apart():
    assert place("position", ["a"], Span(0, 1, "X"), document=False) == "no document known"


def test_without_training_sentences_nothing_is_said_of_them():
    found = bucket_scores(pair_up(*random_pair(3)))
    assert set(found.families) == {n for n, f in FAMILIES.items() if not f.needs_training}


def test_the_seen_and_unseen_mentions_of_conll2003_are_those_that_were_counted(shared):
    """46.0 % of the test mentions are unseen in train, 36.3 % hold an unknown token."""
    folder = shared / "data" / "conll2003"
    test = list(ner.read(folder / "test.txt"))
    found = bucket_scores(pair_up(test, test), ner.read(folder / "train.txt")).families
    total = sum(score.gold for score in found["mention"].values())
    unknown = sum(s.gold for b, s in found["vocabulary"].items() if b != "all tokens seen")
    assert round(found["mention"]["unseen"].gold / total, 3) == 0.460
    assert round(unknown / total, 3) == 0.363
