"""Counts of phrases that read like a translation, bounded by test_house.py.

Print them with ``python tests/word_counts.py``.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PHRASES = {
    "is none": r"\b(is|are) none\b",
    "told": r"\btold\b",
    "is no": r"\b(is|are) no\b",
    "so many": r"\bso many\b",
    "no number": r"\bno numbers?\b",
    "said": r"\bsaid\b",
    "spoiled": r"\bspoil",
    "come by": r"\bcome by\b",
    "the road": r"\broads?\b",
    "the house": r"\bhouse\b",
    "in the clothes of": r"\bclothes\b",
    "parted": r"\bparted\b",
    "may not": r"\bmay not\b",
    "holds nothing": r"\bholds? (no|nothing)\b",
}
DOCSTRINGS = "docstrings that begin with what, whether, how or where"
_QUESTION = re.compile(r"\s*(what|whether|how|where)\b", re.IGNORECASE)
_SUFFIXES = {".py", ".html", ".js", ".md"}


def texts() -> Iterator[tuple[Path, str]]:
    """Yield each file of the package and each page of documentation, with its text."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    for folder in ("ner", "docs"):
        pages += sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in _SUFFIXES)
    for path in pages:
        yield path, path.read_text("utf-8")


def counts() -> dict[str, int]:
    """Return how often each phrase occurs, in any case and across line breaks; not in code."""
    everything = [
        " ".join((prose(text) if path.suffix == ".py" else text).split()) for path, text in texts()
    ]
    found = {
        name: sum(len(re.findall(phrase, text, re.IGNORECASE)) for text in everything)
        for name, phrase in PHRASES.items()
    }
    return {**found, DOCSTRINGS: len(questions())}


def prose(source: str) -> str:
    """Return the strings and comments of Python source, without what formatted strings compute."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    kept = [
        re.sub(r"\{[^{}]*\}", "{}", token.string)
        for token in tokens
        if token.type in (tokenize.STRING, tokenize.COMMENT)
    ]
    return "\n".join(kept)


def questions() -> list[str]:
    """Return the place of each docstring of the package that begins with a question word."""
    return [
        f"{path.relative_to(ROOT)}:{line}"
        for path, text in texts()
        if path.suffix == ".py"
        for line, docstring in _docstrings(text)
        if _QUESTION.match(docstring)
    ]


def _docstrings(text: str) -> Iterator[tuple[int, str]]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds) and (docstring := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), docstring


def main() -> None:
    """Print the count of each phrase."""
    for name, count in counts().items():
        print(f"{count:5d}  {name}")


if __name__ == "__main__":
    main()
