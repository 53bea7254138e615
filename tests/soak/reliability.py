"""The long checks of docs/reliability.md: ``reliability.py CHECK``.

Each prints what it tried and how often the promise was broken; the exit status is 1 if ever.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hostile_exports import exports
from hostile_models import ATTACKS, mutate
from mutated_inputs import inputs
from opened_files import marked

import ner
from ner.cli import main as main_of_ner
from ner.model_directory import DESCRIPTION, ModelError
from ner.network import build
from ner.sample import path as sample_path
from ner.storage.atomic import sha256
from ner.tagger import Tagger
from ner.training.run_folder import Checkpoint, write_checkpoint


def small_model(path: Path, width: int = 16) -> Tagger:
    """A tagger with random weights for the bundled corpus, saved."""
    torch.manual_seed(0)
    network = build(list(ner.read(sample_path("train"))), encoder={"width": width}).eval()
    tagger = Tagger(network)
    tagger.save(path)
    return tagger


def saving(count: int, folder: Path, seed: int) -> int:
    """SIGKILL at random moments of saving a model in place; the old or the new one must load."""
    model, broken, news = folder / "model", 0, 0
    tagger = small_model(model, 256)
    chance = random.Random(seed)
    began = time.monotonic()
    _apart(tagger.save, model)
    usual = time.monotonic() - began
    for number in range(count):
        before = sha256(model / DESCRIPTION)
        tagger.metrics["saved"] = number  # so that every model is another
        child = os.fork()
        if child == 0:
            tagger.save(model)
            os._exit(0)
        time.sleep(chance.uniform(0.0, 1.4 * usual))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        news += sha256(model / DESCRIPTION) != before
        broken += not _loads(model)
        broken += len(list(folder.iterdir())) > 2  # the model, and what was being written
    tagger.save(model)
    broken += len(list(folder.iterdir())) != 1
    print(f"saving: {count} kills, {news} after and {count - news} before the new model was there, "
          f"{broken} broken promises")  # fmt: skip
    return broken


def _loads(model: Path) -> bool:
    try:
        ner.load(model)
    except ModelError as error:
        print(error)
        return False
    return True


def hostile(count: int, folder: Path, seed: int) -> int:
    """Hostile and mutated model directories: refused in bounded time and memory, or the same."""
    good, model = folder / "good", folder / "mutated"
    tagger = small_model(good)
    sentences = list(ner.read(sample_path("test")))[:5]
    expected = tagger.predict(sentences)
    attacks = {**ATTACKS, **{f"mutation {number}": mutate for number in range(count)}}
    broken, refused, slowest, before = 0, 0, (0.0, 0.0, ""), peak_memory()
    for number, (name, attack) in enumerate(list(attacks.items())[:count]):
        shutil.copytree(good, model)
        _apart(attack, model, random.Random(f"{seed} {number}"))
        began, wall = time.process_time(), time.monotonic()
        outcome = _outcome(model, sentences, expected)
        took = time.process_time() - began, time.monotonic() - wall, name
        shutil.rmtree(model)
        refused += outcome == "refused"
        if outcome not in ("refused", "the same") or took[0] > 1.0:
            broken += 1
            print(f"{name}: {outcome} in {took[0]:.2f} s of CPU")
        slowest = max(slowest, took)
    grown = (peak_memory() - before) >> 10
    broken += grown > 100
    print(f"hostile: {count} directories, {refused} refused, {broken} broken promises, slowest "
          f"{slowest[0]:.2f} s of CPU ({slowest[2]}; {slowest[1]:.2f} s on the clock), peak memory "
          f"{grown} MiB above the first model's")  # fmt: skip
    return broken


def _outcome(model: Path, sentences: list[Any], expected: list[Any]) -> str:
    try:
        with marked(model):
            found = ner.load(model).predict(sentences)
        return "the same" if found == expected else "other content"
    except ModelError:
        return "refused"
    except Exception as error:  # any other error is what we look for
        return f"{type(error).__name__}: {error}"


def _apart(call: Callable[..., Any], *arguments: Any) -> None:
    """Call something in a process of its own, whose memory is not ours."""
    child = os.fork()
    if child == 0:
        call(*arguments)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{call} failed")


def disk(count: int, folder: Path, seed: int) -> int:
    """Disks that are full at some byte of what is written: what was there stays whole.

    The disk is a file system in memory of that size, where we may mount one; else a limit on the
    size of files stands for it.
    """
    source = folder / "source"
    tagger = small_model(source, 64)
    place = folder / "disk"
    place.mkdir()
    mounted = _mounted(place)
    with contextlib.closing(mounted):
        broken = sum(_full(tagger, source, place, share / (count + 1), mounted)
                     for share in range(1, count + 1))  # fmt: skip
    kind = "a file system of its own" if mounted.real else "a limit on the size of files"
    print(f"disk: {count} times {len(WRITERS)} full disks ({kind}), {broken} broken promises")
    return broken


class Disk:
    """A small disk: a tmpfs of its own, or limits on the size of files.

    Args:
        place: Where it is.
        real: Whether it is mounted.
    """

    def __init__(self, place: Path, *, real: bool) -> None:
        self.place, self.real = place, real

    def hold(self, size: int | None) -> None:
        """Let it hold so many bytes more than it does, or any number."""
        if self.real:
            used = sum(f.stat().st_blocks * 512 for f in self.place.rglob("*") if f.is_file())
            total = (1 << 30) if size is None else used + size
            option = f"remount,size={max(total, 4096)}"
            subprocess.run(["mount", "-o", option, str(self.place)], check=True)
            return
        limit = resource.RLIM_INFINITY if size is None else size
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def close(self) -> None:
        """Take it away."""
        if self.real:
            subprocess.run(["umount", str(self.place)], check=True)


def _mounted(place: Path) -> Disk:
    call = ["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(place)]
    done = shutil.which("mount") and subprocess.run(call, capture_output=True, check=False)
    return Disk(place, real=bool(done) and done.returncode == 0)


WRITERS: dict[str, list[str]] = {
    "model": [],
    "checkpoint": [],
    "conll": ["convert", "{gold}", "{out}"],
    "jsonl.gz": ["convert", "{gold}", "{out}"],
    "spacy": ["convert", "{gold}", "{out}"],
    "tagged.jsonl": ["tag", "{model}", "{gold}", "--output", "{out}", "--quiet"],
    "html": ["evaluate", "{gold}", "--predictions", "{gold}", "--html", "{out}"],
}


def _full(tagger: Tagger, source: Path, place: Path, share: float, disk: Disk) -> int:
    """Write everything once with room, and once with room for that share of it."""
    broken = 0
    for name, call in WRITERS.items():
        out = place / f"out.{name}"

        def write(out: Path = out, name: str = name, call: list[str] = call) -> str:
            names = {"gold": sample_path("test"), "model": source, "out": out}
            return _written(tagger, out, name, [part.format_map(names) for part in call])

        disk.hold(None)
        write()
        before = _content(place)
        size = sum(map(len, before.values()))
        disk.hold(int(share * size))
        told = write()
        disk.hold(None)
        whole = _content(place) == before and "cannot be written" in told and str(out) in told
        if not whole:
            print(f"{name} at {share:.2f}: {told!r}")
            broken += 1
        for left in place.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return broken


def _written(tagger: Tagger, out: Path, name: str, call: list[str]) -> str:
    """Write something; what was said on standard error."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            if name == "model":
                tagger.save(out)
            elif name == "checkpoint":
                step = len(list(out.glob("step-*"))) + 1
                write_checkpoint(out, step, Checkpoint({}, dict(tagger.network.state_dict())))
            else:
                main_of_ner(call)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
    return told.getvalue()


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def threads(count: int, folder: Path, seed: int) -> int:
    """Eight threads with one tagger: the same spans as alone."""
    tagger = small_model(folder / "model")
    sentences = list(ner.read(sample_path("test")))
    expected = [tagger.predict([sentence]) for sentence in sentences]
    wrong = []

    def call(own: str) -> None:
        chance = random.Random(own)
        for _ in range(count // 8):
            number = chance.randrange(len(sentences))
            if tagger.predict([sentences[number]]) != expected[number]:
                wrong.append(number)

    workers = [threading.Thread(target=call, args=(f"{seed} {n}",)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(f"threads: {count} calls from 8 threads, {len(wrong)} wrong")
    return len(wrong)


def processes(count: int, folder: Path, seed: int) -> int:
    """Processes made in every way, while threads are busy: the same spans, and none hangs."""
    tagger = small_model(folder / "model")
    sentences = list(ner.read(sample_path("test")))[:40]
    expected = tagger.predict(sentences)
    torch.set_num_threads(2)  # OpenMP's threads are what a fork must not wait for
    torch.randn(600, 600) @ torch.randn(600, 600)
    broken, done = 0, threading.Event()

    def keep_busy() -> None:
        while not done.is_set():
            tagger.predict(sentences)

    busy = [threading.Thread(target=keep_busy) for _ in range(2)]
    for one in busy:
        one.start()
    for method in ("fork", "forkserver", "spawn"):
        pool = multiprocessing.get_context(method).Pool(2)
        try:
            results = pool.map_async(tagger.predict, [sentences] * count).get(timeout=300)
            broken += sum(result != expected for result in results)
        except multiprocessing.TimeoutError:
            print(f"{method}: hangs")
            broken += 1
        pool.terminate()
    done.set()
    for one in busy:
        one.join()
    print(f"processes: {count} calls each by fork, forkserver, spawn, {broken} wrong or hanging")
    return broken


def surroundings(count: int, folder: Path, seed: int) -> int:
    """What ``ner tag`` writes, byte by byte, wherever and however it is run."""
    small_model(folder / "model")
    text = sample_path("test").read_text(encoding="utf-8")
    (folder / "gold.conll").write_text(text, encoding="utf-8")
    call = [sys.executable, "-m", "ner", "tag", str(folder / "model"), str(folder / "gold.conll")]
    chance, outputs = random.Random(seed), set()
    for number in range(count):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(chance.randrange(2**32)),
            "LC_ALL": chance.choice(["C", "C.UTF-8", "POSIX", "tr_TR.UTF-8"]),
            "TZ": chance.choice(["UTC", "Pacific/Kiritimati", "America/St_Johns"]),
            "OMP_NUM_THREADS": chance.choice("12"),
            "PYTHONUTF8": chance.choice("01"),
        }
        where = folder / f"somewhere {number} \u00e9"
        where.mkdir()
        threads_ = ["--threads", chance.choice("12"), "--quiet"]
        done = subprocess.run(
            [*call, *threads_], cwd=where, env=environment, capture_output=True, check=True
        )
        outputs.add(done.stdout)
    print(f"surroundings: {count} runs, {len(outputs)} different outputs")
    return len(outputs) - 1


def peak_memory() -> int:
    """The most memory this process has held, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


CHECKS = {"saving": (saving, 100), "hostile": (hostile, 1000), "disk": (disk, 20),
          "threads": (threads, 10_000), "processes": (processes, 20),
          "surroundings": (surroundings, 8), "inputs": (inputs, 100_000),
          "exports": (exports, 200)}  # fmt: skip


def main() -> int:
    """Run one check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn at random")
    arguments = parser.parse_args()
    check, count = CHECKS[arguments.check]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return int(check(arguments.count or count, Path(folder), arguments.seed) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
