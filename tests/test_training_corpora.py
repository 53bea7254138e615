"""The sentences of a run: read as told, held out by documents, never split unasked."""

from dataclasses import replace

import pytest
from training_runs import SMALL, config

from ner.config import ConfigError
from ner.formats import DataWarning
from ner.network import build
from ner.sentence import Sentence, Span, in_document
from ner.training import DataSettings, Run, read_settings
from ner.training.corpora import Corpora, hold_out, inspect, read_corpora, recased


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
    with pytest.raises(ValueError, match="cannot hold out a fraction of fewer than two documents"):
        hold_out(documents(1, 9), 0.5, seed=1)


def test_nothing_is_held_out_unasked():
    corpora = read_corpora(DataSettings(train="sample:train"), seed=1)
    assert corpora.development == corpora.test == ()
    whole = len(corpora.train)
    parted = read_corpora(DataSettings(train="sample:train", development_fraction=0.1), seed=1)
    assert len(parted.train) + len(parted.development) == whole
    assert 0.1 * whole <= len(parted.development) < 0.2 * whole


def test_a_corpus_of_one_file_is_parted_in_three_and_the_test_is_the_same_for_every_seed():
    data = DataSettings(train="sample:train", development_fraction=0.2, test_fraction=0.3)
    whole = len(read_corpora(DataSettings(train="sample:train"), seed=1).train)
    one, other = (read_corpora(data, seed=seed) for seed in (1, 2))
    assert one.test == other.test
    assert one.development != other.development
    assert len(one.train) + len(one.development) + len(one.test) == whole
    assert 0.3 * whole <= len(one.test) < 0.4 * whole
    assert 0.2 * whole <= len(one.development) < 0.3 * whole
    held = {s.document for s in one.development} | {s.document for s in one.test}
    assert not held & {s.document for s in one.train}


def test_several_files_are_read_in_their_order():
    both = read_corpora(DataSettings(train=["sample:development", "sample:test"]), seed=1).train
    first = read_corpora(DataSettings(train="sample:development"), seed=1).train
    assert both[: len(first)] == first
    assert len(both) > len(first)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "no sentences in|empty"),
        ("a O\nb O\n", "no sentence has an entity"),
        ("a _\nb _\n", r"train\.conll: no sentence is annotated"),
    ],
)
def test_files_that_teach_nothing_are_refused(content, complaint, tmp_path):
    file = tmp_path / "train.conll"
    file.write_text(content)
    with pytest.raises(ValueError, match=complaint):
        read_corpora(DataSettings(train=str(file)), seed=1)


def test_sentences_that_nobody_annotated_are_left_out_and_told(tmp_path):
    file = tmp_path / "train.conll"
    file.write_text("-DOCSTART- O\n\nAda B-PER\nleft O\n\nShe _\nwaved _\n\nObi _\nleft O\n")
    with pytest.warns(DataWarning, match=r"1 of 3 sentences are not annotated; ignored"):
        kept = read_corpora(DataSettings(train=str(file)), seed=1).train
    assert [sentence.tokens for sentence in kept] == [("Ada", "left"), ("Obi", "left")]
    assert kept[1].unknown == {0}
    assert kept[1].document.tokens[kept[1].position] == kept[1].tokens
    assert len(kept[1].document.tokens) == 3


def test_a_fraction_and_files_for_development_are_not_both_taken():
    with pytest.raises(ConfigError, match="not both"):
        read_settings({"data": {"train": "x", "development": "y", "development_fraction": 0.1}})
    with pytest.raises(ConfigError, match="between 0 and 1"):
        read_settings({"data": {"train": "x", "development_fraction": 1.5}})
    with pytest.raises(ConfigError, match="set test or test_fraction"):
        read_settings({"data": {"train": "x", "test": "y", "test_fraction": 0.1}})
    with pytest.raises(ConfigError, match="leave no training data"):
        read_settings({"data": {"train": "x", "development_fraction": 0.5, "test_fraction": 0.5}})


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
    assert sum(step.sentences for step in seen) == 9 + 4 + 9
    with pytest.raises(ConfigError, match="lower_cased must be from 0 to 1"):
        read_settings(config(lower_cased=1.5))


def write_halves(folder):
    (folder / "people.conll").write_text("Ada B-PER\nleft O\nLima O\n\nHo B-PER\nwon O\n")
    (folder / "places.conll").write_text("Ho O\nsaw O\nLima B-LOC\n")
    return [
        {"file": str(folder / "people.conll"), "labels": ["PER"]},
        {"file": str(folder / "places.conll"), "labels": ["LOC"]},
    ]


def test_a_corpus_may_declare_its_labels(tmp_path):
    settings = DataSettings(train=[*write_halves(tmp_path), "sample:development"])
    corpora = read_corpora(settings, seed=1)
    declared = [sentence.labels for sentence in corpora.train]
    assert declared[:3] == [{"PER"}, {"PER"}, {"LOC"}]
    assert set(declared[3:]) == {None}
    lines = inspect(corpora).lines()
    assert "2 sentences declare PER: O leaves other labels open in them" in lines
    plain = read_corpora(DataSettings(train=[str(tmp_path / "people.conll")]), seed=1)
    same = read_corpora(DataSettings(train=write_halves(tmp_path)[:1]), seed=1)
    assert plain.fingerprint() != same.fingerprint()


def test_an_entity_of_a_label_not_declared_is_refused(tmp_path):
    first, _ = write_halves(tmp_path)
    with pytest.raises(
        ValueError, match=r"people.conll:1: .* PER, but data.train\[0\].labels decl.* X"
    ):
        read_corpora(DataSettings(train={**first, "labels": ["X"]}), seed=1)


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"file": "a", "label": ["PER"]}, r"data.train\[0\] has no setting 'label'; did you mean"),
        ({"labels": ["PER"]}, r"data.train\[0\] needs the setting 'file'"),
        ({"file": "a", "labels": "PER"}, r"data.train\[0\].labels wants a list of text"),
    ],
)
def test_settings_of_a_corpus_are_checked(entry, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read_settings({"data": {"train": [entry]}})


def test_corpora_of_other_formats_may_be_mixed(tmp_path):
    (tmp_path / "a").write_text("[PER Ada] won .\n")
    entries = [{"file": str(tmp_path / "a"), "format": "brackets"}, "sample:development"]
    assert read_corpora(DataSettings(train=entries), seed=1).train[0].spans == (Span(0, 1, "PER"),)


def test_a_label_that_nobody_looked_for_is_left_open(toy):
    """Of sentences that declare PER, O may be any other label; the rest of the tags is given."""
    network = build(toy, **SMALL)
    sentence = Sentence(("Ada", "saw", "Lima"), (Span(0, 1, "PER"),), labels=frozenset({"PER"}))
    full = Sentence(("x", "y"), (Span(0, 2, "LOC"),))
    batch = network.batch([sentence, full])
    names = [{tag for tag, ok in zip(network.tags, row, strict=True) if ok}
             for row in batch.candidates.flatten(0, 1).tolist()]  # fmt: skip
    open_ = {tag for tag in network.tags if not tag.endswith("PER")}
    assert names == [{"S-PER"}, open_, open_, {"B-LOC"}, {"E-LOC"}, set()]


def test_halves_with_one_label_each_train_a_model_of_both(toy):
    """What one half leaves open, the other teaches; where O meant nothing else, it would not."""

    def half(label):
        kept = [tuple(s for s in one.spans if s.label == label) for one in toy]
        return tuple(replace(one, spans=spans, labels=frozenset({label}))
                     for one, spans in zip(toy, kept, strict=True))  # fmt: skip

    gold = tuple(replace(one, spans=tuple(s for s in one.spans if s.label in ("PER", "LOC")))
                 for one in toy)  # fmt: skip
    train = (*half("PER"), *half("LOC"))
    run = Run(read_settings(config(epochs=40, learning_rate=0.02)), device="cpu",
              corpora=Corpora(train, gold, ()))  # fmt: skip
    list(run)
    assert run.best.score.f1 == 1.0
