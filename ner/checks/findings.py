"""The kinds of problems a corpus can have, and the list of those found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from ner.errors import Fault

ERROR, WARNING, NOTE = "error", "warning", "note"
KEPT = 1_000  # different findings of a kind that are kept; the others are counted
FIRST = 3  # lines remembered of equal findings


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
    "bad-line": Kind(ERROR, "malformed lines"),
    "bad-tag": Kind(ERROR, "invalid tags"),
    "illegal-tag": Kind(ERROR, "illegal tag sequences"),
    "label-case": Kind(ERROR, "labels that differ by case only"),
    "label-alike": Kind(ERROR, "labels that differ by a look-alike or invisible character only"),
    "blank-edge": Kind(ERROR, "entities that begin or end in white space"),
    "misaligned": Kind(ERROR, "spans that do not fall on token boundaries"),
    "overlapping": Kind(WARNING, "spans that overlap a longer one, which alone is read"),
    "reader": Kind(WARNING, "reader warnings"),
    "no-entity": Kind(WARNING, "files without an entity"),
    "unannotated": Kind(WARNING, "files of which only some sentences are annotated"),
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


@dataclass(slots=True)
class Finding:
    """Something found at a place of a file, or at several.

    Attributes:
        kind: A key of ``KINDS``.
        path: The file.
        line: The first line, counted from 1; 0 where the finding is about the whole file.
        message: What was found.
        count: How often the same was found in that file.
        lines: The first three lines.
    """

    kind: str
    path: str
    line: int
    message: str
    count: int = 1
    lines: tuple[int, ...] = ()

    def __str__(self) -> str:
        text = str(Fault(self.path, self.line, self.kind, self.message))
        if self.count == 1:
            return text
        more = ", ..." if self.count > len(self.lines) else ""
        where = f": lines {', '.join(map(str, self.lines))}{more}" if self.line else ""
        return f"{text} ({self.count:,} times{where})"


class Findings:
    """All findings: counted, and the first thousand different ones of each kind kept.

    Args:
        ignore: Kinds that are neither counted nor kept.

    Attributes:
        counts: How many there are of each kind.

    Raises:
        ValueError: There is no such kind.
    """

    def __init__(self, ignore: Iterable[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: dict[str, dict[tuple[str, str], Finding]] = {kind: {} for kind in KINDS}
        self._ignored = frozenset(ignore)
        for kind in sorted(self._ignored - KINDS.keys()):
            near = get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(KINDS)}"
            raise ValueError(f"ignore: there is no kind of finding called {kind!r}; {hint}")

    def add(self, kind: str, path: str, line: int, message: str, count: int = 1) -> None:
        """Note a finding; what is the same in the same file is one finding."""
        if kind in self._ignored:
            return
        self.counts[kind] += count
        kept = self._kept[kind]
        same = kept.get((path, message))
        if same is not None:
            same.count += count
            if len(same.lines) < FIRST and line not in same.lines:
                same.lines += (line,)
        elif len(kept) < KEPT:
            kept[path, message] = Finding(kind, path, line, message, count, (line,))

    def __iter__(self) -> Iterator[Finding]:
        """The findings that were kept, errors before warnings before notes."""
        for kind in self.kinds():
            yield from self.of(kind)

    def kinds(self) -> list[str]:
        """The kinds there are findings of, in the order of ``KINDS``."""
        return [kind for kind in KINDS if self.counts[kind]]

    def of(self, kind: str) -> list[Finding]:
        """The findings of a kind that were kept, those of a file together."""
        found = list(self._kept[kind].values())
        files = dict.fromkeys(one.path for one in found)
        order = {path: place for place, path in enumerate(files)}
        return sorted(found, key=lambda one: order[one.path])

    def number(self, severity: str) -> int:
        """Return the number of findings of a severity."""
        return sum(n for kind, n in self.counts.items() if KINDS[kind].severity == severity)

    def to_dict(self) -> list[dict[str, Any]]:
        """The findings that were kept, for JSON and CSV."""
        return [{"severity": KINDS[one.kind].severity, **asdict(one)} for one in self]
