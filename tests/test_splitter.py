"""Sentences of raw texts: what one expects of usual ones, of any a partition, in linear time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner.tokenizer import split_sentences, tokenize


def sentences(text):
    tokens = tokenize(text)
    return [
        text[tokens[first][0] : tokens[last - 1][1]]
        for first, last in split_sentences(text, tokens)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Ada met Obi.|She left.",
        "Mr. Ho of Kestrel Inc. left the U.S. in Jan. 1996.|He is in Peru.",
        "He works at Kestrel Inc.|The firm grew.",
        'He said: "Go!"|"Now?" she asked.|They went.',
        "Is it?|Yes!|(It was.)|Well... perhaps.|Hm...|No.",
        "It costs 3.50 in St. Louis, e.g. at No. 5.|J. R. Obi pays.",
        "1. Wash the rice.|2. Boil it.",
        "He lived there.[12]|Later he left.",
        "東京に住む。|「はい。」と彼は言った。",
    ],
)
def test_usual_texts_are_split_where_a_reader_would(text):
    parts = text.split("|")
    joined = "".join(parts) if "東" in text else " ".join(parts)
    assert sentences(joined) == parts


@pytest.mark.parametrize("gap", ["\n", "\r\n", "\n\n", "\n \t\n", "\u2029"])
def test_a_line_end_ends_a_sentence(gap):
    assert sentences(f"A Heading{gap}the text, then{gap}- more") == [
        "A Heading",
        "the text, then",
        "- more",
    ]


@given(st.text(alphabet="aA. !?\"')]\n[1Mr"))
def test_sentences_hold_every_token_once_and_in_order(text):
    tokens = tokenize(text)
    found = list(split_sentences(text, tokens))
    assert [place for first, last in found for place in range(first, last)] == [*range(len(tokens))]


def test_time_is_linear():
    def seconds(text):
        tokens = tokenize(text)
        began = time.process_time()
        list(split_sentences(text, tokens))
        return time.process_time() - began

    for piece in ('." ', "Mr. ", ") ", "a\n", "... "):
        small, large = (min(seconds(piece * n) for _ in range(3)) for n in (2000, 40_000))
        assert large < 100 * small + 0.5, piece
