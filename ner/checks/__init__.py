"""What a corpus is like, and what is wrong with it.

One walk through the files gathers figures, vocabulary and mentions; a second look, at what is
still held or at the file once more, finds the tags and words that are only odd in the light of
the whole. Memory is bounded: what does not fit the tables is counted and no longer compared.
"""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ner.checks.findings import ERROR, KINDS, WARNING, Finding, Findings
from ner.checks.labels import check_labels
from ner.checks.sources import Item, Source
from ner.checks.survey import Facts, Overlap, Review, Survey
from ner.errors import BAD_LINE, DataError, DataWarning
from ner.formats.faults import STREAM, title
from ner.formats.lines import expand, opened, rereadable

__all__ = ["KINDS", "Facts", "Finding", "Findings", "Overlap", "Report", "check"]

Watch = Callable[[Source, Iterable[Item]], Iterable[Item]]


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        files: What each file is like.
        findings: What is wrong.
        full: The tables that had no room for all there was: ``sentences``, ``words``,
            ``mentions``; what came later was not compared.
    """

    files: list[Facts]
    findings: Findings
    full: list[str]

    @property
    def status(self) -> int:
        """0; 1 where there are errors; 2 where a file could not be read."""
        if self.findings.counts["unreadable"]:
            return 2
        return int(self.findings.number(ERROR) > 0)

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON; figures are numbers, shares fractions."""
        return {
            "files": [_file(facts) for facts in self.files],
            "overlaps": [_overlap(facts, one) for facts in self.files for one in facts.overlaps],
            "errors": self.findings.number(ERROR),
            "warnings": self.findings.number(WARNING),
            "counts": dict(self.findings.counts),
            "findings": self.findings.to_dict(),
            "full": self.full,
        }


def check(
    files: str | Path | Iterable[str | Path],
    *,
    format: str | None = None,  # noqa: A002 - as everywhere
    watch: Watch | None = None,
    ignore: Iterable[str] = (),
    **options: Any,
) -> Report:
    """Look at files, as a whole: later ones are compared with earlier ones.

    Args:
        files: Paths, patterns such as ``data/*.conll``, or ``"-"``.
        format: A key of ``ner.formats.FORMATS``; without it each file's ending tells.
        watch: Is given each source and its sentences, and gives them on; for a progress bar.
        ignore: Kinds of findings, keys of ``KINDS``, that do not count.
        options: Of the format's reader.

    Raises:
        ValueError: There is no such format, kind of finding or option.
        OSError: No file matches a pattern.
    """
    survey = Survey(ignore)
    look = watch or (lambda source, items: items)
    with ExitStack() as stack, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        sources = []
        for file in expand(files):
            with _told(survey.findings, file, caught):
                _check_mark(survey.findings, file)
                folder = file != STREAM and Path(file).is_dir()
                path = file if folder else stack.enter_context(rereadable(file))
                source = Source(path, title(file), format, options, survey.findings)
                sources.append(source)
                _drain(look(source, survey.add(source)))
        check_labels(survey)
        review = Review(survey)
        detections = {facts.path: facts.detection for facts in survey.files}
        for source in sources:
            with _told(Findings(), source.name, caught):
                _drain(look(source, review.add(source, detections[source.name])))
        review.close()
    _drop_unreadable(survey)
    return Report(survey.files, survey.findings, survey.full)


def _drop_unreadable(survey: Survey) -> None:
    """Compare no file with one that could not be read as a whole."""
    unreadable = {one.path for one in survey.findings.of("unreadable")}
    for facts in survey.files:
        kept = [one for one in facts.overlaps if one.against not in unreadable]
        facts.overlaps = [] if facts.path in unreadable else kept


def _drain(items: Iterable[Item]) -> None:
    for _ in items:
        pass


@contextmanager
def _told(findings: Findings, file: str | Path, caught: list[Any]) -> Iterator[None]:
    """Note what a reader warns of and what ends the reading of a file."""
    try:
        yield
    except OSError as error:
        findings.add("unreadable", title(file), 0, error.strerror or str(error))
    except DataError as error:
        for fault in error.faults:
            findings.add(fault.kind, fault.path or title(file), fault.line, fault.message)
        for count in error.more.values():
            findings.counts[BAD_LINE] += count
    for warning in caught:
        _note(findings, title(file), warning.message)
    caught.clear()


def _note(findings: Findings, name: str, warning: DataWarning) -> None:
    """Note what a reader remarked of a file."""
    for fault in warning.faults or [warning]:
        findings.add("reader", fault.path or name, fault.line, fault.message)


def _check_mark(findings: Findings, file: str | Path) -> None:
    """Note a byte order mark at the start of a file."""
    if file == STREAM or not Path(file).is_file():
        return  # which cannot be looked at and then read
    with opened(file) as opening:
        if opening.read(3) == codecs.BOM_UTF8:
            told = "the file begins with a byte order mark, which is passed over"
            findings.add("odd-character", title(file), 1, told)


def _file(facts: Facts) -> dict[str, Any]:
    found = facts.detection
    total = facts.spans.total()
    return {
        "path": facts.path,
        "format": facts.format,
        "columns": list(facts.columns),
        "scheme": found.scheme.name if found else None,
        "scheme_support": found.support if found else None,
        "documents": facts.documents,
        "sentences": facts.sentences,
        "tokens": facts.tokens,
        "unannotated_tokens": facts.unannotated,
        "unannotated_sentences": facts.unannotated_sentences,
        "spans": total,
        "spans_per_thousand_tokens": 1000 * total / facts.tokens if facts.tokens else None,
        "labels": dict(facts.spans.most_common()),
        "longest_sentence": facts.longest,
        "duplicates": facts.duplicates,
    }


def _overlap(facts: Facts, overlap: Overlap) -> dict[str, Any]:
    total = facts.spans.total()
    return {
        "file": facts.path,
        "against": overlap.against,
        "sentences": overlap.sentences,
        "sentences_share": overlap.sentences / facts.sentences if facts.sentences else None,
        "mentions": total,
        "unseen": overlap.unseen,
        "unseen_share": overlap.unseen / total if total else None,
        "out_of_vocabulary": overlap.out_of_vocabulary,
        "out_of_vocabulary_share": overlap.out_of_vocabulary / total if total else None,
    }
