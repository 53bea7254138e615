"""Whether the fast road tags as the plain one does, on whole corpora with trained models.

    python benchmarks/roads.py configs/*.yaml [--models models]

Each model is the one that ``ner train`` made of a configuration, in a folder of models by the name
of the configuration. It tags that configuration's test sentences by Viterbi and, to have many more
spans to compare, by keeping all those of a probability of 0.1 or more. For each the script tells
the tokens, the spans of the plain road, how many spans only one of the roads finds, and by how much
the scores of the others differ at most. It ends with status 1 if a span differs, or a score by 1e-5
or more.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ner.formats import DataWarning
from ner.inference import Decoding, FastEngine, PlainEngine
from ner.network import Network
from ner.sentence import Sentence, Span
from ner.tagger import load
from ner.training import read_settings
from ner.training.corpora import read_corpora

BOUND = 1e-5
WAYS = {"Viterbi": Decoding(), "0.1 or more": Decoding("posterior", threshold=0.1)}


def main() -> int:
    """Compare the roads with each model and print a table."""
    parser = argparse.ArgumentParser(description="Compare the two roads of tagging.")
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"), help="where models are")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DataWarning)  # of the corpora; `ner check` tells them
    print(f"{'':20}{'':14}{'tokens':>10}{'spans':>9}{'differ':>8}{'scores apart':>14}")
    same = True
    for path in arguments.configs:
        tagger = load(arguments.models / path.stem)
        settings = read_settings(path)
        sentences = read_corpora(settings.data, settings.training.seed).test
        tokens = sum(map(len, sentences))
        for name, way in WAYS.items():
            decoding = replace(way, temperature=tagger.decoding.temperature)
            spans, differing, apart = compared(tagger.network, decoding, sentences)
            same &= not differing and apart < BOUND
            row = f"{path.stem:20}{name:14}{tokens:10,}{spans:9,}{differing:8}{apart:14.1e}"
            print(row, flush=True)
    return 0 if same else 1


def compared(
    network: Network, decoding: Decoding, sentences: Sequence[Sentence]
) -> tuple[int, int, float]:
    """Spans of the plain road, spans of one road only, and how far scores are apart."""
    plain = PlainEngine(network, decoding).predict(sentences)
    fast = FastEngine(network, decoding).predict(sentences)
    differing, apart = 0, 0.0
    for one, other in zip(plain, fast, strict=True):
        expected, found = _scores(one), _scores(other)
        differing += len(expected.keys() ^ found.keys())
        for span in expected.keys() & found.keys():
            apart = max(apart, abs(expected[span] - found[span]))
    return sum(map(len, plain)), differing, apart


def _scores(spans: Sequence[Span]) -> dict[Span, float]:
    return {span: span.score for span in spans if span.score is not None}


if __name__ == "__main__":
    sys.exit(main())
