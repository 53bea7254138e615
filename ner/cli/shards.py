"""The files of ``ner tag --output-dir``: what is tagged into what, and what is still to do."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from ner.cli.remote import exists, is_remote, joined
from ner.errors import ConfigError

STREAM = "-"
PACKED = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True, slots=True)
class Shard:
    """A file to tag, and the file that takes its name when it is whole."""

    path: str
    target: str


def shards_of(arguments: argparse.Namespace, paths: list[str]) -> list[Shard]:
    """What this machine is to tag and is not there yet.

    Raises:
        ConfigError: The arguments do not go together.
    """
    if STREAM in paths or arguments.output != STREAM:
        raise ConfigError("--output-dir takes files, and goes without --output")
    names = [f"{bare(path).stem}.{arguments.to}" for path in paths]
    if len(set(names)) < len(names):
        raise ConfigError("--output-dir: two inputs have the same name")
    if not is_remote(arguments.output_dir):
        Path(arguments.output_dir).mkdir(parents=True, exist_ok=True)
    shards = [
        Shard(path, joined(arguments.output_dir, name))
        for path, name in zip(paths, names, strict=True)
    ]
    inputs = {_place(path) for path in paths}
    for shard in shards:
        if _place(shard.target) in inputs:
            raise ConfigError(f"--output-dir: {shard.target} is an input; name another folder")
    first, count = _share(arguments.shard or "1/1")
    return [shard for shard in shards[first - 1 :: count] if not exists(shard.target)]


def bare(path: str) -> Path:
    """A path without the ending of its compression."""
    name = Path(path.partition("?")[0] if is_remote(path) else path)
    return name.with_suffix("") if name.suffix.lower() in PACKED else name


def _place(path: str) -> str:
    """A path such that no other means the same file."""
    return path if is_remote(path) else os.path.realpath(path)


def _share(text: str) -> tuple[int, int]:
    first, slash, count = text.partition("/")
    if slash and first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count):
        return int(first), int(count)
    raise ConfigError(f"--shard is I/N with 1 <= I <= N, got {text!r}")
