"""Training speed against a plain trainer, in one run: ``benchmarks/training.py [TRAIN.conll]``.

The plain trainer is what tutorials teach: sentences in random order, a character CNN over the
characters of every token, a packed bidirectional ``nn.LSTM``, the loss of pytorch-crf, ``Adam``.
Ours has the same sizes (words 100, characters 25 to 30, BiLSTM, BIOES, dropout 0.5, clipping at 5),
batches of 32 sentences both. Rounds of both alternate; the figures are CPU time on one thread, the
best round of each, so that other work on the machine disturbs them little. A second table says
where our time goes.

``--f1 SEEDS`` trains both to the end instead, with so many seeds, and prints their F1 on the
development sentences beside the training file (``valid.txt``).
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torchcrf
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import ner
from ner.sample import path as sample_path
from ner.schemes import scheme_named
from ner.scorer import Stack
from ner.sentence import Sentence, Span
from ner.training import Run, read_settings, step
from ner.training.corpora import Corpora

BATCH, DROPOUT, CLIP, PLAIN_RATE = 32, 0.5, 5.0, 1e-3
WORD, CHARACTER, FILTERS = 100, 25, 30
Sentences = tuple[Sentence, ...]


class PlainTagger(nn.Module):
    """The BiLSTM-CRF of tutorials."""

    def __init__(self, sentences: Sentences, width: int) -> None:
        super().__init__()
        scheme = scheme_named("BIOES")
        labels = sorted({span.label for s in sentences for span in s.spans or ()})
        self.scheme = scheme
        self.tags = {tag: number for number, tag in enumerate(scheme.tags(labels))}
        words = Counter(token.lower() for s in sentences for token in s.tokens)
        self.words = {word: number for number, word in enumerate(words, start=2)}
        letters = sorted({letter for s in sentences for token in s.tokens for letter in token})
        self.letters = {letter: number for number, letter in enumerate(letters, start=2)}
        self.word_vectors = nn.Embedding(len(self.words) + 2, WORD, padding_idx=0)
        self.letter_vectors = nn.Embedding(len(self.letters) + 2, CHARACTER, padding_idx=0)
        self.filters = nn.Conv1d(CHARACTER, FILTERS, 3, padding=1)
        self.dropout = nn.Dropout(DROPOUT)
        self.lstm = nn.LSTM(WORD + FILTERS, width, batch_first=True, bidirectional=True)
        self.projection = nn.Linear(2 * width, len(self.tags))
        self.crf = torchcrf.CRF(len(self.tags), batch_first=True)

    def loss(self, sentences: list[Sentence]) -> Tensor:
        """The mean negative log-likelihood of some sentences, the longest first."""
        emissions, tags, mask = self.read(sentences)
        return -self.crf(emissions, tags, mask=mask, reduction="mean")

    @torch.no_grad()
    def predict(self, sentences: list[Sentence]) -> list[tuple[Span, ...]]:
        """The spans of some sentences, the longest first."""
        names = list(self.tags)
        emissions, _, mask = self.read(sentences)
        paths = self.crf.decode(emissions, mask=mask)
        return [self.scheme.decode([names[tag] for tag in path]) for path in paths]

    def read(self, sentences: list[Sentence]) -> tuple[Tensor, Tensor, Tensor]:
        """Emissions, tags and mask of some sentences, the longest first."""
        lengths = torch.tensor([len(sentence) for sentence in sentences])
        longest, characters = len(sentences[0]), max(len(t) for s in sentences for t in s.tokens)
        words = torch.zeros(len(sentences), longest, dtype=torch.long)
        letters = torch.zeros(len(sentences), longest, characters, dtype=torch.long)
        tags = torch.zeros(len(sentences), longest, dtype=torch.long)
        for row, sentence in enumerate(sentences):
            words[row, : len(sentence)] = torch.tensor(
                [self.words.get(token.lower(), 1) for token in sentence.tokens]
            )
            encoded = self.scheme.encode(sentence.spans or (), len(sentence))
            tags[row, : len(sentence)] = torch.tensor([self.tags[tag] for tag in encoded])
            for column, token in enumerate(sentence.tokens):
                numbers = [self.letters.get(letter, 1) for letter in token]
                letters[row, column, : len(token)] = torch.tensor(numbers)
        seen = self.letter_vectors(letters).view(-1, characters, CHARACTER).transpose(1, 2)
        found = self.filters(seen).amax(dim=2).view(*words.shape, FILTERS)
        inputs = self.dropout(torch.cat([self.word_vectors(words), found], dim=2))
        packed = pack_padded_sequence(inputs, lengths, batch_first=True)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        mask = torch.arange(longest) < lengths[:, None]
        return self.projection(self.dropout(states)), tags, mask


def plain_steps(model: PlainTagger, sentences: Sentences, seed: int = 1) -> Iterator[int]:
    """Train the plain tagger; the tokens of each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=PLAIN_RATE)
    order = random.Random(seed)
    model.train()
    while True:
        shuffled = order.sample(sentences, len(sentences))
        for start in range(0, len(shuffled), BATCH):
            batch = sorted(shuffled[start : start + BATCH], key=len, reverse=True)
            optimizer.zero_grad()
            model.loss(batch).backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            yield sum(map(len, batch))


def plain_tagger(sentences: Sentences, width: int, seed: int = 1) -> PlainTagger:
    """The plain tagger before training."""
    torch.manual_seed(seed)
    return PlainTagger(sentences, width)


def our_run(corpora: Corpora, width: int, **training: object) -> Run:
    """Our trainer with the same sizes."""
    embeddings = {"affixes": False, "document": False, "topic": False}
    sizes = {"width": FILTERS, "character_width": CHARACTER}
    settings = read_settings(
        {
            "data": {"train": "given"},
            "model": {
                "embeddings": {"words": {"width": WORD}, "characters": sizes, **embeddings},
                "encoder": {"width": width, "dropout": DROPOUT},
            },
            "training": {
                "epochs": 1000,
                "batch_size": BATCH,
                "gradient_clip": CLIP,
                **training,
            },
        }
    )
    return Run(settings, device="cpu", corpora=corpora)


def our_steps(run: Run) -> Iterator[int]:
    """Train ours; the tokens of each step."""
    lengths = [len(sentence) for sentence in run.corpora.train]
    run.network.train()
    while True:
        for group in run._data.groups(run.position.step):
            run._take(group, 0.5)
            run.position.step += 1
            yield sum(lengths[number] for numbers in group for number in numbers)


def round_of(trainer: Iterator[int], count: int) -> tuple[float, float]:
    """CPU seconds and tokens of so many steps."""
    began = time.process_time()
    tokens = sum(next(trainer) for _ in range(count))
    return time.process_time() - began, tokens


def compare(sentences: Sentences, width: int, rounds: int, count: int) -> None:
    """Print tokens a second of both trainers and their ratio."""
    trainers = {
        "plain": plain_steps(plain_tagger(sentences, width), sentences),
        "ours": our_steps(our_run(Corpora(sentences, (), ()), width, average=0.0)),
        "ours, averaging": our_steps(our_run(Corpora(sentences, (), ()), width)),
    }
    best: dict[str, float] = defaultdict(float)
    for trainer in trainers.values():
        round_of(trainer, 5)
    for _ in range(rounds):
        for name, trainer in trainers.items():
            seconds, tokens = round_of(trainer, count)
            best[name] = max(best[name], tokens / seconds)
    for name, speed in best.items():
        print(f"{width:>5}  {name:16} {speed:9,.0f} tokens/s  {speed / best['plain']:5.2f} x")


def parts(sentences: Sentences, width: int, count: int) -> None:
    """Print where a step's time goes."""
    run = our_run(Corpora(sentences, (), ()), width)
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(function)
        def measured(*arguments: object, **settings: object) -> object:
            began = time.process_time()
            result = function(*arguments, **settings)
            spent[name] += time.process_time() - began
            return result

        return measured

    network, stepper = run.network, run._stepper
    trainer = our_steps(run)
    round_of(trainer, 5)
    network.collate = timed("collate", network.collate)
    Stack.vectors = timed("embeddings", Stack.vectors)
    network.encoder.forward = timed("encoder", network.encoder.forward)
    network.crf.loss = timed("CRF, both ways", network.crf.loss)
    stepper.optimizer.step = timed("optimizer", stepper.optimizer.step)
    stepper.average.update = timed("average", stepper.average.update)
    stepper.rows.step = timed("rows", stepper.rows.step)
    stepper.rows.coalesce = timed("rows", stepper.rows.coalesce)
    for table in stepper.rows.tables.values():  # those of the forward pass, then, are in both
        table.catch_up = timed("rows, catching up", table.catch_up)
    backward, scale = Tensor.backward, step.scale_gradients
    Tensor.backward = timed("backward", Tensor.backward)
    step.scale_gradients = timed("clip", step.scale_gradients)
    total, _ = round_of(trainer, count)
    Tensor.backward, step.scale_gradients = backward, scale
    spent["rest"] = total - sum(spent.values())
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        each = 1000 * seconds / count
        print(f"{width:>5}  {name:16} {each:7.2f} ms a step  {100 * seconds / total:4.0f} %")


def quality(corpora: Corpora, width: int, epochs: int, seeds: int) -> None:
    """Print the development F1 of both trainers, a line for each seed."""
    gold = sorted(corpora.development, key=len, reverse=True)
    steps_of_epoch = -(-len(corpora.train) // BATCH)
    for seed in range(1, seeds + 1):
        model = plain_tagger(corpora.train, width, seed)
        trainer, best = plain_steps(model, corpora.train, seed), 0.0
        for _ in range(epochs):
            round_of(trainer, steps_of_epoch)
            model.eval()
            batches = [gold[start : start + 256] for start in range(0, len(gold), 256)]
            found = [spans for batch in batches for spans in model.predict(batch)]
            best = max(best, ner.evaluate(gold, found).exact.f1)
            model.train()
        run = our_run(corpora, width, epochs=epochs, seed=seed)
        list(run)
        ours = run.best.score.f1
        print(f"{width:>5}  seed {seed}  plain F1 {100 * best:5.2f}  ours {100 * ours:5.2f}")


def main() -> None:
    """Compare at the widths asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", nargs="?", help="a CoNLL file; the bundled corpus without one")
    parser.add_argument("--widths", type=int, nargs="+", default=[100, 256])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=25, help="of a round")
    parser.add_argument("--f1", type=int, metavar="SEEDS", help="compare F1 instead of speed")
    parser.add_argument("--epochs", type=int, default=4, help="of --f1")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shared = Path(os.environ.get("NER_SHARED", "../shared")) / "data/conll2003/train.txt"
    fallback = shared if shared.exists() else sample_path("train")
    file = Path(arguments.train) if arguments.train else fallback
    sentences = tuple(ner.read(file))
    print(f"{file.name}: {len(sentences):,} sentences; torch {torch.__version__}, one thread")
    if arguments.f1:
        development = tuple(ner.read(file.with_name("valid.txt")))
        corpora = Corpora(sentences, development, ())
        for width in arguments.widths:
            quality(corpora, width, arguments.epochs, arguments.f1)
        return
    for width in arguments.widths:
        compare(sentences, width, arguments.rounds, arguments.steps)
        parts(sentences, width, arguments.steps)


if __name__ == "__main__":
    main()
