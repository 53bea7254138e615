"""What damage and malice do to a model directory; ``reliability.py hostile`` tries it all."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ner.model_directory import DESCRIPTION, WEIGHTS
from ner.storage.atomic import sha256

Attack = Callable[[Path, random.Random], None]


def mutate(model: Path, chance: random.Random) -> None:
    """Change a model directory in one of the ways that damage or malice would."""
    kind = chance.randrange(4)
    name = chance.choice(sorted(file.name for file in model.iterdir()))
    content = bytearray((model / name).read_bytes())
    if kind == 0:  # bits flipped anywhere
        for _ in range(chance.randint(1, 20)):
            content[chance.randrange(len(content))] ^= chance.randint(1, 255)
        (model / name).write_bytes(content)
    elif kind == 1:  # cut short
        (model / name).write_bytes(content[: chance.randrange(len(content))])
    elif kind == 2:  # settings that lie, signed as a malicious author would
        sign(model, lambda said: lie(said["network"], chance))
    else:  # a header of weights that lies, signed
        size = int.from_bytes((model / WEIGHTS).read_bytes()[:8], "little")
        weights = bytearray((model / WEIGHTS).read_bytes())
        weights[chance.randrange(8 + size)] = chance.randrange(256)
        (model / WEIGHTS).write_bytes(weights)
        sign(model)


def sign(
    model: Path, edit: Callable[[dict], Any] = lambda said: None, description: str = DESCRIPTION
) -> None:
    """Edit a description and make every checksum right again."""
    said = json.loads((model / description).read_text())
    edit(said)
    for name in said["files"]:
        if (model / name).is_file() and (model / name).stat().st_size < 1 << 30:
            said["files"][name] = {"sha256": sha256(model / name)}
    signed = json.dumps({k: v for k, v in said.items() if k != "checksum"}, sort_keys=True)
    said["checksum"] = hashlib.sha256(signed.encode()).hexdigest()
    (model / description).write_text(json.dumps(said))


def lie(settings: dict, chance: random.Random) -> None:
    """Put something else in place of one value somewhere in the settings."""
    place = settings
    while True:
        key = chance.choice(list(place))
        if isinstance(place[key], dict) and place[key] and chance.random() < 0.8:
            place = place[key]
            continue
        place[key] = chance.choice(
            [10**9, -1, 0, 1e308, "x", None, True, [], {}, ["a", "a"], {"kind": "os"}, "../../x"]
        )
        return


def _instead(make: Callable[[Path], Any]) -> Attack:
    """Something else in place of one of the files."""

    def attack(model: Path, chance: random.Random) -> None:
        file = chance.choice(sorted(model.iterdir()))
        file.unlink()
        make(file)

    return attack


def _edited(edit: Callable[[dict], Any]) -> Attack:
    return lambda model, chance: sign(model, edit)


def _said(text: Callable[[], str]) -> Attack:
    return lambda model, chance: (model / DESCRIPTION).write_text(text()) and None


def _sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(1 << 40)


ATTACKS: dict[str, Attack] = {
    "link to a device": _instead(lambda file: file.symlink_to("/dev/zero")),
    "link out": _instead(lambda file: file.symlink_to("/etc/passwd")),
    "pipe": _instead(os.mkfifo),
    "folder": _instead(Path.mkdir),
    "sparse file": _instead(_sparse),
    "members": _edited(lambda d: d["network"].update(members=100)),
    "layers": _edited(lambda d: d["network"]["encoder"].update(layers=32)),
    "members of layers": _edited(lambda d: d["network"].update(members=[
        {"encoder": {"width": 1 + n, "layers": 32}} for n in range(100)])),
    "labels": _edited(lambda d: d["network"].update(labels=list(map(str, range(300_000))))),
    "labels of a member": _edited(lambda d: d["network"].update(members=[
        {"labels": list(map(str, range(300_000)))}])),
    "parts": _edited(lambda d: d["network"].update(embeddings={
        f"x{n}": {"kind": "words", "words": []} for n in range(20_000)})),
    "some parts": _edited(lambda d: d["network"].update(embeddings={
        f"x{n}": {"kind": "words", "words": []} for n in range(400)})),
    "files": _edited(lambda d: d["files"].update({f"x{n}": {} for n in range(100_000)})),
    "paths": _edited(lambda d: d["files"].update({"../../../etc/passwd": {}})),
    "words": _edited(lambda d: d["network"]["embeddings"]["words"].update(
        words=[f"{n:x}" for n in range(400_000)])),
    "huge": _edited(lambda d: d["network"]["encoder"].update(width=10**15)),
    "many digits": _said(lambda: '{"format": ' + "9" * 4_000_000 + "}"),
    "deep": _said(lambda: "[" * 2_000_000),
    "deep and whole": _said(lambda: "[" * 40_000 + "]" * 40_000),
    "wide": _said(lambda: "[" + "[]," * 1_300_000 + "[]]"),
    "strings": _said(lambda: "[" + '"ab",' * 800_000 + '""]'),
    "large": _said(lambda: '"' + "x" * 50_000_000 + '"'),
    "twice": _said(lambda: '{"format": 1, "format": 1}'),
    "not a number": _edited(lambda d: d["network"].update(singletons=float("nan"))),
    "half a character": _edited(lambda d: d["network"].update(labels=["\ud800"])),
    "escape codes": _edited(lambda d: d["network"].update(labels=["\x1b[2J"])),
    "code": _edited(lambda d: d["network"]["embeddings"]["words"].update(kind="os.system")),
}  # fmt: skip
