"""Every indexer: the text half of an embedding, made again from its settings, without torch."""

import copy
import gc
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_transformers import transformer_settings

from ner.embeddings import EMBEDDINGS, TypeEmbedding
from ner.indexers import (
    INDEXERS,
    DocumentIndexer,
    GivenIndexer,
    ReferencedIndexer,
    TopicIndexer,
    TransformerIndexer,
    TypeIndexer,
    base,
)
from ner.indexers.base import PADDING, UNKNOWN
from ner.indexers.characters import LONGEST, CharacterIndexer, case
from ner.indexers.document import CLASSES, OTHERS, is_name_like
from ner.indexers.words import normalise, normalised
from ner.sentence import Document, Sentence, in_document

FLOATS = (GivenIndexer, ReferencedIndexer, TransformerIndexer)


@pytest.fixture(params=INDEXERS)
def part(request, toy, tmp_path_factory):
    own = transformer_settings(request.param, tmp_path_factory)
    return EMBEDDINGS[request.param].fit(toy, **own)


def test_there_is_one_for_each_embedding():
    assert list(INDEXERS) == list(EMBEDDINGS)


def test_it_is_of_its_embeddings_kind(part):
    names = {cls: name for name, cls in EMBEDDINGS.items()}
    assert type(part.indexer) is INDEXERS[names[type(part)]]
    assert isinstance(part.indexer, TypeIndexer) == isinstance(part, TypeEmbedding)


def test_its_settings_are_some_of_its_embeddings_and_make_it_again(part, toy):
    settings = part.indexer.settings()
    assert settings.items() <= part.settings().items()
    again = type(part.indexer)(**json.loads(json.dumps(settings)))
    if isinstance(again, TransformerIndexer):
        again.reader = part._states
    for sentence in (*toy, Sentence(("", "Unheard", "of", "x" * 1000))):
        given = sentence.tokens if isinstance(again, TypeIndexer) else sentence
        for one, other in zip(again.index(given), part.index(given), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 if one.dtype == np.float32 else 0)
            assert one.dtype == (np.float32 if type(again) in FLOATS else np.int64)
            assert len(one) == len(sentence)


def test_indexers_are_imported_without_torch():
    code = "import sys, ner.indexers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ANYTHING = st.lists(
    st.one_of(st.text(max_size=30), st.sampled_from(["", "ΟΔΟΣ", "a\nb", "\ud800"]))
)


@given(ANYTHING)
def test_words_in_bulk_are_words_one_by_one(tokens):
    assert normalised(tokens) == [normalise(token) for token in tokens]


@given(ANYTHING, st.sampled_from([(), ("a", "é", "中", "\U0001f600"), ("0",)]))
def test_characters_in_bulk_are_characters_one_by_one(tokens, known):
    indexer = CharacterIndexer(known)
    (found,) = indexer.index(tokens)
    assert found.shape == (len(tokens), LONGEST)
    for row, token in zip(found.tolist(), tokens, strict=True):
        read = token if len(token) <= LONGEST else token[:12] + token[-6:]
        numbers = [indexer.vocabulary[character] for character in read] or [UNKNOWN]
        assert row == numbers + [PADDING] * (LONGEST - len(numbers))


WORDS = ("obi", "won", "the", "0")
TOKENS = st.sampled_from(
    ["Obi", "OBI", "obi", "oBI", "won", "Won", "The", "the", "7", "中a", "A", ""]
)
DOCUMENTS = st.lists(
    st.lists(st.lists(TOKENS, max_size=5).map(tuple), min_size=1, max_size=5).map(tuple),
    max_size=4,
)


def assert_same(found, expected):
    for left, right in zip(found, expected, strict=True):
        for one, other in zip(left, right, strict=True):
            np.testing.assert_array_equal(one, other)


def plainly(document, row, column):
    """What the document indexer says of a token, by looking at each other token: the oracle."""

    def word(place):
        row, column = place
        tokens = document[row]
        if not 0 <= column < len(tokens):
            return len(WORDS) + 2 + CLASSES.index("boundary")
        if normalise(tokens[column]) in WORDS:
            return 2 + WORDS.index(normalise(tokens[column]))
        return len(WORDS) + 2 + CLASSES.index(case(tokens[column]))

    def is_in_capitals(token):
        return len(token) > 1 and token.isupper()

    token = document[row][column]
    if not is_name_like(token):
        return [0] * 4, [0] * OTHERS, [0] * OTHERS
    places = [(r, c) for r, tokens in enumerate(document) for c in range(len(tokens))]
    alike = [(r, c) for r, c in places if document[r][c].lower() == token.lower()]
    others = [place for place in alike if place != (row, column)]
    texts = [document[r][c] for r, c in others]
    middle = [
        c > 0 and is_name_like(t) and not is_in_capitals(t)
        for (_, c), t in zip(others, texts, strict=True)
    ]
    flags = [
        1 + min(len(others), 3),
        1 + any(document[r][c].islower() for r, c in alike),
        1 + any(middle),
        1 + any(map(is_in_capitals, texts)),
    ]
    named = [place for place in alike if is_name_like(document[place[0]][place[1]])]
    named.sort(key=lambda place: is_in_capitals(document[place[0]][place[1]]))
    named = [place for place in named[: OTHERS + 1] if place != (row, column)][:OTHERS]
    blank = [0] * (OTHERS - len(named))
    before, after = ([word((r, c + step)) for r, c in named] + blank for step in (-1, 1))
    return flags, before, after


@settings(max_examples=50)
@given(DOCUMENTS)
def test_what_is_said_of_mentions_is_what_looking_at_each_of_them_says(documents):
    indexer = DocumentIndexer(WORDS)
    sentences = [s for rows in documents for s in in_document(map(Sentence, rows))]
    for sentence, arrays in zip(sentences, indexer.index_all(sentences), strict=True):
        rows = sentence.document.tokens
        expected = [plainly(rows, sentence.position, column) for column in range(len(sentence))]
        for array, column in zip(arrays, zip(*expected, strict=True), strict=False):
            np.testing.assert_array_equal(array, list(column))
        assert_same([indexer.index(sentence)], [arrays])


@given(DOCUMENTS)
def test_a_sentence_without_a_document_is_one_and_nothing_of_it_is_remembered(documents):
    """Alone, which is a way of its own, as beside others."""
    indexer = DocumentIndexer(WORDS)
    for tokens in (tokens for rows in documents for tokens in rows):
        (own,) = in_document([Sentence(tokens)])
        assert_same([indexer.index(Sentence(tokens))], DocumentIndexer(WORDS).index_all([own]))
        assert len(indexer._known) == 0
        several = indexer.index_all([Sentence(tokens), Sentence(("Obi",))])
        assert_same([indexer.index(Sentence(tokens))], several[:1])


@settings(max_examples=30)
@given(DOCUMENTS, st.randoms())
def test_the_topic_does_not_depend_on_the_order_or_the_company_of_sentences(documents, random):
    sentences = [s for rows in documents for s in in_document(map(Sentence, rows))]
    random.shuffle(sentences)
    indexer = TopicIndexer(WORDS)
    for sentence, (rows,) in zip(sentences, indexer.index_all(sentences), strict=True):
        assert rows.shape == (len(sentence), 113)
        for row in rows:
            np.testing.assert_array_equal(row, TopicIndexer(WORDS).index(sentence)[0][0])


def test_a_sentence_changed_since_its_document_was_made_stands_in_its_place():
    document = Document((("Obi", "won"), ("Mr", "Obi")))
    indexer = DocumentIndexer(WORDS)
    changed = Sentence(("Ada", "won"), document=document, position=0)
    assert indexer.index(changed)[0][0].tolist() == [1, 1, 1, 1]
    appended = Sentence(("Obi",), document=document, position=7)
    assert indexer.index(appended)[0][0].tolist() == [3, 1, 2, 1]


@pytest.mark.parametrize("indexer", [DocumentIndexer(WORDS), TopicIndexer(WORDS)])
def test_what_is_remembered_of_a_document_goes_with_it_and_is_not_copied(indexer):
    sentences = in_document([Sentence(("Obi", "won")), Sentence(("Mr", "Obi"))])
    expected = indexer.index_all(sentences)
    assert len(indexer._known) == 1
    for again in (copy.deepcopy(indexer), pickle.loads(pickle.dumps(indexer))):
        assert len(again._known) == 0
        assert_same(again.index_all(sentences), expected)
    del sentences
    gc.collect()
    assert len(indexer._known) == 0


@pytest.mark.parametrize("kind", [DocumentIndexer, TopicIndexer])
def test_the_memory_of_tokens_is_bounded_and_nothing_depends_on_it(kind, monkeypatch):
    documents = [
        in_document([Sentence(("Obi", f"W{n}")), Sentence((f"w{n}", "OBI"))]) for n in range(9)
    ]
    expected = [kind(WORDS).index_all(document) for document in documents]
    monkeypatch.setattr(base, "TOKENS", 4)
    indexer = kind(WORDS)
    memory = "_facts" if kind is DocumentIndexer else "_numbers"
    for document, arrays in zip(documents, expected, strict=True):
        assert_same(indexer.index_all(document), arrays)
        assert len(getattr(indexer, memory)) <= 4 + 4
