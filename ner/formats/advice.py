"""Advice on the options for a file of columns that was misread, from its first lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ner.formats.columns import BOUNDARY, Fields, split
from ner.formats.csv import NAMES
from ner.formats.detection import LABEL, MISSING, PREFIXES, is_any_tag, meant_by
from ner.formats.kinds import sniff
from ner.formats.lines import Faults, numbered
from ner.formats.table import TableOptions
from ner.schemes import OUTSIDE

SAMPLED = 2_000  # lines of a misread file that are looked at
REMARKED = 300  # of a file without errors
MOSTLY = 0.9  # of the values of a column of tags are tags

_IN_WORD = re.compile(r"[^\x00-\x7f][0-9]")  # a character of Weibo NER
_LANGUAGE = re.compile(r"[a-z]{2,3}:(?=.)")
_INLINE = {  # how the first lines of some formats look, one of which may hold no entity
    "brackets": re.compile(r"(?:.*\s)?\[[A-Z][\w-]*(?: [^\[\]\s]+)+\](?!\()"),
    "sgml": re.compile(r".*<(?:b_)?(?:ENAMEX|TIMEX|NUMEX)\s", re.IGNORECASE),
}
_NO_BREAK = "\u00a0\u2007\u202f\u3000"
_HEADS = {name for names in NAMES.values() for name in names} | {"pos", "chunk", "lemma", "id"}
_CHUNKS = frozenset(
    ["NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP"]
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The first lines of a file that have columns.

    Attributes:
        lines: Where they stand.
        texts: The lines.
        rows: Their fields.
        token: The column of tokens, from 0; negative from the end.
        tag: The column of tags.
    """

    lines: Sequence[int]
    texts: Sequence[str]
    rows: Sequence[Fields]
    token: int
    tag: int

    def column(self, place: int) -> list[str]:
        """The values of a column, of the lines that have it."""
        return [row[place] for row in self.rows if -len(row) <= place < len(row)]


def sample(
    lines: Iterable[tuple[int, str]],
    aside: Iterable[str | None],
    columns: tuple[int, int],
    most: int = SAMPLED,
) -> Sample:
    """Return the first lines of a file that have columns, without comments and boundaries.

    Args:
        lines: Lines of the file, with their numbers.
        aside: Prefixes of lines without columns.
        columns: Columns of the token and of the tag.
        most: Number of lines to look at.
    """
    prefixes = (BOUNDARY, *filter(None, aside))
    found = [
        (number, text)
        for number, text in islice(lines, most)
        if text.strip(" \t") and not text.startswith(prefixes)
    ]
    numbers, texts = zip(*found, strict=True) if found else ((), ())
    return Sample(numbers, texts, [split(text) for text in texts], *columns)


def sampled(lines: Iterable[str], options: TableOptions) -> Sample | None:
    """Return the same of a file whose columns are given by number; ``None`` of any other."""
    token, tag = options.token_column, options.tag_column
    if isinstance(token, str) or isinstance(tag, str) or options.header or options.columns:
        return None
    aside = (options.comment_prefix, options.document_prefix)
    return sample(enumerate(lines, 1), aside, (token, tag))


def advice_on(path: str | Path, options: TableOptions, *, bad: bool) -> Iterator[tuple[int, str]]:
    """Yield advice on a file of columns, and the line that shows it; 0 where all lines do.

    Args:
        path: Path of the file.
        options: How it was read.
        bad: Whether it has malformed lines or invalid tags.
    """
    first = islice(numbered(path, options, Faults(path)), SAMPLED if bad else REMARKED)
    given = sampled([text for _, text in first], options)
    if given is None:
        return
    if not bad:
        yield from ((0, one) for one in remarks(given, options))
    elif options.scheme is None and (found := _other_format(path, given) or advise(given)):
        yield found


def advise(given: Sample) -> tuple[int, str] | None:
    """Return advice on a file that was misread, and the line that shows it."""
    if not given.rows:
        return None
    finders = (_no_break, _header, _blank_in_label, _other_column, _unprefixed, _separator, _prose)
    return next((found for find in finders if (found := find(given))), None)


def _other_format(path: str | Path, given: Sample) -> tuple[int, str] | None:
    """A file of another format than one of columns."""
    name = sniff(path) if Path(path).is_file() else None
    for line, text in zip(given.lines[:20], given.texts[:20], strict=True):
        name = name or next((one for one in _INLINE if _INLINE[one].match(text)), None)
        if name is not None:
            return line, f"this looks like {name}; set the format to {name}"
    return None


def _separator(given: Sample) -> tuple[int, str] | None:
    """Tags that another character separates from their tokens, one or several on a line."""
    items = [text.split() for text in given.texts]
    for mark in "|/,;":
        ends = [item.rpartition(mark)[2] for line in items for item in line if mark in item]
        if len(ends) < sum(map(len, items)) or OUTSIDE not in ends:
            continue
        if not all(map(LABEL.fullmatch, ends)):
            continue
        if max(map(len, items)) == 1:
            told = f"columns are separated by {mark!r}; replace it by TABs"
        elif all(item.count(mark) == 1 for item in items[0]):
            bare = not any(map(_tells, set(ends) - {OUTSIDE})) and len(set(ends)) > 1
            told = (
                f"each line holds a sentence, with {mark!r} between token and tag; set the format "
                f"to slots and separator: {mark!r}{', and scheme: IO' * bare}"
            )
        else:
            told = (
                f"each line holds a sentence, with {mark!r} between the fields of a token; write "
                "one token a line, its fields separated by TABs, and an empty line between "
                "sentences"
            )
        return given.lines[0], told
    return None


def _prose(given: Sample) -> tuple[int, str] | None:
    """Lines of many lengths of which none ends in a tag."""
    widths = set(map(len, given.rows))
    varied = len(widths) > 1 or (len(given.rows) == 1 and max(widths) > 3)
    if not varied or any(_tells(row[-1]) for row in given.rows):
        return None
    return given.lines[0], (
        "no line ends in a tag, so this does not look like columns of tokens and tags: "
        f"{given.texts[0]!r:.80}; to find entities in a text, use ner tag"
    )


def _tells(value: str) -> bool:
    """Return whether a value is a tag, and not just a letter."""
    return value == OUTSIDE or (value[1:2] == "-" and is_any_tag(value))


def _no_break(given: Sample) -> tuple[int, str] | None:
    """Columns that are separated by white space other than blanks and TABs."""
    for line, text, row in zip(given.lines, given.texts, given.rows, strict=True):
        parts = text.split()
        if len(row) == 1 and len(parts) > 1 and is_any_tag(parts[-1]):
            found = next(one for one in text if one.isspace() and one not in " \t")
            name = "no-break spaces" if found in _NO_BREAK else "white space"
            return line, (
                f"the columns are separated by {name} (U+{ord(found):04X}), which do not "
                "separate columns; replace them by blanks or TABs"
            )
    return None


def _header(given: Sample) -> tuple[int, str] | None:
    """A first line that names the columns."""
    first, others = given.rows[0], given.rows[1:]
    names = [name.strip("#").casefold() for name in first]
    tags = [row[given.tag] for row in others if -len(row) <= given.tag < len(row)]
    if len(first) < 2 or not others or len(first) != len(others[0]):
        return None
    if any(map(is_any_tag, first)):
        return None
    if sum(name in _HEADS for name in names) < 2 or not _mostly(tags):
        return None
    return given.lines[
        0
    ], f"the first line names the columns ({', '.join(first)}); set header: true"


def _blank_in_label(given: Sample) -> tuple[int, str] | None:
    """Labels that hold a blank, which separates columns."""
    width = min(map(len, given.rows))
    for line, row in zip(given.lines, given.rows, strict=True):
        cut = row[width - 1 :]
        if len(cut) > 1 and cut[0][1:2] == "-" and is_any_tag(cut[0]) and not is_any_tag(cut[-1]):
            whole = " ".join(cut)
            return line, (
                f"the label of {whole!r} holds a blank, which separates columns; separate them by "
                f"TABs and replace the blank, for example {'_'.join(cut)!r}"
            )
    return None


def _other_column(given: Sample) -> tuple[int, str] | None:
    """Tags that stand in another column."""
    if _mostly(given.column(given.tag), 0.5):
        return None
    places = tag_columns(given)
    if not places:
        return None
    found = ", ".join(map(str, places))
    if len(places) > 1:
        told = f"the columns {found} (counted from 0) hold tags; set tag_column to one of them"
    else:
        told = f"the tags seem to be in column {found} (counted from 0); set tag_column: {found}"
    if given.token in places:
        told += f" and token_column: {next(n for n in range(len(places) + 1) if n not in places)}"
    return given.lines[0], told


def looks_like_columns(path: str | Path, lines: int = 200) -> str | None:
    """Return a line of a file that shows that it holds tokens and their tags; ``None`` of prose."""
    try:
        first = list(islice(numbered(path, faults=Faults(path)), lines))
        given = sample(first, (), (0, -1))
        opening = next((text for _, text in first if text.strip()), "")
    except ValueError:
        return None  # whoever reads it says what is wrong
    if opening.startswith(BOUNDARY):
        return opening
    shapes = {len(row) for row in given.rows}
    if len(shapes) == 1 and max(shapes) > 1 and len(given.rows) > 1 and tag_columns(given):
        return next(text for text, row in zip(given.texts, given.rows, strict=True) if row)
    return None


def tag_columns(given: Sample) -> list[int]:
    """The columns that hold tags of entities, counted from 0."""
    width = min(map(len, given.rows), default=0)
    return [place for place in range(width) if _tags_entities(given.column(place))]


def _tags_entities(values: Sequence[str]) -> bool:
    labels = {one.partition("-")[2] for one in values if one[1:2] == "-" and is_any_tag(one)}
    return _mostly(values) and bool(labels) and not labels <= _CHUNKS


def _unprefixed(given: Sample) -> tuple[int, str] | None:
    """Labels without a prefix."""
    values = given.column(given.tag)
    labels = {one: line for one, line in zip(values, given.lines, strict=False) if one != OUTSIDE}
    if OUTSIDE not in values or not labels or len(labels) > max(3, len(values) // 2):
        return None
    if len(set(map(len, given.rows))) > 1:
        return None
    if any(map(_tells, labels)) or any(_with_prefix(one) for one in labels):
        return None
    if not all(LABEL.fullmatch(one) for one in labels) or any(len(one) < 2 for one in labels):
        return None
    shown = ", ".join(map(repr, list(labels)[:3]))
    begun, inside = ({one[1:] for one in labels if one[0] == role} for role in "BI")
    if begun & inside and all(one[0] in "BI" for one in labels):
        one = next(iter(labels))
        return min(labels.values()), (
            f"the tags have no hyphen after their prefix ({shown}); add it, for example with "
            f"tag_map: {{{one!r}: {f'{one[0]}-{one[1:]}'!r}}}, an entry for each tag"
        )
    return min(labels.values()), (
        f"the tags are labels without a prefix ({shown}); set scheme: IO, which reads adjacent "
        "tokens of one label as one entity"
    )


def _with_prefix(label: str) -> bool:
    """Return whether a label seems to be a tag written in another way, such as PER_B."""
    return meant_by(label, sorted(PREFIXES)) not in (None, f"B-{label}")


def _mostly(values: Sequence[str], share: float = MOSTLY) -> bool:
    return bool(values) and sum(map(is_any_tag, values)) >= share * len(values)


def remarks(given: Sample, options: TableOptions) -> Iterator[str]:
    """Yield remarks on a file that was read without errors but may mean something else."""
    if options.token_prefix:
        return
    if options.tag_column == -1 and (several := _several(given)):
        yield several
    tokens = given.column(given.token)
    starts = {found[0] if (found := _LANGUAGE.match(token)) else "" for token in tokens}
    if len(tokens) > 2 and len(starts) == 1 and (start := starts.pop()):
        yield (f"every token begins with {start!r}; set token_prefix: {start!r} to strip it")
    if len(tokens) > 2 and all(map(_IN_WORD.fullmatch, tokens)):
        yield (
            "every token is a character with a digit after it, as in Weibo NER, where it is the "
            "place in the word; remove the digits"
        )
    wide = min(map(len, given.rows), default=0) > 2  # beside the number there are token and tag
    if given.token == 0 and wide and _sentence_numbers(tokens):
        yield (
            "the first column holds numbers that repeat; if they number the sentences, "
            "set sentence_column: 0 and token_column: 1"
        )


def _sentence_numbers(values: Sequence[str]) -> bool:
    """Return whether values are numbers that do not fall, some of them several times."""
    if len(values) < 3 or not all(one.isascii() and one.isdigit() for one in values):
        return False
    numbers = [int(one[:9]) for one in values]
    return sorted(numbers) == numbers and len(set(numbers)) < len(numbers)


def _several(given: Sample) -> str | None:
    """Return a remark on a file with several columns of tags, of which the last is read."""
    width = min(map(len, given.rows), default=0)
    last = width - 1
    others = [place for place in tag_columns(given) if place not in (last, given.token)]
    if others and set(given.column(last)) == {MISSING}:
        return (
            f"the last column holds nothing but {MISSING!r}, so nothing is annotated; column "
            f"{others[0]} (counted from 0) holds tags; to read it, set tag_column: {others[0]}"
        )
    if not others or not _mostly(given.column(last)) or _alike(given, others[-1], last):
        return None
    found = ", ".join(map(str, [*others, last]))
    return (
        f"the columns {found} (counted from 0) hold tags, of which column {last} is read; to read "
        f"another, set tag_column, for example tag_column: {others[0]}"
    )


def _alike(given: Sample, one: int, other: int) -> bool:
    """Return whether two columns mostly say the same, as gold and predicted tags do."""
    pairs = [(row[one], row[other]) for row in given.rows if len(row) > max(one, other)]
    telling = [pair for pair in pairs if pair != (OUTSIDE, OUTSIDE)]
    return 3 * sum(left == right for left, right in telling) >= len(telling)
