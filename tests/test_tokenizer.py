"""Tokens of raw texts: what one expects of usual ones, of any a partition, in linear time."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner.tokenizer import tokenize


def tokens(text):
    return " ".join(text[start:end] for start, end in tokenize(text))


CASES = {
    "Ada Obi's firm didn't pay $5.50, he said.": "Ada Obi 's firm did n't pay $ 5.50 , he said .",
    "They’re sure; we'll see (perhaps).": "They ’re sure ; we 'll see ( perhaps ) .",
    "Mr. Ho of Kestrel Inc. left the U.S. in Jan. 1996.": (
        "Mr. Ho of Kestrel Inc. left the U.S. in Jan. 1996 ."
    ),
    "See https://a.example/b?c=d, or mail ada.obi@a.example.": (
        "See https://a.example/b?c=d , or mail ada.obi@a.example ."
    ),
    '"Well-known," said Jean-Luc O\'Brien...': '" Well-known , " said Jean-Luc O\'Brien ...',
    "1,234.5 by 10:30 on 1996-08-22/23": "1,234.5 by 10:30 on 1996-08-22/23",
    "Results: Ada 6-1, Bo 2-6": "Results : Ada 6-1 , Bo 2-6",
    "AT&T, R&D and C++ at 5% [sic]": "AT&T , R&D and C++ at 5 % [ sic ]",
    "@ada #tag -5 'tis 'em": "@ada #tag -5 'tis 'em",
    "the dogs' home -- at last!!": "the dogs ' home -- at last ! !",
    "end.Next one,two a:b": "end . Next one , two a : b",
    "¿Qué? «Oui» „Ja“": "¿ Qué ? « Oui » „ Ja “",
    "東京に住む。": "東 京 に 住 む 。",
    "Sony東京 2020年": "Sony 東 京 2020 年",
    'צה"ל אמר "לא"': 'צה"ל אמר " לא "',
    "हिन्दी में।": "हिन्दी में ।",
    "Hi\U0001f600there \U0001f44d\U0001f3fd \U0001f469\u200d\U0001f4bb": (
        "Hi \U0001f600 there \U0001f44d\U0001f3fd \U0001f469\u200d\U0001f4bb"
    ),
    "We met -DOCSTART- and -x- in -Accra": "We met - DOCSTART - and - x - in -Accra",
    "": "",
    " \t\u00a0\n": "",
}


@pytest.mark.parametrize("text", CASES)
def test_usual_texts_are_cut_as_corpora_are(text):
    assert tokens(text) == CASES[text]


ASCII = st.text(st.characters(max_codepoint=127))


@given(st.text() | ASCII | st.text("aB1.,'\"-$@#:()\u4e00\U0001f600\u200d\ufe0f n\u0301"))
def test_tokens_are_all_of_a_text_but_its_blanks(text):
    """In order, none empty, none overlapping; what a text holds beside does not change them."""
    found = tokenize(text)
    ends = [0, *(end for _, end in found)]
    assert all(before <= start < end for before, (start, end) in zip(ends, found, strict=False))
    held = "".join(text[start:end] for start, end in found)
    assert held == "".join(text.split())
    assert tokenize(f"{text} {text}")[: len(found)] == found
    assert tokenize(f"{text} \u4e00")[: len(found)] == found  # no longer ASCII


FAMILIES = [
    "$", "<", "'", '"', ")", "(", ".", "-", ",", ":", "@", "#", "\U0001f600", "\u200d", "\ufe0f",
    "\u0301", "a", "1", "\u4e00", "a.", ".a", "a@", "@a", "a-", "n't", "'s", "U.", "a,", "1,",
    "://", "http://", "www.", "a@b.", '\u05d0"', "&", "_", "*.", ".)", ".'", "-'", "!?",
    "\U0001f600\u200d", "e.g.", "Inc.)", "''", "``", "%$", "=.=",
]  # fmt: skip


def steps(text):
    """How many lines of Python are run."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        tokenize(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("family", FAMILIES)
def test_twice_the_text_takes_twice_the_steps(family):
    """Whatever is repeated, with and without a letter at either end."""
    for begin, end in (("", ""), ("a", ""), ("", "a"), ("(", ".")):
        small, large = (begin + family * count + end for count in (400, 1600))
        assert steps(large) < 4.5 * steps(small) + 500


def test_the_worst_texts_that_a_request_may_hold_are_cut():
    """Half an hour each by spaCy's tokenizer; patterns are looked at, for they take no steps."""
    for family in FAMILIES:
        text = (family * 200_000)[:200_000]
        assert "".join(text[start:end] for start, end in tokenize(text)) == "".join(text.split())
