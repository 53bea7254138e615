"""Offsets counted as different tools count them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner.formats import DataError, DataWarning
from ner.formats.jsonl import read
from ner.formats.offsets import OTHERS, Bounds, counting_named
from ner.sentence import Span

TEXT = "\U0001f600 Ada \u00e9tait \u00e0  Rome,\r\nAda lit."
SPANS = [(2, 5, "PER"), (15, 19, "LOC"), (22, 25, "PER")]


def counted(text: str, place: int, name: str) -> int:
    """The place of a character as another tool counts it: the oracle."""
    before = text[:place]
    if "lf" in name:
        before = before.replace("\r\n", "\n")
    if "collapsed" in name:
        kept = [
            one
            for n, one in enumerate(before)
            if not (one.isspace() and before[n - 1 : n].isspace())
        ]
        before = "".join(kept)
    if "utf-16" in name:
        found = len(before.encode("utf-16-le")) // 2
    else:
        found = len(before.encode()) if "bytes" in name else len(before)
    return found + (1 if "bom" in name else 0)


def save(folder: Path, *values: Any) -> Path:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def told(path: Path) -> str:
    """What the reader warns of."""
    with pytest.warns(DataWarning) as caught:
        list(read(path, tokenizer="plain"))
    return "\n".join(str(one.message) for one in caught)


@pytest.mark.parametrize("counting", OTHERS, ids=lambda one: one.name)
@given(
    text=st.text("a\u00e9\U0001f600 \r\n", min_size=1, max_size=12),
    places=st.tuples(st.integers(0, 11), st.integers(0, 11)),
)
def test_counting_there_and_back_is_the_identity(
    counting: Any, text: str, places: tuple[int, int]
) -> None:
    start, end = sorted(places)
    text = text.replace("\r", "\r\n").replace("\n\n", "\n")
    if not start < end <= len(text) or "collapsed" in counting.name or "\n" in text:
        return
    last = "inclusive" in counting.name
    given_start = counted(text, start, counting.name)
    given_end = counted(text, end, counting.name) - last
    if last and text[end - 1] > "\x7f":
        return
    (found,) = counting.applied(text, [Bounds(given_start, given_end, "X")])
    assert (found.start, found.end) == (start, end)


@pytest.mark.parametrize("name", [one.name for one in OTHERS if one.name != "inclusive"])
def test_a_way_of_counting_can_be_set(tmp_path: Path, name: str) -> None:
    last = "inclusive" in name
    places = [
        [counted(TEXT, start, name), counted(TEXT, end, name) - last, label]
        for start, end, label in SPANS
    ]
    path = save(tmp_path, {"text": TEXT, "label": places})
    found = list(read(path, tokenizer="plain", offsets=name))
    assert [
        [(" ".join(s.tokens[x.start : x.end]), x.label) for x in s.spans or ()] for s in found
    ] == [
        [("Ada", "PER"), ("Rome", "LOC")],
        [("Ada", "PER")],
    ]


@pytest.mark.parametrize("name", [one.name for one in OTHERS])
def test_quotes_decide_without_a_word(tmp_path: Path, name: str) -> None:
    last = "inclusive" in name
    items = [
        {
            "start": counted(TEXT, start, name),
            "end": counted(TEXT, end, name) - last,
            "label": label,
            "text": TEXT[start:end],
        }
        for start, end, label in SPANS
    ]
    path = save(tmp_path, {"text": TEXT, "spans": items})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(read(path, tokenizer="plain"))
    assert [len(one.spans or ()) for one in found] == [2, 1]


def test_a_way_in_which_all_would_fit_is_named(tmp_path: Path) -> None:
    emoji = {"text": "\U0001f468\U0001f3fb Ada left Rome.", "label": [[5, 8, "PER"]]}
    plain = {"text": "Ada left Rome.", "label": [[0, 3, "PER"], [9, 13, "LOC"]]}
    assert "set offsets: utf-16" in told(save(tmp_path, plain, emoji))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(read(save(tmp_path, plain, emoji), tokenizer="plain", offsets="utf-16"))
    assert found[1].spans == (Span(2, 3, "PER"),)
    ends = {"text": "Ada left Rome.", "label": [[0, 2, "PER"], [9, 12, "LOC"]]}
    assert "set offsets: inclusive" in told(save(tmp_path, ends))


def test_a_way_in_which_some_would_not_fit_is_not_named(tmp_path: Path) -> None:
    ends = {"text": "Ada left Rome.", "label": [[0, 2, "PER"]]}
    good = {"text": "Ada left Rome.", "label": [[0, 3, "PER"], [9, 13, "LOC"]]}
    assert "set offsets" not in told(save(tmp_path, good, ends))


def test_what_cannot_be_decided_is_said(tmp_path: Path) -> None:
    value = {"text": "\U0001f600\u7c73\u62c9\u5728\u62c9\u8d6b\u8482\u5de5\u4f5c"}
    path = save(tmp_path, value | {"label": [[2, 4, "PER"]]})
    with pytest.warns(DataWarning, match="set offsets: utf-16 or offsets: characters"):
        list(read(path, tokenizer="plain"))
    for name, first in (("characters", 2), ("utf-16", 1)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            (found,) = read(path, tokenizer="plain", offsets=name)
        assert found.spans == (Span(first, first + 2, "PER"),)


def test_a_quote_with_other_white_space_is_the_same(tmp_path: Path) -> None:
    item = {"start": 0, "end": 9, "label": "X", "text": "Ada Obi"}
    (found,) = read(
        save(tmp_path, {"text": "Ada  \n Obi"[:4] + "  Obi x", "spans": [item]}), tokenizer="plain"
    )
    assert found.spans == (Span(0, 2, "X"),)


def test_offsets_can_be_trusted_against_the_quote(tmp_path: Path) -> None:
    item = {"start": 0, "end": 3, "label": "X", "text": "Adda"}
    path = save(tmp_path, {"text": "Ada left", "spans": [item]})
    with pytest.raises(DataError, match="set trust_offsets: true"):
        list(read(path, tokenizer="plain"))
    (found,) = read(path, tokenizer="plain", trust_offsets=True)
    assert found.spans == (Span(0, 1, "X"),)


def test_a_span_beyond_the_text_says_how_it_would_fit(tmp_path: Path) -> None:
    path = save(tmp_path, {"text": "\u00e9t\u00e9 Ada", "label": [[6, 9, "X"]]})
    with pytest.raises(DataError, match="has 7 characters; set offsets: bytes"):
        list(read(path, tokenizer="plain"))


@pytest.mark.parametrize("name", ["", "utf-8", "bytes utf-16", "inclusive exclusive"])
def test_a_way_of_counting_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="offsets must be one of characters, utf-16, bytes"):
        counting_named(name)
