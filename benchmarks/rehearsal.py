"""How much of its old labels a model forgets when it learns new ones: ``rehearsal.py FOLDER``.

FOLDER has ``train.txt``, ``valid.txt`` and ``test.txt`` of CoNLL-2003. Every other document
is annotated for people and places alone, and a model is trained on these; the other documents are
annotated for organisations and the rest alone, and the model goes on with these, with rehearsal
and without. F1 of the old and of the new labels on test is told in percent, beside that of a model
trained on all documents annotated for all labels.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from partial_labels import SHARED, Sentences, only

import ner
from ner.evaluation import Score, evaluate
from ner.training import Run, read_settings
from ner.training.corpora import Corpora, grouped

OLD, NEW = ("PER", "LOC"), ("ORG", "MISC")


def every_other(sentences: Sentences, first: int, labels: Sequence[str]) -> Sentences:
    """Every other document, the entities of some labels alone."""
    documents = list(grouped(sentences))[first::2]
    return tuple(only(sentences[place], *labels) for document in documents for place in document)


def train(corpora: Corpora, epochs: int | None, rehearsal: float = 0.0, **more: object) -> Run:
    """Train, from a model where ``init_from`` names one."""
    training = {"epochs": epochs, "threads": 1, "rehearsal": rehearsal}
    settings = read_settings({"data": {"train": "given"}, "training": training})
    run = Run(settings, device="cpu", corpora=corpora, **more)
    list(run)
    return run


def tell(name: str, run: Run, test: Sentences) -> None:
    """Print F1 of the old and of the new labels."""
    labels = evaluate(test, run.tagger.predict(test)).labels
    found = (sum((labels.get(label, Score()) for label in some), Score()).f1 for some in (OLD, NEW))
    print(f"{name:28}", *(f"{100 * f1:6.2f}" for f1 in found), flush=True)


def main() -> None:
    """Train and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=SHARED / "data/conll2003")
    parser.add_argument("--epochs", type=int, help="the recipe's 8 where not given")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 1.0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sentences, development, test = (
        tuple(ner.read(arguments.folder / f"{split}.txt")) for split in ("train", "valid", "test")
    )
    old = Corpora(every_other(sentences, 0, OLD), every_other(development, 0, OLD), ())
    new = Corpora(every_other(sentences, 1, NEW), every_other(development, 1, NEW), ())
    print(f"{'F1 on test':28}", *(f"{'+'.join(some):>8}" for some in (OLD, NEW)))
    with tempfile.TemporaryDirectory() as folder:
        first = train(old, arguments.epochs)
        tell("old labels", first, test)
        first.tagger.save(Path(folder) / "old")
        for weight in arguments.weights:
            run = train(new, arguments.epochs, weight, init_from=Path(folder) / "old")
            tell(f"then new, rehearsal {weight:g}", run, test)
    tell(
        "all labels, all documents",
        train(Corpora(sentences, development, ()), arguments.epochs),
        test,
    )


if __name__ == "__main__":
    main()
