"""Tasks of Label Studio: their text, and the regions of the annotation that counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ner.formats.json_values import Object

LABELLED = ("labels", "hypertextlabels")  # types of regions that are spans of a text
_NO_SPANS = (  # types of results that say something else, of the text or of a region
    *("choices", "relation", "textarea", "rating", "taxonomy", "number", "pairwise", "datetime"),
    *("ranker", "reference"),
)


def task_record(task: Object) -> Object:
    """A task as text and spans.

    Raises:
        ValueError: It has several texts, or regions that are no spans of a text.
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
        ValueError: It is of a type that is no span of a text, or has no label.
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
                f"the region {_name(region)} is of type {kind!r} and has no label that can be "
                f"read; regions of the types {' and '.join(LABELLED)} can"
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
        "only regions with globalOffsets can be read"
    )


def _name(region: Object) -> str:
    return repr(region.get("id", "without an id"))
