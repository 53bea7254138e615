"""Sentences carry openly what their reader knows of the file they come from."""

import pickle
from dataclasses import replace

import pytest

import ner

FILES = {
    "a.conll": ("Ada B-PER\nleft O\n", "BIO", ("B-PER", "O"), 2),
    "a.conllu": (
        "1\tAda" + "\t_" * 7 + "\tNER=B-PER\n2\tleft" + "\t_" * 7 + "\tNER=O\n",
        "BIO",
        None,
        2,
    ),
    "a.slots": ("Ada:B-PER left:O <=> x\n", "BIO", ("B-PER", "O"), 1),
}


@pytest.mark.parametrize("name", FILES)
def test_a_sentence_knows_its_file(name, tmp_path):
    text, scheme, tags, line = FILES[name]
    path = tmp_path / name
    path.write_text(text)
    (sentence,) = ner.read(path)
    assert (sentence.origin.path, sentence.origin.scheme) == (str(path), scheme)
    assert sentence.tags == tags
    assert sentence.line_of(1) == line


def test_the_origin_goes_where_the_sentence_goes_and_does_not_count(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("Ada B-PER\n")
    (sentence,) = ner.read(path)
    assert sentence == ner.Sentence(("Ada",), (ner.Span(0, 1, "PER"),))
    for copy in (pickle.loads(pickle.dumps(sentence)), replace(sentence, spans=())):
        assert copy.origin == sentence.origin
        assert copy.tags == sentence.tags
    assert ner.Sentence(("Ada",)).line_of(0) == 0


def test_the_sentences_of_a_file_of_columns_share_one_origin(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("Ada B-PER\n\nObi B-PER\n")
    first, second = ner.read(path)
    assert first.origin is second.origin
