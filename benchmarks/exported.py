"""How fast an exported model tags, beside the model it was exported from, in one run.

    python benchmarks/exported.py models/conll2003 test.conll

CPU time of one thread; the engines take turns, and the best of some rounds counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import ner.runtime
from ner.export import write
from ner.formats import read
from ner.inference import FastEngine, PlainEngine
from ner.sentence import Sentence, Span
from ner.tagger import load

Predict = Callable[[Sequence[Sentence]], list[tuple[Span, ...]]]
SINGLES = 200  # sentences tagged one at a time


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sentences = [sentence for sentence in read(arguments.file) if len(sentence)]
    with tempfile.TemporaryDirectory() as folder:
        engines = made(arguments.model, Path(folder))
        measured(engines, sentences, arguments.rounds)


def made(model: str, folder: Path) -> dict[str, Callable[[], Predict]]:
    """What makes each engine anew, so that it begins with nothing remembered."""
    tagger = load(model)
    for name, int8 in (("float32", False), ("int8", True)):
        write(tagger, folder / name, int8=int8)
        size = sum(file.stat().st_size for file in (folder / name).iterdir())
        print(f"{name}: {size / 1e6:.1f} MB")
    return {
        "torch, plain": lambda: PlainEngine(load(model).network, tagger.decoding).predict,
        "torch, fast": lambda: FastEngine(load(model).network, tagger.decoding).predict,
        "onnxruntime": lambda: ner.runtime.load(folder / "float32").predict,
        "onnxruntime, int8": lambda: ner.runtime.load(folder / "int8").predict,
    }


def measured(
    engines: dict[str, Callable[[], Predict]], sentences: Sequence[Sentence], rounds: int
) -> None:
    """Print tokens a second, cold and warm, and the time of a single sentence."""
    tokens = sum(map(len, sentences))
    times: dict[str, dict[str, list[float]]] = {
        name: {"cold": [], "warm": [], "single": []} for name in engines
    }
    for _ in range(rounds):
        for name, make in engines.items():
            predict, own = make(), times[name]
            predict(sentences[:1])
            own["cold"].append(seconds(predict, sentences))
            own["warm"].append(seconds(predict, sentences))
            singles = [seconds(predict, [sentence]) for sentence in sentences[:SINGLES]]
            own["single"].append(statistics.median(singles))
    print(f"{'':20}{'cold tokens/s':>16}{'warm tokens/s':>16}{'one sentence, ms':>18}")
    for name, own in times.items():
        cold, warm = tokens / min(own["cold"]), tokens / min(own["warm"])
        print(f"{name:20}{cold:16,.0f}{warm:16,.0f}{1e3 * min(own['single']):18.2f}")


def seconds(predict: Predict, sentences: Sequence[Sentence]) -> float:
    """The CPU time of tagging."""
    began = time.process_time()
    predict(sentences)
    return time.process_time() - began


if __name__ == "__main__":
    main()
