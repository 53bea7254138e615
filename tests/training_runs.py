"""Small runs for the tests of training: seconds long, with everything a large one has."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from pathlib import Path
from typing import Any

from ner.config import dump
from ner.sample import path as sample_path

SMALL = {
    "embeddings": {
        "words": {"width": 16},
        "characters": {"width": 8, "character_width": 8},
        "affixes": {"width": 4},
    },
    "encoder": {"width": 12},
}


def config(**training: Any) -> dict[str, Any]:
    """A configuration whose files are never read: the sentences are given to ``Run``."""
    return {
        "data": {"train": "unread"},
        "model": SMALL,
        "training": {"epochs": 3, "batch_size": 3, "threads": 1, "average": 0.0, **training},
    }


def write_config(
    folder: Path, *, sentences: int = 40, words: int | None = None, **training: Any
) -> Path:
    """A configuration over the first sentences of the bundled corpus, as a file in a folder.

    ``words`` is the width of the words' vectors, where it is to be another.
    """
    for split in ("train", "development"):
        text = sample_path(split).read_text(encoding="utf-8")
        blocks = [block for block in text.split("\n\n") if block.strip()]
        few = "\n\n".join(blocks[:sentences]) + "\n"
        (folder / f"{split}.conll").write_text(few, encoding="utf-8")
    settings = {
        **deepcopy(config(**training)),
        "data": {"train": "train.conll", "development": "development.conll"},
        "output": "model",
    }
    if words is not None:
        settings["model"]["embeddings"]["words"] = {"width": words}
    (folder / "run.yaml").write_text(dump(settings), encoding="utf-8")
    return folder / "run.yaml"


def bytes_of(folder: Path) -> dict[str, str]:
    """Digests of the files of a folder."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


# Runs the command line and kills itself at a flush, whose number is the first argument.
KILLED = """
import os, signal, sys
from ner.cli import main

left, flush = int(sys.argv.pop(1)), os.fsync

def flush_or_die(handle):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    flush(handle)

os.fsync = flush_or_die
sys.exit(main(sys.argv[1:]))
"""
