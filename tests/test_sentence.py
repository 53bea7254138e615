"""Spans, sentences and documents."""

import copy
import pickle

import pytest

from ner.sentence import Document, Sentence, Span, as_sentences, in_document


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (1, 1), (2, 1)])
def test_a_span_refuses_boundaries_that_hold_nothing(start, end):
    with pytest.raises(ValueError, match=f"start={start}, end={end}"):
        Span(start, end, "PER")


def test_spans_are_equal_whatever_their_scores():
    assert Span(0, 1, "PER", 0.2) == Span(0, 1, "PER")
    assert hash(Span(0, 1, "PER", 0.2)) == hash(Span(0, 1, "PER"))


def test_a_document_knows_where_each_form_stands():
    document = Document((("Obi", "left"), ("obi", "OBI")))
    assert document.mentions["obi"] == ((0, 0), (1, 0), (1, 1))


def test_sentences_put_in_a_document_know_their_place():
    one, other = in_document([Sentence(("a",)), Sentence(("b", "c"))], "news-1")
    assert one.document is other.document
    assert other.document.tokens[other.position] == ("b", "c")
    assert other.document.id == "news-1"


def test_a_sentence_survives_pickling():
    (sentence,) = in_document([Sentence(("a",), (Span(0, 1, "X"),), {"pos": ("N",)})])
    again = pickle.loads(pickle.dumps(sentence))
    assert again == sentence
    assert again.columns == {"pos": ("N",)}
    assert again.document.tokens == (("a",),)


def test_a_document_is_its_own_copy():
    document = Document((("a",),))
    assert copy.deepcopy([document])[0] is document


def test_lists_of_tokens_become_sentences_and_sentences_stay():
    one = Sentence(("Ada", "left"))
    assert as_sentences([one, ["It", "rained"], ()]) == [
        one, Sentence(("It", "rained")), Sentence(()),
    ]  # fmt: skip


def test_a_text_is_no_sentence_document_set_of_labels_or_column():
    with pytest.raises(TypeError, match="lists of tokens, got the string 'Ada left'"):
        Sentence("Ada left")
    with pytest.raises(TypeError, match="labels must be a set of strings, got the string 'PER'"):
        Sentence(("Ada",), (), labels="PER")
    with pytest.raises(TypeError, match="column 'pos' needs a value per token, got the string"):
        Sentence(("Ada", "left"), columns={"pos": "NN"})
    for tokens in ("Ada", ("Ada", "left")):
        with pytest.raises(TypeError, match="a document needs a tuple of tokens per sentence"):
            Document(tokens)


def test_what_is_said_of_tokens_fits_the_tokens():
    with pytest.raises(ValueError, match=r"column 'pos' needs a value per token \(2\), got 1"):
        Sentence(("Ada", "left"), columns={"pos": ("N",)})
    with pytest.raises(ValueError, match=r"ends beyond its sentence, which has 1 token$"):
        Sentence(("Ada",), (Span(0, 2, "PER"),))
    for unknown in ({1}, {-1, 0}):
        with pytest.raises(ValueError, match=r"unknown tokens .* which has 1 token$"):
            Sentence(("Ada",), (), unknown=frozenset(unknown))


@pytest.mark.parametrize("given", ["Ada left", ["Ada left"], [["It", "rained"], "Ada left"]])
def test_a_text_is_no_list_of_tokens(given):
    with pytest.raises(TypeError, match=r"lists of tokens, got the string 'Ada left'.*split"):
        as_sentences(given)


def test_a_sentence_of_lists_is_one_of_tuples():
    given = Sentence(["Ada", "left"], [Span(0, 1, "PER")])
    assert given == Sentence(("Ada", "left"), (Span(0, 1, "PER"),))
    assert hash(given) == hash(Sentence(("Ada", "left"), (Span(0, 1, "PER"),)))


def test_one_sentence_is_no_list_of_sentences():
    with pytest.raises(TypeError, match="got a single one; put it in a list"):
        as_sentences(Sentence(("Ada",)))
