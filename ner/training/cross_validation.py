"""The same run several times: by folds, or by seeds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

from ner.model_directory import DESCRIPTION
from ner.sentence import Sentence
from ner.storage.atomic import atomic_directory
from ner.tagger import Tagger
from ner.training.corpora import Corpora, grouped
from ner.training.loop import Run
from ner.training.settings import RunSettings


def folds(sentences: Sequence[Sentence], count: int, seed: int) -> list[list[int]]:
    """Split sentences into folds of about equally many tokens, by whole documents.

    Raises:
        ValueError: There are fewer than two folds, or fewer documents than folds.
    """
    parts = grouped(sentences)
    if not 2 <= count <= len(parts):
        raise ValueError(
            f"folds must be from 2 to the number of documents ({len(parts)}), got {count}"
        )
    Random(seed).shuffle(parts)
    parts.sort(key=lambda part: -sum(len(sentences[number]) for number in part))
    held: list[list[int]] = [[] for _ in range(count)]
    tokens = [0] * count
    for part in parts:
        least = tokens.index(min(tokens))
        held[least] += part
        tokens[least] += sum(len(sentences[number]) for number in part)
    return [sorted(fold) for fold in held]


def cross_fit(
    sentences: Sequence[Sentence],
    settings: RunSettings,
    count: int,
    *,
    device: str = "auto",
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[list[int], Tagger]]:
    """Train a tagger without each fold in turn.

    Args:
        sentences: Annotated sentences.
        settings: How to train; their files are not read and nothing is saved.
        count: How many folds.
        device: Where to train.
        tell: Takes a line on each epoch.

    Yields:
        The numbers of the sentences of a fold, and the tagger that has not seen them.

    Raises:
        ValueError: There are too few documents, or nothing to learn outside a fold.
    """
    quiet = replace(settings, output=None)
    for number, fold in enumerate(folds(sentences, count, settings.training.seed)):
        out = set(fold)
        train = tuple(s for n, s in enumerate(sentences) if n not in out and s.spans is not None)
        if not any(sentence.spans for sentence in train):
            raise ValueError(f"outside fold {number + 1} of {count} no sentence has an entity")
        run = Run(quiet, device=device, corpora=Corpora(train, (), ()))
        for epoch in run:
            tell(f"fold {number + 1} of {count}, epoch {epoch.number}: loss {epoch.loss:.4f}")
        yield fold, run.tagger


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
