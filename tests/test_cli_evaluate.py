"""``ner evaluate``: what users type and read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ner.cli import main
from ner.sentence import Sentence, Span

GOLD = """\
Ada B-PER
Obi I-PER
joined O
Kestrel B-ORG
Foods I-ORG

Accra B-LOC
waits O
"""
PREDICTED = """\
Ada B-PER
Obi I-PER
joined O
Kestrel B-LOC
Foods I-LOC

Accra B-LOC
waits B-LOC
"""


@pytest.fixture
def files(tmp_path):
    def make(**texts):
        paths = []
        for name, text in texts.items():
            path = tmp_path / name.replace("_", ".")
            path.write_text(text, encoding="utf-8")
            paths.append(str(path))
        return paths

    return make


def evaluate(capsys, *arguments):
    status = main(["evaluate", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_table_is_seqevals_and_figures_are_in_json(files, capsys, tmp_path):
    gold, predicted = files(gold_conll=GOLD, predicted_conll=PREDICTED)
    out = tmp_path / "scores.json"
    status, said, _ = evaluate(capsys, gold, "--predictions", predicted, "--json", str(out))
    assert status == 0
    assert "         PER     1.0000    1.0000    1.0000         1" in said
    assert "   micro avg     0.5000    0.6667    0.5714         3" in said
    assert "scheme of the gold tags: BIO" in said
    assert "counts the same: all tags are well-formed" in said
    result = json.loads(out.read_text("utf-8"))
    assert result["scheme"] == "BIO"
    assert (result["sentences"], result["tokens"]) == (2, 7)
    assert result["exact"] == {
        "precision": 0.5, "recall": 2 / 3, "f1": pytest.approx(4 / 7),
        "correct": 2, "predicted": 4, "gold": 3,
    }  # fmt: skip
    assert result["labels"]["ORG"]["precision"] is None
    assert result["errors"]["counts"]["label"] == 1
    assert result["seqeval_strict"] == result["exact"]
    for section in ("partial", "intervals", "buckets", "surface", "macro", "weighted"):
        assert section in result


def test_json_may_go_to_standard_output_alone(files, capsys):
    gold, predicted = files(gold_conll=GOLD, predicted_conll=PREDICTED)
    status, said, _ = evaluate(capsys, gold, "--predictions", predicted, "--json", "-")
    assert status == 0
    assert json.loads(said)["exact"]["correct"] == 2


IOB1 = GOLD.replace("B-", "I-")
BIOES = GOLD.replace("I-", "E-").replace("Accra B-LOC", "Accra S-LOC")


@pytest.mark.parametrize(("text", "name"), [(IOB1, "IOB1"), (BIOES, "BIOES")])
def test_schemes_may_differ(files, capsys, text, name):
    gold, other = files(gold_conll=GOLD, other_conll=text)
    status, said, _ = evaluate(capsys, gold, "--predictions", other)
    assert status == 0
    assert f"scheme of the gold tags: BIO; of the predicted tags: {name}" in said
    assert "F1 100.00" in said


def test_formats_may_differ(files, capsys):
    records = [
        {"tokens": ["Ada", "Obi", "joined", "Kestrel", "Foods"],
         "spans": [{"token_start": 0, "token_end": 2, "label": "PER"}]},
        {"tokens": ["Accra", "waits"],
         "spans": [{"token_start": 0, "token_end": 1, "label": "LOC"}]},
    ]  # fmt: skip
    lines = "".join(json.dumps(record) + "\n" for record in records)
    gold, other = files(gold_conll=GOLD, other_jsonl=lines)
    status, said, _ = evaluate(capsys, gold, "--predictions", other, "--json", "-")
    assert status == 0
    assert json.loads(said)["exact"]["correct"] == 2


def test_one_file_may_hold_both_columns(files, capsys):
    both = "".join(
        f"{one} {other.split()[-1]}\n" if one else "\n"
        for one, other in zip(GOLD.splitlines(), PREDICTED.splitlines(), strict=True)
    )
    (path,) = files(both_txt=both)
    status, said, _ = evaluate(capsys, path, "--two-columns", "--conlleval")
    assert status == 0
    assert said == (
        "processed 7 tokens with 3 phrases; found: 4 phrases; correct: 2.\n"
        "accuracy:  57.14%; precision:  50.00%; recall:  66.67%; FB1:  57.14\n"
        "              LOC: precision:  33.33%; recall: 100.00%; FB1:  50.00  3\n"
        "              ORG: precision:   0.00%; recall:   0.00%; FB1:   0.00  0\n"
        "              PER: precision: 100.00%; recall: 100.00%; FB1: 100.00  1\n"
    )


def test_ill_formed_predictions_are_scored_both_ways(files, capsys):
    gold, other = files(gold_conll=GOLD, other_conll=GOLD.replace("Accra B-LOC", "Accra I-LOC"))
    status, said, error = evaluate(
        capsys, gold, "--predictions", other, "--predictions-reader", "scheme=BIO"
    )
    assert error.startswith("warning: ")
    assert "repaired 1 tag" in error
    assert status == 0
    assert "F1 100.00" in said
    assert "strict mode: precision 100.00, recall 66.67, F1 80.00; it ignores 0 gold" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gold.conll", "--predictions", "short.conll"],
         "gold.conll:7: sentence 2 is missing from short.conll"),
        (["gold.conll", "--predictions", "typo.conll"],
         "typo.conll:4: token 'Kestrle' where gold.conll:4 has 'Kestrel'"),
        (["gold.conll", "--predictions", "missing.conll"], "missing.conll: No such file"),
        (["gold.conll", "--predictions", "gold.conll", "--perturb", "lower"],
         "--perturb needs --model"),
        (["gold.conll", "--predictions", "gold.conll", "--level", "2"],
         "level must be between 0 and 1"),
        (["gold.conll", "--predictions", "gold.conll", "--reader", "scheme"], "KEY=VALUE"),
        (["gold.conll", "--predictions", "gold.conll", "--reader", "shceme=BIO"], "shceme"),
        (["gold.conll", "--model", "nowhere"], "nowhere"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(files, capsys, monkeypatch, tmp_path, arguments, message):
    files(
        gold_conll=GOLD,
        short_conll=GOLD[: GOLD.index("Accra")],
        typo_conll=GOLD.replace("Kestrel", "Kestrle"),
    )
    monkeypatch.chdir(tmp_path)
    status, said, error = evaluate(capsys, *arguments)
    assert (status, said) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.json"))


def test_tokens_may_differ_if_that_is_said(files, capsys):
    gold, other = files(gold_conll=GOLD, other_conll=GOLD.replace("Kestrel", "Kestrle"))
    status, said, _ = evaluate(capsys, gold, "--predictions", other, "--ignore-tokens")
    assert status == 0
    assert "F1 100.00" in said


def test_something_to_score_must_be_named(capsys):
    assert main(["evaluate", "gold.conll"]) == 2
    assert "--model --predictions --two-columns" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a O\n", "a B-PER\n", "a O\n\nb O\n"])
@pytest.mark.parametrize("said", ["a O\n", "a B-ORG\n", "a O\n\nb O\n"])
def test_next_to_nothing_is_no_error(files, capsys, text, said):
    if text.count("\n\n") != said.count("\n\n"):
        return
    gold, other = files(gold_conll=text, other_conll=said)
    status, printed, _ = evaluate(capsys, gold, "--predictions", other)
    assert status == 0
    assert "micro avg" in printed


class Lowercase:
    """A tagger that knows Ada, and only as it is written."""

    def predict(self, sentences):
        return [
            tuple(Span(n, n + 1, "PER", 0.75) for n, t in enumerate(s.tokens) if t == "Ada")
            for s in sentences
        ]


@pytest.fixture
def model(monkeypatch):
    tagger = pytest.importorskip("ner.tagger")
    monkeypatch.setattr(tagger, "load", lambda path, device: Lowercase())


def test_a_model_is_scored_on_perturbed_text_too(files, capsys, model, tmp_path):
    (gold,) = files(gold_conll="Ada B-PER\n, O\nwaits O\n")
    page, plots = tmp_path / "report.html", tmp_path / "plots"
    status, said, _ = evaluate(
        capsys, gold, "--model", "any", "--perturb", "lower,no-punctuation", "--html", str(page),
        "--plots", str(plots), "--train", gold,
    )  # fmt: skip
    assert status == 0
    rows = [line.split() for line in said[said.index("Robustness") :].splitlines()]
    assert [row[:4] for row in rows[2:5]] == [
        ["unchanged", "100.00", "100.00", "100.00"],
        ["lower", "n/a", "0.00", "0.00"],
        ["no-punctuation", "100.00", "100.00", "100.00"],
    ]
    assert "F1 in lower case is 0.0 in place of 100.0" in said
    assert "expected calibration error 25.00" in said
    assert "</html>" in page.read_text("utf-8")
    assert (plots / "reliability.svg").is_file()


def test_predicted_sentences_forget_what_the_gold_file_said(model, files):
    from ner.cli.arguments import Model
    from ner.cli.console import Progress

    gold = Sentence(("Ada", "waits"), (Span(1, 2, "ORG"),), unknown=frozenset({0}))
    (found,) = Model.load("any", "cpu", Progress(quiet=True)).predict([gold])
    assert found == Sentence(("Ada", "waits"), (Span(0, 1, "PER"),))


def test_an_unknown_perturbation_is_named_with_those_there_are(files, capsys, model):
    (gold,) = files(gold_conll=GOLD)
    status, _, error = evaluate(capsys, gold, "--model", "any", "--perturb", "leet")
    assert status == 2
    assert "'leet'; there are lower, upper, title, typos, no-punctuation" in error


def test_scoring_files_needs_neither_torch_nor_spacy_nor_scikit_learn(files):
    gold, other = files(gold_conll=GOLD, other_conll=PREDICTED)
    code = (
        "import sys; from ner.cli import main;"
        f"assert main(['evaluate', {gold!r}, '--predictions', {other!r}]) == 0;"
        "found = {'torch', 'spacy', 'sklearn', 'seqeval', 'jinja2'} & set(sys.modules);"
        "assert not found, found"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_published_figures_are_printed_to_the_last_digit(shared, capsys):
    folder = shared / "data" / "eval_reference"
    name = "conll03_CbertWglove_lstmCrf_1_test_9201.txt"
    path = str(folder / "conll03_systems" / name)
    _, said, _ = evaluate(capsys, path, "--two-columns", "--conlleval")
    printed = folder / "conlleval_output" / f"conll03_systems__{name}.txt"
    assert said == printed.read_text("utf-8")
    _, said, _ = evaluate(capsys, path, "--two-columns", "--brief")
    assert "   micro avg     0.9192    0.9210    0.9201      5648" in said


def test_empty_files_are_no_error(files, capsys, tmp_path):
    gold, other = files(gold_conll="", other_conll="")
    status, said, _ = evaluate(
        capsys, gold, "--predictions", other, "--html", str(tmp_path / "empty.html")
    )
    assert status == 0
    assert "F1 n/a (exact spans)" in said
    assert main(["compare", gold, other, other]) == 0
