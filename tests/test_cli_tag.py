"""``ner tag``: order kept, tokens in are tokens out, offsets into the text, bad lines told."""

import argparse
import gzip
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import warnings
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch

from ner.cli import main
from ner.cli.tag import add_arguments
from ner.cli.tag_job import chunks
from ner.cli.tag_workers import Workers, _Worker
from ner.network import build
from ner.sentence import Sentence
from ner.streaming import readers
from ner.streaming.readers import Idle, Source
from ner.tagger import Tagger


@pytest.fixture(scope="module")
def model(small_model):
    return small_model


@pytest.fixture
def tag(model, monkeypatch, capsys):
    """Run ``ner tag`` on a text on standard input; give status, output and errors."""

    def run(text, *arguments):
        monkeypatch.setattr(
            sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode(errors="surrogateescape")))
        )
        status = main(["tag", model, *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_text_gives_offsets_into_the_text(tag):
    lines = ["Ada Obi  joined\tKestrel Foods.", "", "  Lin Ho resigned in Lima. \u00a0"]
    status, out, _ = tag("\n".join(lines) + "\n")
    records = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [record["text"] for record in records] == lines
    spans = [(record, span) for record in records for span in record["spans"]]
    assert spans
    for record, span in spans:
        assert record["text"][span["start"] : span["end"]] == span["text"]
        first, last = record["tokens"][span["token_start"]], record["tokens"][span["token_end"] - 1]
        assert span["text"].startswith(first)
        assert span["text"].endswith(last)
        assert 0.0 <= span["score"] <= 1.0


CONLL = """\
-DOCSTART- -X- O

Ada NNP B-PER
Obi NNP I-PER
said VBD O

# not a comment by itself O
Lima\tNNP\tO


Accra NNP O
"""


def test_conll_lines_are_copied_with_a_tag_added(tag):
    status, out, _ = tag(CONLL, "--from", "conll", "--to", "conll")
    assert status == 0
    given, written = CONLL.splitlines(), out.splitlines()
    assert len(written) == len(given)
    for before, after in zip(given, written, strict=True):
        if not before:
            assert after == ""
            continue
        separator = "\t" if "\t" in before else " "
        copied, _, tag_ = after.rpartition(separator)
        assert copied == before
        assert tag_[:2] in ("O", "B-", "I-")


def test_every_format_tells_the_same(tag, model, toy, tmp_path):
    conll = "".join("".join(f"{token} O\n" for token in s.tokens) + "\n" for s in toy)
    jsonl = "".join(json.dumps({"tokens": s.tokens, "id": n}) + "\n" for n, s in enumerate(toy))
    ours = [json.loads(x) for x in tag(conll, "--from", "conll")[1].splitlines()]
    theirs = [json.loads(x) for x in tag(jsonl, "--from", "jsonl")[1].splitlines()]
    assert [record.pop("id") for record in theirs] == list(range(len(toy)))
    assert ours == theirs
    assert [tuple(record["tokens"]) for record in ours] == [s.tokens for s in toy]
    assert sum(len(record["spans"]) for record in ours) > 0


def test_a_document_is_one_for_all_its_sentences(tag, model, toy):
    import ner
    from ner.sentence import in_document

    text = "-DOCSTART- -X-\n\n" + "\n".join(
        "".join(f"{token} X\n" for token in s.tokens) for s in toy
    )
    out = tag(text, "--from", "conll")[1]
    found = [[(s["token_start"], s["token_end"], s["label"]) for s in json.loads(x)["spans"]]
             for x in out.splitlines()]  # fmt: skip
    wanted = ner.load(model).predict(in_document(toy))
    assert found == [[(s.start, s.end, s.label) for s in spans] for spans in wanted]


def test_a_sentence_too_long_to_be_held_is_written_as_it_is_read(tag, monkeypatch):
    monkeypatch.setattr(readers, "HELD", 500)
    monkeypatch.setattr("ner.inference.batch_engine.PIECE", 600)
    monkeypatch.setattr("ner.inference.batch_engine.WHOLE", 600)
    lines = [f"Word{number % 9} O" for number in range(3000)]
    text = "\n".join(["Ada O", "", *lines, "", "Obi O"]) + "\n"
    status, out, _ = tag(text, "--from", "conll", "--to", "conll")
    assert status == 0
    assert [line.rpartition(" ")[0] for line in out.splitlines()] == text.splitlines()[:]
    records = [json.loads(x) for x in tag(text, "--from", "conll")[1].splitlines()]
    assert len(records) > 3
    tokens = [token for record in records for token in record["tokens"]]
    assert tokens == ["Ada", *(line[:-2] for line in lines), "Obi"]


def test_long_lines_of_text_are_cut_at_blanks():
    text = "aa bb " * 50 + "c" * 40
    parts = list(readers.cut(text, 20))
    assert "".join(parts) == text
    assert all(part.endswith(" ") for part in parts[:-1])
    assert max(map(len, parts)) < 70
    assert list(readers.cut("")) == [""]


def test_a_word_of_any_length_is_one_token(tag):
    word = "x" * 300_000
    status, out, _ = tag(f"Ada {word} O\n{word} O\n", "--from", "conll", "--to", "conll")
    assert status == 0
    assert [line.split(" ")[0] for line in out.splitlines()] == ["Ada", word]


@pytest.mark.parametrize(
    ("text", "source", "line"),
    [
        ('{"text": "Lima."}\n{"tokens": "Lima"}\n', "jsonl", 2),
        ('{"text": "Lima."}\n[1]\nnothing\n', "jsonl", 2),
        ('{"text": 3}\n', "jsonl", 1),
        ('{"text": "Lima."}\n{"tokens": ["Ada", ""]}\n', "jsonl", 2),
        ('{"text": "Lima."}\n{"text": "Ada", "rate": NaN}\n', "jsonl", 2),
        ('{"text": "Lima."}\n{"text": "Ada", "rate": 1e999}\n', "jsonl", 2),
        ('{"text": "Lima."}\n{"text": "\\ud800"}\n', "jsonl", 2),
        ("Lima. O\n\tO\n", "conll", 2),
        ("Lima.\nCaf\udce9\n", "text", 2),
    ],
)
def test_bad_lines_are_told_with_their_number_and_skipped_if_asked(tag, text, source, line):
    status, _, err = tag(text, "--from", source)
    assert status == 2
    assert err.startswith(f"error: standard input:{line}: ")
    good = sum("Lima." in part for part in text.splitlines())
    status, out, err = tag(text, "--from", source, "--skip-bad")
    assert status == 0
    assert len(out.splitlines()) == good
    assert f"standard input:{line}: " in err


def test_bytes_that_are_no_utf8_are_told(tag, model, tmp_path, capsys):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"Lima.\nCaf\xe9\n")
    assert main(["tag", model, str(path), "--quiet"]) == 2
    assert f"{path}:2: " in capsys.readouterr().err


def test_text_in_another_encoding_is_read_as_told(model, tmp_path, capsys):
    path = tmp_path / "old.txt"
    path.write_bytes("Café Ada\n".encode("latin-1"))
    assert main(["tag", model, str(path), "--encoding", "latin-1"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "Café Ada"


def test_only_blanks_and_tabs_part_columns(tag):
    """As for every reader of columns: a no-break space is part of its token."""
    lines = ["5\u00a0000 CD", "\u3000 X", "a\u0085b\tX"]
    status, out, _ = tag("\n".join(lines) + "\n", "--from", "conll")
    assert status == 0
    assert json.loads(out)["tokens"] == ["5\u00a0000", "\u3000", "a\u0085b"]


def test_a_first_column_that_counts_is_told(tag):
    text = "1 Ada O\n2 left O\n3 . O\n\n1 She O\n2 waved O\n"
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        _, _, err = tag(text, "--from", "conll")
    assert "warning: standard input: the tokens are the numbers 1, 2, 3, " in err
    assert "move them first with `ner convert --reader token_column=1`" in err


def test_an_array_is_no_line_of_jsonl(tag):
    status, _, err = tag('[{"text": "Ada"},\n {"text": "Obi"}]\n', "--from", "jsonl")
    assert status == 2
    assert "standard input:1: expected one JSON object per line, got an array; `ner convert`" in err


def test_tokens_given_with_their_text_keep_it(tag):
    """So that what was tagged can be tagged again."""
    text = "It's  Ada Obi."
    once = tag(json.dumps({"text": text}) + "\n", "--from", "jsonl")[1]
    assert json.loads(once)["text"] == text
    assert tag(once, "--from", "jsonl")[1] == once
    other = {"text": "not these", "tokens": ["Ada", "Obi"]}
    assert json.loads(tag(json.dumps(other) + "\n", "--from", "jsonl")[1])["text"] == "Ada Obi"


@pytest.mark.parametrize("token", ["a\nb", "a\tb", "-DOCSTART-"])
def test_a_token_that_cannot_stand_in_a_column_is_an_error(tag, token):
    text = json.dumps({"tokens": ["Ada", token]}) + "\n"
    status, _, err = tag(text, "--from", "jsonl", "--to", "conll")
    assert status == 2
    assert err.startswith("error: ")


def test_html_is_escaped_and_marked(tag):
    status, out, _ = tag("Ada Obi <script> in Lima.\n", "--to", "html")
    assert status == 0
    assert "<script>" not in out
    assert "&lt;script&gt;" in out
    assert out.startswith("<!DOCTYPE html>")
    assert out.rstrip().endswith("</html>")
    assert "<mark " in out


def test_options_of_decoding(tag):
    text = "Ada Obi joined Kestrel Foods in Lima .\n"
    spans = json.loads(tag(text)[1])["spans"]
    least = sorted(span["score"] for span in spans)[len(spans) // 2]
    kept = json.loads(tag(text, "--min-score", str(least))[1])["spans"]
    assert kept == [span for span in spans if span["score"] >= least]
    loose = json.loads(tag(text, "--decode", "posterior", "--threshold", "0.01")[1])["spans"]
    assert all(span["score"] >= 0.01 for span in loose)
    record = json.loads(tag(text, "--alternatives", "3")[1])
    assert len(record["alternatives"]) == 3
    chances = [reading["probability"] for reading in record["alternatives"]]
    assert chances == sorted(chances, reverse=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--alternatives", "2", "--to", "html"],
        ["--threads", "0"],
        ["--processes", "0"],
        ["--processes", "1000000"],
        ["--threshold", "3"],
        ["--threshold", "0", "--decode", "posterior"],
        ["--threshold", "0.5", "--decode", "viterbi"],
        ["--device", "mps"],
        ["--language", "ja"],
        ["x.conllu"],
        ["x.md"],
        ["--encoding", "latin-9x"],
        ["s3://bucket/x.txt"],
        ["--output", "s3://bucket/x.jsonl"],
        ["--shard", "1/2"],
        ["--output-dir", "out"],
        ["x.conll", "--output-dir", "out", "--shard", "3/2"],
        ["missing*.conll"],
        ["--language", "klingon"],
    ],
)
def test_bad_calls_are_one_line(tag, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = tag("Ada\n", *arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_shards_share_the_files_and_what_is_done_stays(model, tmp_path, capsys):
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    for number in range(5):
        (corpus / f"{number}.jsonl").write_text(json.dumps({"text": f"Ada {number}"}) + "\n")
    call = ["tag", model, str(corpus / "*.jsonl"), "--output-dir", str(out), "--quiet"]
    assert main([*call, "--shard", "2/2"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["1.jsonl", "3.jsonl"]
    (out / "1.jsonl").write_text("kept\n")
    assert main(call) == 0
    assert (out / "1.jsonl").read_text() == "kept\n"
    assert sorted(path.name[0] for path in out.iterdir()) == list("01234")


def test_columns_of_json_lines_reach_the_model_and_others_are_told(toy, tmp_path, capsys):
    torch.manual_seed(0)
    flagged = [Sentence(s.tokens, s.spans, {"flag": ("x",) * len(s)}) for s in toy]
    network = build(flagged, embeddings={"columns": {"width": 8}}, encoder={"width": 8}).eval()
    with torch.no_grad():
        network.projection.weight.normal_(0.0, 2.0)
    tagger, path = Tagger(network), tmp_path / "in.jsonl"
    assert tagger.columns == ("flag",)
    tagger.save(tmp_path / "model")
    lines = ({"tokens": s.tokens, "columns": s.columns} for s in flagged)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    call = ["tag", str(tmp_path / "model")]
    assert main([*call, str(path)]) == 0
    out, err = capsys.readouterr()
    scores = [[span["score"] for span in json.loads(line)["spans"]] for line in out.splitlines()]
    wanted = tagger.predict(flagged)
    for found, spans in zip(scores, wanted, strict=True):
        assert found == pytest.approx([span.score for span in spans], abs=2e-6)
    bare = tagger.predict([s.tokens for s in toy])
    assert scores != [[round(span.score, 6) for span in spans] for spans in bare]
    assert "columns" not in err
    path.with_suffix(".conll").write_text("Ada x O\n")
    assert main([*call, str(path.with_suffix(".conll"))]) == 0
    assert "reads the columns flag" in capsys.readouterr().err
    path.write_text('{"tokens": ["Ada"], "columns": {"flag": ["x", "y"]}}\n')
    assert main([*call, str(path)]) == 2
    assert "in.jsonl:1: column 'flag' needs a value per token (1)" in capsys.readouterr().err


def test_the_output_is_compressed_as_its_ending_says(model, tmp_path, capsys):
    path, out = tmp_path / "a.txt", tmp_path / "out.jsonl.gz"
    path.write_text("Ada Obi joined Kestrel Foods.\n")
    assert main(["tag", model, str(path), "--quiet"]) == 0
    assert main(["tag", model, str(path), "--output", str(out), "--quiet"]) == 0
    assert gzip.decompress(out.read_bytes()).decode() == capsys.readouterr().out


def test_the_folder_of_the_inputs_is_no_folder_for_outputs(model, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"text": "Ada"}\n')
    call = ["tag", model, str(tmp_path / "*.jsonl"), "--output-dir", str(tmp_path)]
    assert main(call) == 2
    assert "a.jsonl is an input" in capsys.readouterr().err


def test_several_processes_write_what_one_writes(tag, monkeypatch):
    monkeypatch.setattr(readers, "HELD", 300)
    monkeypatch.setattr("ner.cli.tag_job.CHUNK", 50)
    lines = [f"Word{n % 9} O\n" + "\n" * (n % 7 == 0) for n in range(400)]
    endless = [f"Kestrel{n % 5} O\n" for n in range(700)]
    text = "".join([*lines, "\n", *endless, "\n", *lines])
    arguments = ("--from", "conll", "--to", "conll", "--quiet")
    one, several = tag(text, *arguments), tag(text, *arguments, "--processes", "2")
    assert several == one
    assert one[0] == 0
    assert one[1].count("Word8") == 2 * 44


def test_several_processes_say_once_that_the_model_cannot_be_loaded(tmp_path, capfd):
    (tmp_path / "a.txt").write_text("Ada\n")
    call = ["tag", str(tmp_path / "none"), str(tmp_path / "a.txt"), "--processes", "2"]
    assert main(call) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


class Ended(Future):
    """What becomes of the work of a process that is gone."""

    def result(self, timeout=None):
        raise BrokenProcessPool


@pytest.mark.parametrize("taken", [True, False])
def test_a_process_that_has_ended_is_told_in_words(monkeypatch, taken):
    """Whether it ended while it tagged, or before it was given anything to tag."""

    class Pool:
        def __init__(self, *arguments):
            self.left = 2 + taken  # the first two are asked for their columns

        def submit(self, *call):
            self.left -= 1
            if self.left < 0:
                raise BrokenProcessPool
            return Ended()

        def shutdown(self, **how):
            pass

    monkeypatch.setattr("ner.cli.tag_workers.ProcessPoolExecutor", Pool)
    with (
        Workers(argparse.Namespace(processes=2)) as workers,
        pytest.raises(MemoryError, match="a tagging process has ended"),
    ):
        list(workers.tagged([["a line"]]))


def test_what_a_process_writes_has_no_head(model, toy):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    worker = _Worker(parser.parse_args([model, "--to", "html"]))
    written = worker.tag([readers.TagRequest(sentence) for sentence in toy[:2]])
    assert written.text.startswith("<p>")
    assert written[1:] == (2, len(toy[0]) + len(toy[1]))
    assert worker.tag([readers.TagRequest(toy[2])]).sentences == 1


@pytest.mark.parametrize(
    ("kind", "text", "answered"),
    [
        ("text", "Ada left.\nShe\nand no", 2),
        ("jsonl", '{"text": "Ada left."}\n\n{"tokens": ["She"]}\n{"te', 2),
        ("conll", "Ada O\nleft O\n\nShe O\nand O\n", 1),
    ],
)
def test_what_has_come_is_answered_when_no_more_comes(monkeypatch, kind, text, answered):
    """A line of text or JSON, a sentence of columns: none waits for the end of the stream."""
    inner, outer = os.pipe()
    os.set_blocking(inner, False)  # waiting for more ends the stream, and the test, at once
    with os.fdopen(inner) as stdin, os.fdopen(outer, "w") as keyboard:
        monkeypatch.setattr(sys, "stdin", stdin)
        keyboard.write(text)
        keyboard.flush()
        parts = chunks(readers.READERS[kind](Source("-")))
        some, quiet = next(parts), next(parts)
    assert sum(isinstance(item, readers.TagRequest) for item in some) == answered
    assert isinstance(quiet, Idle)


def test_who_types_is_answered_at_once(model):
    """As on a terminal: the answer to a line comes before the next line, Ctrl-D ends it."""
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "ner", "tag", model]
    with (
        os.fdopen(outer, "wb", buffering=0) as keyboard,
        subprocess.Popen(
            command, stdin=inner, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        os.close(inner)
        for line in ("Ada Obi left.", "She waved."):
            keyboard.write(f"{line}\n".encode())
            assert select.select([process.stdout], [], [], 100)[0], "it waits for the end"
            assert json.loads(process.stdout.readline())["text"] == line
        keyboard.write(b"\x04")
        rest, errors = process.communicate()
    assert (process.returncode, rest) == (0, b"")
    assert b"2 sentences" in errors
    assert b"Ctrl-D ends it" in errors


def test_an_error_leaves_no_output_behind(model, tmp_path):
    source, out = tmp_path / "bad.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "Ada"}\nbroken\n')
    assert main(["tag", model, str(source), "--output", str(out)]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl"]


def test_a_reader_that_leaves_is_no_error(model):
    """As in ``ner tag ... | head -1``: no traceback, and the status a shell expects."""
    command = [sys.executable, "-m", "ner", "tag", model, "-", "--from", "conll", "--to", "conll"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        errors = process.communicate(b"Ada O\n\n" * 11_000)[1]
    assert process.returncode in (128 + signal.SIGPIPE, -signal.SIGPIPE)
    assert b"Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.pdf"], "cannot infer the format of a.pdf from its extension; pass --from text, conll"),
        (["a.brackets"], "a.brackets: cannot tag brackets files; convert it with `ner convert`"),
        (["--output", "a.pdf"], "cannot infer the format of a.pdf from its extension; pass --to"),
        (["--output", "."], "--output .: is a folder; name a file"),
        (["--reader", "encodng=latin-1"], "`ner tag` has no option 'encodng'; did you mean 'enc"),
        (["--reader", "encoding=5"], "option encoding of the reader of `ner tag` wants text"),
        (["--reader", "tokenizer=spacy:xq"], "spaCy has no language 'xq'"),
    ],
)
def test_files_and_options_are_refused_before_the_model_is_loaded(tag, arguments, message):
    status, out, err = tag("Ada\n", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_the_extension_of_the_output_says_its_format(tag, tmp_path):
    for name, beginning in (("a.conll", "Ada "), ("a.jsonl.gz", ""), ("a", "{"), ("a.html", "<")):
        assert (
            tag("Ada\n", "--output", str(tmp_path / name), "--reader", "encoding=latin-1")[0] == 0
        )
        if beginning:
            assert (tmp_path / name).read_text().startswith(beginning)


def test_columns_are_not_tagged_as_prose(small_model, tmp_path, capsys):
    columns = {
        "tags.txt": "Ada B-PER\nObi I-PER\nleft O\n\nShe O\n",
        "four.txt": "Ada NNP B-NP B-PER\nleft VBD B-VP O\n",
        "opened": "-DOCSTART- -X- O O\n\nAda NNP B-NP O\n",
    }
    for name, text in columns.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert main(["tag", small_model, str(tmp_path / name)]) == 2
        out, err = capsys.readouterr()
        assert not out
        assert "looks like CoNLL" in err
        assert "--from conll" in err
        assert main(["tag", small_model, str(tmp_path / name), "--from", "text"]) == 0
        assert main(["tag", small_model, str(tmp_path / name), "--from", "conll"]) == 0
        capsys.readouterr()
    prose = ["Ada left .\n", "I am O-negative\nYou are B-positive\n", "one\ntwo\n", "\n"]
    for text in prose:
        (tmp_path / "prose.txt").write_text(text, encoding="utf-8")
        assert main(["tag", small_model, str(tmp_path / "prose.txt"), "--quiet"]) == 0


def test_select_does_not_take_prose_for_columns(small_model, tmp_path, capsys):
    (tmp_path / "prose.txt").write_text("Ada Obi left Accra.\nShe is in Lima now.\n", "utf-8")
    assert main(["select", small_model, str(tmp_path / "prose.txt"), "--budget", "2"]) == 0
    said = capsys.readouterr().out
    assert "Ada Obi left Accra ." in said
    assert "She is in Lima now ." in said


def test_a_folder_of_outputs_ends_in_a_summary(small_model, tmp_path, capsys):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("Ada Obi left.\n", encoding="utf-8")
    given = [str(tmp_path / "*.txt"), "--output-dir", str(tmp_path / "new" / "out")]
    assert main(["tag", small_model, *given]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"out: 2 files, 8 tokens, \d+\.\d s, [\d,]+ tokens/s$", last)
    assert main(["tag", small_model, *given]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert "0 files (2 more exist already" in last


def test_json_lines_are_not_named_as_a_document(small_model, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("Ada left.\n", encoding="utf-8")
    given = ["tag", small_model, str(tmp_path / "a.txt"), "--output", str(tmp_path / "x.json")]
    assert main(given) == 2
    assert ".jsonl" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()
