"""Mutated configurations, files of vectors and models as bytes: only errors of our own come out.

``reliability.py inputs`` tries them. Mutated corpora are tried by ``benchmarks/fuzz_readers.py``.
"""

from __future__ import annotations

import random
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from ner.config import load
from ner.embeddings.vector_files import read as read_vectors
from ner.errors import ModelError
from ner.storage.manifest import parse_json
from ner.training import read_settings

CONFIG = b"""\
data: {train: "sample:train", development: "sample:development"}
model:
  encoder: {width: 128, layers: 1, dropout: 0.5}
  embeddings:
    words: {width: 100, min_count: 1}
training: {epochs: 10, learning_rate: 1e-3, seed: 1, batch_size: 16}
output: models/mine
"""
TEXT = b"4 3\nthe 0.1 0.2 -0.3\nof 1e-3 2 3\nin 0.5 0.5 0.5\nNew York 1 2 3\n"
BINARY = b"3 2\n" + b"".join(
    word + b" " + struct.pack("<2f", 0.5, -1.5) + b"\n" for word in (b"the", b"of", b"in")
)
DESCRIPTION = b'{"format": 1, "network": {"labels": ["PER", "\\u00e9"], "width": 2.5}, "x": [null]}'
ODD = (
    b"\x00", b"\xff", b"\n", b"\t", b" ", b"-", b"9" * 30, b"1e999", b"nan", b"{", b"[" * 50, b"]",
    b":", b"&a", b"*a", b"!!python/object/apply:os.system", b"? ", b"<<: ", b"|\n", b"'", b'"',
    b"%YAML 9", b"---\n", b"\\ud800", b"\xed\xa0\x80", b"0x10", b"~", b"1000000000000 1000000\n",
)  # fmt: skip


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut, doubled or put in at some places."""
    held = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(held) + 1)
        kind = chance.randrange(5)
        if kind == 0 and place < len(held):
            held[place] ^= chance.randint(1, 255)
        elif kind == 1:
            del held[place : place + chance.randint(1, 20)]
        elif kind == 2:
            held[place:place] = chance.choice(ODD)
        elif kind == 3:
            held[place:place] = held[chance.randrange(len(held) + 1) :][: chance.randint(1, 40)]
        elif place < len(held):
            held[place : place + 1] = chance.choice(ODD)
    return bytes(held)


def _config(content: bytes, folder: Path) -> None:
    file = folder / "run.yaml"
    file.write_bytes(content)
    read_settings(load(file))


def _vectors(kind: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        file = folder / "vectors"
        file.write_bytes(content)
        read_vectors(file, kind)

    return read


def _numpy(content: bytes, folder: Path) -> None:
    file = folder / "vectors.npy"
    file.write_bytes(content)
    read_vectors(file, "numpy")


def _description(content: bytes, folder: Path) -> None:
    try:
        parse_json(content)
    except RecursionError as error:  # as ``read_json`` does
        raise ModelError("nested too deep") from error


def inputs(count: int, folder: Path, seed: int) -> int:
    """As many mutated inputs, of each kind a share."""
    import io

    import numpy as np

    (folder / "vectors.txt").write_text("the\nof\nin\n", encoding="utf-8")
    array = io.BytesIO()
    np.save(array, np.ones((3, 2), np.float32))
    kinds = [
        ("configuration", CONFIG, _config, 20),
        ("text vectors", TEXT, _vectors("text"), 20),
        ("binary vectors", BINARY, _vectors("binary"), 20),
        ("numpy vectors", array.getvalue(), _numpy, 20),
        ("description", DESCRIPTION, _description, 20),
    ]
    chance, broken, slowest, accepted = random.Random(seed), 0, (0.0, ""), 0
    warnings.simplefilter("error")
    for name, content, read, share in kinds:
        for _ in range(count * share // 100):
            given = mutated(content, chance)
            began = time.process_time()
            try:
                read(given, folder)
                accepted += 1
            except (ValueError, UserWarning):  # ours are such; numpy warns of an old header
                pass
            except Exception as error:  # any other error is what we look for
                broken += 1
                print(f"{name}: {type(error).__name__}: {error}: {given!r}")
            slowest = max(slowest, (time.process_time() - began, name))
    print(f"inputs: {count} mutated, {accepted} of them read, {broken} raised another error, "
          f"slowest {slowest[0]:.3f} s of CPU ({slowest[1]})")  # fmt: skip
    return broken
