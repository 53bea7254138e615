"""Where, when and by which process something is tagged changes nothing."""

import multiprocessing
import os
import subprocess
import sys

import pytest

import ner
from ner.inference import FastEngine, PlainEngine
from ner.sample import path as sample_path

RELEASE = "tests/data/releases"

FORKED = """
import os, sys, time, torch, ner
from ner.inference import PlainEngine
from ner.sample import path
torch.set_num_threads(2)
torch.randn(600, 600) @ torch.randn(600, 600)  # OpenMP's threads are there, and no child has them
tagger = ner.load(sys.argv[1])
sentences = list(ner.read(path("test")))[:60]
for engine in (tagger, PlainEngine(tagger.network)):
    expected = engine.predict(sentences)
    child = os.fork()
    if child == 0:
        os._exit(engine.predict(sentences) != expected)
    for _ in range(3000):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        sys.exit("hangs")
    assert status == 0, status
"""


@pytest.fixture(scope="module")
def model(request):
    return next((request.config.rootpath / RELEASE).iterdir()) / "model"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_process_forked_after_use_tags_as_before_and_does_not_hang(model):
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", FORKED, str(model)], check=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_find_the_same(model, method):
    tagger = ner.load(model)
    sentences = list(ner.read(sample_path("test")))[:40]
    expected = tagger.predict(sentences)
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(tagger.predict, [sentences] * 6).get(timeout=300)
    assert found == [expected] * 6


@pytest.mark.parametrize("engine", [FastEngine, PlainEngine])
def test_neither_order_nor_neighbours_change_a_tag(model, engine):
    """All at once, one by one, backwards, beside a long one: with and without a document."""
    tagger = engine(ner.load(model).network)
    sentences = list(ner.read(sample_path("test")))[:25]
    sentences += [ner.Sentence(sentence.tokens) for sentence in sentences[:10]]
    expected = tagger.predict(sentences)
    assert [tagger.predict([sentence])[0] for sentence in sentences] == expected
    assert tagger.predict(sentences[::-1]) == expected[::-1]
    long = ner.Sentence(tuple(token for sentence in sentences for token in sentence.tokens))
    assert tagger.predict([long, *sentences])[1:] == expected
    assert tagger.predict([*sentences, ner.Sentence(())])[:-1] == expected


def test_neither_hashing_nor_locale_nor_clock_nor_folder_change_a_byte(model, tmp_path):
    """What ``ner tag`` writes of text that is not ASCII, in surroundings that differ in all."""
    blocks = sample_path("test").read_text(encoding="utf-8").split("\n\n")[:40]
    text = "\n\n".join([*blocks, "Łódź O", ""])
    (tmp_path / "gold.conll").write_text(text, encoding="utf-8")
    outputs = []
    for number, own in enumerate(
        (
            {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONUTF8": "0"},
            {"PYTHONHASHSEED": "7", "LC_ALL": "C.UTF-8", "TZ": "UTC", "OMP_NUM_THREADS": "2"},
        )
    ):
        where = tmp_path / f"{number} é"
        where.mkdir()
        call = ["tag", str(model), str(tmp_path / "gold.conll"), "--quiet"]
        threads = ["--threads", str(number + 1)]
        done = subprocess.run(
            [sys.executable, "-m", "ner", *call, *threads],
            cwd=where, env={**os.environ, **own}, capture_output=True, check=True,
        )  # fmt: skip
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert "Łódź".encode() in outputs[0]
