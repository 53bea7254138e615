"""Pretraining: vectors against a dense computation, the same bytes after a kill, a story."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import spacy
import torch
from training_runs import KILLED, SMALL, bytes_of, config, write_config

import ner
from ner.cli import main
from ner.embeddings import AffixEmbedding, CharacterCNN, WordEmbedding
from ner.errors import ConfigError, ModelError
from ner.export import write
from ner.network import build
from ner.pretrained import DESCRIPTION, PART, Pretrained
from ner.pretraining.run import TRIED, Pretraining, PretrainingSettings
from ner.pretraining.text import NumberedText, documents, write_numbers
from ner.pretraining.vectors import POSITIONS, Words, word_classes, word_vectors
from ner.sample import path as sample_path
from ner.sentence import Sentence, Span
from ner.storage.manifest import checksum

TINY = {"width": 12, "classes": 20, "own_classes": 5, "known_count": 2, "batch_tokens": 300}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The sentences of the bundled corpus as a plain text, a line each."""
    path = tmp_path_factory.mktemp("text") / "news.txt"
    lines = [" ".join(s.tokens) for s in ner.read(sample_path("train"))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pretrain(text, output, *, model=SMALL, resume=False, watch=lambda progress: None, **settings):
    run = Pretraining(
        [str(text)],
        output,
        settings=PretrainingSettings(**{**TINY, **settings}),
        model=model,
        resume=resume,
    )
    return run.run(watch=watch)


@pytest.fixture(scope="module")
def pretrained(text, tmp_path_factory):
    output = tmp_path_factory.mktemp("pretrained") / "own"
    pretrain(text, output)
    return output


def test_plain_text_is_cut_as_tagging_cuts_it(tmp_path):
    plain = "Ada Obi didn't go. She stayed.\n\nLima is far.\n"
    path = tmp_path / "news.txt.gz"
    path.write_bytes(gzip.compress(plain.encode()))
    first = [("Ada", "Obi", "did", "n't", "go", "."), ("She", "stayed", ".")]
    assert list(documents(path)) == [first, [("Lima", "is", "far", ".")]]


def test_json_lines_and_columns_are_read_without_their_annotation(tmp_path):
    lines = tmp_path / "news.jsonl"
    lines.write_text('{"text": "Ada Obi left."}\n{"text": "Lima is far."}\n', encoding="utf-8")
    found = [sentence for document in documents(lines) for sentence in document]
    assert found == [("Ada", "Obi", "left", "."), ("Lima", "is", "far", ".")]
    columns = tmp_path / "train.conll"
    columns.write_text("Ada B-PER\nleft O\n\nLima B-LOC\n", encoding="utf-8")
    assert [s for document in documents(columns) for s in document] == [("Ada", "left"), ("Lima",)]


def test_sentences_without_documents_are_taken_together(tmp_path):
    path = tmp_path / "train.conll"
    path.write_text("".join("a O\n" * length + "\n" for length in (20, 11, 5, 30, 7)), "utf-8")
    assert [list(map(len, one)) for one in documents(path)] == [[20, 11], [5, 30], [7]]
    marked = path.read_text("utf-8").replace("\n\n", "\n\n-DOCSTART- O\n\n", 1)
    path.write_text(marked, "utf-8")
    assert [list(map(len, one)) for one in documents(path)] == [[20], [11, 5, 30, 7]]


def test_columns_that_are_called_text_are_refused(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("Ada B-PER\nleft O\n. O\n\nLima B-LOC\nis O\nfar O\n. O\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="pass --from conll"):
        list(documents(path))


def test_a_text_without_tokens_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n", encoding="utf-8")
    with pytest.raises(ValueError, match="no tokens to learn from"):
        write_numbers(tmp_path / "numbers", [str(tmp_path / "empty.txt")])
    assert not (tmp_path / "numbers").exists()


def dense_vectors(sentences, width, contexts, min_count):
    """PPMI of counts at four positions, and a full SVD; all words folded in."""
    lowered = [
        ["".join("0" if c.isdigit() else c for c in w.lower()) for w in s] for s in sentences
    ]
    order: dict[str, int] = {}
    for word in (w for s in lowered for w in s):
        order[word] = order.get(word, 0) + 1
    words = sorted(order, key=lambda w: -order[w])
    frequent = sum(order[w] >= min_count for w in words)
    blocks = []
    for position in POSITIONS:
        counts = np.zeros((len(words), contexts + 1))
        for sentence in lowered:
            for place, word in enumerate(sentence):
                there = place + position
                inside = 0 <= there < len(sentence)
                column = words.index(sentence[there]) if inside else contexts
                if column < contexts or not inside:
                    counts[words.index(word), column] += 1
        smoothed = counts[:frequent].sum(0) ** 0.75
        smoothed /= smoothed.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(counts) - np.log(counts.sum(1)[:, None] * smoothed)
        blocks.append(np.maximum(np.nan_to_num(values, neginf=0.0), 0.0))
    weights = np.hstack(blocks)
    _, values, right = np.linalg.svd(weights[:frequent], full_matrices=False)
    vectors = weights @ right[:width].T / np.sqrt(values[:width])
    return words, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_vectors_are_those_of_a_dense_computation(tmp_path):
    """With as many columns as the matrix has ranks the randomised decomposition is exact."""
    rng = np.random.default_rng(3)
    names = np.array([f"Word{chr(97 + n)}x" for n in range(26)])
    sentences = [list(rng.choice(names, rng.integers(3, 9))) for _ in range(80)]
    sentences.append(["Rare", "7", names[0], "Rare"])
    path = tmp_path / "text.conll"
    path.write_text("\n\n".join("\n".join(f"{w} O" for w in s) for s in sentences) + "\n")
    write_numbers(tmp_path / "numbers", [str(path)])
    text = NumberedText.load(tmp_path / "numbers")
    words = Words.of(text)
    expected_words, expected = dense_vectors(sentences, 14, 20, 5)
    assert words.words == expected_words
    found = word_vectors(text, words, width=14, contexts=20, min_count=5, seed=1)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-2)
    assert "0" in words.words


def test_words_are_in_the_class_of_the_nearest_centre():
    rng = np.random.default_rng(1)
    centres = np.linalg.qr(rng.normal(size=(6, 6)))[0].astype(np.float32)
    vectors = np.repeat(centres, 30, axis=0) + rng.normal(0, 0.02, (180, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    classes = word_classes(vectors, clusters=40, own=3, seed=1)
    assert classes[:3].tolist() == [40, 41, 42]
    together = [set(classes[max(start, 3) : start + 30]) for start in range(0, 180, 30)]
    for number, one in enumerate(together):
        assert all(one.isdisjoint(other) for other in together[number + 1 :])


def test_a_run_that_was_cut_short_ends_in_the_same_bytes(text, tmp_path):
    class CutError(Exception):
        pass

    def cut_at(stop):
        def watch(progress):
            if progress.stage == "network" and progress.done > stop:
                raise CutError

        return watch

    often = {"checkpoint_minutes": 1e-9, "known_count": 1}
    pretrain(text, tmp_path / "whole", **often)
    resume = False
    for stop in (2000, 9000):
        with pytest.raises(CutError):
            pretrain(text, tmp_path / "cut", resume=resume, watch=cut_at(stop), **often)
        resume = True
    pretrain(text, tmp_path / "cut", resume=True, **often)
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")
    assert not (tmp_path / "cut.run").exists()


def test_a_killed_process_is_continued_to_the_same_bytes(text, tmp_path):
    """SIGKILL while the vectors are written, then while a checkpoint is."""
    options = [f"--set={name}={value}" for name, value in TINY.items()]
    options += ["--set=checkpoint_minutes=0.00001", "--quiet", "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def call(output, *how):
        command = [sys.executable, *how, "pretrain", str(text), "--output", output, *options]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode

    for flushes in ("8", "15"):
        assert call("killed", "-c", KILLED, flushes) == -signal.SIGKILL
    for output in ("killed", "whole"):
        assert call(output, "-m", "ner") == 0
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "whole")


def test_the_seed_decides_the_bytes(text, pretrained, tmp_path):
    pretrain(text, tmp_path / "same")
    assert bytes_of(tmp_path / "same") == bytes_of(pretrained)
    pretrain(text, tmp_path / "other", seed=2)
    assert bytes_of(tmp_path / "other") != bytes_of(pretrained)


def test_a_run_that_fails_before_the_text_is_read_leaves_nothing(text, tmp_path):
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            pretrain(tmp_path / "nowhere.txt", tmp_path / "own")
        assert [path.name for path in tmp_path.glob("own*")] == []


def test_a_run_that_other_settings_would_save_leaves_nothing(text, tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="give more text, or lower width"):
            pretrain(text, tmp_path / "own", min_count=500)
        assert [path.name for path in tmp_path.glob("own*")] == []


def test_a_pipe_is_refused_since_text_is_read_twice(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    for source in ("-", str(tmp_path / "pipe.txt")):
        with pytest.raises(ConfigError, match="is not a regular file, and text is read twice"):
            write_numbers(tmp_path / "numbers", [source])


def test_what_is_left_of_another_run_is_not_lost_or_mixed(text, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    output = tmp_path / "own"
    with monkeypatch.context() as patch:
        patch.setattr("ner.pretraining.run.word_classes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(text, output)
    with pytest.raises(ConfigError, match="--overwrite"):
        pretrain(text, output)
    with pytest.raises(ConfigError, match="settings are not those"):
        pretrain(text, output, seed=2, resume=True)
    changed = tmp_path / "changed.txt"
    changed.write_text("Ada left.\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="texts have changed"):
        pretrain(changed, output, resume=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"checkpoint_minutes": 0.0}, "checkpoint_minutes must be more than 0"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        PretrainingSettings(**settings)


SENTENCES = [
    Sentence(("Zyxia", "Quorn", "went", "to", "Lima"), (Span(0, 2, "PER"), Span(4, 5, "LOC"))),
    Sentence(("She", "left", "."), ()),
]


def test_a_network_begins_with_the_pretrained_weights(pretrained):
    start = Pretrained.load(pretrained)
    network = build(SENTENCES, **SMALL, pretrained=str(pretrained))
    words = network.embeddings["words"]
    known = words.indexer.vocabulary
    old = start.embeddings["words"]["words"]
    assert set(old) <= set(known.items)
    assert "zyxia" in known
    for row, word in enumerate(old, 2):
        expected = start.weights["embeddings.words.vectors.weight"][row]
        assert torch.equal(words.vectors.weight[known[word]], expected)
    assert network.embeddings[PART].width == TINY["width"]
    encoder = network.encoder
    given = start.weights["encoder.forwards.0.weight_ih_l0"]
    assert torch.equal(encoder.forwards[0].weight_ih_l0, given)
    assert torch.equal(
        encoder.backwards[0].weight_hh_l0, start.weights["encoder.backwards.0.weight_hh_l0"]
    )


def test_columns_of_embeddings_that_were_not_pretrained_stay_fresh(pretrained):
    with_document = {**SMALL, "embeddings": {**SMALL["embeddings"], "document": {"width": 4}}}
    network = build(SENTENCES, **with_document, pretrained=str(pretrained))
    given = Pretrained.load(pretrained).weights["encoder.forwards.0.weight_ih_l0"]
    place, columns = 0, {}
    for name, part in network.embeddings.items():
        columns[name] = slice(place, place + part.width)
        place += part.width
    first = network.embeddings["words"].width
    found = network.encoder.forwards[0].weight_ih_l0
    assert torch.equal(found[:, columns["words"]], given[:, :first])
    assert found[:, columns["document"]].std() > 0
    assert found.shape[1] > given.shape[1]


def test_sizes_that_differ_are_named(pretrained):
    wide = {**SMALL, "encoder": {"width": 20}}
    with pytest.raises(ConfigError, match=r"model\.encoder\.width is 20, .* has 12"):
        build(SENTENCES, **wide, pretrained=str(pretrained))
    words = {**SMALL, "embeddings": {**SMALL["embeddings"], "words": {"width": 7}}}
    with pytest.raises(ConfigError, match=r"model\.embeddings\.words does not fit"):
        build(SENTENCES, **words, pretrained=str(pretrained))


@pytest.mark.parametrize(
    "part",
    [
        WordEmbedding(["a", "b"], 1, width=3),
        CharacterCNN(["a", "b"], width=4, character_width=2),
        AffixEmbedding({"shape": ["x", "X"], "suffix3": ["ing"]}, width=2),
    ],
    ids=lambda part: type(part).__name__,
)
def test_joined_embeddings_give_known_tokens_their_old_vectors(part):
    tokens = ["ab", "b", "Xb"]
    settings = part.settings()
    other = type(part)(**{**settings, **_more(settings)})
    joined = part.eval().joined(other).eval()
    expected = other.eval()(*map(torch.from_numpy, other.index(tokens)))
    found = joined(*map(torch.from_numpy, joined.index(tokens)))
    assert torch.equal(found, expected)


def _more(settings):
    if "values" in settings:
        return {"values": {name: [*known, "zzz"] for name, known in settings["values"].items()}}
    key = "words" if "words" in settings else "characters"
    return {key: [*settings[key], "z"]}


def test_damage_and_other_directories_are_one_line(pretrained, tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        Pretrained.load(tmp_path / "nothing")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in pretrained.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        Pretrained.load(broken)
    (tmp_path / "tagger.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a tagger; start from it with --init-from"):
        Pretrained.load(tmp_path)


def test_a_budget_bounds_the_steps(text, tmp_path, caplog):
    settings = PretrainingSettings(**TINY)
    run = Pretraining([str(text)], tmp_path / "own", settings=settings, model=SMALL)
    assert run.run(budget=1e-6)["steps"] == TRIED + 1
    assert "the budget leaves no time for the network" in caplog.text
    assert "steps are too few for the network: give more text" in caplog.text


def test_settings_that_would_fill_the_memory_are_refused(pretrained):
    start = Pretrained.load(pretrained)
    huge = {**start.embeddings, "words": {**start.embeddings["words"], "width": 10**12}}
    hostile = replace(start, embeddings=huge)
    part = WordEmbedding(["a"], width=16)
    with pytest.raises(ModelError, match="settings of words do not fit its weights"):
        hostile.joined("words", part)


def test_from_a_text_to_a_tagger(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, sentences=40, epochs=1)
    tiny = [f"--set={name}={value}" for name, value in TINY.items()]
    call = ["pretrain", str(text), "--output", "own", "--config", "run.yaml", *tiny]
    assert main([*call, "--budget", "60s", "--json", "facts.json"]) == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    description = json.loads((tmp_path / "own" / DESCRIPTION).read_text())
    assert description["checksum"] == checksum(description)
    assert f"{facts['text']['tokens']:,} tokens" in (tmp_path / "own" / "README.md").read_text()
    assert "min left" in capsys.readouterr().out
    train = ["train", "run.yaml", "--set", "model.pretrained=own", "--device", "cpu"]
    assert main(train) == 0
    assert "of the distinct training words" in capsys.readouterr().out
    tagger = ner.load("model")
    assert PART in tagger.network.embeddings
    assert tagger.tag("Ada Obi went to Lima.").sentences


def test_vectors_alone_serve_as_an_embedding(text, tmp_path):
    output = tmp_path / "vectors"
    tiny = [f"--set={name}={value}" for name, value in TINY.items()]
    call = ["pretrain", str(text), "--output", str(output), "--only", "vectors", "--quiet"]
    assert main([*call, *tiny]) == 0
    assert not (output / "weights.safetensors").exists()
    network = build(SENTENCES, **SMALL, pretrained=str(output))
    assert network.embeddings[PART].width == TINY["width"]


def test_members_begin_alike_and_are_trained_apart(pretrained):
    ensemble = build(SENTENCES, **SMALL, members=2, pretrained=str(pretrained))
    first, second = ensemble.networks
    assert torch.equal(
        first.encoder.forwards[0].weight_hh_l0, second.encoder.forwards[0].weight_hh_l0
    )
    assert not torch.equal(first.projection.weight, second.projection.weight)


def test_a_run_with_pretrained_weights_resumes(pretrained, tmp_path):
    raw = config(epochs=2)
    raw["model"] = {**SMALL, "pretrained": str(pretrained)}
    settings = ner.training.read_settings(raw, output=str(tmp_path / "model"))
    corpora = ner.training.corpora.Corpora(tuple(SENTENCES), (), ())

    def begin(resume):
        return ner.training.Run(settings, device="cpu", corpora=corpora, resume=resume)

    list(begin(resume=False))
    whole = bytes_of(tmp_path / "model")
    first = ner.training.Run(settings, device="cpu", corpora=corpora, overwrite=True)
    first.train_epoch()
    del first
    list(begin(resume=True))
    assert bytes_of(tmp_path / "model") == whole


def test_checkpoints_leave_out_frozen_vectors_and_notice_others(pretrained, text, tmp_path):
    raw = config(epochs=2)
    settings = ner.training.read_settings(raw, output=str(tmp_path / "model"))
    corpora = ner.training.corpora.Corpora(tuple(SENTENCES), (), ())

    def begin(folder, **how):
        model = {**SMALL, "pretrained": str(folder)}
        own = replace(settings, model=model)
        return ner.training.Run(own, device="cpu", corpora=corpora, **how)

    run = begin(pretrained)
    run.train_epoch()
    names = run.snapshot().tensors
    assert not [name for name in names if f"{PART}.vectors" in name]
    vectors = run.tagger.network.embeddings[PART].vectors.weight
    assert torch.equal(vectors, run.network.embeddings[PART].vectors.weight)
    assert vectors.std() > 0
    shutil.move(pretrained, tmp_path / "kept")
    try:
        pretrain(text, pretrained, seed=9)
        with pytest.raises(ConfigError, match="frozen weights differ"):
            begin(pretrained, resume=True)
    finally:
        shutil.rmtree(pretrained)
        shutil.move(tmp_path / "kept", pretrained)


def test_a_tagger_with_pretrained_parts_is_exported_and_saved_whole(pretrained, tmp_path):
    tagger = ner.Tagger(build(SENTENCES, **SMALL, pretrained=str(pretrained)).eval())
    expected = tagger.predict(SENTENCES)
    assert ner.Tagger.from_bytes(tagger.to_bytes()).predict(SENTENCES) == expected
    write(tagger, tmp_path / "exported")
    assert ner.load(tmp_path / "exported").predict(SENTENCES) == expected
    nlp = spacy.blank("en")
    tagger.save(tmp_path / "model")
    nlp.add_pipe("ner_crf", config={"model": str(tmp_path / "model")})
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")("Zyxia Quorn went to Lima")
    assert [e.text for e in again.ents] == [e.text for e in nlp("Zyxia Quorn went to Lima").ents]
