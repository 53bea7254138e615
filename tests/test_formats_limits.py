"""What unpacks to gigabytes is refused before it fills the memory."""

import gzip
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest

import ner
from ner.errors import DataError

MOST = 500  # MiB above the start
MEASURE = """
import sys, resource
import ner, ner.formats.conll, ner.formats.conllu, ner.formats.jsonl
if sys.argv[1].endswith(".spacy"): import spacy
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
start = used()
try:
    for _ in ner.read(sys.argv[1]): pass
except ner.errors.DataError as error:
    print(used() - start, str(error)[:200])
"""


def packed(path: Path, unit: bytes, times: int) -> Path:
    with gzip.open(path, "wb", 1) as file:
        for _ in range(times):
            file.write(unit)
    return path


BOMBS = {
    "line.conll.gz": (b"a" * 1_000_000, 600, "the line has more than"),
    "sentence.conll.gz": (b"a O\n" * 100_000, 100, "no empty line within"),
    "sentence.conllu.gz": (b"1\ta" + b"\t_" * 8 + b"\n" * 1, 3_000_000, "no empty line within"),
    "deep.json.gz": (b"[\n" * 100_000, 300, "nested deeper than"),
    "nested.json.gz": (b"[" * 1_000_000, 200, "the line has more than"),
    "values.json.gz": (b"[]," * 100_000, 100, "values"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_too_much_is_refused(name: str, tmp_path: Path):
    unit, times, said = BOMBS[name]
    if name == "sentence.conllu.gz":
        unit, times = unit * 1000, times // 1000
    path = packed(tmp_path / name, unit, times)
    if name == "values.json.gz":
        path.write_bytes(gzip.compress(b"[" + unit * times + b"0]"))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True
    )
    above, _, message = done.stdout.partition(" ")
    assert said in message
    assert float(above) < MOST


def test_a_docbin_that_unpacks_to_too_much_is_refused(tmp_path: Path):
    path = tmp_path / "x.spacy"
    path.write_bytes(zlib.compress(bytes(200 << 20), 1))
    with pytest.raises(
        DataError, match="more than 134,217,728 bytes; raise max_size if that is right"
    ):
        list(ner.read(path))


def test_a_table_whose_sentences_do_not_end_is_refused(tmp_path: Path):
    path = packed(tmp_path / "x.csv.gz", b"a,O\n" * 1000, 600)
    path.write_bytes(gzip.compress(b"token,tag\n") + path.read_bytes())
    with pytest.raises(DataError, match="within 500,000 rows; raise max_sentence if that is right"):
        list(ner.read(path))
    (sentence,) = ner.read(path, max_sentence=600_000)
    assert len(sentence) == 600_000


LONG = {  # what has no end, and what is said of it
    "x.webanno": ("#FORMAT=WebAnno TSV 3.3\n#T_SP=a.NamedEntity|value\n\n#Text=a\n",
                  "1-1\t0-1\ta\t_\n", "no sentence ends within 500,000 lines"),
    "x.pubtator": ("1|t|a\n", "1\t0\t1\ta\tX\n", "one document has more than 500,000 annotations"),
    "x.i2b2": ("", 'c="a" 1:0 1:0||t="x"\n', "one text has more than 500,000 concepts"),
    "x.bioc": ("<collection><document>", "<a>long</a>\n", "no <document> ends within 8,388,608"),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_documents_that_do_not_end_are_refused(name: str, tmp_path: Path):
    begins, unit, said = LONG[name]
    (tmp_path / name).write_text(begins + unit * 1_000_000)
    (tmp_path / "x.txt").write_text("a\n")
    with pytest.raises(DataError, match=said):
        list(ner.read(tmp_path / name))


def test_elements_that_were_read_are_let_go(tmp_path: Path):
    path = tmp_path / "x.bioc"
    path.write_text("<collection>" + "<document></document>" * 300_000 + "</collection>")
    tracemalloc.start()
    try:
        assert list(ner.read(path)) == []
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ending", ["conll", "conllu"])
def test_limits_are_settings(ending: str, tmp_path: Path):
    word = {"conll": "a O\n", "conllu": "1\ta" + "\t_" * 8 + "\n"}[ending]
    path = tmp_path / f"x.{ending}"
    path.write_text(word * 600_000)
    with pytest.raises(DataError, match="raise max_sentence if that is right"):
        list(ner.read(path))
    path.write_text(word.replace("a", "a" * 6_000_000))
    with pytest.raises(DataError, match=r"more than 4,194,304 bytes \(max_line\)"):
        list(ner.read(path))
    (sentence,) = ner.read(path, max_line=10_000_000)
    assert len(sentence.tokens[0]) == 6_000_000
