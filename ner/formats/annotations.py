"""The spans of JSON objects, whatever their tool calls them and however it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ner.formats.alignment import Characters

Object = Mapping[str, Any]

SPANS = ("spans", "entities", "label", "labels")
_START = ("start", "start_offset", "begin")
_END = ("end", "end_offset", "stop")
_LABEL = ("label", "type", "labels", "entity_group", "entity")
_SAYS = ("text", "name")


def span_items(given: Object) -> list[Any] | None:
    """The spans as they stand; ``None`` where nobody has annotated.

    Raises:
        ValueError: There are spans, but in no list. (A label that is a word is one of the whole
            text, and not of a span.)
    """
    for key in SPANS:
        if isinstance(given.get(key), list):
            return list(given[key])
    for key in SPANS:
        if isinstance(given.get(key), dict) or (key in SPANS[:2] and given.get(key) is not None):
            raise ValueError(f"expected a list of spans under {key!r}, found {given[key]!r:.120}")
    return None


def characters(given: Object, text: str) -> list[Characters] | None:
    """The spans of an object, by characters.

    Tools that run in a browser count in UTF-16, where an emoji is two: where that, and not
    the plain count, agrees with what every span says of its text, it is taken.
    """
    items = span_items(given)
    if items is None:
        return None
    spans = []
    for item in items:
        start, end, label = bounds(item)
        spans.append((start, end, label, _says(item), score(item)))
    if not all(_agrees(text, *one[:2], one[3]) for one in spans) and any(
        one > "\uffff" for one in text
    ):
        narrow = _narrower(text)
        wide = [(narrow(one[0]), narrow(one[1]), *one[2:]) for one in spans]
        spans = wide if all(_agrees(text, *one[:2], one[3]) for one in wide) else spans
    for start, end, label, says, _ in spans:
        if not 0 <= start < end <= len(text):
            raise ValueError(
                f"the span {start} to {end} ({label}) is not within the text, "
                f"which has {len(text)} characters"
            )
        if not _agrees(text, start, end, says):
            raise ValueError(
                f"the span {start} to {end} ({label}) should say {says!r}, "
                f"but those characters of the text are {text[start:end]!r}"
            )
    return [Characters(start, end, label, sure) for start, end, label, _, sure in spans]


def _agrees(text: str, start: int, end: int, says: str | None) -> bool:
    return says is None or (0 <= start < end and text[start:end].strip() == says.strip())


def _narrower(text: str) -> Callable[[int], int]:
    """From places counted in UTF-16 code units to places counted in characters."""
    places = [place for place, one in enumerate(text) for _ in range(1 + (one > "\uffff"))]
    places.append(len(text))
    return lambda unit: places[unit] if 0 <= unit < len(places) else -1


def says_tokens(item: Any) -> bool:
    """Whether a span gives its tokens and no characters."""
    return isinstance(item, dict) and first(item, _START) is None and "token_start" in item


def bounds(item: Any, *, by_tokens: bool = False) -> tuple[int, int, str]:
    """Where a span begins, where it ends, and its label."""
    start = end = label = None
    if isinstance(item, list) and len(item) >= 3:
        start, end, label = item[:3]
    elif isinstance(item, dict):
        label = first(item, _LABEL)
        label = label[0] if isinstance(label, list) and label else label
        start, end = first(item, _START), first(item, _END)
        if isinstance(item.get("span"), list) and len(item["span"]) == 2:
            start, end = item["span"]
        if by_tokens and "token_start" in item:
            start, end = item["token_start"], item.get("token_end")
    if type(start) is not int or type(end) is not int or not isinstance(label, str) or not label:
        raise ValueError(
            f"a span should be [start, end, label] or an object with these, found {item!r:.120}"
        )
    return start, end, label


def _says(item: Any) -> str | None:
    says = first(item, _SAYS) if isinstance(item, dict) else None
    return says if isinstance(says, str) else None


def score(item: Any) -> float | None:
    """The probability of a span, where it is given."""
    given = item.get("score") if isinstance(item, dict) else None
    return float(given) if isinstance(given, int | float) else None


def first(given: Object, keys: Iterable[str]) -> Any:
    """What stands under the first of the keys that is there and not null."""
    return next((given[key] for key in keys if given.get(key) is not None), None)


def kind(value: Any) -> str:
    """A value as it stands, short enough for a message."""
    return f"{value!r:.80}"
