"""The long checks of docs/reliability.md: ``reliability.py saving|hostile|disk|threads``.

Each prints what it tried and how often the promise was broken; the exit status is 1 if ever.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

import ner
from ner.model_directory import DESCRIPTION, WEIGHTS, ModelError, checksum
from ner.network import build
from ner.sample import path as sample_path
from ner.storage import sha256
from ner.tagger import Tagger

SAVING = """
import sys, ner
tagger = ner.load(sys.argv[1])
print("ready", flush=True)
while True:
    tagger.save(sys.argv[1])
"""


def small_model(path: Path, width: int = 16) -> Tagger:
    """A tagger with random weights for the bundled corpus, saved."""
    torch.manual_seed(0)
    network = build(list(ner.read(sample_path("train"))), encoder={"width": width}).eval()
    tagger = Tagger(network)
    tagger.save(path)
    return tagger


def saving(count: int, folder: Path) -> int:
    """SIGKILL at random moments of saving a model in place; it must load afterwards."""
    model, broken = folder / "model", 0
    small_model(model, 256)
    for _ in range(count):
        with subprocess.Popen(
            [sys.executable, "-c", SAVING, str(model)], stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            time.sleep(random.uniform(0.0, 0.3))
            process.kill()
        try:
            ner.load(model)
        except ModelError as error:
            broken += 1
            print(error)
    print(f"saving: {count} kills, {broken} models that did not load")
    return broken


def hostile(count: int, folder: Path) -> int:
    """Mutated model directories: refused in bounded time and memory, or the same model."""
    good = folder / "good"
    tagger = small_model(good)
    sentences = list(ner.read(sample_path("test")))[:50]
    expected = tagger.predict(sentences)
    broken, slowest, before = 0, 0.0, peak_memory()
    for number in range(count):
        model = folder / "mutated"
        shutil.copytree(good, model)
        mutate(model, random.Random(number))
        began = time.monotonic()
        try:
            if ner.load(model).predict(sentences) != expected:
                broken += 1
                print(f"mutation {number}: loaded with other content")
        except ModelError:
            pass
        except Exception as error:  # any other error is what we look for
            broken += 1
            print(f"mutation {number}: {type(error).__name__}: {error}")
        slowest = max(slowest, time.monotonic() - began)
        shutil.rmtree(model)
    grown = (peak_memory() - before) >> 10
    print(f"hostile: {count} directories, {broken} broken promises, slowest {slowest:.2f} s, "
          f"peak memory {grown} MiB above the first model's")  # fmt: skip
    return broken


def mutate(model: Path, chance: random.Random) -> None:
    """Change a model directory in one of the ways that damage or malice would."""
    kind = chance.randrange(4)
    name = chance.choice(sorted(file.name for file in model.iterdir()))
    content = bytearray((model / name).read_bytes())
    if kind == 0:  # bits flipped anywhere
        for _ in range(chance.randint(1, 20)):
            content[chance.randrange(len(content))] ^= chance.randint(1, 255)
        (model / name).write_bytes(content)
    elif kind == 1:  # cut short
        (model / name).write_bytes(content[: chance.randrange(len(content))])
    elif kind == 2:  # settings that lie, signed as a malicious author would
        description = json.loads((model / DESCRIPTION).read_text())
        _lie(description["network"], chance)
        description["checksum"] = checksum(description)
        (model / DESCRIPTION).write_text(json.dumps(description))
    else:  # a header of weights that lies, signed
        size = int.from_bytes((model / WEIGHTS).read_bytes()[:8], "little")
        weights = bytearray((model / WEIGHTS).read_bytes())
        weights[chance.randrange(8 + size)] = chance.randrange(256)
        (model / WEIGHTS).write_bytes(weights)
        description = json.loads((model / DESCRIPTION).read_text())
        description["files"][WEIGHTS]["sha256"] = sha256(model / WEIGHTS)
        description["checksum"] = checksum(description)
        (model / DESCRIPTION).write_text(json.dumps(description))


def _lie(settings: dict, chance: random.Random) -> None:
    """Put something else in place of one value somewhere in the settings."""
    place = settings
    while True:
        key = chance.choice(list(place))
        if isinstance(place[key], dict) and place[key] and chance.random() < 0.8:
            place = place[key]
            continue
        place[key] = chance.choice(
            [10**9, -1, 0, 1e308, "x", None, True, [], {}, ["a", "a"], {"kind": "os"}, "../../x"]
        )
        return


def disk(count: int, folder: Path) -> int:
    """A limit on file size stands for a full disk: saving fails, the old model stays whole."""
    model, broken = folder / "model", 0
    tagger = small_model(model, 128)
    before = {file.name: sha256(file) for file in model.iterdir()}
    largest = (model / WEIGHTS).stat().st_size
    for number in range(count):
        limit = largest * (number + 1) // (count + 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            tagger.save(model)
            broken += 1
        except Exception as error:  # its message is what we print
            message = f"{type(error).__name__}: {error}"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        broken += before != {file.name: sha256(file) for file in model.iterdir()}
        broken += len(list(folder.iterdir())) != 1
    print(f"disk: {count} full disks ({message}), {broken} broken promises")
    return broken


def threads(count: int, folder: Path) -> int:
    """Eight threads with one tagger: the same spans as alone."""
    tagger = small_model(folder / "model")
    sentences = list(ner.read(sample_path("test")))
    expected = [tagger.predict([sentence]) for sentence in sentences]
    wrong = []

    def call(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(count // 8):
            number = chance.randrange(len(sentences))
            if tagger.predict([sentences[number]]) != expected[number]:
                wrong.append(number)

    workers = [threading.Thread(target=call, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(f"threads: {count} calls from 8 threads, {len(wrong)} wrong")
    return len(wrong)


def peak_memory() -> int:
    """The most memory this process has held, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


CHECKS = {"saving": (saving, 100), "hostile": (hostile, 1000), "disk": (disk, 20),
          "threads": (threads, 10_000)}  # fmt: skip


def main() -> int:
    """Run one check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--count", type=int)
    arguments = parser.parse_args()
    check, count = CHECKS[arguments.check]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return int(check(arguments.count or count, Path(folder)) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
