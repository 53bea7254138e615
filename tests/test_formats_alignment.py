"""Spans of characters brought to tokens, and the tokens of raw text."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner.formats import DataWarning
from ner.formats.alignment import Characters, Misfits, align, cut, locate
from ner.formats.offsets import tokenizer_named
from ner.sentence import Span

TEXT = "Ada Obi left Berlin-Mitte."
OFFSETS = ((0, 3), (4, 7), (8, 12), (13, 25), (25, 26))


def test_spans_on_token_boundaries_are_kept_as_they_are() -> None:
    noted = Misfits("x")
    found = align(
        TEXT, OFFSETS, [Characters(0, 7, "PER", 0.5), Characters(13, 25, "LOC")], "strict", noted
    )
    assert found == (Span(0, 2, "PER"), Span(3, 4, "LOC"))
    assert found[0].score == 0.5
    assert noted.spans == 2
    assert not noted.counts


@pytest.mark.parametrize(
    ("how", "kept", "said"),
    [
        (
            "strict",
            (),
            "'Obi left Berlin' (4, 19) X, nearest tokens 'Obi' 'left' 'Berlin-Mitte': left out",
        ),
        ("expand", (Span(1, 4, "X"),), "read as 'Obi left Berlin-Mitte'"),
        ("contract", (Span(1, 3, "X"),), "read as 'Obi left'"),
    ],
)
def test_a_span_that_ends_within_a_token_is_told(
    how: str, kept: tuple[Span, ...], said: str
) -> None:
    noted = Misfits("x.jsonl", line=3)
    assert align(TEXT, OFFSETS, [Characters(4, 19, "X")], how, noted) == kept
    with pytest.warns(DataWarning, match=r"of 1 span, 1 not on token boundaries") as caught:
        noted.warn()
    assert "x.jsonl:3: " in str(caught[0].message)
    assert said in str(caught[0].message)


def test_a_span_inside_one_token_is_that_token_or_nothing() -> None:
    inside = [Characters(13, 19, "LOC")]
    assert align(TEXT, OFFSETS, inside, "expand") == (Span(3, 4, "LOC"),)
    assert align(TEXT, OFFSETS, inside, "contract") == ()


def test_white_space_at_the_ends_is_trimmed_and_told() -> None:
    noted = Misfits("x")
    spans = [Characters(3, 8, "PER"), Characters(12, 13, "GAP")]
    assert align(TEXT, OFFSETS, spans, "strict", noted) == (Span(1, 2, "PER"),)
    assert noted.counts == {"begin or end with white space": 2}
    assert noted.spans == 2


def test_of_spans_that_overlap_the_longer_is_kept_and_the_other_told() -> None:
    noted = Misfits("x")
    spans = [Characters(4, 7, "IN"), Characters(0, 7, "OUT"), Characters(4, 25, "CROSS")]
    assert align(TEXT, OFFSETS, spans, "strict", noted) == (Span(1, 4, "CROSS"),)
    assert noted.counts == {"overlap a longer span": 2}


def test_the_same_span_twice_is_one_span() -> None:
    noted = Misfits("x")
    assert align(TEXT, OFFSETS, [Characters(0, 3, "A")] * 2, "strict", noted) == (Span(0, 1, "A"),)
    assert not noted.counts


def test_the_first_twenty_misfits_are_listed_and_the_others_counted() -> None:
    noted = Misfits("x")
    align(TEXT, OFFSETS, [Characters(0, 1, f"L{n}") for n in range(25)], "strict", noted)
    with pytest.warns(DataWarning, match="and 5 more") as caught:
        noted.warn()
    assert str(caught[0].message).count("left out") == 20


@st.composite
def annotated(draw: st.DrawFn) -> tuple[str, list[Characters]]:
    text = draw(st.text(st.sampled_from("ab .\n\t-字\u0301é"), min_size=1, max_size=30))
    places = st.integers(0, len(text))
    pairs = draw(st.lists(st.tuples(places, places), max_size=6))
    return text, [Characters(a, b, "X") for a, b in pairs if a < b]


@given(annotated(), st.sampled_from(["strict", "expand", "contract"]))
def test_every_span_is_kept_or_told(given: tuple[str, list[Characters]], how: str) -> None:
    """Nothing vanishes: spans kept unchanged and misfits together are the spans that came."""
    text, spans = given
    noted = Misfits("x")
    sentences = list(cut(text, spans, tokenizer_named("plain"), how, noted))
    kept = [span for one in sentences for span in one.spans or ()]
    assert noted.spans >= len(set(spans)) - noted.counts["begin or end with white space"]
    assert len(kept) + noted.counts.total() >= len(set(spans))
    for one in sentences:
        assert one.text is not None
        assert one.offsets is not None
        assert one.tokens == tuple(one.text[start:end] for start, end in one.offsets)
        places = [place for span in one.spans or () for place in range(span.start, span.end)]
        assert len(places) == len(set(places))


def test_a_text_is_cut_at_its_line_ends_but_not_within_an_entity() -> None:
    text = "Ada\nObi left.\r\n\n Rome\n"
    spans = [Characters(0, 7, "PER"), Characters(17, 21, "LOC")]
    found = list(cut(text, spans, tokenizer_named("blanks")))
    assert [one.tokens for one in found] == [("Ada", "Obi", "left."), ("Rome",)]
    assert [one.spans for one in found] == [(Span(0, 2, "PER"),), (Span(0, 1, "LOC"),)]
    assert [one.text for one in found] == ["Ada\nObi left.", " Rome"]
    assert [one.line for one in found] == [1, 4]


def test_misfits_of_later_lines_are_told_with_their_place_in_the_whole_text() -> None:
    noted = Misfits("x")
    list(cut("one\ntwo three", [Characters(4, 6, "X")], tokenizer_named("blanks"), "strict", noted))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        noted.warn()
    assert "'tw' (4, 6) X" in str(caught[0].message)


def test_locate_finds_tokens_in_their_text_or_says_that_they_do_not_fit() -> None:
    assert locate("a  b b", ("a", "b", "b")) == ((0, 1), (3, 4), (5, 6))
    assert locate("a", ("a", "b")) is None
    assert locate("axb", ("a", "b")) is None


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        (
            "plain",
            "Obi's 1,234.5 नमस्ते SPRiNGSと最も",
            ["Obi", "'", "s", "1,234.5", "नमस्ते", "SPRiNGS", "と", "最", "も"],
        ),
        ("blanks", "Obi's  dog.", ["Obi's", "dog."]),
        ("en", "Obi's dog  left U.S. soil.", ["Obi", "'s", "dog", "left", "U.S.", "soil", "."]),
        ("en", "SPRiNGSと最も。", ["SPRiNGS", "と", "最", "も", "。"]),
        ("de", "Das z.B. war gut.", ["Das", "z.B.", "war", "gut", "."]),
    ],
)
def test_tokenizers(name: str, text: str, tokens: list[str]) -> None:
    assert [text[start:end] for start, end in tokenizer_named(name)(text)] == tokens


def test_an_unknown_tokenizer_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match="spaCy has no tokenizer for 'klingon'"):
        tokenizer_named("klingon")


@given(st.text(max_size=60))
def test_plain_tokens_leave_out_white_space_only(text: str) -> None:
    offsets = tokenizer_named("plain")(text)
    gaps = [0, *(end for _, end in offsets)], [*(start for start, _ in offsets), len(text)]
    assert not any(text[end:start].strip() for end, start in zip(*gaps, strict=True))
