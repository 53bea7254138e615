"""Feed the readers files that a coverage-guided fuzzer makes up (needs ``pip install atheris``).

    python benchmarks/fuzz_readers.py CORPUS -max_total_time=600

CORPUS is a folder the fuzzer keeps its finds in; it begins with a few files of each format.
Whatever a file holds, a reader may raise nothing but its own ``DataError``, ``ner check`` must
give a report, and neither may hang: anything else ends the run with the file that did it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

import atheris

FORMATS = (
    *("conll", "conllu", "conll2012", "jsonl", "brackets", "brat", "sgml", "slots"),
    *("csv", "webanno", "pubtator", "bioc", "i2b2"),
)
RAW = ("jsonl", "brat", "sgml", "pubtator", "bioc", "i2b2")  # whose text is cut into tokens

with atheris.instrument_imports(include=["ner"]):
    from ner.checks import check
    from ner.formats import DataError, DataWarning, read

    for name in FORMATS:  # which are else imported when first used, too late to be watched
        import_module(f"ner.formats.{name}")

SEEDS = {
    "conll": ["-DOCSTART- -X- O\n\nAda NNP B-PER\nleft VBD O\n\nRome NNP I-LOC\n", "a\tB-X\n\tO\n"],
    "conllu": ["# newdoc id = d\n1\tAda\t_\tPROPN\t_\t_\t0\t_\t_\tNER=B-PER\n\n"],
    "conll2012": [
        "#begin document (b/x); part 000\nb 0 0 A B (C* - - - D (E) (1)\n\n#end document\n"
    ],
    "jsonl": [
        '{"tokens": ["Ada", "x"], "tags": ["B-PER", "_"]}\n{"text": "a b", "label": [[0, 1, "X"]]}',
        '[{"text": "a\\nb", "entities": [{"name": "b", "span": [2, 3], "type": "X"}]}]',
        '{"data": {"text": "Ada"}, "annotations": [{"result": [{"value": {"start": 0, "end": 3, '
        '"labels": ["X"]}}]}]}\n{"text": "a", "tokens": [{"text": "a", "start": 0, "end": 1}], '
        '"spans": [{"start": 0, "end": 1, "label": "X"}], "answer": "accept"}',
    ],
    "brackets": ["-DOCSTART- x\n[PER Ada Obi] left \\[ [? Rome] .\n"],
    "sgml": [
        '<DOC>\n<DOCNO> d </DOCNO>\n<TEXT>\n<p><ENAMEX TYPE="PER">Ada\nObi</ENAMEX> &amp; </p>\n'
        "</TEXT>\n</DOC>\n",
        '\t   <b_enamex type="X">a<b_timex type="Y">b<e_timex><e_enamex> 3 < 4 &#65;\n',
    ],
    "slots": ["-DOCSTART- d\nto:O New:B-City York:I-City <=> flight\na:_ 5:30:O\n"],
    "csv": ["sentence,token,tag\n1,Ada,B-PER\n,left,O\n"],
    "webanno": [
        "#FORMAT=WebAnno TSV 3.3\n#T_SP=x.NamedEntity|value\n\n#Text=a b\n"
        "1-1\t0-1\ta\tX[1]\t\n1-2\t2-3\tb\tX[1]|*\t\n"
    ],
    "pubtator": ["1|t|Ada left\n1|a|Rome\n1\t0\t3\tAda\tPER\tD1\n"],
    "bioc": [
        "<collection><document><id>d</id><passage><offset>0</offset><text>Ada</text>"
        '<annotation id="1"><infon key="type">X</infon><location offset="0" length="3"/>'
        "</annotation></passage></document></collection>"
    ],
    "i2b2": ['<deIdi2b2><TEXT>Ada</TEXT><TAGS><A start="0" end="3" TYPE="X"/></TAGS></deIdi2b2>'],
    "brat": ["T1\tPER 0 7\tAda Obi\nT2\tORG 15 22;23 28\tKestrel Foods\n#1\tx\n"],
}
TEXT = "Ada Obi joined\nKestrel Foods in Accra.\n"
FOLDER = Path(tempfile.mkdtemp())


def one_file(data: bytes) -> None:
    """Read a file whose first byte says in which format, and check it."""
    format = FORMATS[data[0] % len(FORMATS)] if data else "conll"  # noqa: A001 - as everywhere
    path = FOLDER / ("x.ann" if format == "brat" else "x")
    path.write_bytes(data[1:])
    options = {"tokenizer": "plain"} if format in RAW else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        with contextlib.suppress(DataError):
            for _ in read(path, format=format, **options):
                pass
        json.dumps(check(path, format=format, **options).to_dict(), allow_nan=False)


def main() -> None:
    """Run until the fuzzer's own options say stop."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    (FOLDER / "x.txt").write_text(TEXT)
    for place, name in enumerate(FORMATS):
        for number, text in enumerate(SEEDS[name]):
            (corpus / f"{name}-{number}").write_bytes(bytes([place]) + text.encode())
    atheris.Setup(sys.argv, one_file)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
