"""Cross-fitting: whole documents, each in one fold, looked at by a tagger that has not seen it."""

import pytest

from ner.sentence import Sentence, Span, in_document
from ner.training import read_settings
from ner.training.multiple_runs import cross_fit, folds


def documents(sizes):
    return [
        sentence
        for size in sizes
        for sentence in in_document(
            Sentence((f"Ada{n}", "spoke"), (Span(0, 1, "PER"),)) for n in range(size)
        )
    ]


def test_every_sentence_is_in_one_fold_and_documents_stay_whole():
    sentences = documents([3, 1, 4, 1, 5, 9, 2, 6])
    parts = folds(sentences, 3, seed=1)
    assert sorted(number for part in parts for number in part) == list(range(len(sentences)))
    for part in parts:
        own = {id(sentences[number].document) for number in part}
        rest = {id(s.document) for n, s in enumerate(sentences) if n not in set(part)}
        assert not own & rest
    assert max(map(len, parts)) - min(map(len, parts)) <= 2
    assert parts == folds(sentences, 3, seed=1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_impossible_folds_are_refused(count):
    with pytest.raises(ValueError, match=r"from 2 to the number of documents \(2\)"):
        folds(documents([1, 1]), count, seed=1)


def settings():
    return read_settings(
        {
            "data": {"train": "nowhere.conll"},
            "model": {"embeddings": {"words": {"width": 8}}, "encoder": {"width": 8}},
            "training": {"epochs": 2, "threads": 1},
            "output": "nowhere",
        }
    )


def test_each_tagger_is_trained_without_its_fold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentences = documents([2] * 6)
    said = []
    seen = []
    for fold, tagger in cross_fit(sentences, settings(), 3, device="cpu", tell=said.append):
        seen += fold
        assert tagger.labels == ("PER",)
        assert len(tagger.predict([sentences[number] for number in fold])) == len(fold)
    assert sorted(seen) == list(range(12))
    assert [line.split(":")[0] for line in said[:2]] == [
        "fold 1 of 3, epoch 1", "fold 1 of 3, epoch 2",
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())  # nothing is saved


def test_nothing_to_learn_outside_a_fold_is_told():
    sentences = [Sentence(("Ada",), (Span(0, 1, "PER"),)), Sentence(("b",), ())]
    with pytest.raises(ValueError, match=r"no sentence outside fold \d of 2 has an entity"):
        list(cross_fit(sentences, settings(), 2, device="cpu"))
