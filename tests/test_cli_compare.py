"""``ner compare``: what users type and read."""

import json

import pytest

from ner.cli import main

GOLD = "Ada B-PER\nObi I-PER\nwaits O\n\n" * 60
GOOD = GOLD
BAD = "Ada B-PER\nObi O\nwaits O\n\n" * 30 + "Ada B-PER\nObi I-PER\nwaits O\n\n" * 30


@pytest.fixture
def paths(tmp_path):
    for name, text in {"gold": GOLD, "good": GOOD, "bad": BAD}.items():
        (tmp_path / f"{name}.conll").write_text(text, encoding="utf-8")
    return [str(tmp_path / f"{name}.conll") for name in ("gold", "bad", "good")]


def compare(capsys, *arguments):
    status = main(["compare", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_difference_is_told_with_its_interval_and_tests(paths, capsys, tmp_path):
    out = tmp_path / "difference.json"
    status, said, _ = compare(capsys, *paths, "--json", str(out))
    assert status == 0
    assert "30 of 60 sentences are predicted differently" in said
    assert "B is better in F1 by 50.00, more than chance explains." in said
    result = json.loads(out.read_text("utf-8"))
    assert result["f1"]["difference"] == pytest.approx(0.5)
    low, high = result["f1"]["interval"]
    assert 0.3 < low < 0.5 < high < 0.7
    assert result["f1"]["p_randomisation"] < 0.001
    assert result["first"]["correct"] == 30
    assert result["inside_noise"] is False


def test_what_may_be_chance_is_said_to_be(paths, capsys, tmp_path):
    other = tmp_path / "other.conll"
    other.write_text(GOLD.replace("Obi I-PER", "Obi O", 1), encoding="utf-8")
    status, said, _ = compare(capsys, paths[0], str(other), paths[2], "--resamples", "500")
    assert status == 0
    assert "is inside the noise" in said


def test_the_same_seed_tells_the_same(paths, capsys):
    once = compare(capsys, *paths, "--seed", "4", "--resamples", "300")
    assert once == compare(capsys, *paths, "--seed", "4", "--resamples", "300")
    assert once != compare(capsys, *paths, "--seed", "5", "--resamples", "300")


def test_the_unit_may_be_chosen(paths, capsys, tmp_path):
    text = "-DOCSTART- O\n\n" + GOLD[: len(GOLD) // 2] + "-DOCSTART- O\n\n" + GOLD[len(GOLD) // 2 :]
    gold = tmp_path / "documents.conll"
    gold.write_text(text, encoding="utf-8")
    _, said, _ = compare(capsys, str(gold), *paths[1:], "--resamples", "50")
    assert "resamples of 2 documents" in said
    _, said, _ = compare(capsys, str(gold), *paths[1:], "--resamples", "50", "--unit", "sentence")
    assert "resamples of 60 sentences" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.conll"], "missing.conll: No such file"),
        (["--resamples", "0"], "--resamples: must be at least 1, got 0"),
        (["--seed", "-1"], "--seed: must be at least 0, got -1"),
    ],
)
def test_bad_input_is_one_clear_line(paths, capsys, arguments, message):
    given = [*paths[:2], *arguments] if len(arguments) == 1 else [*paths, *arguments]
    status, said, error = compare(capsys, *given)
    assert (status, said) == (2, "")
    assert message in error
    assert error.count("\n") == 1


def test_two_taggers_of_wnut_2017_are_told_apart_or_not(shared, capsys):
    """The best and the second of the shared task are too close to call; the last one is not."""
    folder = shared / "data" / "eval_reference" / "wnut17"
    gold = str(folder / "emerging.test.annotated")
    _, said, _ = compare(capsys, gold, str(folder / "arcada"), str(folder / "uh_ritual"))
    assert "inside the noise" in said
    _, said, _ = compare(capsys, gold, str(folder / "drexel_cci"), str(folder / "uh_ritual"))
    assert "B is better in F1 by 15.56" in said
