"""Every indexer: the text half of an embedding, made again from its settings, without torch."""

import json
import subprocess
import sys

import numpy as np
import pytest

from ner.embeddings import EMBEDDINGS, TypeEmbedding
from ner.indexers import INDEXERS, TypeIndexer
from ner.sentence import Sentence


@pytest.fixture(params=INDEXERS)
def part(request, toy):
    return EMBEDDINGS[request.param].fit(toy)


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
    for sentence in (*toy, Sentence(("", "Unheard", "of", "x" * 1000))):
        given = sentence.tokens if isinstance(again, TypeIndexer) else sentence
        for one, other in zip(again.index(given), part.index(given), strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == np.int64
            assert len(one) == len(sentence)


def test_indexers_are_imported_without_torch():
    code = "import sys, ner.indexers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
