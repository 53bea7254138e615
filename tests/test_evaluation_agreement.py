"""Agreement between annotators, held against published values and scikit-learn."""

import json
from pathlib import Path
from random import Random

import pytest

import ner
from ner.cli import main
from ner.evaluation.agreement import (
    cohen_kappa,
    krippendorff_alpha,
    measure_agreement,
    merged,
)
from ner.sentence import Sentence, Span

TOKENS = ("Ada", "Obi", "left", "Accra", "for", "Kestrel", "Foods")
PER, LOC, ORG = Span(0, 2, "PER"), Span(3, 4, "LOC"), Span(5, 7, "ORG")


def sentence(*spans, unknown=()):
    return Sentence(TOKENS, spans, unknown=frozenset(unknown))


def test_cohens_kappa_of_a_textbook_table():
    """20 and 15 of 50 cases agreed on as yes and no, 5 and 10 in dispute: 0.4."""
    units = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(units) == pytest.approx(0.4)
    assert cohen_kappa([*units, ("y", None), (None, "n")]) == pytest.approx(0.4)


def test_krippendorffs_alpha_of_his_own_example():
    """Four observers, twelve units, missing values: 0.743 for nominal data (2011, section C)."""
    rows = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    columns = zip(*(row.split() for row in rows), strict=True)
    units = [tuple(None if value == "." else value for value in unit) for unit in columns]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_kappa_agrees_with_scikit_learn():
    from sklearn.metrics import cohen_kappa_score

    rng = Random(2)
    for _ in range(50):
        units = [(rng.choice("abc"), rng.choice("abcd")) for _ in range(rng.randint(5, 60))]
        expected = cohen_kappa_score(*zip(*units, strict=True))
        assert cohen_kappa(units) == pytest.approx(expected)


def test_where_everything_is_the_same_nothing_can_be_said():
    assert cohen_kappa([("a", "a")] * 3) is None
    assert krippendorff_alpha([("a", "a")] * 3) is None
    assert cohen_kappa([]) is None
    assert krippendorff_alpha([("a", None)]) is None


def test_figures_of_two_annotators_written_out():
    """By hand: of 7 tokens 5 agree; chance is 3/7 * 4/7 for O, ... ; of 3 stretches 2 agree."""
    one = [sentence(PER, LOC, ORG)]
    other = [sentence(PER, Span(3, 4, "ORG"))]
    found = measure_agreement([one, other], ["a", "b"])
    assert found.f1["a", "b"] == pytest.approx(2 * 1 / (3 + 2))
    # a: PER 2, O 2, LOC 1, ORG 2; b: PER 2, O 4, ORG 1
    agreed, chance = 4 / 7, (2 * 2 + 2 * 4 + 1 * 0 + 2 * 1) / 49
    kappa = found.kappa["a", "b"]
    assert kappa["tokens"] == pytest.approx((agreed - chance) / (1 - chance))
    # PER/PER, LOC/ORG, ORG/nothing
    assert kappa["spans"] == pytest.approx((1 / 3 - 2 / 9) / (1 - 2 / 9))
    assert [(x.words, x.said) for x in found.disputes] == [
        ("Accra", ("LOC", "ORG")),
        ("Kestrel Foods", ("ORG", "nothing")),
    ]


def test_annotators_who_say_the_same_agree_fully():
    same = [sentence(PER, LOC), sentence(), Sentence(("No", "one"))]
    found = measure_agreement([same, same, same], ["a", "b", "c"])
    assert set(found.f1.values()) == {1.0}
    assert {value for each in found.kappa.values() for value in each.values()} == {1.0}
    assert set(found.alpha.values()) == {1.0}
    assert found.sentences == 2
    assert found.disputes == ()
    assert list(merged([same, same], ["a", "b"])) == same


def test_what_is_in_dispute_is_left_open():
    one, other = [sentence(PER, LOC, ORG)], [sentence(PER, Span(3, 4, "ORG"))]
    assert list(merged([one, other], ["a", "b"])) == [sentence(PER, unknown={3, 5, 6})]


def test_votes_settle_what_a_majority_says():
    three = [[sentence(PER, LOC, ORG)], [sentence(PER, LOC)], [sentence(Span(0, 1, "PER"))]]
    (found,) = merged(three, ["a", "b", "c"], votes=2)
    assert found == sentence(PER, LOC)
    (found,) = merged(three, ["a", "b", "c"])
    assert found == sentence(unknown={0, 1, 3, 5, 6})


def test_who_leaves_tokens_open_has_no_say_on_them():
    """A list of names marks what it knows; its silence says nothing about the rest."""
    rest = set(range(len(TOKENS)))
    names = sentence(PER, unknown=rest - {0, 1})
    assert list(merged([[names], [sentence(LOC)]], ["a", "b"])) == [sentence(LOC, unknown={0, 1})]
    assert list(merged([[names], [sentence(PER, LOC)]], ["a", "b"])) == [sentence(PER, LOC)]
    inside = sentence(Span(5, 6, "LOC"), unknown=rest - {5})
    assert list(merged([[inside], [sentence(ORG)]], ["a", "b"])) == [sentence(ORG)]
    places = sentence(LOC, unknown=rest - {3})
    (found,) = merged([[names], [places]], ["a", "b"], votes=2)
    assert found == sentence(PER, LOC, unknown=rest - {0, 1, 3})


def test_a_sentence_of_one_annotator_is_taken_as_it_is():
    skipped = [Sentence(TOKENS)]
    assert list(merged([skipped, [sentence(PER)]], ["a", "b"])) == [sentence(PER)]
    assert measure_agreement([skipped, [sentence(PER)]], ["a", "b"]).sentences == 0


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([[sentence()], [Sentence(("Other",), ())]], "b, sentence 1: other tokens than in a"),
        ([[sentence()], []], "a has 1, b has 0 sentences"),
        ([[sentence()]], "at least two"),
    ],
)
def test_annotators_of_different_sentences_are_refused(others, message):
    with pytest.raises(ValueError, match=message):
        measure_agreement(others, ["a", "b"][: len(others)])


def test_the_verb_prints_lists_and_merges(tmp_path, capsys):
    for name, spans in (("ann", (PER, LOC)), ("ben", (PER,)), ("cem", (PER, LOC))):
        ner.write(tmp_path / f"{name}.conll", [sentence(*spans)])
    paths = [str(tmp_path / f"{name}.conll") for name in ("ann", "ben", "cem")]
    out, train = tmp_path / "found.json", tmp_path / "train.conll"
    assert main(["agreement", *paths, "--merged", str(train), "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "Krippendorff's alpha: " in said
    assert (
        "ann.conll:4  Accra  ->  ann: LOC  ben: nothing  cem: LOC"
        in said.replace(f"{tmp_path}/", "")
        or "Accra  ->  ann: LOC  ben: nothing  cem: LOC" in said
    )
    assert json.loads(out.read_text())["pairs"][1]["f1"] == 1.0
    assert list(ner.read(train)) == [sentence(PER, unknown={3})]
    assert main(["agreement", *paths, "--votes", "2", "--merged", str(train), "--quiet"]) == 0
    assert list(ner.read(train)) == [sentence(PER, LOC)]


@pytest.mark.parametrize(
    ("texts", "more", "message"),
    [
        (("It O\n", "It O\n"), ["--votes", "3"], "--votes: must be at most 2, the number of files"),
        (("", ""), [], "no sentence is annotated in two files"),
        (("It O\n", "It _\n"), ["--merged", "a.conll"], "a.conll is an input and would be overwr"),
    ],
)
def test_what_cannot_be_measured_or_written_is_refused(
    texts, more, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name, text in zip(("a.conll", "b.conll"), texts, strict=True):
        Path(name).write_text(text, encoding="utf-8")
    assert main(["agreement", "a.conll", "b.conll", *more]) == 2
    assert message in capsys.readouterr().err
    assert Path("a.conll").read_text(encoding="utf-8") == texts[0]


def test_f1_is_undefined_where_nobody_marked_anything():
    found = measure_agreement([[sentence()], [sentence()]], ["a", "b"])
    assert found.as_json()["pairs"][0]["f1"] is None
    assert "n/a" in found.lines()[2]
