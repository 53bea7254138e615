"""seqeval's own report: ours agrees with it, and it is asked of the tags as they stand."""

import itertools
import warnings
from random import Random

import pytest
from evaluation_samples import random_pair, random_tags, tags
from seqeval import scheme as schemes
from seqeval.metrics import classification_report

import ner
from ner.cli import main
from ner.evaluation import evaluate
from ner.evaluation.score import score_table
from ner.evaluation.tags import AVERAGES, seqeval_text
from ner.formats import DataWarning
from ner.sentence import Sentence, Span

STRICT = {"BIO": (schemes.IOB2, "BI"), "BIOES": (schemes.IOBES, "BIES")}


def test_our_exact_counts_agree_with_seqeval_on_random_pairs():
    for seed in range(300):
        report = evaluate(*random_pair(seed))
        figures = report.seqeval()
        rows = [*report.labels.values(), report.micro, report.macro, report.weighted]
        assert list(figures) == [*report.labels, *AVERAGES]
        for ours, theirs in zip(rows, figures.values(), strict=True):
            if not report.labels:
                assert theirs == dict.fromkeys(theirs) | {"support": 0}
                continue
            expected = {"precision": ours.precision, "recall": ours.recall, "f1-score": ours.f1}
            assert theirs == pytest.approx(expected | {"support": ours.gold}, abs=1e-15)
        table = seqeval_text(report.pairs)
        assert score_table(report.labels).replace("   n/a", "0.0000") == table or not report.labels
        assert figures == report.seqeval("strict"), "spans of sentences without tags: well-formed"


def _written(path, sentences):
    rows = ["".join(f"w{n} {tag}\n" for n, tag in enumerate(tags)) for tags in sentences]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def _random_files(rng, folder, prefixes):
    lengths = [rng.randint(1, 9) for _ in range(4)]
    sides = [[random_tags(rng, length, prefixes) for length in lengths] for _ in range(2)]
    return sides, [_written(folder / name, tags) for name, tags in zip("ab", sides, strict=True)]


@pytest.mark.parametrize("scheme", STRICT)
def test_strict_mode_sees_the_tags_as_they_stand(scheme, tmp_path):
    oracle, prefixes = STRICT[scheme]
    rng = Random(3)
    for _ in range(60):
        sides, files = _random_files(rng, tmp_path, prefixes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            gold, predicted = (ner.read(path, format="conll", scheme=scheme) for path in files)
            report = evaluate(gold, predicted)
        figures = report.seqeval("strict")
        strict = report.strict
        if not strict.gold and not strict.predicted:
            assert figures["micro avg"]["f1-score"] is None
            continue
        options = {"mode": "strict", "scheme": oracle, "zero_division": 0}
        assert figures == classification_report(*sides, output_dict=True, **options)
        assert figures["micro avg"]["precision"] == pytest.approx(strict.precision, abs=1e-15)
        assert figures["micro avg"]["recall"] == pytest.approx(strict.recall, abs=1e-15)


SAME = {
    "BIO": "B-PER I-PER O B-LOC B-LOC I-LOC",
    "IOB1": "I-PER I-PER O I-LOC B-LOC I-LOC",
    "BIOES": "B-PER E-PER O S-LOC B-LOC E-LOC",
    "BILOU": "B-PER L-PER O U-LOC B-LOC L-LOC",
    "BMES": "B-PER E-PER O S-LOC B-LOC E-LOC",
}


@pytest.mark.parametrize(("one", "other"), list(itertools.product(SAME, SAME)))
def test_strict_mode_counts_well_formed_tags_of_any_two_schemes_alike(one, other, tmp_path):
    gold, predicted = (
        ner.read(_written(tmp_path / name, [SAME[name].split()]), format="conll", scheme=name)
        for name in (one, other)
    )
    report = evaluate(gold, predicted)
    assert report.strict == report.exact
    assert report.strict.correct == 3
    assert report.seqeval("strict") == report.seqeval()


def test_only_what_the_gold_annotation_covers_is_reported():
    sentence = Sentence(("Ada", "met", "Obi"), (Span(0, 1, "PER"),), unknown=frozenset({2}))
    found = Sentence(sentence.tokens, (Span(0, 1, "PER"), Span(2, 3, "PER")))
    report = evaluate([sentence], [found])
    assert report.seqeval()["PER"] == report.seqeval("strict")["PER"]
    assert report.seqeval()["PER"]["precision"] == 1.0


def test_what_seqeval_cannot_score_is_refused():
    report = evaluate([[Span(0, 2, "PER"), Span(1, 3, "ORG")]], [[]])
    with pytest.raises(ValueError, match="overlaps another span"):
        report.seqeval()
    with pytest.raises(ValueError, match="mode of seqeval must be default or strict, got 'exact'"):
        report.seqeval("exact")


@pytest.mark.parametrize("mode", ["default", "strict"])
def test_the_command_line_prints_what_seqeval_prints(mode, tmp_path, capsys):
    gold, predicted = random_pair(4)
    files = [_written(tmp_path / name, tags(side)) for name, side in
             (("gold.conll", gold), ("predicted.conll", predicted))]  # fmt: skip
    assert main(["evaluate", str(files[0]), "--predictions", str(files[1]), "--seqeval", mode]) == 0
    options = {"mode": "strict", "scheme": schemes.IOB2} if mode == "strict" else {}
    expected = classification_report(
        tags(gold), tags(predicted), digits=4, zero_division=0, **options
    )
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("mode", ["default", "strict"])
def test_nothing_to_report_on_is_not_a_failure(mode, tmp_path, capsys):
    path = str(_written(tmp_path / "empty.conll", [["O", "O"]]))
    assert main(["evaluate", path, "--predictions", path, "--seqeval", mode]) == 0
    assert "   micro avg        n/a       n/a       n/a         0" in capsys.readouterr().out
