"""How fast tagging is on one CPU thread, against a plain tagger of the very same network.

    python benchmarks/tagging.py TAGGED_CORPUS [--width 100] [--words 100] [--model DIRECTORY]
    python benchmarks/tagging.py TAGGED_CORPUS --sentences 200 --rounds 2 --published

Without a model a network of random weights is made for the words of the corpus: so many numbers a
word, a convolution over characters (25 -> 30), a BiLSTM of the given width, BIOES, which finds
about as many spans as are annotated. The plain tagger has the same weights and is written as
tutorials write it: batches of 32 sentences in the order of the file, the features of every token,
PackedSequence, pytorch-crf. Both must find the same spans. Times are CPU seconds, the best of some
rounds that take turns, so that the ratio holds on a busy machine where the seconds do not. "cold"
begins with an empty cache; "with scores" adds the exact probability of every span, which the plain
tagger does not give. spaCy's `ner` and CRFsuite, trained a little on the corpus itself, take part
where they are installed; CRFsuite with few features (words in a window of 2; the token's own
affixes of 1 to 4 characters and case) and with many (words, affixes and shapes, all of them in a
window of 2, and pairs of neighbouring words). Flair and Stanza take part where they are installed,
with networks of the same sizes, and with --published of those of their English models too: these
take a minute for some hundred sentences.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import resource
import tempfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.spans import make_spans_rare

import ner
from ner.cli.bench import best_of, contestants, latencies
from ner.indexers.characters import shape
from ner.inference import FastEngine
from ner.inference.batch_engine import ROWS
from ner.network import Network, build
from ner.sentence import Sentence

TYPES_ONLY = {
    "characters": {"width": 30, "character_width": 25},
    **dict.fromkeys(("affixes", "document", "topic"), False),
}


def main() -> None:
    """Print the tables."""
    arguments = _arguments()
    torch.set_num_threads(1)
    filled = (sentence for sentence in ner.read(arguments.corpus) if len(sentence))
    sentences = list(islice(filled, arguments.sentences))
    network = _network(arguments, sentences)
    tokens = sum(map(len, sentences))
    print(f"{len(sentences)} sentences, {tokens} tokens; {_described(network)}; CPU, one thread\n")
    own, differing = contestants(network, sentences)
    print(f"sentences whose spans differ from the plain tagger's: {differing}")
    runs = {
        **own,
        **_spacy(sentences),
        **_crfsuite(sentences),
        **_untrained(network, sentences, published=arguments.published),
    }
    best = best_of(runs, arguments.rounds)
    base = best["plain"]
    print(f"{'':24}{'tokens/s':>10}{'x plain':>9}")
    for name, seconds in best.items():
        print(f"{name:24}{tokens / seconds:10,.0f}{base / seconds:9.2f}")
    print()
    _latency(network, sentences)
    _account(network, sentences, best["fast, warm"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(weight.numel() * weight.element_size() for weight in network.parameters())
    print(f"weights of the network: {size / 2**20:.1f} MiB")
    print(f"peak memory of this process, all taggers together: {peak:.0f} MiB")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast tagging is.")
    parser.add_argument("corpus")
    parser.add_argument("--width", type=int, default=100, help="states of a direction")
    parser.add_argument("--words", type=int, default=100, help="numbers of a word")
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sentences", type=int, help="take only so many")
    parser.add_argument(
        "--published", action="store_true", help="Flair and Stanza of their published sizes too"
    )
    return parser.parse_args()


def _network(arguments: argparse.Namespace, sentences: Sequence[Sentence]) -> Network:
    if arguments.model:
        return ner.load(arguments.model).network
    torch.manual_seed(0)
    embeddings = {**TYPES_ONLY, "words": {"width": arguments.words}}
    network = build(sentences, embeddings=embeddings, encoder={"width": arguments.width}).eval()
    make_spans_rare(
        network.projection,
        0,
        lambda some: sum(map(len, FastEngine(network).predict(some))),
        sentences[:: max(1, len(sentences) // 200)],
    )
    return network


def _described(network: Network) -> str:
    encoder = network.encoder
    parts = ", ".join(f"{name} {part.width}" for name, part in network.embeddings.items())
    return f"{parts}; {len(encoder.forwards)} x BiLSTM {encoder.width}; {len(network.tags)} tags"


def _latency(network: Network, sentences: list[Sentence]) -> None:
    """CPU time of one call with one sentence; all take turns on the same ones."""
    some = [Sentence(s.tokens) for s in sentences if len(s) == 14][:100] or sentences[:100]
    taken = latencies(network, some)
    base = float(np.median(taken["plain"]))
    print(f"one sentence of {len(some[0])} tokens, ms of CPU: median, 95th percentile, x plain")
    for name, times in taken.items():
        median, tail = np.percentile(times, [50, 95])
        print(f"{name:24}{median:10.2f}{tail:9.2f}{median / base:9.2f}")
    print()


def _account(network: Network, sentences: list[Sentence], seconds: float) -> None:
    """What the recurrent products, and with them the sigmoids, alone cost in torch."""
    width, layers = network.encoder.width, len(network.encoder.forwards)
    lengths = sorted(map(len, sentences), reverse=True)
    shapes = []
    for first in range(0, len(lengths), ROWS):
        own = np.array(lengths[first : first + ROWS])
        shapes += [int((own > step).sum()) for step in range(1, own[0])]
    weights = torch.randn(width, 4 * width)
    states, gates = torch.randn(ROWS, width), torch.zeros(ROWS, 4 * width)

    def products() -> None:
        for rows in shapes * 2 * layers:
            gates[:rows].addmm_(states[:rows], weights)

    def sigmoids() -> None:
        for rows in shapes * 2 * layers:
            gates[:rows].sigmoid_()
            states[:rows].sigmoid_()

    with torch.inference_mode():
        took = best_of({"products": products, "sigmoids": sigmoids}, 5)
    least, more = took["products"], sum(took.values())
    rate = 2 * 2 * layers * sum(shapes) * width * 4 * width / least / 1e9
    print(
        f"recurrent products alone: {least:.3f} s ({rate:.0f} GFLOP/s), with the sigmoids of "
        f"gates and cells: {more:.3f} s\nthe whole of fast, warm: {seconds:.3f} s, "
        f"{seconds / least:.2f} and {seconds / more:.2f} times that\n"
    )


def _spacy(sentences: list[Sentence]) -> dict[str, Callable[[], Any]]:
    import spacy
    from spacy.tokens import Doc
    from spacy.training import Example

    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    examples = []
    for sentence in sentences[:200]:
        doc = Doc(nlp.vocab, words=list(sentence.tokens))
        gold = doc.copy()
        gold.ents = [spacy.tokens.Span(gold, s.start, s.end, s.label) for s in sentence.spans or ()]
        examples.append(Example(doc, gold))
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)

    def run() -> None:
        docs = (Doc(nlp.vocab, words=list(sentence.tokens)) for sentence in sentences)
        for doc in nlp.pipe(docs, batch_size=1000):
            _ = doc.ents

    return {"spaCy ner": run}


def _crfsuite(sentences: list[Sentence]) -> dict[str, Callable[[], Any]]:
    try:
        import pycrfsuite
    except ImportError:
        return {}
    kinds = {"CRFsuite, few features": _few_features, "CRFsuite, many features": _many_features}
    return {name: _crfsuite_run(pycrfsuite, sentences, made) for name, made in kinds.items()}


def _crfsuite_run(
    pycrfsuite: Any,
    sentences: list[Sentence],
    features: Callable[[Sequence[str]], list[list[str]]],
) -> Callable[[], Any]:
    """Train CRFsuite on some sentences; give what tags all of them with it."""
    trainer = pycrfsuite.Trainer(verbose=False)
    bio = ner.schemes.SCHEMES["BIO"]
    for sentence in sentences[:1000]:
        trainer.append(features(sentence.tokens), bio.encode(sentence.spans or (), len(sentence)))
    trainer.set_params({"max_iterations": 5})
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model")
        trainer.train(path)
        tagger = pycrfsuite.Tagger()
        tagger.open(path)

    def run() -> None:
        for sentence in sentences:
            bio.decode(tagger.tag(features(sentence.tokens)))

    return run


def _spelling(token: str) -> list[str]:
    """The affixes of a token and its case."""
    return [
        *(f"p{n}={token[:n]}" for n in range(1, 5)),
        *(f"s{n}={token[-n:]}" for n in range(1, 5)),
        f"t={token.istitle()}",
        f"u={token.isupper()}",
    ]


def _untrained(
    network: Network, sentences: list[Sentence], *, published: bool
) -> dict[str, Callable[[], Any]]:
    """Flair and Stanza, where they are installed, with networks of random weights."""
    words, width = network.embeddings["words"].width, network.encoder.width
    runs: dict[str, Callable[[], Any]] = {}
    for package in ("flair", "stanza"):
        if importlib.util.find_spec(package):
            peer = importlib.import_module(f"peers.{package}_speed")
            runs |= peer.runs(sentences, words=words, width=width, published=published)
    return runs


def _few_features(tokens: Sequence[str]) -> list[list[str]]:
    """Words in a window of 2, spelling of the token alone."""
    own = [[f"w={t.lower()}", *_spelling(t)] for t in tokens]
    around = [["END"]] * 2 + own + [["END"]] * 2
    return [
        [f"{d}:{f}" for d in range(-2, 3) for f in around[place + 2 + d][: None if d == 0 else 1]]
        for place in range(len(tokens))
    ]


def _many_features(tokens: Sequence[str]) -> list[list[str]]:
    """Words, spelling and shapes in a window of 2, and pairs of neighbouring words."""
    words = ["END", "END", *(t.lower() for t in tokens), "END", "END"]
    own = [[f"w={t.lower()}", *_spelling(t), f"h={shape(t)}", f"d={t.isdigit()}"] for t in tokens]
    around = [["END"]] * 2 + own + [["END"]] * 2
    return [
        [
            *(f"{d}:{f}" for d in range(-2, 3) for f in around[place + 2 + d]),
            *(f"{d}&={words[place + 2 + d]}&{words[place + 3 + d]}" for d in range(-2, 2)),
        ]
        for place in range(len(tokens))
    ]


if __name__ == "__main__":
    main()
