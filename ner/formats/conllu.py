"""CoNLL-U and CoNLL-U Plus: treebanks, with entities in a column or in MISC.

Entities are tags (``NER=B-PER`` in MISC, or a column called NER) or parentheses
(``Entity=(1-person-new``, as in GUM and CorefUD). Words are the tokens; the lines of multiword
tokens and empty nodes, and the comments, are kept beside them and written back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from ner.errors import DataError
from ner.formats.alignment import locate
from ner.formats.conll2012 import Losses, parse
from ner.formats.detection import NONE, Repairs, spans_of, tags_of
from ner.formats.documents import Boundary, Parsed, begins_document, in_documents
from ner.formats.lines import Faults, rereadable
from ner.formats.treebank import (
    EMPTY,
    FORM,
    ID,
    MISC,
    NAMES,
    OUTSIDE_TOO,
    UPOS,
    EntitySurvey,
    Group,
    Groups,
    Marks,
    TreebankOptions,
    TreebankOrigin,
    said,
    values_at,
    with_misc,
)
from ner.schemes import OUTSIDE, Scheme, scheme_named
from ner.sentence import Document, Sentence, Span

OPTIONS = TreebankOptions
WRITTEN = "NER"  # the key of MISC that entities are written to

_ELSEWHERE = TreebankOrigin()


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file.

    Of nested entities the outermost are kept; those that go beyond their sentence are left out;
    a warning says how many.

    For the options see `ner.formats.treebank.TreebankOptions`.

    Raises:
        DataError: Lines are not what they should be; all of them in one message.
    """
    return in_documents(_parsed(source, TreebankOptions(**options)))


def _parsed(source: str | Path, options: TreebankOptions) -> Iterator[Parsed | Boundary]:
    with rereadable(source) as path:
        faults = Faults(source)
        groups = Groups(faults.path, options)
        survey = EntitySurvey(groups, options)
        for group in groups.read(path, faults):
            if isinstance(group, Group):
                survey.add(group)
        marks = survey.marks(faults)
        faults.check()
        parser = _Parser(groups, marks, options, faults)
        for group in groups.read(path, faults):
            yield group if isinstance(group, Boundary) else parser.parsed(group)
        faults.check()
        parser.warn()


class _Parser:
    """Makes sentences of groups in which nothing is wrong any more."""

    def __init__(
        self, groups: Groups, marks: Marks, options: TreebankOptions, faults: Faults
    ) -> None:
        self._groups = groups
        self._marks = marks
        self._named = options.named
        self._path = faults.path
        self._losses = Losses(faults.path)
        self._repairs = Repairs(faults.path, marks.detection, marks.illegal)

    def warn(self) -> None:
        self._losses.warn()
        self._repairs.warn()

    def parsed(self, group: Group) -> Parsed:
        names, marks = self._groups.names, self._marks
        values = tuple(zip(*group.rows, strict=True))
        place = marks.place if marks.detection else None  # parentheses stay as they are
        others = {
            name: values[column]
            for column, name in enumerate(names)
            if name not in (ID, FORM, place)
        }
        if place is not None and place not in names:
            head = f"{place}="
            others[MISC] = tuple(
                with_misc(misc, place, None) if head in misc else misc for misc in others[MISC]
            )
        origin = TreebankOrigin(
            *(names, tuple(group.comments), tuple(group.asides), place),
            path=self._path,
            scheme=marks.detection.scheme.name if marks.detection else None,
            line_each=not group.asides,
        )
        tokens = values[names.index(FORM)]
        spans, unknown = self._spans(group)
        text = _text(group.comments)
        offsets = None if text is None else locate(text, tokens)
        if offsets is None:
            text = None
        return Parsed(
            *(tokens, spans, others, unknown, group.lines[0], text, offsets), origin=origin
        )

    def _spans(self, group: Group) -> tuple[tuple[Span, ...] | None, frozenset[int]]:
        marks = self._marks
        if marks.place is None:
            return None, NONE
        values = values_at(group, marks.place, self._groups.names)
        if marks.detection is None:
            return self._in_parentheses(group, values), NONE
        if marks.explicit and all(value in (None, EMPTY) for value in values):
            return None, NONE
        tags = [OUTSIDE if value in OUTSIDE_TOO else value or OUTSIDE for value in values]
        if not marks.explicit:
            tags = [OUTSIDE if tag == EMPTY else tag for tag in tags]
        self._repairs.note(group.lines, tags)
        return spans_of(tags, marks.detection.scheme, EMPTY)

    def _in_parentheses(self, group: Group, values: Sequence[str | None]) -> tuple[Span, ...]:
        marks, line = self._marks, group.lines[0]
        found = parse(values, marks.id_of)
        self._losses.crossing(len(found.open), line)
        spans = [span for span in found.spans if not self._named or self._is_named(group, span)]
        labelled = [Span(span.start, span.end, marks.label_of(span.label)) for span in spans]
        return self._losses.flat(labelled, line)

    def _is_named(self, group: Group, span: Span) -> bool:
        names = self._groups.names
        if UPOS not in names:
            return self._marks.has_identity(span.label)
        column = names.index(UPOS)
        proper = any(row[column] == "PROPN" for row in group.rows[span.start : span.end])
        return proper and self._marks.has_identity(span.label)


def _text(comments: Iterable[str]) -> str | None:
    """The text of a sentence, if a comment has it."""
    for comment in comments:
        key, text = said(comment)
        if key == "text" and text is not None:
            return text
    return None


def write(target: TextIO, sentences: Iterable[Sentence], *, scheme: str | None = None) -> None:
    """Write sentences as CoNLL-U, with the entities as ``NER=B-PER`` in MISC.

    Sentences read from CoNLL-U keep their comments, columns and multiword tokens. Where they had
    their entities as tags in a column, as CoNLL-U Plus has, they are written there.

    Args:
        target: Open file to write to.
        sentences: Sentences to write.
        scheme: How tags are written; without it BIO.

    Raises:
        DataError: A token or another column contains a TAB or a line end, or spans overlap.
    """
    chosen = scheme_named(scheme or "BIO")
    names: tuple[str, ...] | None = None
    document: Document | None = None
    for number, sentence in enumerate(sentences, 1):
        origin = _origin(sentence)
        own = origin.names
        if names is None:
            names = own
            if names != NAMES and not any("global.columns" in one for one in origin.comments):
                target.write(f"# global.columns = {' '.join(names)}\n")
        try:
            if own != names:
                raise DataError(
                    f"its columns differ from those of earlier sentences: {' '.join(own)}"
                )
            lines = [*_comments(sentence, document), *_words(sentence, names, chosen)]
        except ValueError as error:
            raise DataError(f"sentence {number}: {error}") from error
        document = sentence.document
        target.write("\n".join(lines) + "\n\n")


def _origin(sentence: Sentence) -> TreebankOrigin:
    """Return what to keep of the treebank a sentence comes from; nothing if from none."""
    return sentence.origin if isinstance(sentence.origin, TreebankOrigin) else _ELSEWHERE


def _comments(sentence: Sentence, before: Document | None) -> list[str]:
    kept = list(_origin(sentence).comments)
    text = sentence.text
    if not kept and text is not None and text == " ".join(text.split()):
        kept = [f"# text = {text}"]
    if begins_document(sentence, before) and not any("newdoc" in comment for comment in kept):
        name = " ".join(sentence.document.id.split()) if sentence.document else ""
        kept.insert(0, f"# newdoc id = {name}" if name else "# newdoc")
    return kept


def _words(sentence: Sentence, names: Sequence[str], scheme: Scheme) -> Iterator[str]:
    """The lines of a sentence."""
    columns = sentence.columns
    asides, place = list(_origin(sentence).asides), _origin(sentence).place
    marks = _marks(sentence, scheme)
    if not sentence.tokens:
        raise DataError("has no tokens")
    if MISC not in names and place not in names:
        raise DataError(f"the columns {' '.join(names)} have no column for entities")
    for number, token in enumerate(sentence.tokens):
        while asides and asides[0][0] <= number:
            yield asides.pop(0)[1]
        row = {name: columns[name][number] for name in names if name in columns}
        row |= {ID: str(number + 1), FORM: token}
        if place in names:
            row[str(place)] = marks[number] or EMPTY
        else:
            row[MISC] = with_misc(row.get(MISC, EMPTY), place or WRITTEN, marks[number])
        yield _line([row.get(name, EMPTY) for name in names])
    yield from (line for _, line in asides)


def _marks(sentence: Sentence, scheme: Scheme) -> list[str | None]:
    """Return the entity marks of each word.

    A treebank that had nothing of the kind gets nothing where nobody has looked for entities.
    """
    if sentence.spans is None:
        mark = None if isinstance(sentence.origin, TreebankOrigin) else EMPTY
        return [mark] * len(sentence)
    if any("|" in span.label or not span.label for span in sentence.spans):
        raise DataError("a label is empty or contains '|', which MISC cannot express")
    return list(tags_of(sentence, scheme, EMPTY))


def _line(fields: Sequence[str]) -> str:
    line = "\t".join(fields)
    if line.count("\t") != len(fields) - 1 or "\n" in line or "\r" in line or not all(fields):
        raise DataError(f"{fields!r} has a field that is empty or contains a TAB or a line end")
    return line
