"""Exact spans: seqeval, conlleval and the published scores are the oracles."""

import csv
import functools
import json
import warnings
from random import Random

import pytest
from conlleval_port import counts
from conlleval_port import report as conlleval
from evaluation_samples import random_pair, random_tags, tags
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support
from seqeval.scheme import BILOU, IOB2, IOBES, Entities

import ner
from ner.evaluation import Score, evaluate
from ner.evaluation.pairs import pair_up
from ner.evaluation.report import conlleval_report
from ner.evaluation.score import score_table, surface_score
from ner.evaluation.tags import strict_spans, token_accuracy
from ner.schemes import SCHEMES
from ner.sentence import Sentence, Span

FIGURES = ("precision", "recall", "f1")
PAIRS = 1000


@pytest.mark.parametrize("block", range(10))
def test_random_pairs_score_as_seqeval_and_conlleval_say(block):
    """Every figure of both: per label, micro, macro, weighted; counts and what is printed."""
    for seed in range(block * PAIRS // 10, (block + 1) * PAIRS // 10):
        gold, predicted = random_pair(seed)
        report = evaluate(gold, predicted)
        one, other = tags(gold), tags(predicted)
        _agrees_with_seqeval(report, one, other)
        _agrees_with_conlleval(report, one, other)


def _agrees_with_seqeval(report, one, other):
    figures = precision_recall_fscore_support(one, other, average=None, zero_division=0)
    for at, score in enumerate(report.labels.values()):
        assert [getattr(score, name) for name in FIGURES] == [column[at] for column in figures[:3]]
        assert score.gold == figures[3][at]
    if not report.labels:
        return  # seqeval's averages fail where there is no entity
    for average in ("micro", "macro", "weighted"):
        said = precision_recall_fscore_support(one, other, average=average, zero_division=0)
        ours = getattr(report, average)
        assert [getattr(ours, name) for name in FIGURES] == pytest.approx(list(said[:3]), abs=1e-15)
        assert ours.gold == said[3]
    for digits in (2, 4):
        said = classification_report(one, other, digits=digits, zero_division=0)
        zero = f"{0:.{digits}f}"
        undefined = score_table(report.labels, digits=digits).replace(
            " " * (len(zero) - 3) + "n/a", zero
        )
        assert undefined == said


def _agrees_with_conlleval(report, one, other):
    correct, found, right, _, tokens = counts(one, other)
    for label, score in report.labels.items():
        assert score == Score(correct[label], found[label], right[label])
    accuracy = token_accuracy(one, other)
    assert conlleval_report(report, tokens=tokens, accuracy=accuracy) == conlleval(one, other)


@pytest.mark.parametrize("scheme", ["BIO", "IOB1"])
def test_ill_formed_tags_are_read_as_conlleval_reads_them(scheme):
    rng = Random(5)
    for _ in range(300):
        one, other = (
            [random_tags(rng, length) for length in lengths]
            for lengths in [[rng.randint(1, 9) for _ in range(4)]] * 2
        )
        decoded = [[SCHEMES[scheme].decode(row) for row in side] for side in (one, other)]
        report = evaluate(*decoded)
        correct, found, right, _, _ = counts(one, other)
        for label, score in report.labels.items():
            assert score == Score(correct[label], found[label], right[label])
        for row, spans in zip(one, decoded[0], strict=True):
            said = {(label, start, end + 1) for label, start, end in get_entities(row)}
            assert said == {(span.label, span.start, span.end) for span in spans}


STRICT = {"BIO": (IOB2, "BI"), "BIOES": (IOBES, "BIES"), "BILOU": (BILOU, "BILU")}


@pytest.mark.parametrize("scheme", STRICT)
def test_strict_spans_are_those_of_seqevals_strict_mode(scheme):
    oracle, prefixes = STRICT[scheme]
    rng = Random(11)
    for _ in range(3000):
        row = random_tags(rng, rng.randint(1, 9), prefixes, ("PER", "LOC"))
        said = [(e.start, e.end, e.tag) for e in Entities([row], oracle).entities[0]]
        ours = [(s.start, s.end, s.label) for s in strict_spans(row, SCHEMES[scheme])]
        assert ours == said, row


def test_scores_add_up():
    parts = [Score(1, 2, 3), Score(0, 4, 1), Score()]
    assert sum(parts) == sum(parts, Score()) == Score(1, 6, 4)
    one, two = random_pair(1), random_pair(2)
    both = evaluate([*one[0], *two[0]], [*one[1], *two[1]])
    assert both.exact == evaluate(*one).exact + evaluate(*two).exact


def test_a_score_refuses_counts_that_cannot_be():
    for impossible in ((2, 1, 3), (2, 3, 1), (-1, 0, 0)):
        with pytest.raises(ValueError, match="0 <= correct <= predicted and gold"):
            Score(*impossible)
    with pytest.raises(TypeError):
        Score() + 1


def test_what_is_undefined_is_zero_to_compare_and_null_to_programs():
    none = Score(0, 0, 3)
    assert (none.precision, none.recall, none.f1) == (0.0, 0.0, 0.0)
    assert none.as_json() == {
        "precision": None, "recall": 0.0, "f1": 0.0, "correct": 0, "predicted": 0, "gold": 3,
    }  # fmt: skip
    assert Score().as_json()["f1"] is None


def test_spans_count_once_whatever_their_order_and_score():
    a, b = Span(0, 1, "PER", 0.9), Span(2, 4, "ORG")
    report = evaluate([[a, b]], [[Span(2, 4, "ORG", 0.1), Span(0, 1, "PER"), a, b]])
    assert report.exact == Score(2, 2, 2)


NOTHING = {
    "no sentence": ([], []),
    "all outside": ([Sentence(("a",), ())], [Sentence(("a",), ())]),
    "a label on the gold side only": ([[Span(0, 1, "PER")]], [[]]),
    "a label on the predicted side only": ([[]], [[Span(0, 1, "PER")]]),
    "an empty sentence": ([Sentence((), ())], [Sentence((), ())]),
    "one sentence": (
        [Sentence(("a", "b"), (Span(0, 1, "X"),))],
        [Sentence(("a", "b"), (Span(0, 2, "X", 0.5),))],
    ),
}


@pytest.mark.parametrize("case", NOTHING)
def test_a_full_report_never_raises(case):
    gold, predicted = NOTHING[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(gold, predicted)
        json.dumps(report.as_json(full=True), allow_nan=False)
        assert all(section.lines() for section in report.sections().values())
        assert score_table(report.labels)
        assert conlleval_report(report, tokens=report.tokens, accuracy=0.0)


def test_missing_annotation_is_neither_right_nor_wrong():
    gold = [
        Sentence(("a", "b", "c"), (Span(0, 1, "PER"),), unknown=frozenset({2})),
        Sentence(("d",), None),
    ]
    report = evaluate(gold, [(Span(0, 1, "PER"), Span(1, 3, "ORG")), (Span(0, 1, "LOC"),)])
    assert report.exact == Score(1, 1, 1)


@pytest.mark.parametrize(
    ("gold", "predicted", "message"),
    [
        ([[]], [[], []], r"^predictions: sentence 2 is missing from gold, which has 1"),
        ([Sentence(("a",), (), line=3)], [], r"^gold:3: sentence 1 is missing from predictions"),
        (
            [Sentence(("a", "b"), ())],
            [Sentence(("a", "c"), ())],
            r"^predictions, sentence 1: token 'c' where gold, sentence 1 has 'b'",
        ),
        (
            [Sentence(("a", "b"), (), line=4)],
            [Sentence(("a",), (), line=7)],
            r"^predictions:7: 1 token in the sentence where gold:4 has 2",
        ),
        ([Sentence(("a",), None)], [()], r"^gold: no sentence has gold annotation"),
        ([Sentence(("a",), ())], [Sentence(("a",))], "the sentence has no predictions"),
        ([Sentence(("a",), ())], [(Span(0, 2, "X"),)], "a span ends at token 2 of a sentence"),
    ],
)
def test_what_does_not_fit_is_named(gold, predicted, message):
    with pytest.raises(ValueError, match=message):
        evaluate(gold, predicted)


def test_annotation_of_either_kind_is_enough_to_score_against():
    gold = [(Span(0, 1, "X"),), Sentence(("a",), ()), Sentence(("b",), None)]
    report = evaluate(gold, [(), (), ()])
    assert (report.exact.gold, report.exact.predicted) == (1, 0)
    assert evaluate([gold[0], gold[2]], [(), ()]).exact.gold == 1


def test_token_accuracy_is_of_sentences_of_the_same_length():
    assert token_accuracy([], []) == 0.0
    assert token_accuracy([["O", "B-X"], ["O"]], [["O", "O"], ["O"]]) == 2 / 3
    with pytest.raises(ValueError, match="zip"):
        token_accuracy([["O", "O"]], [["O"]])
    with pytest.raises(ValueError, match="zip"):
        token_accuracy([["O"], ["O"]], [["O"]])


def cases(shared):
    path = shared / "cases" / "metric.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def scheme_for(rows):
    prefixes = {tag[0] for row in rows for tag in row}
    return "BILOU" if prefixes & set("LU") else "BIOES" if prefixes & set("ES") else "BIO"


def test_every_case_of_the_collection_scores_as_it_should(shared):
    for case in cases(shared):
        scheme = SCHEMES[scheme_for(case["y_true"] + case["y_pred"])]
        gold, predicted = (
            [Sentence(tuple(row), scheme.decode(row)) for row in case[side]]
            for side in ("y_true", "y_pred")
        )
        score = evaluate(
            [sentence.spans for sentence in gold], [sentence.spans for sentence in predicted]
        ).exact
        wanted = (case["expect_tp"], case["expect_n_pred"], case["expect_n_gold"])
        assert (score.correct, score.predicted, score.gold) == wanted, case["name"]
        figures = [getattr(score, name) for name in FIGURES]
        assert figures == pytest.approx(case["expect_prf"], abs=1e-6), case["name"]
        strict_f1 = case["seqeval_1.2.2_strict_IOB2_f1"]
        if strict_f1 != "ValueError":
            rows = zip(case["y_true"], case["y_pred"], strict=True)
            bio = SCHEMES["BIO"]
            sides = [(strict_spans(a, bio), strict_spans(b, bio)) for a, b in rows]
            strict = evaluate([one for one, _ in sides], [other for _, other in sides])
            assert strict.exact.f1 == pytest.approx(strict_f1, abs=1e-6), case["name"]


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@functools.cache
def read(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some systems' tags need repair, which is announced
        return tuple(ner.read(path, tag_map=SUFFIXES if "_inv" in path.name else {}, **options))


CHUNKS = ("NP", "VP", "PP", "ADJP", "ADVP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP")
SUFFIXES = {f"{label}-{prefix}": f"{prefix}-{label}" for label in CHUNKS for prefix in "BI"}


def read_reference(folder, name):
    """Gold and predicted sentences of a line of ``expected.tsv``."""
    if name.startswith("wnut17/"):
        system, _, edition = name.removeprefix("wnut17/").partition("@")
        return tuple(read(folder / "wnut17" / file) for file in (edition, system))
    return tuple(read(folder / name, tag_column=column) for column in (-2, -1))


def raw(sentences):
    return [list(sentence.tags) for sentence in sentences]


def test_published_system_outputs_score_what_was_published(shared):
    """conlleval, seqeval's default and strict modes, and the papers' F1, for every file."""
    folder = shared / "data" / "eval_reference"
    for row in table(folder / "expected.tsv"):
        gold, predicted = read_reference(folder, row["file"])
        if row["file"].endswith("_inv.txt"):
            _check_suffixes(gold, predicted, row)
            continue
        report = evaluate([s.spans for s in gold], [s.spans for s in predicted])
        exact = report.exact
        assert (len(gold), sum(map(len, gold))) == (int(row["sentences"]), int(row["tokens"]))
        found = (exact.gold, exact.predicted, exact.correct)
        assert found == (int(row["gold"]), int(row["found"]), int(row["correct"])), row["file"]
        figures = [f"{100 * value:.2f}" for value in (exact.precision, exact.recall, exact.f1)]
        assert figures == [row[f"{name}_conlleval"] for name in "PRF"]
        seqeval = [float(row[n]) for n in ("P_seqeval", "R_seqeval", "F_seqeval_default")]
        ours = [100 * value for value in (exact.precision, exact.recall, exact.f1)]
        assert ours == pytest.approx(seqeval, abs=1e-4)
        bio = SCHEMES["BIO"]
        strict = evaluate(
            *([strict_spans(t, bio) for t in raw(side)] for side in (gold, predicted))
        )
        assert 100 * strict.exact.f1 == pytest.approx(float(row["F_seqeval_strictIOB2"]), abs=1e-4)
        if row["F_published"]:
            assert figures[2] == row["F_published"]


def _check_suffixes(gold, predicted, row):
    """Tags such as NP-B are nonsense to conlleval; mapped to B-NP they score as they should."""
    one, other = raw(gold), raw(predicted)
    correct, found, right, _, _ = counts(one, other)
    wanted = tuple(int(row[name]) for name in ("correct", "found", "gold"))
    assert (correct.total(), found.total(), right.total()) == wanted
    report = evaluate(gold, predicted)
    said = precision_recall_fscore_support(one, other, average="micro", suffix=True)
    assert [getattr(report.exact, name) for name in FIGURES] == pytest.approx(list(said[:3]))


def test_what_conlleval_printed_of_every_file_is_printed(shared):
    folder = shared / "data" / "eval_reference"
    for row in table(folder / "expected.tsv"):
        gold, predicted = read_reference(folder, row["file"])
        name = row["file"].replace("/", "__") + ".txt"
        printed = (folder / "conlleval_output" / name).read_text("utf-8")
        one, other = raw(gold), raw(predicted)
        assert conlleval(one, other) == printed, "the port itself"
        if not row["file"].endswith("_inv.txt"):
            report = evaluate([s.spans for s in gold], [s.spans for s in predicted])
            tokens, accuracy = sum(map(len, one)), token_accuracy(one, other)
            assert conlleval_report(report, tokens=tokens, accuracy=accuracy) == printed


def test_surface_scores_are_those_of_the_shared_task(shared):
    folder = shared / "data" / "eval_reference"
    for row in table(folder / "wnut17_surface.tsv"):
        gold, predicted = read_reference(folder, f"wnut17/{row['system']}@{row['gold edition']}")
        pairs = pair_up(gold, predicted, same_tokens=False)
        score = surface_score(pairs)
        found = (score.gold, score.predicted, score.correct)
        wanted = ("gold forms", "system forms", "forms of correct entities")
        assert found == tuple(int(row[name]) for name in wanted), row
        figures = [f"{100 * getattr(score, name):.2f}" for name in FIGURES]
        assert figures == [row["P"], row["R"], row["F surface"]]


def test_edge_cases_are_read_as_the_collection_says(shared):
    folder = shared / "data" / "eval_reference"
    unreadable = []
    for row in table(folder / "edge_cases.tsv"):
        sequence = row["tags"].split()
        prefixes = {tag[0] for tag in sequence}
        scheme = SCHEMES["BMES" if "M" in prefixes else scheme_for([sequence])]
        wanted = row["own conlleval-rule chunks (E/S/L/U/M aware)"]
        try:
            spans = [(s.label.strip("_"), s.start, s.end) for s in scheme.decode(sequence)]
        except ValueError:
            unreadable.append(row["tags"])
            continue
        assert str(spans) == wanted, row["tags"]
        for column, name in (("IOB2", "BIO"), ("IOBES", "BIOES")):
            said = row[f"seqeval strict {column}"]
            if said.startswith("["):
                ours = _strict_or_nothing(sequence, SCHEMES[name])
                assert str(ours) == said, row["tags"]
    assert unreadable == ["PER PER", "B- I-", "-"]  # which our readers refuse, naming the line


def _strict_or_nothing(sequence, scheme):
    return [(s.label, s.start, s.end) for s in strict_spans(sequence, scheme)]


def test_edge_pairs_score_as_the_collection_says(shared):
    bio = SCHEMES["BIO"]
    for row in table(shared / "data" / "eval_reference" / "edge_pairs.tsv"):
        one, other = row["gold"].split(), row["pred"].split()
        score = evaluate([bio.decode(one)], [bio.decode(other)]).exact
        assert (
            f"{score.gold}/{score.predicted}/{score.correct}" == row["conlleval gold/found/correct"]
        )
        assert score.f1 == pytest.approx(float(row["seqeval default F1"]), abs=1e-4)
        strict = evaluate([strict_spans(one, bio)], [strict_spans(other, bio)]).exact
        assert strict.f1 == pytest.approx(float(row["seqeval strict IOB2 F1"]), abs=1e-4)


def test_the_predictions_of_seqscore_are_scored_as_conlleval_scores_them(shared):
    folder = shared / "data" / "eval_reference" / "seqscore"
    gold = list(ner.read(folder / "conll_annotation" / "minimal.bio", format="conll"))
    seen = 0
    for path in sorted((folder / "conll_predictions").glob("*.bio")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predicted = list(ner.read(path, format="conll", scheme="BIO"))
        if [len(s) for s in predicted] != [len(s) for s in gold]:
            continue
        seen += 1
        report = evaluate([s.spans for s in gold], [s.spans for s in predicted])
        correct, found, right, _, _ = counts(raw(gold), raw(predicted))
        assert report.exact == Score(correct.total(), found.total(), right.total()), path.name
    assert seen >= 3


def test_a_label_nobody_looked_for_is_neither_right_nor_wrong():
    gold = Sentence(("Ada", "saw", "Lima"), (Span(0, 1, "PER"),), labels=frozenset({"PER"}))
    found = evaluate([gold], [(Span(0, 1, "PER"), Span(1, 2, "PER"), Span(2, 3, "LOC"))]).exact
    assert (found.correct, found.predicted, found.gold) == (1, 2, 1)


def test_reports_and_their_sections_read_well():
    gold, predicted = random_pair(3)
    report = evaluate(gold, predicted)
    assert repr(report).startswith(f"<Report: F1 {100 * report.exact.f1:.2f} (precision ")
    assert str(report) == score_table(report.labels).rstrip("\n")
    for name, section in report.sections().items():
        assert len(repr(section)) < 100, name
        assert str(section) == "\n".join(section.lines())
    assert repr(evaluate([[]], [[]])).startswith(
        "<Report: F1 n/a (precision n/a, recall n/a; 0 gold"
    )
