"""What damage and malice do to the directory of an exported model; ``reliability.py exports``."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile_models import lie, sign
from opened_files import marked

import ner
from ner.errors import ModelError
from ner.sample import path as sample_path
from ner.storage.manifest import EXPORTED

LIMIT = 60  # seconds on the clock a directory may take before it counts as a hang
GRAPHS = ("types.onnx", "emissions.onnx")


def exports(count: int, folder: Path, seed: int) -> int:
    """Mutated directories of an exported model: refused in bounded time and memory, or the same.

    What somebody has made up and signed may be another model, and find other things: then it is
    only asked that it does so in bounds, and without an error that is not ours.
    """
    good, model = folder / "good", folder / "mutated"
    _apart(_export, good)
    usual = _apart(_used, good)
    found: dict[str, int] = {}
    broken, slowest, largest = 0, 0.0, 0
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        shutil.copytree(good, model)
        kind = KINDS[number % len(KINDS)]
        kind(model, chance)
        outcome = _apart(_used, model)
        shutil.rmtree(model)
        said, seconds, memory = outcome
        if said == usual[0]:
            said = "the same"
        elif isinstance(said, list):
            said = "another model" if kind in SIGNED else "OTHER CONTENT"
        found[said] = found.get(said, 0) + 1
        slowest, largest = max(slowest, seconds), max(largest, memory - usual[2])
        if said not in ("refused", "the same", "another model") or seconds > 1.0 + usual[1]:
            broken += 1
            print(f"{number} ({kind.__name__}): {said} in {seconds:.2f} s, {memory >> 10} MiB")
    broken += largest > 100 << 10
    told = ", ".join(f"{times} {said}" for said, times in sorted(found.items()))
    print(f"exports: {count} directories, {told}; {broken} broken promises, slowest {slowest:.2f} "
          f"s of CPU (the model itself {usual[1]:.2f} s), peak memory {largest >> 10} MiB above "
          "the model's")  # fmt: skip
    return broken


def _export(path: Path) -> None:
    import torch

    from ner.export import write
    from ner.network import build
    from ner.tagger import Tagger

    torch.manual_seed(0)
    sentences = list(ner.read(sample_path("train")))
    write(Tagger(build(sentences, encoder={"width": 16}).eval()), path)


def _used(path: Path) -> tuple[Any, float, int]:
    """What a model finds, or how it is refused; seconds of CPU; the most memory, in KiB."""
    import onnxruntime  # noqa: F401 - what it opens by itself, when imported, is not the model's doing

    from ner import runtime

    sentences = list(ner.read(sample_path("test")))[:5]
    began = time.process_time()
    try:
        with marked(path):
            spans = runtime.load(path).predict(sentences)
        said: Any = [
            [(one.start, one.end, one.label, round(one.score or 0.0, 6)) for one in some]
            for some in spans
        ]
    except ModelError:
        said = "refused"
    except Exception as error:  # any other error is what we look for
        said = f"{type(error).__name__}: {error}"
    seconds = time.process_time() - began
    return said, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _apart(call: Callable[[Path], Any], path: Path) -> Any:
    """What a call gives in a process of its own, which may also crash or hang."""
    mine, theirs = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        theirs.send(call(path))
        os._exit(0)
    theirs.close()
    outcome: Any = ("HANG", float(LIMIT), 0)
    if mine.poll(LIMIT):
        try:
            outcome = mine.recv()
        except EOFError:
            outcome = ("CRASH", 0.0, 0)
    else:
        os.kill(child, 9)
    os.waitpid(child, 0)
    return outcome


def damage(model: Path, chance: random.Random) -> None:
    """Bytes of any file changed."""
    file = chance.choice(sorted(model.iterdir()))
    content = bytearray(file.read_bytes())
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] ^= chance.randint(1, 255)
    file.write_bytes(content)


def cut(model: Path, chance: random.Random) -> None:
    """Any file cut short."""
    file = chance.choice(sorted(model.iterdir()))
    content = file.read_bytes()
    file.write_bytes(content[: chance.randrange(len(content))])


def lying(model: Path, chance: random.Random) -> None:
    """A description that lies, signed."""
    sign(model, lambda said: lie(chance.choice([said, said["decoding"], said["crf"]]), chance),
         EXPORTED)  # fmt: skip


def indexing(model: Path, chance: random.Random) -> None:
    """Indexers that lie, signed."""
    sign(model, lambda said: lie(chance.choice(said["types"] + said["contexts"]), chance), EXPORTED)


def redrawn(model: Path, chance: random.Random) -> None:
    """A graph in which bytes are changed, signed."""
    file = model / chance.choice(GRAPHS)
    content = bytearray(file.read_bytes())
    for _ in range(chance.randint(1, 5)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    file.write_bytes(content)
    sign(model, description=EXPORTED)


def renamed(model: Path, chance: random.Random) -> None:
    """A graph in which a name or the numbers after one are changed, signed."""
    import onnx

    file = model / chance.choice(GRAPHS)
    graph = onnx.load(file)
    node = chance.choice(graph.graph.node)
    if chance.random() < 0.5 and node.input:
        node.input[chance.randrange(len(node.input))] = chance.choice(
            [one.name for one in graph.graph.initializer] or [""]
        )
    else:
        node.op_type = chance.choice(["Add", "Loop", "If", "Scan", "ConstantOfShape", "X", "Tile"])
    file.write_bytes(graph.SerializeToString())
    sign(model, description=EXPORTED)


KINDS = (damage, cut, lying, indexing, redrawn, renamed)
SIGNED = (lying, indexing, redrawn, renamed)
