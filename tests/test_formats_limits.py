"""What unpacks to gigabytes is refused before it fills the memory."""

import gzip
import subprocess
import sys
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
    "line.conll.gz": (b"a" * 1_000_000, 600, "the line is longer than"),
    "sentence.conll.gz": (b"a O\n" * 100_000, 100, "no empty line in"),
    "sentence.conllu.gz": (b"1\ta" + b"\t_" * 8 + b"\n" * 1, 3_000_000, "no empty line in"),
    "deep.json.gz": (b"[\n" * 100_000, 300, "nested deeper than"),
    "nested.json.gz": (b"[" * 1_000_000, 200, "the line is longer than"),
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
        DataError, match="more than 134,217,728 bytes; if that is right, set max_size"
    ):
        list(ner.read(path))


def test_a_table_whose_sentences_do_not_end_is_refused(tmp_path: Path):
    path = packed(tmp_path / "x.csv.gz", b"a,O\n" * 1000, 600)
    path.write_bytes(gzip.compress(b"token,tag\n") + path.read_bytes())
    with pytest.raises(DataError, match="within 500,000 rows; if that is right, set max_sentence"):
        list(ner.read(path))
    (sentence,) = ner.read(path, max_sentence=600_000)
    assert len(sentence) == 600_000


@pytest.mark.parametrize("ending", ["conll", "conllu"])
def test_limits_are_settings(ending: str, tmp_path: Path):
    word = {"conll": "a O\n", "conllu": "1\ta" + "\t_" * 8 + "\n"}[ending]
    path = tmp_path / f"x.{ending}"
    path.write_text(word * 600_000)
    with pytest.raises(DataError, match="if that is right, set max_sentence"):
        list(ner.read(path))
    path.write_text(word.replace("a", "a" * 6_000_000))
    with pytest.raises(DataError, match="the line is longer than 4,194,304 bytes"):
        list(ner.read(path))
    (sentence,) = ner.read(path, max_line=10_000_000)
    assert len(sentence.tokens[0]) == 6_000_000
