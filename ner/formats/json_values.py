"""The values in a file of JSON: one a line, over several lines, in one array, or concatenated."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ner.formats.lines import Faults, FileOptions, numbered

Value = tuple[int, Any]  # the line a JSON value begins on, and the value
Lines = Iterator[tuple[int, str]]
Object = Mapping[str, Any]

_STRING = re.compile(r'"(?:[^"\\]|\\.)*+("?)')  # to the end of the line where it is not closed
_BRACKET = re.compile(r"[\[\]{}]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_AFTER_KEY = ('":', " :", "\t:", "\n:", "\r:")  # every key of an object ends with one of these
_NESTED = (dict, list)
_BLANKS = re.compile(r"\s*")
_TOO_DEEP = "it is nested too deeply"
MAX_DEPTH = 200  # brackets that may be open over several lines
MAX_LINE = 1 << 25  # bytes of a line, or of a value over several lines
_LINE_COST = 64  # bytes a line takes beside its characters
_SHORTEST = 16  # bytes a value may take at least, on average, of a large text


@dataclass(frozen=True, kw_only=True)
class ValueOptions(FileOptions):
    """Options of a reader of JSON.

    Attributes:
        max_line: Bytes of the longest line, or value over several lines, to read.
        max_depth: Brackets that may be open in a value over several lines.
    """

    max_line: int = MAX_LINE
    max_depth: int = MAX_DEPTH


def as_object(value: Any) -> Object:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def values(
    source: str | Path, options: ValueOptions, faults: Faults, *, checked: bool = True
) -> Iterator[Value]:
    """Yield the values of a file, those of an array one by one; what is not JSON is noted.

    Args:
        source: A path or ``"-"``.
        options: Options of the reader.
        faults: Collects malformed lines.
        checked: Whether to look for keys that occur twice and for halves of characters, too.
    """
    lines = numbered(source, options, faults)
    waiting: tuple[int, str] | None = None
    while True:
        number, text = waiting or next(lines, (0, ""))
        waiting = None
        if not number:
            return
        bare = text.strip()
        if not bare:
            continue
        if bare.startswith("[") and not _is_record(bare):
            yield from _elements(number, bare[1:], lines, options, faults)
            continue
        try:
            yield number, parsed(bare, checked=checked)
        except ValueError:
            if bare.startswith("{") and (stack := _brackets([], bare)):
                bare, waiting = _gathered(bare, stack, lines, options, faults)
            yield from _parsed(number, bare, faults)


def _parsed(number: int, bare: str, faults: Faults) -> Iterator[Value]:
    """The value of a text, or its values if several follow each other."""
    try:
        yield number, parsed(bare)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _several(number, bare, faults)
        else:
            faults.add(
                number, f"expected one JSON object per line, or one array: {error}: {bare[:80]!r}"
            )
    except ValueError as error:
        faults.add(
            number, f"expected one JSON object per line, or one array: {error}: {bare[:80]!r}"
        )


def _several(number: int, text: str, faults: Faults) -> Iterator[Value]:
    """The values of a text in which one follows the other."""
    decoder, start, line = json.JSONDecoder(), 0, number
    while start < len(text):
        try:
            value, end = decoder.raw_decode(text, start)
            _check_value(text[start:end], value)
        except (ValueError, RecursionError) as error:
            told = str(error) if isinstance(error, ValueError) else _TOO_DEEP
            shown = text[start : start + 80]
            faults.add(line, f"expected one JSON object per line, or one array: {told}: {shown!r}")
            return
        yield line, value
        after = _BLANKS.match(text, end)
        following = after.end() if after else end
        line += text.count("\n", start, following)
        start = following


def _gathered(
    first: str, stack: list[str], lines: Lines, options: ValueOptions, faults: Faults
) -> tuple[str, tuple[int, str] | None]:
    """The text of an object that goes on over several lines, and a line that cannot belong to it.

    A line that cannot follow the one before it shows that the object was cut off there.
    """
    held, before, size = [first], first, len(first)
    for number, text in lines:
        bare = text.strip()
        size += len(bare) + _LINE_COST
        _check_size(number, size, len(stack), options, faults)
        if bare and not _may_follow(before, bare, stack):
            return "\n".join(held), (number, text)
        held.append(bare)
        if bare:
            before = bare
            if not _brackets(stack, bare):
                break
    return "\n".join(held), None


def _check_size(line: int, size: int, depth: int, options: ValueOptions, faults: Faults) -> None:
    """Refuse a value that goes on and on, or is nested without end."""
    if depth > options.max_depth:
        faults.refuse(line, f"nested deeper than {options.max_depth} brackets (max_depth)")
    most = options.max_line
    if size > most:
        faults.refuse(line, f"the value goes on for more than {most:,} bytes (max_line)")


def _may_follow(before: str, bare: str, stack: list[str]) -> bool:
    """Return whether a line may go on with an object after another line."""
    last, opening = before[-1], bare[0]
    if last in "{," and stack[-1] == "{":
        return opening in '"}'
    return last in "[,:" or opening in "}],:"


def _brackets(stack: list[str], text: str) -> list[str]:
    """The brackets that are open after a text."""
    for bracket in _BRACKET.findall(_without_strings(text)):
        if bracket in "[{":
            stack.append(bracket)
        elif stack:
            stack.pop()
    return stack


def _without_strings(text: str) -> str:
    """A text without its strings, of which one that is not closed stays."""
    return _STRING.sub(lambda found: "" if found[1] else found[0], text)


def _keys(value: Any) -> int:
    """Count keys, or some of them: lists that begin with a word or a number are left out."""
    if type(value) is dict:
        return len(value) + sum(_keys(one) for one in value.values() if type(one) in _NESTED)
    if type(value) is list and value and type(value[0]) is dict:
        return sum(map(_keys, value))
    return 0


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, no key of which may stand in it twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return found


def _is_record(text: str) -> bool:
    """Return whether a line starting with ``[`` is one record, ``["text", {"entities": ...}]``."""
    try:
        value = parsed(text)
    except ValueError:
        return False
    return len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict)


def _elements(
    first: int, opening: str, lines: Lines, options: ValueOptions, faults: Faults
) -> Iterator[Value]:
    """The elements of an array, as soon as the lines so far hold whole ones."""
    held: list[str] = []
    depth, size, number, text = 0, 0, first, opening
    while True:
        size = size + len(text) + _LINE_COST if held else len(text)
        _check_size(number, size, depth, options, faults)
        bare = _without_strings(text)
        depth += sum(map(bare.count, "[{")) - sum(map(bare.count, "]}"))
        held.append(text)
        if depth < 0:  # the bracket that ends the array
            inside, _, rest = text.rpartition("]")
            yield from _whole(first, [*held[:-1], inside], faults)
            if rest.strip():
                faults.add(number, f"the array should end here, but {rest.strip()[:80]!r} follows")
            return
        if depth == 0:
            yield from _whole(first, held, faults)
            held = []
        number, text = next(lines, (0, ""))
        if not number:
            break
        first = first if held else number
    faults.add(first, "the array is never closed with ']'")


def _whole(first: int, held: list[str], faults: Faults) -> Iterator[Value]:
    """The values of some lines of an array, with the commas around them."""
    text = "\n".join(held).strip()
    text = text.removeprefix(",").removesuffix(",")
    if not text.strip():
        return
    try:
        found = parsed(f"[{text}]")
    except ValueError as error:
        faults.add(first, f"not valid JSON: {error}")
        return
    for value in found:
        yield first, value


def parsed(text: str, *, checked: bool = True, **options: Any) -> Any:
    """Return the JSON value that a text holds.

    Args:
        text: All of it.
        checked: Whether to look for keys that occur twice and for halves of characters, too.
        options: Of ``json.loads``.

    Raises:
        ValueError: It is not JSON, is nested too deep, repeats a key or holds half a character.
    """
    if len(text) > MAX_LINE // _SHORTEST and _SHORTEST * sum(map(text.count, ",[{")) > MAX_LINE:
        raise ValueError(f"it holds more than {MAX_LINE // _SHORTEST:,} values")
    try:
        value = json.loads(text, **options)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if checked:
        _check_value(text, value)
    return value


def _check_value(text: str, value: Any) -> None:
    """Refuse half of a surrogate pair, and a key that occurs twice in one object.

    A text with no more ends of keys than there are keys in its value repeats none, which is
    much quicker to see than looking at every object while it is parsed.

    Raises:
        ValueError: There is one.
    """
    if sum(map(text.count, _AFTER_KEY)) > _keys(value):
        json.loads(text, object_pairs_hook=_unique)
    if "\\u" in text and _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                "it holds half of a surrogate pair, which is not a character"
            ) from error
