"""How much is lost when no sentence is annotated for every label: ``partial_labels.py FOLDER``.

FOLDER has ``train.txt``, ``valid.txt`` and ``test.txt`` of CoNLL-2003. The documents of training
are dealt out to two halves; of one the annotation of people alone is kept, of the other that of
places alone. A model is trained on both halves, each with its label declared, and is compared with
models trained on the same sentences annotated for both labels, and on the halves with O taken
at its word. F1 is that of people and places together, in percent.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

import ner
from ner.sentence import Sentence
from ner.training import Run, read_settings, score_tagger
from ner.training.corpora import Corpora, grouped

FIRST, SECOND = "PER", "LOC"
Sentences = tuple[Sentence, ...]
SHARED = Path(os.environ.get("NER_SHARED", "../shared"))


def only(sentence: Sentence, *labels: str, declared: bool = False) -> Sentence:
    """A sentence with the entities of some labels alone; whether it says so."""
    spans = tuple(span for span in sentence.spans or () if span.label in labels)
    return replace(sentence, spans=spans, labels=frozenset(labels) if declared else None)


def halves(sentences: Sentences, *, declared: bool) -> Sentences:
    """Every other document annotated for the one label, the rest for the other."""
    changed = list(sentences)
    for number, document in enumerate(grouped(sentences)):
        label = (FIRST, SECOND)[number % 2]
        for place in document:
            changed[place] = only(sentences[place], label, declared=declared)
    return tuple(changed)


def full(sentences: Sentences) -> Sentences:
    """All annotated for both labels."""
    return tuple(only(sentence, FIRST, SECOND) for sentence in sentences)


KINDS: dict[str, Callable[[Sentences], Sentences]] = {
    "both labels": full,
    "halves, declared": lambda sentences: halves(sentences, declared=True),
    "halves, O at its word": lambda sentences: halves(sentences, declared=False),
}


def main() -> None:
    """Train and print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=SHARED / "data/conll2003")
    parser.add_argument("--epochs", type=int, help="the recipe's 8 where not given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, action="append", help="all where not given")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train, development, test = (
        tuple(ner.read(arguments.folder / f"{split}.txt")) for split in ("train", "valid", "test")
    )
    settings = read_settings(
        {
            "data": {"train": "given"},
            "training": {"epochs": arguments.epochs, "seed": arguments.seed, "threads": 1},
        }
    )
    for name in arguments.kind or KINDS:
        annotate = KINDS[name]
        run = Run(settings, device="cpu", corpora=Corpora(annotate(train), full(development), ()))
        list(run)
        scores = (score_tagger(run.tagger, full(split))["f1"] for split in (development, test))
        print(f"{name:22}", *(f"{100 * f1:6.2f}" for f1 in scores), flush=True)


if __name__ == "__main__":
    main()
