"""Training from disk gives the bytes of training in memory, and leaves nothing behind."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sentences
from training_runs import SMALL, bytes_of

from ner.config import ConfigError
from ner.sample import path as sample_path
from ner.sentence import in_document
from ner.training import Run, StoppedError, batching, on_disk, read_settings
from ner.training.on_disk import StoredSentences


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Chunks of a few sentences, so that a small corpus has many."""
    monkeypatch.setattr(on_disk, "CHUNK", 8)
    monkeypatch.setattr(on_disk, "DOCUMENTS", 300)
    monkeypatch.setattr(batching, "CHUNK", 8)
    monkeypatch.setattr(batching, "SHUFFLED", 32)


def lines(split, count):
    """The first sentences of the bundled corpus, and another column."""
    blocks = sample_path(split).read_text(encoding="utf-8").split("\n\n")[:count]
    rows = (line.split(" ") for line in "\n\n".join(blocks).split("\n"))
    return "\n".join(" ".join([r[0], str(len(r[0])), *r[1:]]) if r[0] else "" for r in rows) + "\n"


@pytest.fixture
def files(tmp_path):
    named = {"train": tmp_path / "train.conll", "development": tmp_path / "development.conll"}
    for split, count in (("train", 90), ("development", 12)):
        named[split].write_text(lines(split, count), encoding="utf-8")
    return {split: str(file) for split, file in named.items()}


def settings(files, output=None, *, data=None, model=None, **training):
    raw = {
        "data": {**files, **(data or {})},
        "model": {**SMALL, **(model or {})},
        "training": {"epochs": 1, "threads": 1, "average": 0.9, "batch_size": 4, **training},
        "output": None if output is None else str(output),
    }
    return read_settings(raw)


def trained(files, output, **own):
    run = Run(settings(files, output, **own), device="cpu")
    list(run)
    return run, written(output)


def written(output):
    """Digests of the files of a model, but of the settings, and of that with their checksum."""
    return {n: d for n, d in bytes_of(output).items() if n not in ("config.yaml", "tagger.json")}


SOME = {"words": {"width": 8}, "characters": False, "affixes": False, "topic": False}


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"model": {"embeddings": {**SOME, "document": False, "pairs": {}, "columns": {}}}},
        {"model": {"embeddings": SOME}, "longest": 5, "lower_cased": 0.3, "upper_cased": 0.1},
        {"data": {"development": None, "development_fraction": 0.2, "test_fraction": 0.1}},
        {"data": {"labels": ["ORG"]}, "accumulate": 2, "seed": 3, "batch_tokens": 90},
    ],
    ids=["default", "columns", "pieces and copies", "held out", "labels"],
)
def test_the_same_model_as_in_memory(own, files, tmp_path):
    store = tmp_path / "store"
    (_, here), (run, there) = (
        trained(files, tmp_path / name, **{**own, "data": {**own.get("data", {}), **where}})
        for name, where in (("memory", {}), ("disk", {"on_disk": str(store)}))
    )
    assert isinstance(run.corpora.train, on_disk.Lazy)
    assert len(run._data.lengths) > batching.SHUFFLED
    assert here == there
    assert not list(store.iterdir())


@given(st.lists(st.lists(sentences(), min_size=1, max_size=4), max_size=9), st.data())
def test_sentences_are_read_as_they_were_written(documents, data):
    """Also those whose document has sentences that are not among them."""
    whole = [one for own in documents for one in (in_document(own, "né") if len(own) > 1 else own)]
    kept = [one for one in whole if data.draw(st.booleans())]
    with tempfile.TemporaryDirectory() as folder:
        stored = StoredSentences(kept, Path(folder))
        assert list(stored) == kept
        read = [stored[place] for place in range(len(stored))]
        assert read == kept
        assert [s.position for s in read] == [s.position for s in kept]
        assert [s.line for s in read] == [s.line for s in kept]
        assert [dict(s.columns) for s in read] == [dict(s.columns) for s in kept]
        for one, other in zip(read, kept, strict=True):
            assert (one.document is None) == (other.document is None)
            if one.document is not None:
                assert one.document.tokens == other.document.tokens
                assert one.document.id == other.document.id
        assert [a.document is b.document for a in read for b in read] == [
            a.document is b.document for a in kept for b in kept
        ]
        counts = Counter(token for one in kept for token in one.tokens)
        assert list(stored.token_counts.items()) == list(counts.items())


def test_an_interrupted_run_continues_as_if_it_had_not_been(files, tmp_path):
    """And may continue in memory what it began on disk."""
    own = {"model": {"embeddings": SOME}, "checkpoint_steps": 1}
    _, whole = trained(files, tmp_path / "whole", **own)
    stored = settings(files, tmp_path / "model", data={"on_disk": str(tmp_path)}, **own)
    run = Run(stored, device="cpu")
    with pytest.raises(StoppedError):
        run.train_epoch(lambda step: run.stop() if run.position.step == 9 else None)
    for again in (stored, settings(files, tmp_path / "model", **own)):
        run = Run(again, device="cpu", resume=True)
        assert run.position.step == 9
    list(run)
    assert written(tmp_path / "model") == whole


def test_a_changed_file_is_noticed_when_a_run_is_continued(files, tmp_path):
    own = {"data": {"on_disk": str(tmp_path)}, "model": {"embeddings": SOME}}
    run = Run(settings(files, tmp_path / "model", **own), device="cpu")
    run.stop()
    with pytest.raises(StoppedError):
        run.train_epoch()
    Path(files["train"]).write_text(lines("train", 89), encoding="utf-8")
    with pytest.raises(ConfigError, match="sentences differ from the checkpoint"):
        Run(settings(files, tmp_path / "model", **own), device="cpu", resume=True)


KILLED = """
import os, signal, sys
from pathlib import Path
from ner.sentence import Sentence
from ner.training.on_disk import CHUNK, StoredSentences

def dying():
    for number in range(3 * CHUNK):
        yield Sentence((f"token{number}",), ())
    os.kill(os.getpid(), signal.SIGKILL)

StoredSentences(dying(), Path(sys.argv[1]))
"""


@pytest.mark.skipif(os.name != "posix", reason="kills itself by a signal")
def test_a_process_that_is_killed_while_writing_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path, monkeypatch, toy):
    class Full:
        def seek(self, place): ...

        def close(self): ...

        def write(self, raw):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(on_disk.tempfile, "TemporaryFile", lambda **where: Full())
    with pytest.raises(OSError, match="cannot be written: No space left") as found:
        StoredSentences(toy, tmp_path)
    assert found.value.filename == str(tmp_path)
