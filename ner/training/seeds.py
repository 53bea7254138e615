"""The same run with several seeds: how much of a figure is luck."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ner.model_directory import DESCRIPTION
from ner.storage.atomic import atomic_directory
from ner.training.settings import RunSettings


def settings_of(settings: RunSettings, count: int) -> list[RunSettings]:
    """The settings of each run; ``OUTPUT.seeds/SEED`` is its model directory."""
    output, first = Path(str(settings.output)), settings.training.seed
    return [
        replace(
            settings,
            training=replace(settings.training, seed=seed),
            output=str(output.with_name(f"{output.name}.seeds") / str(seed)),
        )
        for seed in range(first, first + count)
    ]


def choose(results: Mapping[int, Mapping[str, Any]]) -> int:
    """The seed of the best development F1, the first of equals."""

    def f1(seed: int) -> float:
        return results[seed].get("development", {}).get("f1") or 0.0

    return max(results, key=f1)


def spread(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and sample standard deviation of F1, a split each, as fractions."""
    figures = {}
    for split in ("development", "test"):
        found = [result[split]["f1"] or 0.0 for result in results if split in result]
        if found:
            deviation = stdev(found) if len(found) > 1 else 0.0
            figures[split] = {"mean": fmean(found), "deviation": deviation}
    return figures


def keep(model: Path, output: Path) -> None:
    """Copy a model directory to its place."""
    with atomic_directory(output, holds=DESCRIPTION) as fresh:
        shutil.copytree(model, fresh, dirs_exist_ok=True)
