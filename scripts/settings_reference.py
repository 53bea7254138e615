"""Write docs/settings.md: every setting of a configuration, from the signatures.

    python scripts/settings_reference.py

A test compares the page with what this script makes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from ner.embeddings import EMBEDDINGS
from ner.encoder import Encoder
from ner.formats import conll
from ner.inference.decoding import Decoding
from ner.network import build
from ner.training.settings import CorpusSettings, DataSettings, RunSettings, TrainingSettings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
EVERY = {  # what several embeddings have
    "min_count": "What is rarer than this in training is unknown.",
    "features": "What is looked at of each token.",
}
HEAD = """\
# Settings

Every setting of a configuration file, made from the signatures of the parts by
`python scripts/settings_reference.py`. A name as `training.epochs` is what `--set` takes; a setting
that has no default must be given. `config.yaml` of a trained model holds them all, those that were
chosen automatically with their values.

Options of `ner train` for what every run has: `--train`, `--development`, `--test` (`data.train`,
`data.development`, `data.test`), `--labels` (`data.labels`), `--epochs` (`training.epochs`),
`--output`. The same are keyword arguments of `ner.train`.
"""


def page() -> str:
    """Return the page."""
    sections: list[tuple[str, str, Callable[..., Any], int]] = [
        ("The run", "", RunSettings, 0),
        ("data", "data.", DataSettings, 0),
        ("A corpus in data", "", CorpusSettings, 0),
        ("data.reader of CoNLL files", "data.reader.", conll.OPTIONS, 0),
        ("training", "training.", TrainingSettings, 0),
        ("decoding", "decoding.", Decoding, 0),
        ("model", "model.", build, 1),
        ("model.encoder", "model.encoder.", Encoder, 1),
    ]
    parts = [HEAD]
    for title, prefix, make, skipped in sections:
        parts += [f"\n## {title}\n\n", *_table(prefix, make, skipped)]
    parts.append("\n## model.embeddings\n\nSee [embeddings](embeddings.md) for what each is.\n")
    for name, kind in EMBEDDINGS.items():
        prefix = f"model.embeddings.{name}."
        parts += [f"\n### {name}\n\n", *_table(prefix, kind.fit, 1, EVERY | _described(kind))]
    return "".join(parts)


def _table(
    prefix: str, make: Callable[..., Any], skipped: int, more: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Yield the lines of a table of settings."""
    told = {**(more or {}), **_described(make)}
    rows = [
        f"| `{prefix}{one.name}` | {_default(one)} | {told.get(one.name, '')} |\n"
        for one in list(inspect.signature(make).parameters.values())[skipped:]
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    ]
    yield from ("| setting | default | meaning |\n|---|---|---|\n", *rows) if rows else ("None.\n",)


def _default(one: inspect.Parameter) -> str:
    if one.default is one.empty:
        return "required"
    if one.default is None:
        return "null"
    if not isinstance(one.default, str | int | float | tuple | list | dict):
        return "empty"  # a factory of an empty mapping or list
    shown = str(one.default).lower() if isinstance(one.default, bool) else repr(one.default)
    return f"`{shown}`".replace("'", '"').replace("|", "\\|")


def _described(make: Callable[..., Any]) -> dict[str, str]:
    """Return what the docstring says of each argument or attribute, inherited ones included."""
    found: dict[str, str] = {}
    for base in reversed(getattr(make, "__mro__", (make,))[1:]):
        found |= _described(base) if is_dataclass(base) else {}
    group: list[str] = []
    inside = False
    for line in (inspect.getdoc(make) or "").splitlines():
        if re.fullmatch(r"(Args|Attributes):", line):
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        elif inside and (begun := re.match(r" {4}(\w[\w, ]*): (.*)", line)):
            group = begun[1].split(", ")
            found.update(dict.fromkeys(group, begun[2].strip()))
        elif inside and line.startswith(" " * 8):
            for name in group:
                found[name] += " " + line.strip()
    return {name: text.replace("|", "\\|").replace("``", "`") for name, text in found.items()}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
