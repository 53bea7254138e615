"""No pattern and no reader of ner/formats takes more than linear time on its worst input.

Nothing here compares a time with a figure: each input is timed at two sizes, and only the growth
counts. Eight times the input may take eight times as long; what is quadratic takes 64 times.
"""

import importlib
import inspect
import itertools
import pkgutil
import re
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

import ner.formats
from ner.errors import DataError
from ner.formats import FORMATS, kinds
from ner.formats.offsets import DEFAULT, tokenizer_named

SMALL, TIMES = 1_000, 8
MOST = 3 * TIMES  # between 8, linear, and 64, quadratic
NOISE = 0.02  # seconds of CPU within which nothing quadratic of 8,000 steps has room


def patterns() -> dict[str, Callable[..., object]]:
    """How each pattern that the modules of the shelf compile is used there."""
    found: dict[str, Callable[..., object]] = {}
    for info in pkgutil.iter_modules(ner.formats.__path__):
        module = importlib.import_module(f"ner.formats.{info.name}")
        compiled = {
            name: one
            for name, one in vars(module).items()
            if isinstance(one, re.Pattern) and isinstance(one.pattern, str)
        }
        for name, use in re.findall(r"(\b_[A-Z_]+)\.(\w+)\(", inspect.getsource(module)):
            if name in compiled:
                found[f"{info.name}.{name}.{use}"] = getattr(compiled[name], use)
    for name, begins in kinds._BEGINNINGS.items():
        found[f"kinds.{name}"] = re.compile(begins).match
    return found


STARTS = ("", "<a ", '"', "(", "&", "T1\t", "T1\tX ", "#", "# newdoc id = a", "-DOCSTART- a", "a=")
UNITS = (*"a1 \t\"'\\=<>()[]&#;:.,|-_/", '\\"', " a", "1.", "a:", "a:B-a ", "<a ", "1 2;", "\r\n")
ENDS = ("", "!")


def growth(work: Callable[[int], object]) -> float:
    """How many times as long the large input takes; 1 where that is too short to tell."""

    def seconds(size: int) -> float:
        start = time.process_time()
        work(size)
        return time.process_time() - start

    large = seconds(SMALL * TIMES)
    if large < NOISE:
        return 1.0
    return min(large, seconds(SMALL * TIMES)) / max(seconds(SMALL), NOISE / MOST)


USES = patterns()


@pytest.mark.parametrize("name", USES)
def test_patterns_are_linear(name: str):
    for start, unit, end in itertools.product(STARTS, UNITS, ENDS):

        def work(size: int, start: str = start, unit: str = unit, end: str = end) -> None:
            text = start + unit * (size // len(unit)) + end
            given = ("", text) if name.endswith(".sub") else (text,)
            found = USES[name](*given)
            if name.endswith("iter"):
                deque(cast("Iterator[object]", found), maxlen=0)

        assert growth(work) < MOST, (start, unit, end)


def test_what_is_quadratic_is_seen():
    assert growth(lambda n: re.search("a+b", "a" * n)) > MOST


WORD = "1\ta" + "\t_" * 7 + "\t"
FAMILIES: dict[str, Callable[[int], str]] = {
    "boundary.brackets": lambda n: "-DOCSTART- a" + " " * n + "b\n",
    "nested.brackets": lambda n: "[a " * n + "x\n",
    "newdoc.conllu": lambda n: "# newdoc id = a" + " " * n + f"b\n{WORD}_\n\n",
    "entity.conllu": lambda n: f"{WORD}Entity=" + "x" * n + "\n\n",
    "opened.conllu": lambda n: f"{WORD}Entity=" + "(a" * n + "b)" * n + "\n\n",
    "tag.sgml": lambda n: "<ENAMEX " + "x" * n + ">\n",
    "open.sgml": lambda n: "<ENAMEX x" * n + "\n",
    "comments.sgml": lambda n: "a<!>" * n + "\n",
    "entities.sgml": lambda n: "<ENAMEX>a</ENAMEX> " * (n // 4) + "\n",
    "nested.sgml": lambda n: "<ENAMEX>" * n + "a" + "</ENAMEX>" * n + "\n",
    "string.json": lambda n: '["' + '\\"' * n,
    "strings.json": lambda n: '[{"a": "' + '\n"' * n,
    "lists.json": lambda n: "[\n" * n,
    "list.json": lambda n: "[" * n,
    "overlaps.json": lambda n: (
        '{"text": "'
        + "a " * n
        + '", "label": ['
        + ",".join(f'[{place}, {place + 9}, "A"]' for place in range(0, n, 8))
        + "]}"
    ),
    "digits.json": lambda n: '{"text": "' + "1" * n + "1." * n + '"}',
    "slots.slots": lambda n: "a:B-a:" * n + "\n",
    "quotes.csv": lambda n: 'token,tag\n"' + '""' * n,
    "fields.webanno": lambda n: "#Text=" + "a " * n + "\n1-1\t0-1\t" + "_|" * n + "\n",
    "lines.pubtator": lambda n: "1|t|" + "a " * n + "\n1|a|\n" + "1\t0\t1\ta\tX\n" * n,
    "open.bioc": lambda n: "<collection>" + "<document>" * n,
    "spans.i2b2": lambda n: 'c="' + "a " * n + '" 1:0 1:1||t="x"\n',
    "sniffed": lambda n: "a:B-a:B-x " * n + "!\n",
    "wide.conll": lambda n: "a " * n + "\n",
    "long.conll": lambda n: "a O\n" * n,
    "blanks.conll": lambda n: "a" + " " * n + "O\n",
    "tags.conll": lambda n: "".join(f"a B-{one}\n" for one in range(n)),
    "parentheses.gold_conll": lambda n: "d 0 0 a p * - - - - " + "(" * n + " -\n",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_readers_are_linear(name: str, tmp_path: Path):
    def work(size: int) -> None:
        path = tmp_path / str(size) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(FAMILIES[name](size), encoding="utf-8")
        options = {"tokenizer": "plain"} if name.endswith((".sgml", ".json")) else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                list(ner.read(path, **options))
            except DataError as error:
                str(error)

    work(10)  # so that no module is imported while the clock runs
    assert growth(work) < MOST


@pytest.mark.parametrize("unit", ["$", "<", "\U0001f600", "'", "a-"])
def test_the_default_tokenizer_is_linear(unit: str):
    """On such runs that of spaCy is quadratic: a text of 60 kB took minutes."""
    tokenize = tokenizer_named(DEFAULT)
    tokenize("Ada left.")
    assert growth(lambda size: tokenize(unit * (size // len(unit)))) < MOST


def test_every_format_of_text_has_a_worst_family():
    endings = {name.rpartition(".")[2] for name in FAMILIES}
    missing = {"brat", "docbin"}  # a folder, and no text
    for name in FORMATS.keys() - missing:
        assert endings & {one.lstrip(".") for one in FORMATS[name].endings}, name
