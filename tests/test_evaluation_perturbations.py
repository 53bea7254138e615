"""Perturbed sentences keep their gold spans on what is left of them."""

from dataclasses import replace

import pytest
from evaluation_samples import random_pair

from ner.evaluation import evaluate
from ner.evaluation.perturbations import PERTURBATIONS, TYPO_SHARE, case_advice, perturb
from ner.evaluation.report import perturbation_lines
from ner.sentence import Sentence, Span, in_document

TEXT = Sentence(
    ("Mr.", "Ada", "Obi", ",", "of", "Yahoo", "!", ",", "spoke", "."),
    (Span(1, 3, "PER"), Span(5, 7, "ORG")),
    columns={"number": tuple("0123456789")},
    unknown=frozenset({8}),
)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_spans_stay_on_their_tokens(name):
    for seed in range(30):
        gold, _ = random_pair(seed)
        for before, after in zip(gold, perturb(gold, name), strict=True):
            assert [s.label for s in after.spans] == [s.label for s in before.spans]
            assert all(span.end <= len(after) for span in after.spans)
            assert after.unknown == before.unknown


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("lower", "mr. ada obi , of yahoo ! , spoke ."),
        ("upper", "MR. ADA OBI , OF YAHOO ! , SPOKE ."),
        ("title", "Mr. Ada Obi , Of Yahoo ! , Spoke ."),
        ("no-punctuation", "Mr. Ada Obi of Yahoo spoke"),
    ],
)
def test_tokens_are_written_otherwise(name, tokens):
    (found,) = perturb([TEXT], name)
    assert " ".join(found.tokens) == tokens


def test_without_punctuation_everything_moves_together():
    (found,) = perturb([TEXT], "no-punctuation")
    assert found.spans == (Span(1, 3, "PER"), Span(4, 5, "ORG"))
    assert found.columns["number"] == tuple("012458")
    assert found.unknown == frozenset({5})


def test_a_span_of_nothing_but_punctuation_stays():
    (found,) = perturb([Sentence(("!", "?", "."), (Span(0, 2, "ORG"),))], "no-punctuation")
    assert found.tokens == ("!", "?")
    assert found.spans == (Span(0, 2, "ORG"),)


def test_typing_errors_are_seeded_and_as_many_as_they_say():
    words = Sentence(("Wednesday", "morning", "in", "Mombasa", "1999") * 1000, ())
    (once,), (again,), (other,) = (perturb([words], "typos", seed=seed) for seed in (1, 1, 2))
    assert once.tokens == again.tokens != other.tokens
    changed = [a for a, b in zip(words.tokens, once.tokens, strict=True) if a != b]
    assert set(changed) == {"Wednesday", "morning", "Mombasa"}
    # a swap of two like letters changes nothing, so a few fewer
    assert 0.8 * TYPO_SHARE < len(changed) / 3000 < 1.1 * TYPO_SHARE


def test_documents_know_the_new_tokens_and_nothing_else_is_touched():
    before = in_document([Sentence(("Ada",), ()), Sentence(("Obi", "."), ())], "a")
    after = perturb(before, "lower")
    assert after[0].document is after[1].document
    assert after[0].document.tokens == (("ada",), ("obi", "."))
    assert [s.position for s in after] == [0, 1]
    assert before[0].document.tokens == (("Ada",), ("Obi", "."))
    (second,) = perturb(before[1:], "upper")
    assert second.document.tokens == (("Ada",), ("OBI", "."))


def test_sentences_nobody_annotated_stay_so():
    (found,) = perturb([Sentence(("A", "."))], "no-punctuation")
    assert found.spans is None


def test_an_unknown_name_is_refused():
    with pytest.raises(
        ValueError, match="no perturbation is called 'leet'; there are lower, upper"
    ):
        perturb([TEXT], "leet")


def test_what_another_case_loses_names_the_setting_that_mends_it():
    assert case_advice("lower", 0.9, 0.85) == ""
    said = case_advice("lower", 0.9, 0.1)
    assert said.startswith("F1 in lower case is 10.0 in place of 90.0;")
    assert "training.lower_cased=0.2" in said
    assert "training.upper_cased=0.2" in case_advice("upper", 0.9, 0.1)


def test_the_advice_stands_below_the_scores_on_perturbed_text():
    gold = [Sentence(("Ada", "left"), (Span(0, 1, "PER"),))] * 4
    right, wrong = evaluate(gold, gold), evaluate(gold, [replace(gold[0], spans=())] * 4)
    assert perturbation_lines(right, {"lower": wrong})[-1] == case_advice("lower", 1.0, 0.0)
    assert perturbation_lines(right, {"lower": right})[-1].lstrip().startswith("lower")
