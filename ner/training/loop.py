"""The training loop: each step of the iterator is an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ner.batch import group_by_length
from ner.config import call
from ner.ensemble import build
from ner.evaluation import Score, evaluate
from ner.inference import PlainEngine
from ner.network import Network
from ner.sentence import Sentence
from ner.tagger import Tagger, pick_device
from ner.training.corpora import Corpora, read_corpora
from ner.training.optimisation import OPTIMIZERS, SCHEDULES, Average, set_learning_rate
from ner.training.settings import RunSettings, read_settings


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the training sentences came to.

    Attributes:
        number: Counted from 1.
        loss: The mean negative log-likelihood of a sentence, in nats.
        score: Of the development sentences, exact spans; ``None`` where there are none.
        seconds: Of training, without scoring.
        tokens_per_second: Training tokens seen in each of them.
        best: Whether this is the best epoch so far, which is the one kept.
    """

    number: int
    loss: float
    score: Score | None
    seconds: float
    tokens_per_second: float
    best: bool


class Run(Iterator[Epoch]):
    """A training run. Iterating trains; ``tagger`` is the best tagger so far.

    Args:
        settings: The run's.
        device: Where to train: ``auto``, ``cpu`` or ``cuda``.
        corpora: The sentences, where they have been read already.
    """

    def __init__(
        self, settings: RunSettings, *, device: str = "auto", corpora: Corpora | None = None
    ) -> None:
        self.settings = settings
        training = settings.training
        self.device = pick_device(device)
        if training.threads is not None:
            torch.set_num_threads(training.threads)
        self.corpora = corpora or read_corpora(settings.data, training.seed)
        torch.manual_seed(training.seed)
        self.network: Network = _build(self.corpora.train, settings.model).to(self.device)
        self._table = self.network.type_table()
        self._train = self.network.index(self.corpora.train, self._table)
        self._development = self.network.index(self.corpora.development, self._table)
        self._tokens = sum(map(len, self._train))
        self._optimizer = OPTIMIZERS[training.optimizer](
            self.network.parameters(),
            training.learning_rate,
            training.weight_decay,
            training.momentum,
        )
        self._average = Average(self.network, training.average) if training.average else None
        self._steps_per_epoch = len(self._batches(0))
        self.step = 0
        self.epochs: list[Epoch] = []
        self.best: Epoch | None = None
        self._best_weights: dict[str, torch.Tensor] | None = None

    @property
    def steps(self) -> int:
        """How many steps the whole run takes, if it is not stopped early."""
        return self._steps_per_epoch * self.settings.training.epochs

    @property
    def tagger(self) -> Tagger:
        """The best tagger so far."""
        if self._best_weights is not None:
            self.network.load_state_dict(self._best_weights)
        self.network.eval()
        return Tagger(self.network, metrics=self.metrics(), config=self.settings.as_dict())

    @property
    def sentences(self) -> int:
        """How many sentences an epoch trains on."""
        return len(self._train)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or patience is at its end."""
        training = self.settings.training
        if len(self.epochs) >= training.epochs:
            return True
        if training.patience is None or self.best is None:
            return False
        return len(self.epochs) - self.best.number >= training.patience

    def __next__(self) -> Epoch:
        if self.finished:
            raise StopIteration
        return self.train_epoch()

    def train_epoch(self, done: Callable[[int], None] = lambda sentences: None) -> Epoch:
        """Train one epoch and score it.

        Args:
            done: Told, after each batch, how many sentences it had.
        """
        began = time.perf_counter()
        total = 0.0
        for loss, count in self._losses():
            total += loss
            done(count)
        seconds = time.perf_counter() - began
        score = self._score()
        number = len(self.epochs) + 1
        best = self._is_best(score)
        epoch = Epoch(
            number, total / len(self._train), score, seconds, self._tokens / seconds, best
        )
        self.epochs.append(epoch)
        if best:
            self._keep(epoch)
        return epoch

    def _losses(self) -> Iterator[tuple[float, int]]:
        """Train one epoch; the summed loss of each batch and how many sentences it had."""
        training = self.settings.training
        schedule = SCHEDULES[training.schedule]
        self.network.train()
        for numbers in self._batches(len(self.epochs)):
            batch = self.network.collate([self._train[number] for number in numbers], self._table)
            rate = training.learning_rate * schedule(self.step / self.steps, training.warmup)
            set_learning_rate(self._optimizer, rate)
            self._optimizer.zero_grad()
            try:
                loss = self.network.loss(batch.to(self.device))
            except ValueError as error:  # the CRF refuses emissions that are no numbers
                raise ValueError(self._diverged(str(error), numbers)) from error
            value = loss.item()
            if not math.isfinite(value):
                raise ValueError(self._diverged(f"the loss is {value}", numbers))
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), training.gradient_clip)
            self._optimizer.step()
            if self._average:
                self._average.update(self.network.named_parameters())
            self.step += 1
            yield value * len(numbers), len(numbers)

    def _diverged(self, what: str, numbers: Sequence[int]) -> str:
        sentences = self.corpora.train
        lines = ", ".join(str(sentences[number].line or number + 1) for number in numbers[:5])
        return (
            f"{what}; at step {self.step + 1}, in the batch of the training sentences at lines "
            f"{lines}; a lower learning_rate or gradient_clip helps"
        )

    def metrics(self) -> dict[str, Any]:
        """What is known of the best epoch, as JSON holds it."""
        if self.best is None:
            return {}
        known: dict[str, Any] = {"epoch": self.best.number, "loss": self.best.loss}
        if self.best.score is not None:
            known["development"] = self.best.score.as_json()
        return known

    def _batches(self, epoch: int) -> list[list[int]]:
        """The numbers of the sentences of each batch of an epoch, from seed and epoch alone."""
        training = self.settings.training
        return group_by_length(
            [len(sentence) for sentence in self._train],
            sentences=training.batch_size,
            tokens=training.batch_tokens,
            noise=training.length_noise,
            seed=training.seed * 1_000_003 + epoch,
        )

    def _score(self) -> Score | None:
        if not self._development:
            return None
        weights = self._average_in_place()
        self.network.eval()
        predicted = PlainEngine(self.network).predict_indexed(self._development, self._table)
        gold = [sentence.spans or () for sentence in self.corpora.development]
        score = evaluate(gold, predicted).exact
        if weights is not None:
            self.network.load_state_dict(weights)
        return score

    def _average_in_place(self) -> dict[str, torch.Tensor] | None:
        """Give the network its averaged weights, where there are such; its own, to be put back."""
        if self._average is None:
            return None
        own = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.network.load_state_dict(self._average.weights)
        return own

    def _is_best(self, score: Score | None) -> bool:
        if score is None or self.best is None or self.best.score is None:
            return True
        better: bool = score.f1 > self.best.score.f1
        return better

    def _keep(self, epoch: Epoch) -> None:
        self.best = epoch
        weights = self._average.weights if self._average else self.network.state_dict()
        self._best_weights = {name: tensor.clone() for name, tensor in weights.items()}
        if self.settings.output is not None:
            self.save(Path(self.settings.output))

    def save(self, path: Path) -> None:
        """Write the best tagger so far as a model directory."""
        own = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.tagger.save(path)
        self.network.load_state_dict(own)


def train(config: Path | str | Mapping[str, Any] | RunSettings, *, device: str = "auto") -> Run:
    """Train a tagger, an epoch at each step of the iterator; the best is kept and saved.

    Args:
        config: A YAML file, its content as a mapping, or settings.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: A setting cannot be used.
        ValueError: A file cannot be used.
    """
    settings = config if isinstance(config, RunSettings) else read_settings(config)
    return Run(settings, device=device)


def score_tagger(tagger: Tagger, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """How well a tagger finds the spans of annotated sentences: the six figures of exact spans."""
    gold = [sentence.spans or () for sentence in sentences]
    return evaluate(gold, tagger.predict(sentences)).exact.as_json()


def _build(sentences: Sequence[Sentence], model: Mapping[str, Any]) -> Network:
    return call(build, model, sentences, of="model")
