"""How much of its old labels a model forgets when it learns new ones: ``rehearsal.py FOLDER``.

FOLDER has ``train.txt``, ``valid.txt`` and ``test.txt`` of CoNLL-2003. A model is trained on
documents that are annotated for the old labels alone, and goes on with documents annotated for the
new ones alone, with rehearsal and without: the other half of the documents, or with ``--same`` the
same documents, with development sentences that are annotated for all labels. Printed are the
sentences whose predictions change before the first step, and F1 on test of the old and of the new
labels in percent, beside that of a model trained on all documents annotated for all labels.

    python benchmarks/rehearsal.py --epochs 2
    python benchmarks/rehearsal.py --old PER LOC ORG --new MISC --same --width 64 --weights 1
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


def annotated(sentences: Sentences, first: int, labels: Sequence[str], step: int) -> Sentences:
    """Each of so many documents from the first, the entities of some labels alone."""
    documents = list(grouped(sentences))[first::step]
    return tuple(only(sentences[place], *labels) for document in documents for place in document)


def begin(given: argparse.Namespace, corpora: Corpora, rehearsal: float, **more: object) -> Run:
    """Begin a run, from a model where ``init_from`` names one."""
    training = {"epochs": given.epochs, "threads": 1, "rehearsal": rehearsal, "seed": given.seed}
    model = {"encoder": {"width": given.width}}
    settings = read_settings({"data": {"train": "given"}, "training": training, "model": model})
    return Run(settings, device="cpu", corpora=corpora, **more)


def tell(name: str, run: Run, test: Sentences, given: argparse.Namespace) -> None:
    """Train, and print F1 of the old and of the new labels."""
    list(run)
    labels = evaluate(test, run.tagger.predict(test)).labels
    scores = (
        sum((labels.get(label, Score()) for label in some), Score())
        for some in (given.old, given.new)
    )
    print(f"{name:28}", *(f"{100 * score.f1:8.2f}" for score in scores), flush=True)


def changes(before: Run, after: Run, test: Sentences) -> int:
    """Count the sentences in which a run finds something else than the one before."""
    old, new = before.tagger, after.tagger
    new.decoding = old.decoding
    pairs = zip(old.predict(test), new.predict(test), strict=True)
    return sum(one != other for one, other in pairs)


def main() -> None:
    """Train and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=SHARED / "data/conll2003")
    parser.add_argument("--old", nargs="+", default=["PER", "LOC"])
    parser.add_argument("--new", nargs="+", default=["ORG", "MISC"])
    parser.add_argument("--same", action="store_true", help="new labels in the same documents")
    parser.add_argument("--epochs", type=int, help="the recipe's 8 where not given")
    parser.add_argument("--width", type=int, default=128, help="of the BiLSTM")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 1.0])
    given = parser.parse_args()
    torch.set_num_threads(1)
    train, development, test = (
        tuple(ner.read(given.folder / f"{split}.txt")) for split in ("train", "valid", "test")
    )
    step = 1 if given.same else 2

    def corpora(first: int, labels: Sequence[str], step: int) -> Corpora:
        chosen_by = [*given.old, *given.new] if given.same and labels == given.new else labels
        return Corpora(
            annotated(train, first, labels, step),
            annotated(development, first, chosen_by, step),
            (),
        )

    print(f"{'F1 on test':28}", *(f"{'+'.join(some):>8}" for some in (given.old, given.new)))
    with tempfile.TemporaryDirectory() as folder:
        first = begin(given, corpora(0, given.old, step), 0.0)
        tell("old labels", first, test, given)
        first.tagger.save(Path(folder) / "old")
        for weight in given.weights:
            start = corpora(step - 1, given.new, step)
            run = begin(given, start, weight, init_from=Path(folder) / "old")
            print(f"changed before the first step: {changes(first, run, test)} sentences")
            tell(f"then new, rehearsal {weight:g}", run, test, given)
    everything = corpora(0, [*given.old, *given.new], 1)
    tell("all labels, all documents", begin(given, everything, 0.0), test, given)


if __name__ == "__main__":
    main()
