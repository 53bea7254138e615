"""The training loop: each step of the iterator is an epoch."""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ner.evaluation import Score
from ner.scorer import Scorer
from ner.storage.atomic import write_text
from ner.storage.locks import RunLock
from ner.tagger import Tagger, pick_device
from ner.training import run_folder
from ner.training.batching import Group, automatic_sizes, describe, groups_of, pieces
from ner.training.checkpointing import Checkpoint
from ner.training.corpora import Corpora, read_corpora, recased
from ner.training.development import score_development
from ner.training.distributed import Processes
from ner.training.history import Epoch, Position, Step, remarks_on
from ner.training.initialisation import initialise, prepare_torch
from ner.training.optimisation import learning_rate
from ner.training.results import finish, history, model_files
from ner.training.settings import RunSettings, read_settings
from ner.training.step import DivergedError, Stepper


class StoppedError(Exception):
    """A run was asked to stop; its last checkpoint goes on from there."""


class Run(Iterator[Epoch]):
    """A training run. Iterating trains; ``tagger`` is the best tagger so far.

    Where the settings name an output, the best model so far lies there, and beside it, until the
    run is finished, ``OUTPUT.run`` with the checkpoints.

    Args:
        settings: The run's.
        device: Where to train: ``auto``, ``cpu`` or ``cuda``.
        corpora: The sentences, where they have been read already.
        resume: Go on from the last checkpoint, to the same end as if nothing had happened.
        init_from: The directory of a model to start from, with all but its labels; the section
            ``model`` of the settings is not looked at then.

    Attributes:
        epochs: Those done.
        best: The best of them.
        remarks: What the user should know of how the run began.
        lock: Keeps other processes from ``folder`` while the run is under way.

    Raises:
        ConfigError: A setting cannot be used, or is not that of the checkpoint.
        ValueError: A file cannot be used.
        FileExistsError: The output is there already, and is no model.
    """

    def __init__(
        self,
        settings: RunSettings,
        *,
        device: str = "auto",
        corpora: Corpora | None = None,
        resume: bool = False,
        init_from: Path | str | None = None,
    ) -> None:
        run_folder.check_place(settings.output, resume=resume, init_from=init_from)
        self.settings = settings
        self.init_from = init_from
        training = settings.training
        self.processes = Processes()
        self.device = self.processes.device(pick_device(device))
        prepare_torch(self.device, training.threads, deterministic=training.deterministic)
        corpora = corpora or read_corpora(settings.data, training.seed)
        self.processes.join(self.device)
        torch.manual_seed(training.seed)
        start = initialise(settings, corpora, init_from, self.device)
        self.network: Scorer = start.network
        self.corpora = start.corpora
        self.remarks = list(start.remarks)
        self._rehearsal = start.rehearsal
        self._table = self.network.type_table()
        copies = recased(
            self.corpora.train, training.lower_cased, training.upper_cased, training.seed
        )
        self._sentences = (*self.corpora.train, *copies)
        self._train, self._origins = pieces(
            self._sentences, self.network.index(self._sentences, self._table), training.longest
        )
        self.remarks += describe(self._sentences, self._origins, training.longest)
        lengths = [len(piece) for piece in self._train]
        self._batch_size, self._epochs = automatic_sizes(training, lengths, self.processes.count)
        training = replace(training, batch_size=self._batch_size, epochs=self._epochs)
        self.settings = replace(settings, training=training)
        self._stepper = Stepper(
            self.network, self._table, training, self.processes, self._rehearsal
        )
        torch.manual_seed(training.seed + self.processes.rank)
        self.position = Position()
        self.epochs: list[Epoch] = []
        self.best: Epoch | None = None
        self._best_weights: dict[str, torch.Tensor] | None = None
        self.lock: RunLock | None = None
        self._stopping = False
        self._written = time.monotonic()
        if self.folder is not None:
            self.remarks += run_folder.begin(self) if resume else run_folder.clear(self)

    @property
    def folder(self) -> Path | None:
        """Where the checkpoints are while the run is under way."""
        output = self.settings.output
        return None if output is None else run_folder.run_folder(Path(output))

    @property
    def tagger(self) -> Tagger:
        """The best tagger so far, as the user may keep it while training goes on."""
        network = copy.deepcopy(self.network)
        if self._best_weights is not None:
            network.load_state_dict(self._best_weights)
        known = {"metrics": self.metrics(), "config": self.settings.as_dict()}
        return Tagger(network.eval(), **known, decoding=self.settings.decoding)

    @property
    def sentences(self) -> int:
        """How many sentences an epoch trains on."""
        return len(self._train)

    @property
    def tokens(self) -> int:
        """How many tokens an epoch trains on."""
        return sum(map(len, self._train))

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or patience is at its end."""
        training = self.settings.training
        if len(self.epochs) >= self._epochs:
            return True
        if training.patience is None or self.best is None:
            return False
        return len(self.epochs) - self.best.number >= training.patience

    def __next__(self) -> Epoch:
        if not self.finished:
            return self.train_epoch()
        if self.folder is not None and self.folder.exists():
            self.finish()
        raise StopIteration

    def train_epoch(self, done: Callable[[Step], None] = lambda step: None) -> Epoch:
        """Train one epoch, or what is left of the one under way, and score it.

        Args:
            done: Told of each step; of an epoch that is gone on with, first of what was done.

        Raises:
            StoppedError: ``stop`` was called.
            DivergedError: The loss is no longer a finite number.
        """
        place = self.position
        groups = self._groups(len(self.epochs))
        self.network.train()
        if before := groups[: place.steps_of_epoch]:
            done(self._step(before, place.loss))
        for group in groups[place.steps_of_epoch :]:
            began = time.perf_counter()
            loss = self._take(group, place.steps_of_epoch / len(groups))
            place.loss += loss
            place.step += 1
            place.steps_of_epoch += 1
            place.seconds += time.perf_counter() - began
            done(self._step([group], loss))
            self._pause()
        return self._end_epoch()

    def stop(self) -> None:
        """Write a checkpoint and leave after the step under way; a signal handler may call it."""
        self._stopping = True

    def finish(self) -> dict[str, Any]:
        """Score the best model as it lies on disk, write its figures beside it, tidy up.

        Raises:
            RuntimeError: The reloaded model does not score what the log said.
        """
        found = finish(self)
        self.processes.wait()
        if self.folder is not None and self.processes.writes:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.lock = None
        return found

    def metrics(self) -> dict[str, Any]:
        """What is known of the best epoch, as JSON holds it."""
        if self.best is None:
            return {}
        known: dict[str, Any] = {"epoch": self.best.number, "loss": self.best.loss}
        if self.best.score is not None:
            known["development"] = self.best.score.as_json()
        return known

    def save(self, path: Path, metrics: Mapping[str, Any] | None = None) -> None:
        """Write the best tagger so far as a model directory.

        Raises:
            OSError: It cannot be written; what was there is untouched.
        """
        tagger = self.tagger
        tagger.metrics.update(metrics or {})
        tagger.save(path, texts=model_files(self, tagger))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go to where a checkpoint of this very run was written."""
        self.position = run_folder.restore_stepper(self._stepper, checkpoint, self)
        self.epochs = run_folder.epochs_of(checkpoint)
        self.best = next((epoch for epoch in reversed(self.epochs) if epoch.best), None)
        best = checkpoint.part("best")
        self._best_weights = {name: tensor.to(self.device) for name, tensor in best.items()} or None

    def learning_rate(self, share: float) -> float:
        """The learning rate when so large a share of the epoch under way is done."""
        done = min((len(self.epochs) + share) / self._epochs, 1.0)
        f1 = [epoch.score.f1 for epoch in self.epochs if epoch.score is not None]
        return learning_rate(self.settings.training, done, f1)

    def _take(self, group: Group, share: float) -> float:
        """Take a step; the summed loss of its sentences."""
        batches = [[self._train[number] for number in numbers] for numbers in group]
        try:
            return self._stepper.take(batches, self.learning_rate(share))
        except DivergedError as error:
            sentences = self._sentences
            places = [self._origins[number] for numbers in group for number in numbers]
            lines = [str(sentences[n].line or n + 1) for n in places]
            raise DivergedError(
                f"{error}; at step {self.position.step + 1}, in the batch of the training "
                f"sentences at lines {', '.join(lines[:8])}{', ...' if len(lines) > 8 else ''}; "
                "a lower learning_rate or gradient_clip helps"
            ) from error

    def _step(self, groups: Sequence[Group], loss: float) -> Step:
        """What steps with this summed loss trained on."""
        numbers = [number for group in groups for batch in group for number in batch]
        return Step(len(numbers), sum(len(self._train[number]) for number in numbers), loss)

    def _pause(self) -> None:
        """Between two steps: write a checkpoint where one is due, and leave if asked to."""
        training = self.settings.training
        minutes = (time.monotonic() - self._written) / 60.0
        late = training.checkpoint_minutes is not None and minutes >= training.checkpoint_minutes
        steps = training.checkpoint_steps
        due = steps is not None and self.position.step % steps == 0
        stopping = self.processes.any(self._stopping)
        if due or stopping or self.processes.any(late):
            self._checkpoint()
        if stopping:
            raise StoppedError

    def _checkpoint(self) -> None:
        if self.folder is not None:
            run_folder.write(self, self._stepper, self._best_weights)
        self._written = time.monotonic()

    def _end_epoch(self) -> Epoch:
        self._stepper.settle()
        place, labels = self.position, self._score()
        score = None if labels is None else sum(labels.values(), Score())
        epoch = Epoch(
            number=len(self.epochs) + 1,
            loss=place.loss / len(self._train),
            score=score,
            seconds=place.seconds,
            tokens_per_second=self.tokens / place.seconds,
            best=self._is_best(score),
            labels=dict(sorted((labels or {}).items())),
            learning_rate=self.learning_rate(1.0 - 1.0 / place.steps_of_epoch),
            remarks=remarks_on(self.epochs, score),
        )
        self.epochs.append(epoch)
        self.position = Position(step=place.step)
        if epoch.best:
            self._keep(epoch)
        if self.folder is not None and self.processes.writes:
            write_text(self.folder / run_folder.HISTORY, history(self.epochs, timed=True))
        self._checkpoint()
        if self.processes.any(self._stopping):  # while the epoch was scored
            raise StoppedError
        return epoch

    def _groups(self, epoch: int) -> list[Group]:
        """The batches of each step of an epoch."""
        lengths = [len(piece) for piece in self._train]
        return groups_of(lengths, self.settings.training, self._batch_size, epoch)

    def _score(self) -> Mapping[str, Score] | None:
        """The score of each label in the development sentences, where there are such."""
        return score_development(
            self.network,
            self.corpora.development,
            self.settings.decoding,
            self._stepper.average,
            self.processes,
        )

    def _is_best(self, score: Score | None) -> bool:
        if score is None or self.best is None or self.best.score is None:
            return True
        better: bool = score.f1 > self.best.score.f1
        return better

    def _keep(self, epoch: Epoch) -> None:
        self.best = epoch
        average = self._stepper.average
        weights = average.weights if average else self.network.state_dict()
        self._best_weights = {name: tensor.clone() for name, tensor in weights.items()}
        if self.settings.output is not None and self.processes.writes:
            self.save(Path(self.settings.output))


def train(
    config: Path | str | Mapping[str, Any] | RunSettings,
    *,
    device: str = "auto",
    resume: bool = False,
    init_from: Path | str | None = None,
) -> Run:
    """Train a tagger, an epoch at each step of the iterator; the best is kept and saved.

    Args:
        config: A YAML file, its content as a mapping, or settings.
        device: ``auto``, ``cpu`` or ``cuda``.
        resume: Go on from the last checkpoint of a run that was stopped.
        init_from: The directory of a model to start from.

    Raises:
        ConfigError: A setting cannot be used.
        ValueError: A file cannot be used.
    """
    settings = config if isinstance(config, RunSettings) else read_settings(config)
    return Run(settings, device=device, resume=resume, init_from=init_from)
