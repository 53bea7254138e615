"""The sentences of a run: read as told, held out by documents, never split unasked."""

import pytest
from training_runs import config

from ner.config import ConfigError
from ner.sentence import Sentence, Span, in_document
from ner.training import DataSettings, Run, read_settings
from ner.training.corpora import Corpora, hold_out, read_corpora, recased


def documents(count, size):
    return tuple(
        sentence
        for number in range(count)
        for sentence in in_document(
            [Sentence((f"w{number}-{n}",), (Span(0, 1, "X"),)) for n in range(size)]
        )
    )


def test_whole_documents_are_held_out_in_about_the_share_asked_for():
    sentences = documents(50, 4)
    kept, held = hold_out(sentences, 0.2, seed=3)
    assert len(held) == 40
    assert not {id(s.document) for s in kept} & {id(s.document) for s in held}
    assert sorted(kept + held, key=sentences.index) == list(sentences)
    assert list(kept) == sorted(kept, key=sentences.index)


def test_what_is_held_out_depends_on_the_seed_alone():
    sentences = documents(50, 4)
    assert hold_out(sentences, 0.2, seed=3) == hold_out(sentences, 0.2, seed=3)
    assert hold_out(sentences, 0.2, seed=3) != hold_out(sentences, 0.2, seed=4)


def test_one_document_cannot_be_parted():
    with pytest.raises(ValueError, match="at least two documents"):
        hold_out(documents(1, 9), 0.5, seed=1)


def test_nothing_is_held_out_unasked():
    corpora = read_corpora(DataSettings(train="sample:train"), seed=1)
    assert corpora.development == corpora.test == ()
    whole = len(corpora.train)
    parted = read_corpora(DataSettings(train="sample:train", development_fraction=0.1), seed=1)
    assert len(parted.train) + len(parted.development) == whole
    assert 0.1 * whole <= len(parted.development) < 0.2 * whole


def test_several_files_are_read_in_their_order():
    both = read_corpora(DataSettings(train=["sample:development", "sample:test"]), seed=1).train
    first = read_corpora(DataSettings(train="sample:development"), seed=1).train
    assert both[: len(first)] == first
    assert len(both) > len(first)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("", "no sentences in|empty"), ("a O\nb O\n", "no sentence has an entity")],
)
def test_files_that_teach_nothing_are_refused(content, complaint, tmp_path):
    file = tmp_path / "train.conll"
    file.write_text(content)
    with pytest.raises(ValueError, match=complaint):
        read_corpora(DataSettings(train=str(file)), seed=1)


def test_a_fraction_and_files_for_development_are_not_both_taken():
    with pytest.raises(ConfigError, match="not both"):
        read_settings({"data": {"train": "x", "development": "y", "development_fraction": 0.1}})
    with pytest.raises(ConfigError, match="between 0 and 1"):
        read_settings({"data": {"train": "x", "development_fraction": 1.5}})


def test_copies_in_another_case_keep_their_entities_and_leave_the_rest_alone(toy):
    copies = recased(toy, 0.5, 1.0, seed=1)
    lower, upper = copies[: round(len(toy) / 2)], copies[round(len(toy) / 2) :]
    assert len(lower) == 4
    assert {s.tokens for s in upper} == {tuple(t.upper() for t in s.tokens) for s in toy}
    assert all(token == token.lower() for s in lower for token in s.tokens)
    spans = {tuple(t.lower() for t in s.tokens): s.spans for s in toy}
    assert all(spans[tuple(t.lower() for t in s.tokens)] == s.spans for s in copies)
    assert all(s.document is None for s in copies)
    assert recased(toy, 0.0, 0.0, seed=1) == ()


def test_a_run_trains_on_the_copies_too(toy):
    settings = read_settings(config(lower_cased=0.5, upper_cased=1.0, epochs=1))
    run = Run(settings, device="cpu", corpora=Corpora(toy, (), ()))
    seen = []
    run.train_epoch(seen.append)
    assert sum(seen) == 9 + 4 + 9
    with pytest.raises(ConfigError, match="lower_cased must be from 0 to 1"):
        read_settings(config(lower_cased=1.5))
