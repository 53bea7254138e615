"""What can be wrong with a corpus, and the list of what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
KEPT = 1_000  # findings of a kind that are kept with their lines; the others are counted


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: ``error`` for what is wrong in any case, ``warning`` for what usually is,
            ``note`` for what is worth knowing.
        title: What the findings of this kind are.
    """

    severity: str
    title: str


KINDS: dict[str, Kind] = {
    "unreadable": Kind(ERROR, "files that cannot be read"),
    "bad-line": Kind(ERROR, "lines that are not what they should be"),
    "bad-tag": Kind(ERROR, "tags that are none"),
    "illegal-tag": Kind(ERROR, "tags that may not stand where they stand"),
    "label-case": Kind(ERROR, "labels that differ by case only"),
    "blank-edge": Kind(ERROR, "entities that begin or end in white space"),
    "misaligned": Kind(ERROR, "spans that do not fall on token boundaries"),
    "overlapping": Kind(WARNING, "spans that overlap a longer one, which alone is read"),
    "reader": Kind(WARNING, "what the reader had to say"),
    "no-entity": Kind(WARNING, "files without an entity"),
    "odd-character": Kind(WARNING, "tokens with characters that should not be there"),
    "blank-token": Kind(WARNING, "tokens of nothing but white space"),
    "mojibake": Kind(WARNING, "tokens read in a wrong encoding"),
    "mixed-script": Kind(WARNING, "tokens with look-alike letters of several scripts"),
    "punctuation-edge": Kind(WARNING, "entities that begin or end in punctuation"),
    "label-conflict": Kind(WARNING, "mentions that have several labels"),
    "rare-label": Kind(WARNING, "labels that are rare"),
    "suspicious-o": Kind(WARNING, "words outside entities that nearly always are one"),
    "annotation-conflict": Kind(WARNING, "sentences annotated in several ways"),
    "duplicate": Kind(WARNING, "sentences that occur again in their file"),
    "leak": Kind(WARNING, "sentences that occur in an earlier file too"),
    "long-sentence": Kind(WARNING, "sentences that are very long"),
    "long-token": Kind(WARNING, "tokens that are very long"),
    "unnormalised": Kind(NOTE, "tokens not in Unicode's normal form C"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found at a place.

    Attributes:
        kind: A key of ``KINDS``.
        path: The file.
        line: The line, counted from 1; 0 where the finding is about the whole file.
        message: What was found.
    """

    kind: str
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message}"


class Findings:
    """All findings: counted, and the first thousand of each kind kept.

    Attributes:
        counts: How many there are of each kind.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: dict[str, list[Finding]] = {kind: [] for kind in KINDS}

    def add(self, kind: str, path: str, line: int, message: str) -> None:
        """Note a finding."""
        self.counts[kind] += 1
        if len(self._kept[kind]) < KEPT:
            self._kept[kind].append(Finding(kind, path, line, message))

    def __iter__(self) -> Iterator[Finding]:
        """The findings that were kept, errors before warnings before notes."""
        for kind in self.kinds():
            yield from self._kept[kind]

    def kinds(self) -> list[str]:
        """The kinds there are findings of, in the order of ``KINDS``."""
        return [kind for kind in KINDS if self.counts[kind]]

    def of(self, kind: str) -> list[Finding]:
        """The findings of a kind that were kept."""
        return list(self._kept[kind])

    def number(self, severity: str) -> int:
        """How many findings are so severe."""
        return sum(n for kind, n in self.counts.items() if KINDS[kind].severity == severity)

    def to_dict(self) -> list[dict[str, Any]]:
        """The findings that were kept, for JSON."""
        return [{"severity": KINDS[one.kind].severity, **asdict(one)} for one in self]
