"""The spans of JSON objects, whatever their tool calls them, and the tasks of Label Studio."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ner.formats.alignment import Characters
from ner.formats.detection import is_any_tag
from ner.formats.json_values import Object, as_object
from ner.formats.offsets import Bounds, Counting, Evidence, agrees, fitting, quoted

# Where annotation is looked for; keys keep their order, and are found without looking at each.
SPANS = dict.fromkeys(
    (
        *("spans", "entities", "label", "labels", "ents", "annotations", "annotation", "ner"),
        *("tags", "entity_mentions", "entitymentions", "mentions", "named_entities"),
        "denotations",
    )
)
PREDICTED = dict.fromkeys(("predictions", "prediction"))  # where nothing else is annotated
_MAY_BE_WORDS = ("label", "labels", "tags", "ner")  # which tags, or labels of the whole text, are
_START = (
    *("start", "start_offset", "begin", "startOffset", "start_char", "offset", "start_idx"),
    "start_position",
)
_END = ("end", "end_offset", "stop", "endOffset", "end_char", "end_idx", "end_position")
_LABEL = (
    *("label", "type", "labels", "entity_group", "entity_type", "entity", "tag", "class"),
    *("category", "ner", "obj"),
)
_SAYS = ("text", "name")
_WRITTEN_OUT = re.compile(r"\s*(?:\[\s*[\[{(\]]|\{\s*['\"}])")  # a list, but as text
_NO_ENTITIES = ("relation", "event", "coref", "token", "sent", "chunk", "pos", "dep", "cluster")


def span_items(given: Object, chosen: str | None = None) -> list[Any] | None:
    """The spans as they stand; ``None`` where nobody has annotated.

    A list that is empty does not count beside one that is not.

    Args:
        given: The object.
        chosen: The key they stand under, where the user says so.

    Raises:
        ValueError: There are spans, but not as a list; or two keys hold different spans; or
            something that looks like annotation stands under a key that is not known. (A label
            that is a word is one of the whole text, and not of a span.)
    """
    if chosen is not None:
        return _items(chosen, given.get(chosen))
    empty = False
    for keys in (SPANS, PREDICTED):
        found = {
            key: items
            for key in given
            if key in keys and (items := _items(key, given[key])) is not None
        }
        filled = {key: items for key, items in found.items() if items}
        if len(filled) > 1:
            _refuse_two(filled)
        if filled:
            return next(iter(filled.values()))
        empty = empty or (bool(found) and keys is SPANS)
    if empty:
        return []
    _refuse_words(given)
    _refuse_unknown(given)
    return None


def predicted(given: Object) -> bool:
    """Return whether an object has only predicted spans."""
    return any(given.get(key) for key in PREDICTED) and not any(
        _items(key, given[key]) for key in given if key in SPANS
    )


def _items(key: str, value: Any) -> list[Any] | None:
    """The spans under a key; ``None`` where there is something else."""
    if isinstance(value, dict):
        inside = next((one for one in SPANS if isinstance(value.get(one), list | dict)), None)
        return _items(inside, value[inside]) if inside else list(_by_label(key, value))
    if isinstance(value, list):
        if key in _MAY_BE_WORDS and value and not isinstance(value[0], dict | list):
            return None
        return [one for item in value for one in _points(item)]
    if value is not None and key not in (*_MAY_BE_WORDS, "annotation", *PREDICTED):
        raise ValueError(f"expected a list of spans under {key!r}, found {value!r:.120}")
    if isinstance(value, str) and (_WRITTEN_OUT.match(value) or _are_tags(value.split())):
        raise ValueError(f"{key!r} should hold a list, found a list as text: {value!r:.120}")
    return None


def _points(item: Any) -> Iterator[Any]:
    """The spans of an item, of which one of Dataturks may have several, ends counted in."""
    points = item.get("points") if isinstance(item, dict) else None
    if not isinstance(points, list):
        yield item
        return
    for point in points:
        start, end, label = bounds({"label": item.get("label"), **as_object(point)})
        yield {"start": start, "end": end + 1, "label": label, "text": point.get("text")}


def _by_label(key: str, value: Object) -> Iterator[Any]:
    """Spans listed under their labels: ``{"PER": [[0, 4]]}``, or by text as CLUENER has them.

    ``{"PER": {"Ada": [[0, 2]]}}`` counts the last character in, as its text shows.
    """
    for label, given in value.items():
        mentions = given.items() if isinstance(given, dict) else [(None, given)]
        for says, places in mentions:
            for place in places if isinstance(places, list) else [places]:
                if not (isinstance(place, list) and len(place) == 2):
                    raise ValueError(
                        f"expected a list of spans under {key!r}, found {value!r:.120}"
                    )
                yield {"span": place, "label": label, "text": says}


def _refuse_two(filled: Mapping[str, list[Any]]) -> None:
    """Refuse two lists of spans that differ."""
    (one, spans), *others = filled.items()
    known = sorted(map(bounds, spans))
    for other, given in others:
        if sorted(map(bounds, given)) != known:
            raise ValueError(
                f"{one!r} and {other!r} both hold annotation, and disagree; choose one, "
                f"for example annotation: {one}"
            )


def _refuse_words(given: Object) -> None:
    """Refuse words where spans should be, which are labels of the whole text or lost tags."""
    for key in _MAY_BE_WORDS:
        value = given.get(key)
        if isinstance(value, list) and value and key != "tags":
            raise ValueError(
                f"{key!r} holds words, not spans; a span should be [start, end, label] or an "
                f"object with these, and tags need 'tokens' beside them: {value!r:.80}"
            )


def _refuse_unknown(given: Object) -> None:
    """Refuse an object whose annotation seems to stand under a key that is not known."""
    for key, value in given.items():
        for name, one in _within(key, value):
            if _looks_annotated(name, one):
                raise ValueError(
                    f"{name!r} looks like annotation, but annotation is expected under "
                    f"{', '.join(SPANS)}; "
                    + (f"set annotation: {name}" if one is value else "move it there")
                )


def _within(name: str, value: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Yield a value and what it holds, of lists the first item, each with where it stands."""
    yield name, value
    inside = value if isinstance(value, dict) else {}
    for key, one in inside.items() if depth else ():
        yield from _within(f"{name}.{key}", one, depth - 1)
    if depth and isinstance(value, list) and value and isinstance(value[0], list | dict):
        yield from _within(f"{name}[0]", value[0], depth - 1)


def _are_tags(words: Sequence[Any]) -> bool:
    """Return whether these are tags, at least one of which has a label."""
    return any(str(one)[1:2] == "-" for one in words) and all(
        isinstance(one, str) and is_any_tag(one) for one in words
    )


def _looks_annotated(key: str, value: Any) -> bool:
    """Return whether a value is a list of spans with labels, or of tags."""
    if not isinstance(value, list) or not value or any(one in key.lower() for one in _NO_ENTITIES):
        return False
    if isinstance(value[0], str):
        return _are_tags(value)
    try:
        bounds(value[0])
    except ValueError:
        return False
    return True


def characters(
    items: Iterable[Any],
    text: str,
    counting: Counting,
    evidence: Evidence,
    *,
    trusted: bool = False,
) -> list[Characters]:
    """Spans as they stand in an object, by characters.

    Tools that run in a browser count in UTF-16, where an emoji is two; others count bytes, or
    the last character in: where such a way, and not the plain count, agrees with what every
    span says of its text, it is taken.

    Args:
        items: The spans.
        text: What they are spans of.
        counting: How their offsets are counted.
        evidence: Where spans are noted whose offsets may be counted in another way.
        trusted: Whether offsets count where the text they mean is not the one that is quoted.
    """
    spans = [Bounds(*bounds(item), _says(item), score(item)) for item in items]
    return placed(spans, text, counting, evidence, trusted=trusted)


def placed(
    spans: list[Bounds],
    text: str,
    counting: Counting,
    evidence: Evidence,
    *,
    trusted: bool = False,
) -> list[Characters]:
    """Spans as a file gives them, by characters; see `characters`.

    Raises:
        ValueError: A span leaves the text, or quotes another.
    """
    if trusted:
        spans = [one._replace(says=None) for one in spans]
    plain = spans
    if not counting.plain:
        spans = counting.applied(text, spans)
    if not all(agrees(text, one) for one in spans):
        spans = quoted(text, plain) or spans
    for one in spans:
        _check_span(text, one, spans)
    evidence.add(text, spans)
    return [Characters(one.start, one.end, one.label, one.score) for one in spans]


def _check_span(text: str, one: Bounds, spans: list[Bounds]) -> None:
    """Refuse a span that leaves the text, or quotes another."""
    start, end, label, says, _ = one
    if not 0 <= start < end <= len(text):
        other = fitting(text, spans)
        raise ValueError(
            f"the span {start} to {end} ({label}) exceeds the text, "
            f"which has {len(text)} characters" + (f"; set offsets: {other}" if other else "")
        )
    if not agrees(text, one):
        raise ValueError(
            f"the span {start} to {end} ({label}) should be {says!r}, "
            f"but those characters of the text are {text[start:end]!r}; "
            "set trust_offsets: true to go by the offsets"
        )


def says_tokens(item: Any) -> bool:
    """Return whether a span gives its tokens and no characters."""
    return isinstance(item, dict) and first(item, _START) is None and "token_start" in item


def bounds(item: Any, *, by_tokens: bool = False) -> tuple[int, int, str]:
    """Return the start, the end and the label of a span."""
    start = end = label = None
    if isinstance(item, list) and len(item) >= 3:
        start, end, label = item[:3] if not isinstance(item[0], str) else (*item[1:3], item[0])
    elif isinstance(item, dict):
        label = first(item, _LABEL)
        label = label[0] if isinstance(label, list) and label else label
        start, end = _ends(item, by_tokens=by_tokens)
    if type(start) is not int or type(end) is not int or not isinstance(label, str) or not label:
        number = f" (its label is {label}, not a name)" * (type(label) is int)
        raise ValueError(
            "a span should be [start, end, label] or an object with these, found "
            f"{item!r:.120}{number}"
        )
    return start, end, label


def _ends(item: Object, *, by_tokens: bool) -> tuple[Any, Any]:
    """Return the start and the end of a span that is an object."""
    if by_tokens and "token_start" in item:
        return item["token_start"], item.get("token_end")
    if isinstance(item.get("span"), list) and len(item["span"]) == 2:
        return item["span"][0], item["span"][1]
    item = {**item, **as_object(item.get("span"))}  # PubAnnotation: {"begin": 0, "end": 7}
    start, end, length = first(item, _START), first(item, _END), item.get("length")
    if end is None and type(start) is int and type(length) is int:
        end = start + length
    return start, end


def _says(item: Any) -> str | None:
    says = first(item, _SAYS) if isinstance(item, dict) else None
    return says if isinstance(says, str) else None


def score(item: Any) -> float | None:
    """The probability of a span, where it is given."""
    given = item.get("score") if isinstance(item, dict) else None
    return float(given) if isinstance(given, int | float) else None


def first(given: Object, keys: Iterable[str]) -> Any:
    """Return the value of the first key that is present and not null."""
    for key in keys:
        value = given.get(key)
        if value is not None:
            return value
    return None


def kind(value: Any) -> str:
    """A value as it stands, short enough for a message."""
    return f"{value!r:.80}"


LABELLED = ("labels", "hypertextlabels")  # types of regions that are spans of a text
_NO_SPANS = (  # types of results that say something else, of the text or of a region
    *("choices", "relation", "textarea", "rating", "taxonomy", "number", "pairwise", "datetime"),
    *("ranker", "reference"),
)


def task_record(task: Object) -> Object:
    """A task as text and spans.

    Raises:
        ValueError: It has several texts, or regions that are not spans of a text.
    """
    data = task["data"]
    texts = [one for one in data.values() if isinstance(one, str)]
    if "text" not in data and len(texts) != 1:
        raise ValueError(
            "expected a task with one text, or one of them called 'text', found the data "
            + (", ".join(map(repr, data)) or "nothing")
        )
    record = {"text": data.get("text", texts[0] if texts else None), "id": task.get("id", "")}
    done = task.get("annotations", task.get("completions")) or []
    counted = [one for one in done if isinstance(one, dict) and not one.get("was_cancelled")]
    guesses = [one for one in task.get("predictions") or [] if isinstance(one, dict)]
    if counted:
        return {**record, "spans": _regions(counted[0])}
    if guesses and not done:
        return {**record, "predictions": _regions(guesses[0])}
    return record


def _regions(annotation: Object) -> list[Any]:
    """The spans of an annotation or a prediction, one for each label of each region."""
    results = [one for one in annotation.get("result") or () if isinstance(one, dict)]
    named = {one.get("id") for one in results if one.get("type") in LABELLED}
    return [
        span
        for one in results
        if isinstance(one.get("value"), dict)
        for span in _spans(one, one["value"], named)
    ]


def _spans(region: Object, value: Object, named: set[Any]) -> Iterator[Any]:
    """The spans of a region.

    Args:
        region: The region.
        value: Its value.
        named: The ids of regions with labels, of which others may say more.

    Raises:
        ValueError: Its type is not a span of a text, or has no label.
    """
    kind = region.get("type", "labels")
    if kind in _NO_SPANS:
        return
    labels = next((value[key] for key in LABELLED if value.get(key)), None)
    if not isinstance(labels, list):
        if kind in LABELLED and region.get("id") in named:
            raise ValueError(f"the region {_name(region)} of type {kind!r} has no label")
        if kind in LABELLED or "start" in value or "labels" in kind:
            raise ValueError(
                f"the region {_name(region)} is of type {kind!r} and has no label; "
                f"supported are regions of the types {' and '.join(LABELLED)}"
            )
        return
    start, end = _place(region, value)
    for label in labels:
        yield {
            "start": start,
            "end": end,
            "label": label,
            "text": value.get("text"),
            "score": value.get("score", region.get("score")),
        }


def _place(region: Object, value: Object) -> Sequence[Any]:
    """Return the offsets of a region in the text; for HTML, its global offsets."""
    whole = value.get("globalOffsets")
    if isinstance(whole, dict):
        return whole.get("start"), whole.get("end")
    if "startOffset" not in value:
        return value.get("start"), value.get("end")
    if value.get("start") == value.get("end") and value.get("start") in ("/text()[1]", "", None):
        return value.get("startOffset"), value.get("endOffset")
    raise ValueError(
        f"the region {_name(region)} of type {region.get('type')!r} counts from elements of HTML; "
        "only regions with globalOffsets are supported"
    )


def _name(region: Object) -> str:
    return repr(region.get("id", "without an id"))
