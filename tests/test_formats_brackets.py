"""The inline brackets of the bundled corpus."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner.formats.brackets import parse, spell
from ner.sentence import Sentence, Span

WORDS = st.text(st.sampled_from("ab[]\\? \t\n\r-é\u00a0\u2028"), min_size=1, max_size=5)


@st.composite
def sentences(draw: st.DrawFn) -> Sentence:
    """A sentence with hostile tokens, spans that do not overlap, and unknown tokens."""
    tokens = tuple(draw(st.lists(WORDS, min_size=1, max_size=8)))
    edges = sorted(draw(st.sets(st.integers(0, len(tokens)))))
    spans, unknown = [], set()
    for start, end in itertools.pairwise(edges):
        kind = draw(st.sampled_from(["span", "gap", "unknown"]))
        if kind == "span":
            spans.append(Span(start, end, draw(WORDS)))
        elif kind == "unknown":
            unknown |= set(range(start, end))
    if len(unknown) == len(tokens):
        return Sentence(tokens)
    return Sentence(tokens, tuple(spans), unknown=frozenset(unknown))


def test_reads_tokens_and_spans() -> None:
    assert parse("[PER Ada Obi] joined [ORG Kestrel Foods] .") == Sentence(
        ("Ada", "Obi", "joined", "Kestrel", "Foods", "."), (Span(0, 2, "PER"), Span(3, 5, "ORG"))
    )


@given(sentences())
def test_what_is_written_reads_back(sentence: Sentence) -> None:
    assert parse(spell(sentence)) == sentence


def test_a_boundary_as_a_token_is_escaped() -> None:
    assert spell(Sentence(("-DOCSTART-", "x"), ())) == r"\-DOCSTART- x"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[PER Ada", "'\\[PER' is never closed"),
        ("Ada] spoke", "closes an entity that is not open"),
        ("[PER [LOC Rome] ]", "opens an entity inside"),
        ("[PER]", "should be '\\['"),
        ("[ PER Ada]", "should be '\\['"),
        ("[PER Ada ]", "stands alone"),
        ("the[PER Ada]", "bracket or backslash within"),
        ("[PER Ada]'s", "bracket or backslash within"),
        ("end\\", "bracket or backslash within"),
    ],
)
def test_brackets_that_do_not_pair_are_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(line)


def test_overlapping_spans_and_empty_tokens_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="overlap"):
        spell(Sentence(("a", "b"), (Span(0, 2, "X"), Span(1, 2, "Y"))))
    with pytest.raises(ValueError, match="empty"):
        spell(Sentence(("",), ()))
