"""CRF layers side by side in one run: loss with gradient, decoding, marginals; and do they agree.

    python benchmarks/crf.py                       # ours and pytorch-crf, one thread and all
    python benchmarks/crf.py --device cuda --json out.json
    python benchmarks/crf.py --classes torchcrf:CRF ner.crf:CRF ./mine.py:MyCRF --threads 1

Any class with the constructor, the parameters and the interface of pytorch-crf can take part; the
first one is the baseline. The truth is pytorch-crf in float64. Times are the best of many calls,
taken in turns, so that what disturbs the machine disturbs all; with one thread on the CPU they
are CPU time, otherwise wall time. Needs torch, numpy and pytorch-crf alone.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

SHAPES = "32x50x9,32x50x17,256x40x17,8x512x17,32x128x64"


def main() -> None:
    """Compare the classes at every shape, in one process for each number of threads."""
    options = parse()
    if options.threads is None:  # each number of threads in a process of its own
        counts = [1] if options.device != "cpu" else sorted({1, os.cpu_count() or 1})
        results = [result for count in counts for result in in_a_process(count)]
        write(options.json, results)
        return
    import torch

    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", message="where received a uint8")
    print(headline(options))
    results = []
    for shape in options.shapes.split(","):
        results += compare(Case(shape, options), options)
    summarise(results, options)
    write(options.json, results)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", nargs="+", default=["torchcrf:CRF", "ner.crf:CRF"])
    parser.add_argument("--shapes", default=SHAPES, help="batch x length x tags, comma separated")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="default: one, and then all")
    parser.add_argument("--seconds", type=float, default=1.0, help="per figure and class")
    parser.add_argument("--full", action="store_true", help="all sentences of the full length")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def in_a_process(threads: int) -> list[dict[str, Any]]:
    """The results of this script, run with a number of threads."""
    name = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(name, str(threads))}
    out = Path(f".crf-{os.getpid()}.json")
    command = [sys.executable, *sys.argv, "--threads", str(threads), "--json", str(out)]
    try:
        subprocess.run(command, check=True, env=environment)
        return list(json.loads(out.read_text(encoding="utf-8")))
    finally:
        out.unlink(missing_ok=True)


def write(path: Path | None, results: list[dict[str, Any]]) -> None:
    """Write the results as JSON, where that was asked for."""
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def load(name: str) -> type:
    """The class called ``module:Class`` or ``file.py:Class``."""
    module, _, attribute = name.rpartition(":")
    if module.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(module).stem, module)
        if spec is None or spec.loader is None:
            raise SystemExit(f"cannot read {module}")
        found = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = found
        spec.loader.exec_module(found)
        return getattr(found, attribute)
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        return getattr(importlib.import_module(module), attribute)


def headline(options: argparse.Namespace) -> str:
    """What ran where, for the top of the table."""
    import numpy as np
    import torch

    where = options.device
    if where.startswith("cuda"):
        where = torch.cuda.get_device_name(where)
    kind = "full" if options.full else "ragged"
    return (
        f"torch {torch.__version__}, numpy {np.__version__}, {where}, {options.threads} thread(s), "
        f"{kind} lengths; best times; x: over {options.classes[0]}"
    )


class Case:
    """Random scores and gold tags of one shape, and the truth about them."""

    def __init__(self, shape: str, options: argparse.Namespace) -> None:
        import torch

        self.shape = shape
        batch, length, tags = map(int, shape.split("x"))
        self.tag_count = tags
        random = torch.Generator().manual_seed(options.seed)
        self.emissions = 2 * torch.randn(batch, length, tags, generator=random)
        self.tags = torch.randint(0, tags, (batch, length), generator=random)
        sizes = ((tags, tags), (tags,), (tags,))
        self.parameters = [0.5 * torch.randn(*size, generator=random) for size in sizes]
        low = length if options.full else max(1, length // 3)
        self.lengths = torch.randint(low, length + 1, (batch,), generator=random)
        self.lengths[0] = length
        self.mask = torch.arange(length) < self.lengths.unsqueeze(1)
        reference = self.build(load("torchcrf:CRF")).double()
        emissions = self.emissions.double()
        self.truth = step(reference, emissions, self.tags, self.mask)
        self.true_marginals = marginals_of(reference, emissions, self)()
        self.best = self.path_scores(reference.decode(emissions, mask=self.mask))

    def build(self, layer: type) -> Any:
        """A layer with this case's parameters."""
        import torch

        built = layer(self.tag_count, batch_first=True)
        names = ("transitions", "start_transitions", "end_transitions")
        with torch.no_grad():
            for name, value in zip(names, self.parameters, strict=True):
                getattr(built, name).copy_(value)
        return built

    def path_scores(self, paths: list[list[int]]) -> list[float]:
        """The scores of paths in float64."""
        moves, start, end = (value.double() for value in self.parameters)
        scores = []
        for emissions, path in zip(self.emissions.double(), paths, strict=True):
            score = start[path[0]] + end[path[-1]] + emissions[range(len(path)), path].sum()
            scores.append(float(score + moves[path[:-1], path[1:]].sum()))
        return scores


def step(layer: Any, emissions: Any, tags: Any, mask: Any) -> list[Any]:
    """The summed log likelihood and its gradients."""
    emissions = emissions.detach().requires_grad_()
    for parameter in layer.parameters():
        parameter.grad = None
    value = layer(emissions, tags, mask=mask, reduction="sum")
    value.backward()
    parameters = (layer.transitions, layer.start_transitions, layer.end_transitions)
    return [value.detach(), emissions.grad, *(parameter.grad for parameter in parameters)]


def marginals_of(layer: Any, emissions: Any, case: Case) -> Callable[[], Any]:
    """How a layer's users get the marginals: by a method, or from the gradient of the sum."""
    import torch

    mask, lengths = case.mask.to(emissions.device), case.lengths.to(emissions.device)

    def asked() -> Any:
        with torch.no_grad():
            return layer.chain(emissions, lengths).marginals()

    def differentiated() -> Any:
        leaf = emissions.detach().requires_grad_()
        total = layer._compute_normalizer(leaf.transpose(0, 1), mask.t()).sum()
        return torch.autograd.grad(total, leaf)[0]

    return asked if hasattr(layer, "chain") else differentiated


def compare(case: Case, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The figures of every class for one case."""
    import torch

    device = torch.device(options.device)
    rows, work = [], {}
    for name in options.classes:
        layer = case.build(load(name)).to(device)
        emissions, tags, mask = (v.to(device) for v in (case.emissions, case.tags, case.mask))
        marginals = marginals_of(layer, emissions, case)
        found = [value.cpu().double() for value in step(layer, emissions, tags, mask)]
        with torch.no_grad():
            paths = layer.decode(emissions, mask=mask)
        errors = [
            float((a - b).abs().max() / b.abs().max())
            for a, b in zip(found, case.truth, strict=True)
        ]
        scores = case.path_scores(paths)
        rows.append(
            {
                "class": name,
                "shape": case.shape,
                "device": options.device,
                "threads": options.threads,
                "tokens": int(case.mask.sum()),
                "loss_error": errors[0],
                "gradient_error": max(errors[1:]),
                "marginal_error": float(
                    (marginals().cpu().double() - case.true_marginals).abs().max()
                ),
                "path_shortfall": max(b - s for b, s in zip(case.best, scores, strict=True)),
            }
        )
        work[name] = {
            "loss": partial(step, layer, emissions, tags, mask),
            "decode": partial(decoded, layer, emissions, mask),
            "marginals": marginals,
        }
    for what in ("loss", "decode", "marginals"):
        times = in_turns([work[name][what] for name in options.classes], options)
        for row, seconds in zip(rows, times, strict=True):
            row[f"{what}_ms"], row[f"{what}_x"] = seconds * 1e3, times[0] / seconds
    for row in rows:
        print(line(row), flush=True)
    return rows


def decoded(layer: Any, emissions: Any, mask: Any) -> None:
    """Decode once."""
    import torch

    with torch.no_grad():
        layer.decode(emissions, mask=mask)


def in_turns(calls: list[Callable[[], Any]], options: argparse.Namespace) -> list[float]:
    """The shortest time of each call in seconds."""
    import torch

    wall = options.device != "cpu" or options.threads > 1
    clock = time.perf_counter if wall else time.process_time
    wait = torch.cuda.synchronize if options.device.startswith("cuda") else lambda: None
    best = [float("inf")] * len(calls)
    spent, rounds = 0.0, 0
    for call in calls:
        call()
    while rounds < 5 or spent < options.seconds * len(calls):
        for i, call in enumerate(calls):
            wait()
            begin = clock()
            for _ in range(1 if i == 0 else 3):  # the baseline is the slow one
                began = clock()
                call()
                wait()
                best[i] = min(best[i], clock() - began)
            spent += clock() - begin
        rounds += 1
    return best


def line(row: dict[str, Any]) -> str:
    """A line of the table."""
    figures = "  ".join(
        f"{what} {row[what + '_ms']:9.3f} ms x{row[what + '_x']:6.1f}"
        for what in ("loss", "decode", "marginals")
    )
    errors = " ".join(
        f"{what} {row[key]:.0e}"
        for what, key in (
            ("loss", "loss_error"),
            ("gradient", "gradient_error"),
            ("marginals", "marginal_error"),
            ("paths", "path_shortfall"),
        )
    )
    return f"{row['shape']:>10s} {row['class']:<14s} {figures} | off by: {errors}"


def summarise(results: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Print the median and the least ratio over the shapes."""
    for name in options.classes[1:]:
        rows = [row for row in results if row["class"] == name]
        for what in ("loss", "decode", "marginals"):
            ratios = [row[f"{what}_x"] for row in rows]
            print(
                f"{name} {what}: median x{statistics.median(ratios):.1f}, least x{min(ratios):.1f}"
            )


if __name__ == "__main__":
    main()
