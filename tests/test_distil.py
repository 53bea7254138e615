"""Distillation: silver annotation from a teacher, two stages, a report."""

import json

import numpy as np
import pytest
from training_runs import bytes_of, write_config

import ner
from ner.analysis.uncertainty import Doubts
from ner.cli import distil, main
from ner.pretraining.silver import as_silver, choose_documents, read_silver, write_silver
from ner.sample import path as sample_path
from ner.sentence import Sentence, Span, in_document
from ner.training import Run


def document(word, count=8):
    return [("so", word, "said", "on", "and", "on", "again", ".")] * count


def test_documents_of_new_names_go_first_and_the_seed_decides():
    plain, known, new = (document(word) for word in ("it", "Ada", "Zyxia"))
    documents = [plain, known, new] * 40
    chosen = choose_documents(documents, frozenset({"ada"}), tokens=1000, seed=1)
    assert 1000 <= sum(map(len, sum_(chosen))) <= 1000 + 64
    counts = [chosen.count(one) for one in (plain, known, new)]
    assert counts[2] > counts[1] > counts[0]
    assert chosen == choose_documents(documents, frozenset({"ada"}), tokens=1000, seed=1)
    assert chosen != choose_documents(documents, frozenset({"ada"}), tokens=1000, seed=2)
    assert len(choose_documents(documents, frozenset(), tokens=10**6, seed=1)) == 120


def test_a_long_document_is_drawn_from_part_by_part():
    document = [(f"Name{number}", "is", "here", ".") for number in range(1000)]
    all_of_it = choose_documents([document], frozenset(), tokens=10**6, seed=1)
    assert [one for part in all_of_it for one in part] == document
    some = choose_documents([document], frozenset(), tokens=400, seed=1)
    assert 400 <= sum(len(one) for part in some for one in part) < 600
    assert some[0][0] != document[0], "not just the beginning"


def sum_(documents):
    return [sentence for one in documents for sentence in one]


def silver_of(spans, outside=None, labels=("PER", "LOC")):
    sentence = Sentence(("Ada", "Obi", "saw", "Lima", ".", "."), spans)
    found = as_silver([(sentence, outside)], labels=frozenset(labels), sure=0.9, most_open=0.5)
    return list(found)


def test_sure_spans_are_kept_and_doubtful_tokens_left_open():
    spans = (Span(0, 2, "PER", 0.95), Span(3, 4, "LOC", 0.6))
    (one,) = silver_of(spans)
    assert one.spans == (Span(0, 2, "PER"),)
    assert one.unknown == {3}
    outside = np.array([0.0, 0.0, 0.7, 0.4, 0.99, 1.0], np.float32)
    (one,) = silver_of(spans, outside)
    assert one.unknown == {2, 3}


def test_labels_that_are_not_learnt_leave_their_tokens_open():
    (one,) = silver_of((Span(3, 4, "GPE", 0.99),))
    assert one.spans == ()
    assert one.unknown == {3}


def test_labels_that_the_teacher_does_not_know_stay_open_everywhere():
    sentence = Sentence(("Ada", "saw", "Lima"), (Span(0, 1, "PER", 1.0),))
    both = {"labels": frozenset({"PER", "LOC"}), "sure": 0.9, "most_open": 0.5}
    (one,) = as_silver([(sentence, None)], looked_for=frozenset({"PER", "ORG"}), **both)
    assert one.labels == {"PER"}
    (one,) = as_silver([(sentence, None)], looked_for=frozenset({"PER", "LOC"}), **both)
    assert one.labels is None


def test_sentences_of_doubt_are_left_out():
    assert silver_of((), np.full(6, 0.5, np.float32)) == []
    assert len(silver_of((Span(0, 2, "PER"),))) == 1, "without scores a span is believed"


def test_silver_is_read_as_it_was_written(tmp_path):
    sentences = in_document(
        [
            Sentence(("Ada", "left"), (Span(0, 1, "PER"),)),
            Sentence(("Lima", "é"), (), unknown=frozenset({1}), labels=frozenset({"PER"})),
        ]
    )
    write_silver(tmp_path / "silver.jsonl", [sentences[1], Sentence(("a",), ())])
    found = read_silver(tmp_path / "silver.jsonl")
    assert found.sentences == (sentences[1], Sentence(("a",), ()))
    assert found.sentences[0].document.tokens == sentences[1].document.tokens
    assert found.sentences[0].position == 1
    assert (found.tokens, found.open, found.spans) == (3, 1, 0)


def test_readings_are_the_predictions_and_the_marginals(trained_model):
    tagger = ner.load(trained_model)
    sentences = [*list(ner.read(sample_path("development")))[:20], Sentence(())]
    readings = Doubts.of(tagger).readings(sentences)
    predicted = tagger.predict(sentences)
    for (spans, outside), expected, sentence in zip(readings, predicted, sentences, strict=True):
        assert spans == expected
        assert outside.shape == (len(sentence),)
        scores = [span.score for span in spans]
        assert scores == pytest.approx([span.score for span in expected], abs=1e-3)
        assert all(outside[span.start] < 0.9 for span in spans if span.score > 0.5)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, sentences=30, epochs=2)
    lines = [" ".join(s.tokens) for s in ner.read(sample_path("train"))][:120]
    (tmp_path / "news.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


CALL = ["--config", "run.yaml", "--tokens", "1500", "--sure", "0.5", "--device", "cpu"]


def test_a_model_teaches_and_the_report_compares(here, trained_model, capsys):
    call = ["distil", str(trained_model), "news.txt", *CALL, "--epochs", "1", "--control"]
    assert main([*call, "--silver-epochs", "1", "--output", "student", "--json", "r.json"]) == 0
    result = json.loads((here / "r.json").read_text())
    assert {"student", "teacher", "control", "agreement", "differences"} <= result.keys()
    assert 0.0 <= result["student"]["development"] <= 1.0
    assert result["student"]["tokens_per_second"] > 0
    told = capsys.readouterr().out
    assert "F1" in told
    assert "than its teacher" in told
    assert "F1 on all labels" in told
    assert "old labels" not in told
    assert ner.load("student").network.labels
    assert not (here / "student.distil").exists()


def test_json_lines_of_anybody_teach(here, capsys):
    lines = []
    for one in list(ner.read(sample_path("train")))[:40]:
        spans = [
            {"start": s.start, "end": s.end, "label": s.label, "score": 0.97} for s in one.spans
        ]
        lines.append(json.dumps({"tokens": one.tokens, "spans": spans}))
    (here / "answers.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["distil", "answers.jsonl", *CALL, "--epochs", "1", "--output", "student"]) == 0
    assert "silver 40 sentences" in capsys.readouterr().out
    call = ["distil", "answers.jsonl", "news.txt", *CALL, "--output", "other"]
    assert main(call) == 2
    assert "give no RAW" in capsys.readouterr().err


def test_an_interrupted_run_is_continued_to_the_same_bytes(here, trained_model, monkeypatch):
    call = ["distil", str(trained_model), "news.txt", *CALL, "--epochs", "2", "--quiet"]
    assert main([*call, "--output", "student"]) == 0
    whole = bytes_of(here / "student")
    (here / "student").rename(here / "whole")
    train, taken = Run.train_epoch, []

    def cut_short(self, *given):
        if len(taken) == 3:  # in the second stage
            raise KeyboardInterrupt
        taken.append(1)
        return train(self, *given)

    monkeypatch.setattr(Run, "train_epoch", cut_short)
    assert main([*call, "--output", "student"]) == 130
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert main([*call, "--output", "student"]) == 2, "an interrupted run is not discarded"
    assert main([*call, "--output", "student", "--sure", "0.7", "--resume"]) == 2
    assert main([*call, "--output", "student", "--resume"]) == 0
    assert bytes_of(here / "student") == whole


@pytest.mark.parametrize("option", ["--tokens", "--silver-epochs"])
def test_nothing_is_not_a_number_of_tokens_or_epochs(option):
    assert main(["distil", "teacher", "news.txt", "--output", "s", option, "0"]) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["news.txt", "--output", "s"], "nothing to train on"),
        (["news.txt", "--config", "run.yaml", "--output", "s", "--sure", "2"], "--sure must be"),
        (["--config", "run.yaml", "--output", "s"], "no text to annotate"),
    ],
)
def test_what_cannot_be_is_one_line(here, trained_model, capsys, more, message):
    assert main(["distil", str(trained_model), *more]) == 2
    assert message in capsys.readouterr().err


def test_what_fails_before_there_is_anything_to_continue_leaves_nothing(
    here, trained_model, capsys
):
    (here / "short.txt").write_text("Nobody is here.\n", encoding="utf-8")
    call = ["distil", str(trained_model), *CALL, "--output", "student"]
    before = sorted(path.name for path in here.iterdir())
    for raw in ("short.txt", "nowhere.txt", "short.txt"):
        assert main([*call, raw]) == 2
        assert sorted(path.name for path in here.iterdir()) == before
    assert "leaves no sentence to learn from" in capsys.readouterr().err


def test_the_teacher_and_other_folders_are_not_replaced(here, trained_model, capsys):
    call = ["distil", str(trained_model), "news.txt", *CALL]
    assert main([*call, "--output", str(trained_model)]) == 2
    assert "the output is the teacher" in capsys.readouterr().err
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("all of it", encoding="utf-8")
    assert main([*call, "--output", "mine"]) == 2
    assert (here / "mine" / "thesis.txt").exists()


def test_the_report_says_whether_it_helped():
    results = {
        "teacher": {"development": 0.9, "tokens_per_second": 10.0},
        "student": {"development": 0.91, "test": 0.5, "tokens_per_second": 20.0},
    }
    lines = distil.lines_of(results)
    assert lines[1] == "student  development F1 91.00  test F1 50.00  20 tokens/s"
    assert lines[-1] == "on development the student is 1.00 F1 better than its teacher"
