"""Check a corpus: describe it and find what is wrong with it.

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

from ner.checks.characters import skeleton, spelled
from ner.checks.sources import CorpusFile, Item
from ner.checks.survey import Facts, Overlap, Review, Survey, written
from ner.checks.tables import ERROR, KINDS, WARNING, Finding, Findings, Use
from ner.errors import BAD_LINE, DataError, DataWarning
from ner.formats import expand
from ner.formats.lines import STREAM, opened, rereadable, title
from ner.options import nearest

__all__ = ["KINDS", "CorpusReport", "Facts", "Finding", "Findings", "Overlap", "check"]

Watch = Callable[[CorpusFile, Iterable[Item]], Iterable[Item]]


@dataclass(frozen=True)
class CorpusReport:
    """The findings of a check.

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
) -> CorpusReport:
    """Look at files, as a whole: later ones are compared with earlier ones.

    Args:
        files: Paths, patterns such as ``data/*.conll``, or ``"-"``.
        format: A key of ``ner.formats.FORMATS``; without it each file's ending tells.
        watch: Is given each source and its sentences, and gives them on; for a progress bar.
        ignore: Kinds of findings, keys of ``KINDS``, that do not count.
        options: Of the format's reader.

    Raises:
        ValueError: The format, kind of finding or option is unknown.
        OSError: No file matches a pattern.
    """
    survey = Survey(ignore)
    look = watch or (lambda source, items: items)
    with ExitStack() as stack, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        sources, seen = list[CorpusFile](), set[Path]()
        for file in expand(files):
            if file != STREAM and Path(file).resolve() in seen:
                survey.findings.add("reader", title(file), 0, "given more than once; checked once")
                continue
            seen.add(Path(file).resolve())
            with _told(survey.findings, file, caught):
                _check_mark(survey.findings, file)
                folder = file != STREAM and Path(file).is_dir()
                place = file if folder else stack.enter_context(rereadable(file))
                source = CorpusFile(place, title(file), format, options, survey.findings)
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
    return CorpusReport(survey.files, survey.findings, survey.full)


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
            told = "the file begins with a byte order mark, which is ignored"
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


RARE, RARE_SHARE = 10, 0.05  # a label is rare that has fewer spans than both say
BELIEVED = 0.9  # the share of a mention's labels that makes the others look like slips


def check_labels(survey: Survey) -> None:
    """Note labels that hardly differ, rare labels, mentions with several."""
    _check_case(survey)
    _check_rare(survey)
    _check_conflicts(survey)


def _check_case(survey: Survey) -> None:
    groups: dict[str, list[str]] = {}
    for label in survey.labels:
        groups.setdefault(skeleton(label), []).append(label)
    for labels in groups.values():
        usual, *others = sorted(labels, key=lambda label: -survey.labels[label].count)
        for label in others:
            use = survey.labels[label]
            case = label.casefold() == usual.casefold()
            told = f"the label {label!r} ({_times(use)}) "
            told += "differs by case from " if case else "looks like "
            told += f"{usual!r} ({_times(survey.labels[usual])})"
            told += "" if case else f": {spelled(label) or spelled(usual)}"
            kind = "label-case" if case else "label-alike"
            survey.findings.add(kind, *use.places[0], told + _also(use))


def _check_rare(survey: Survey) -> None:
    total = sum(use.count for use in survey.labels.values())
    for label, use in sorted(survey.labels.items(), key=lambda item: item[1].count):
        if use.count >= RARE or use.count > RARE_SHARE * total:
            continue
        told = f"the label {label!r} occurs {_times(use)} among {total:,} spans"
        others = [other for other in survey.labels if survey.labels[other].count > use.count]
        near = nearest(label, others, cutoff=0.7)
        told += f"; did you mean {near!r}?" if near else ""
        survey.findings.add("rare-label", *use.places[0], told + _also(use))


def _check_conflicts(survey: Survey) -> None:
    """Note mentions with several labels, those first whose rarer labels look like slips."""
    found = []
    for form, uses in survey.mentions.conflicts():
        ranked = sorted(uses.items(), key=lambda item: -item[1].count)
        total = sum(use.count for _, use in ranked)
        share = ranked[0][1].count / total
        found.append((share < BELIEVED, -total, written(form), ranked))
    for _, _, words, ranked in sorted(found, key=lambda one: one[:3]):
        told = ", ".join(f"{label} {_times(use)}{_places(use)}" for label, use in ranked)
        place = ranked[-1][1].places[0]
        survey.findings.add("label-conflict", *place, f"{words!r} is {told}")


def _times(use: Use) -> str:
    return "once" if use.count == 1 else f"{use.count:,} times"


def _places(use: Use) -> str:
    return f" ({_named(use, 0)})"


def _also(use: Use) -> str:
    """Name the further places of a label, beyond the first."""
    return f"; also {_named(use, 1)}" if len(use.places) > 1 else ""


def _named(use: Use, first: int) -> str:
    """The places that are remembered, the name of a file not repeated."""
    shown, before = [], ""
    for path, line in use.places[first:]:
        shown.append(str(line) if path == before else f"{path}:{line}")
        before = path
    return ", ".join([*shown, "..."] if use.count > len(use.places) else shown)
