"""Pieces, batches and epochs: nothing is lost, no entity is cut, few sentences get many steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sentences
from training_runs import SMALL

from ner.network import build
from ner.sentence import Sentence, Span
from ner.training import Run, TrainingSettings, read_settings
from ner.training.batching import automatic_sizes, describe, pieces, training_set
from ner.training.corpora import Corpora

OTHERS = ("characters", "affixes", "document", "topic")
LONG = Sentence(("a", "b", "c", "d", "e", "f", "g"), (Span(2, 5, "X"), Span(5, 6, "X")))


NETWORK = build([LONG], embeddings={"words": {}, **dict.fromkeys(OTHERS, False)})


def cut(sentence, longest):
    whole = NETWORK.index([sentence], NETWORK.type_table())
    parts, origins = pieces([sentence], whole, longest)
    assert origins == [0] * len(parts)
    return whole[0], parts


def test_pieces_end_between_entities():
    _, parts = cut(LONG, 3)
    assert [len(part) for part in parts] == [2, 3, 2]


def test_only_an_entity_that_is_longer_stays_whole():
    _, parts = cut(LONG, 2)
    assert [len(part) for part in parts] == [2, 3, 2]
    _, parts = cut(LONG, 1)
    assert [len(part) for part in parts] == [1, 1, 3, 1, 1]


@given(sentences(partial=False), st.integers(1, 9))
def test_pieces_are_the_sentence_and_legal(sentence, longest):
    sentence = Sentence(sentence.tokens, tuple(Span(s.start, s.end, "X") for s in sentence.spans))
    whole, parts = cut(sentence, longest)
    assert [t for part in parts for t in part.types] == list(whole.types)
    assert [t for part in parts for t in part.tags] == list(whole.tags)
    for part in parts:
        tags = [NETWORK.tags[number] for number in part.tags]
        assert NETWORK.scheme.encode(NETWORK.scheme.decode(tags), len(tags)) == tuple(tags)
        assert len(part) <= max([longest, *(s.end - s.start for s in sentence.spans)])


def test_a_long_sentence_is_said_to_be_cut_and_learnt():
    settings = read_settings(
        {"data": {"train": "unread"}, "model": SMALL,
         "training": {"longest": 3, "threads": 1, "epochs": 1}}
    )  # fmt: skip
    run = Run(settings, device="cpu", corpora=Corpora((LONG, LONG), (LONG,), ()))
    assert run.remarks == [
        "2 of 2 training sentences have more than 3 tokens and are split into 6 pieces "
        "between entities (training.longest)"
    ]
    assert next(run).score.gold == 2
    assert describe((LONG, LONG, LONG), [0, 1, 2], 3) == []


def test_sentences_without_annotation_or_token_are_left_out_and_the_former_said():
    """Whatever batches they would be in: one of theirs alone has no loss."""
    bare, empty = Sentence(("a", "b")), Sentence((), ())
    settings = read_settings(
        {"data": {"train": "unread"}, "model": SMALL,
         "training": {"batch_size": 1, "threads": 1, "epochs": 1}}
    )  # fmt: skip
    train = (bare, LONG, empty, bare)
    run = Run(settings, device="cpu", corpora=Corpora(train, (LONG, bare, empty), ()))
    assert run.remarks == ["2 of 4 training sentences are not annotated and are ignored"]
    assert (run.sentences, run.tokens) == (1, 7)
    assert next(run).score.gold == 2


def test_sentences_of_which_none_is_annotated_teach_nothing():
    with pytest.raises(ValueError, match="no training sentence is annotated"):
        training_set(NETWORK, NETWORK.type_table(), (Sentence(("a",)),), TrainingSettings(), 1)


def test_few_sentences_get_small_batches_and_many_steps():
    assert automatic_sizes(TrainingSettings(), [10] * 100) == (4, 40)
    assert automatic_sizes(TrainingSettings(), [10] * 4_000) == (8, 8)
    assert automatic_sizes(TrainingSettings(), [10] * 14_041) == (32, 8)
    assert automatic_sizes(TrainingSettings(), [10] * 50_000) == (32, 8)
    assert automatic_sizes(TrainingSettings(batch_size=16, epochs=3), [10] * 100) == (16, 3)
    assert automatic_sizes(TrainingSettings(batch_size=10, accumulate=2), [10] * 100) == (
        10,
        200,
    )


def test_each_process_gets_a_batch_of_its_own_where_there_are_many_sentences():
    assert automatic_sizes(TrainingSettings(), [10] * 14_041, 2) == (64, 8)
    assert automatic_sizes(TrainingSettings(), [10] * 100_000, 4) == (128, 8)
    assert automatic_sizes(TrainingSettings(), [10] * 100, 2) == (4, 40)
    assert automatic_sizes(TrainingSettings(batch_size=32), [10] * 14_041, 2) == (32, 8)
