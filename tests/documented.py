"""What the documentation is held against: its blocks, a folder that they run in, a small shell."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import training_runs

import ner
from ner.cli import main, parser_of
from ner.cli.arguments import assignments_of
from ner.config import dump
from ner.sample import path as sample_path
from ner.training import read_settings

ROOT = Path(__file__).parents[1]
LETTER = "Angela Merkel met Tim Cook in Berlin.\nAda Obi lives in Accra.\n"
MINE = {
    "data": {"train": "train.conll", "development": "dev.conll", "test": "test.conll"},
    "model": training_runs.SMALL,
    "training": {"epochs": 1},
    "output": "models/mine",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks(path):
    """The fenced blocks of a page, in order."""
    text = path.read_text("utf-8")
    for found in re.finditer(r"^( *)```([^`\n]*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(path.relative_to(ROOT).as_posix(), line, found[2], found[3])


def lines_of(text):
    """The lines of a shell block, the continued ones joined; comments are left out."""
    for line in text.replace("\\\n", " ").splitlines():
        if shlex.split(line, comments=True):
            yield line


def pipelines(line):
    """The commands of a line: each a list of stages, each a list of words."""
    found: list[list[list[str]]] = [[[]]]
    words = shlex.shlex(line, posix=True, punctuation_chars="|>&")
    words.whitespace_split = True
    for word in words:
        if word == "&&":
            found.append([[]])
        elif word == "|":
            found[-1].append([])
        else:
            found[-1][-1].append(word)
    return found


def furnish(folder, model, exported):
    """Fill a folder with what the pages name: parts of the bundled corpus, and small models."""
    for split, size in (("train", 60), ("development", 30), ("test", 30)):
        ner.write(folder / f"{split}.conll", list(ner.read(sample_path(split)))[:size])
    test = list(ner.read(folder / "test.conll"))
    predicted = [replace(sentence, spans=sentence.spans[:1]) for sentence in test]
    for name in ("news.conll", "unlabelled.conll", "baseline.conll", "tagged.jsonl", "ann.conll"):
        ner.write(folder / name, test)
    for name in ("better.conll", "predicted.jsonl", "other-tool.conll", "ben.conll", "cem.conll"):
        ner.write(folder / name, predicted)
    corrected = [s for doc in ner.load(model).tag(LETTER.splitlines()) for s in doc.sentences]
    ner.write(folder / "export.json", corrected, format="labelstudio")
    shutil.copy(folder / "development.conll", folder / "dev.conll")
    shutil.copy(folder / "train.conll", folder / "eng.train")
    for name in ("train.conll.gz", "big.conll.gz"):
        (folder / name).write_bytes(gzip.compress((folder / "train.conll").read_bytes()))
    columns = re.sub(r"(?m)( \S+)$", r"\1\1", (folder / "test.conll").read_text("utf-8"))
    records = "".join(json.dumps({"text": line}) + "\n" for line in LETTER.splitlines())
    raw = "\n".join(" ".join(sentence.tokens) for sentence in ner.read(sample_path("train")))
    files = {
        "raw.txt": raw + "\n",
        "both.txt": columns,
        "letters.txt": LETTER,
        "letter.txt": LETTER,
        "news.txt": LETTER,
        "records.jsonl": records,
        "corpus/a.jsonl": records,
        "corpus/b.jsonl": records,
        "patterns.tsv": "CASE\t[A-Z]{2}-[0-9]+\n",
        "names.tsv": "LOC\tBerlin\nPER\tAda Obi\n",
        "raw.jsonl": records,
        "llm.jsonl": records.replace("}", ', "entities": {"LOC": ["Berlin", "Accra"]}}'),
        "mine.yaml": dump(MINE),
        "configs/quick.yaml": dump({**MINE, "output": "models/quick"}),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    for name in ("mine", "conll2003", "one", "other", "quick"):
        shutil.copytree(model, folder / "models" / name)
    shutil.copytree(exported, folder / "models" / "conll2003-onnx")


def run(pipeline, monkeypatch):
    """Run `ner` and the few commands that feed it, in this process; return what was printed."""
    data = b""
    for stage in pipeline:
        program, *words = stage[: stage.index(">")] if ">" in stage else stage
        data = _ner(words, data, monkeypatch) if program == "ner" else FEEDING[program](words, data)
        if ">" in stage:
            Path(stage[-1]).write_bytes(data)
    return data.decode("utf-8")


FEEDING = {
    "echo": lambda words, _: f"{' '.join(words)}\n".encode(),
    "zcat": lambda words, _: gzip.decompress(Path(words[0]).read_bytes()),
    "head": lambda _, data: data,
}


def _ner(words, data, monkeypatch):
    if words[0] == "init":
        Path("mine.yaml").unlink(missing_ok=True)
    shorter = ["--set", "training.epochs=1"] if words[0] == "train" else []
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    said = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        status = main([*words, *shorter])
    assert status == 0 or (words[0] == "check" and status == 1), f"{words}: {said.getvalue()}"
    if words[0] == "init":
        Path("mine.yaml").write_text(dump(MINE), "utf-8")  # a quicker run than it proposes
    return printed.buffer.getvalue()


def check(words):
    """Check a command that is not run: its files are there, its options and settings exist."""
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    program = Path(words[0]).name
    if re.match(r"python", program) and words[1] == "-m":
        words = words[2:]
        program = words[0]
    if program == "ner":
        check_verb(words[1:])
    elif re.match(r"python", program):
        check_script(words[1], words[2:])
    else:
        check_other(program, words[1:])


OTHERS = {"pip", "venv", "pytest", "spacy", "curl", "mkdir", "build", "mkdocs", "pre-commit", "run"}


def check_other(program, words):
    assert program in OTHERS, f"unknown program {program!r}"
    for word in words:
        for extras in re.findall(r"^(?:ner-crf|\.)\[(.*)\]$", word):
            assert set(extras.split(",")) <= extras_of_project(), word
        assert not word.startswith(("tests/", "configs/")) or (ROOT / word).exists(), word


def check_verb(words):
    """Check that a verb understands its arguments, and a run its settings."""
    arguments = parser_of(words[0]).parse_intermixed_args(words[1:])
    config = getattr(arguments, "config", None)
    if config and (ROOT / config).exists():
        read_settings(ROOT / config, assignments_of(arguments))
    else:
        assert not (config or "").startswith("configs/"), config


def check_script(script, words):
    text = (ROOT / script).read_text("utf-8")
    for word in words:
        assert not word.startswith("--") or f'"{word}"' in text, f"{script} has no option {word}"
        assert not word.startswith("configs/") or (ROOT / word).exists(), word


def extras_of_project():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    table = text.split("[project.optional-dependencies]", 1)[1].split("\n[", 1)[0]
    return set(re.findall(r"(?m)^(\w+) = \[", table))
