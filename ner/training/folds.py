"""Cross-fitting: every sentence is looked at by a tagger that was not trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

from ner.sentence import Sentence
from ner.tagger import Tagger
from ner.training.corpora import Corpora, grouped
from ner.training.loop import Run
from ner.training.settings import RunSettings


def folds(sentences: Sequence[Sentence], count: int, seed: int) -> list[list[int]]:
    """Part sentences into so many folds of about as many tokens, by whole documents.

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
