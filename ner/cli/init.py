"""``ner init``: look at annotated files and write a configuration to train on them."""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ner.cli.arguments import add_output, add_quiet
from ner.cli.console import counted, note
from ner.errors import ConfigError, DataError, DataWarning
from ner.formats import format_to_read, read
from ner.formats.advice import sample, tag_columns
from ner.formats.lines import numbered
from ner.storage.atomic import write_text

EXAMPLE = """\
example:
  ner init train.conll dev.conll test.conll
  ner train mine.yaml
"""
COMMENTS = ("# ", "#\t")  # beginnings of lines that are comments
LOOKED_AT = 20_000  # sentences of each file
SPLITS = (  # by the name of a file
    (
        "development",
        re.compile(r"(^|[^a-z])(dev|development|valid|validation|val|testa)([^a-z]|$)"),
    ),
    ("test", re.compile(r"(^|[^a-z])(test|testb|eval)([^a-z]|$)")),
)
HEADER = """\
# One file is one run; every setting left out has its published default. Every setting is in
# docs/settings.md. Next: `ner check {files}`, then `ner train {name}`.
"""
REST = """\
# model:
#   embeddings:
#     pretrained: {{file: FILE}}  # word vectors, beside the embeddings of the recipe
#   encoder: {{width: 200}}
# training:
#   epochs: 30  # without it, as many as suit the size of the corpus
#   seed: 1
output: {output}
"""


@dataclass(frozen=True, slots=True)
class Found:
    """The reader options and contents found in a file.

    Attributes:
        options: The options its reader needs.
        sentences: The number of sentences looked at.
        tokens: The number of their tokens.
        labels: The number of entities of each label in them.
        scheme: The scheme of the tags, if the file has tags.
        remarks: The warnings of the reader.
    """

    path: str
    format: str
    options: dict[str, Any]
    sentences: int
    tokens: int
    labels: Counter[str]
    scheme: str | None
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        labels = ", ".join(f"{label} {count:,}" for label, count in sorted(self.labels.items()))
        most = "the first " if self.sentences == LOOKED_AT else ""
        scheme = f", {self.scheme}" if self.scheme else ""
        return (
            f"{self.path}: {self.format}{scheme}, {most}"
            f"{counted(self.sentences, 'sentence')}, {counted(self.tokens, 'token')}; "
            f"{labels or 'no entities'}"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner init``."""
    add = parser.add_argument
    text = "annotated files; their names say which are for development and test"
    add("files", metavar="FILE", nargs="+", help=text)
    add_output(parser, "--output", "file to write (default: mine.yaml)", default="mine.yaml")
    add("--overwrite", action="store_true", help="replace the file if it exists")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look at the files and write the configuration."""
    target = Path(arguments.output)
    if target.exists() and not arguments.overwrite:
        raise ConfigError(f"{target} exists; name another file with --output, or pass --overwrite")
    found = [look(path) for path in arguments.files]
    write_text(target, "".join(configuration(found, target)))
    if not arguments.quiet:
        for one in found:
            note(str(one))
            for remark in one.remarks:
                note(f"warning: {remark}")
        note(f"wrote {target}; next: ner train {target}")
    return 0


def look(path: str) -> Found:
    """Find the simplest reader options that give entities.

    Raises:
        DataError: The file cannot be read with any; the message is that of the simplest.
    """
    name = format_to_read(path).name
    first: DataError | None = None
    plain: Found | None = None
    for options in _candidates(path) if name == "conll" else ({},):
        try:
            found = _read(path, name, options)
        except DataError as error:
            first = first or error
            continue
        if options.get("scheme") == "IO" and any(label[1:2] == "-" for label in found.labels):
            continue  # these are prefixed tags, some of them malformed
        if found.labels:
            return found
        plain = plain or found
    if plain is None:
        assert first is not None, "there is at least one candidate"
        raise first
    return plain


def _candidates(path: str) -> Iterator[dict[str, Any]]:
    """Yield reader options that may suit a file of columns, the most common first."""
    seen = sample(numbered(path), (), (0, -1))
    comments = [prefix for prefix in COMMENTS if any(t.startswith(prefix) for t in seen.texts)]
    aside: list[dict[str, Any]] = [{}, *({"comment_prefix": prefix} for prefix in comments)]
    bare = sample(numbered(path), comments, (0, -1))
    columns = tag_columns(bare)
    tags: list[dict[str, Any]] = [{}, *({"tag_column": column} for column in columns)]
    counted = all(row[0].isdecimal() for row in bare.rows[-20:])
    token = {"token_column": 1} if counted else {}
    yield from ({**comment, **token, **tag} for comment in aside for tag in tags)
    yield from ({**comment, **token, "scheme": "IO"} for comment in aside)


def _read(path: str, name: str, options: dict[str, Any]) -> Found:
    """Read the beginning of a file.

    Raises:
        DataError: It cannot be read with these options.
    """
    labels: Counter[str] = Counter()
    sentences = tokens = 0
    scheme = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        for sentence in islice(read(path, format=name, **options), LOOKED_AT):
            sentences += 1
            tokens += len(sentence)
            labels.update(span.label for span in sentence.spans or ())
            scheme = scheme or (sentence.origin.scheme if sentence.origin else None)
    remarks = tuple(str(one.message) for one in caught)
    return Found(path, name, options, sentences, tokens, labels, scheme, remarks)


def splits_of(found: Sequence[Found]) -> dict[str, list[Found]]:
    """Return the files of each split, by their names; a name without a split is for training."""
    splits: dict[str, list[Found]] = {"train": [], "development": [], "test": []}
    for one in found:
        name = Path(one.path).name.lower()
        use = next((split for split, pattern in SPLITS if pattern.search(name)), "train")
        splits[use].append(one)
    if len(found) == 1:
        return {"train": list(found), "development": [], "test": []}
    if not splits["train"]:
        raise ConfigError(
            "no file to train on: all names say development or test "
            f"({', '.join(one.path for one in found)}); rename one"
        )
    return splits


def configuration(found: Sequence[Found], target: Path) -> Iterator[str]:
    """Yield the lines of a configuration, with what was found as comments."""
    splits = splits_of(found)
    yield HEADER.format(files=" ".join(one.path for one in found), name=target)
    yield "data:\n"
    for split, files in splits.items():
        for one in files:
            yield f"  # {one}\n"
        if files:
            alike = all(one.options == found[0].options for one in found)
            entries = [_entry(one, alike=alike) for one in files]
            listed = entries[0] if len(entries) == 1 else f"[{', '.join(entries)}]"
            yield f"  {split}: {listed}\n"
    if not splits["development"]:
        yield "  development_fraction: 0.1  # held out of train to choose the best epoch by\n"
    if not splits["test"]:
        yield "  # test: FILE  # to score the finished model on\n"
    options = found[0].options
    if options and all(one.options == options for one in found):
        yield f"  reader: {json.dumps(options)}\n"
    yield REST.format(output=f"models/{target.stem}")


def _entry(one: Found, *, alike: bool) -> str:
    """Return a file as YAML, with its own options if the files need different ones."""
    if alike:
        return json.dumps(one.path, ensure_ascii=False)
    return json.dumps({"file": one.path, "reader": one.options}, ensure_ascii=False)
