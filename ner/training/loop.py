"""The training loop: each step of the iterator is an epoch."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ner.errors import ConfigError
from ner.evaluation import Score
from ner.evaluation.score import percent
from ner.indexers.columns import columns_of
from ner.inference.decoding import Decoding
from ner.model_directory import DESCRIPTION
from ner.scorer import Scorer
from ner.storage.addresses import local
from ner.storage.locks import RunLock
from ner.streaming.tokenizers import of_reader
from ner.tagger import Tagger, load, pick_device
from ner.training.batching import Group, describe, training_set
from ner.training.corpora import Corpora, read_corpora
from ner.training.distributed import Processes
from ner.training.initialisation import (
    ForgettingError,
    initialise,
    model_digest,
    prepare_torch,
    with_members,
)
from ner.training.results import (
    Epoch,
    Position,
    Step,
    best_of,
    decide,
    final_metrics,
    model_files,
    remarks_on,
    score_development,
    score_from,
)
from ner.training.run_folder import Checkpoint, RunFolder, check_place, check_same
from ner.training.settings import RunSettings, TrainingSettings
from ner.training.step import (
    DivergedError,
    Stepper,
    frozen_digest,
    map_large_blocks,
    random_states,
    release_memory,
    restore_random_states,
    trained_weights,
)

log = logging.getLogger(__name__)


class StoppedError(Exception):
    """A run was stopped, and can be continued from its last checkpoint."""


class Run(Iterator[Epoch]):
    """A training run. Iterating trains; ``tagger`` is the best tagger so far.

    If the settings name an output, the best model so far is saved there, and the checkpoints in
    ``OUTPUT.run`` until the run is finished.

    Args:
        settings: The settings of the run.
        device: The device: ``auto``, ``cpu`` or ``cuda``.
        corpora: The sentences, if they have been read already.
        resume: Continue from the last checkpoint, with the same result as an uninterrupted run.
        init_from: The directory of a model to start from, whose labels may differ; the section
            ``model`` of the settings is ignored then.
        overwrite: Whether to discard an interrupted run with the same output.

    Attributes:
        epochs: The finished epochs.
        remarks: Remarks on the start of the run.
        lock: The lock on ``folder``.

    Raises:
        ConfigError: A setting is invalid, or differs from that of the checkpoint.
        ValueError: A file is invalid.
        FileExistsError: The output already exists and is not a model.
    """

    def __init__(
        self,
        settings: RunSettings,
        *,
        device: str = "auto",
        corpora: Corpora | None = None,
        resume: bool = False,
        init_from: Path | str | None = None,
        overwrite: bool = False,
    ) -> None:
        init_from = None if init_from is None else local(init_from)
        check_place(settings.output, resume=resume, init_from=init_from)
        training = settings.training
        self.init_from = init_from
        self.processes = Processes()
        self.device = self.processes.device(pick_device(device))
        prepare_torch(self.device, training.threads, deterministic=training.deterministic)
        map_large_blocks()
        output = settings.output
        self.folder = None if output is None else RunFolder(Path(output))
        if self.folder is not None and not (resume or overwrite):
            self.folder.check_unused()
        if corpora is None:
            log.info("reading the corpora")
            corpora = read_corpora(settings.data, training.seed)
        self.processes.join(self.device)
        settings, remarks = with_members(settings, corpora)
        torch.manual_seed(training.seed)
        log.info("building the vocabularies of %s sentences", f"{len(corpora.train):,}")
        start = initialise(settings, corpora, init_from, self.device)
        self.network: Scorer = start.network
        self.corpora = start.corpora
        self.remarks = [*remarks, *start.remarks]
        self._retention, self._distillation = start.retention, start.distillation
        self._first_decoding = start.decoding
        self.settings = settings
        self._begin(0)
        self.settings = replace(settings, training=self._data.training)
        self.remarks += describe(self._data.sentences, self._data.origins, training.longest)
        torch.manual_seed(training.seed + self.processes.rank)
        self.position = Position()
        self.epochs: list[Epoch] = []
        self._best_weights: dict[str, torch.Tensor] | None = None
        self.lock: RunLock | None = None
        self._stopping = False
        self._finished: Epoch | None = None
        self._decoding: Decoding | None = None  # of the development sentences, where they decide
        self._written = time.monotonic()
        self._frozen = frozen_digest(self.network)
        self.remarks += self._open(resume=resume)

    def _begin(self, stage: int) -> None:
        """Index the training sentences for a stage, and choose what its settings leave open."""
        stages, network, train = self._stages, self.network.train(), self.corpora.train
        training, count, table = stages[stage], self.processes.count, network.type_table()
        if not network.fine_tune(stage == len(stages) - 1) and len(stages) > 1:
            raise ConfigError(
                "training.fine_tuning needs an embedding to fine-tune, such as "
                "model.embeddings.transformer with tune: true"
            )
        self._data = training_set(network, table, train, training, count)
        training = self._data.training
        self._schedule = training.learning_rates()
        self._stepper = Stepper(network, table, training, self.processes, self._distillation)

    def _next_stage(self) -> None:
        """Begin the next stage with the best weights of this one."""
        best, stage, step = self._best_weights, self.position.stage + 1, self.position.step
        self.network.load_state_dict(best or {}, strict=False)
        self._begin(stage)
        self.position = Position(step, stage=stage, before=step, begun=len(self.epochs))
        if best is not None:  # with the weights that were frozen before
            self._best_weights = {n: w.clone() for n, w in trained_weights(self.network).items()}

    def _open(self, *, resume: bool) -> list[str]:
        """Prepare the run's folder, continue from its checkpoint, and return remarks."""
        if self.folder is None:
            return []
        remarks: list[str] = []
        if self.processes.writes:
            self.lock = self.folder.lock()
            if resume:
                self.folder.recover()
            else:
                remarks += self.folder.clear()
                if (self.folder.output / DESCRIPTION).exists():
                    remarks.append(f"the model in {self.folder.output} will be replaced")
        self.processes.wait()
        if resume:
            remarks += self._continue(self.folder)
        return remarks

    def _continue(self, folder: RunFolder) -> list[str]:
        checkpoint, remarks = folder.newest()
        if checkpoint is None:
            return remarks
        check_same(checkpoint, self._circumstances())
        self.restore(checkpoint)
        if self.processes.writes and self.best is not None:
            self.save(folder.output)
        place = self.position
        remarks.append(
            f"continuing after step {place.step}: epoch {len(self.epochs) + 1}, "
            f"{place.steps_of_epoch} of its steps done"
        )
        return remarks

    def __repr__(self) -> str:
        best = self.best
        score = "" if best is None or best.score is None else f", best F1 {percent(best.score.f1)}"
        return (
            f"<Run of {len(self.epochs)}/{self.planned} epochs on {self.sentences:,} sentences"
            f"{score}; labels {', '.join(self.network.labels)}>"
        )

    @property
    def best(self) -> Epoch | None:
        """The best epoch so far; at the end, with the decoding and score of the saved model."""
        return self._finished or best_of(self.epochs)

    @property
    def tagger(self) -> Tagger:
        """A copy of the best tagger so far."""
        network = copy.deepcopy(self.network)
        if self._best_weights is not None:
            network.load_state_dict(self._best_weights, strict=False)
        settings = self.settings
        chosen = self._first_decoding if self.best is None else self.best.decoding
        return Tagger(
            network.merged().eval(),
            metrics=self.metrics(),
            config=settings.as_dict(),
            decoding=settings.decoding or chosen,
            tokenizer=of_reader(settings.data.reader.get("tokenizer")),
        )

    @property
    def sentences(self) -> int:
        """The number of sentences an epoch trains on."""
        return len(self._data.lengths)

    @property
    def tokens(self) -> int:
        """The number of tokens an epoch trains on."""
        return self._data.tokens

    @property
    def _stages(self) -> list[TrainingSettings]:
        return self.settings.training.stages()

    @property
    def planned(self) -> int:
        """The number of epochs, if patience does not run out."""
        later = sum(training.epochs or 0 for training in self._stages[self.position.stage + 1 :])
        return self.position.begun + (self._data.training.epochs or 0) + later

    @property
    def finished(self) -> bool:
        """Return whether all epochs are done, or patience has run out."""
        return self._stage_done and self.position.stage == len(self._stages) - 1

    @property
    def _stage_done(self) -> bool:
        training, done = self._data.training, len(self.epochs) - self.position.begun
        if done >= (training.epochs or 0) or training.patience is None or self.best is None:
            return done >= (training.epochs or 0)
        return min(done, len(self.epochs) - self.best.number) >= training.patience

    def __next__(self) -> Epoch:
        if not self.finished:
            return self.train_epoch()
        if self.folder is not None and self.folder.path.exists():
            self.finish()
        raise StopIteration

    def train_epoch(self, done: Callable[[Step], None] = lambda step: None) -> Epoch:
        """Train one epoch, or the rest of the current one, and score it.

        Args:
            done: Called after each step; in a resumed epoch, first for the steps before.

        Raises:
            StoppedError: ``stop`` was called.
            DivergedError: The loss is NaN or infinite.
        """
        if self._stage_done and not self.finished:
            self._next_stage()
        place = self.position
        groups = self._data.groups(len(self.epochs))
        self.network.train()
        if not place.step:
            self.network.admit()
        if before := groups[: place.steps_of_epoch]:
            done(self._data.step(before, place.loss))
        for group in groups[place.steps_of_epoch :]:
            began = time.perf_counter()
            loss = self._take(group, place.steps_of_epoch / len(groups))
            place.loss += loss
            place.step += 1
            place.steps_of_epoch += 1
            place.seconds += time.perf_counter() - began
            done(self._data.step([group], loss))
            self._pause()
        return self._end_epoch()

    def stop(self) -> None:
        """Write a checkpoint and stop after the current step; safe in a signal handler."""
        self._stopping = True

    def finish(self) -> dict[str, Any]:
        """Score the best model as reloaded from disk, save its metrics, and clean up.

        Raises:
            RuntimeError: The reloaded model scores differently than during training.
            ForgettingError: No epoch is kept, since each lost too much of the old labels.
        """
        if self.epochs and self.best is None:
            if self.folder is not None and self.processes.writes:
                self.folder.remove()
            raise ForgettingError(f"no model is saved: {self.epochs[-1].remarks[-1]}")
        metrics = self.metrics()
        self._data = replace(self._data, pieces=())
        self._stepper.release()
        if self.processes.writes:
            metrics = self._score_saved(metrics)
        self._finished = self.processes.first(self._finished)
        if self.folder is not None and self.processes.writes:
            self.folder.remove()
        self.lock = None
        return metrics

    def _score_saved(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        output, device = self.settings.output, str(self.device)
        tagger = self.tagger if output is None else load(output, device=device)
        old = None if self.init_from is None else load(self.init_from, device=device)
        best, decision = self.best, dict[str, Any]()
        if best is not None and best.decoding is not None:
            decision = decide(tagger, self.corpora.development, best.score)
            if tagger.decoding != best.decoding:  # what was known is of another decoding
                metrics = {name: one for name, one in metrics.items() if name != "development"}
        found = final_metrics(tagger, self.corpora, metrics, old) | decision
        if best is not None and best.decoding not in (None, tagger.decoding):
            score = score_from(found["development"])
            self._finished = replace(best, decoding=tagger.decoding, score=score)
        if output is not None:
            self.save(Path(output), found)
        return found

    def metrics(self) -> dict[str, Any]:
        """Return the metrics of the best epoch, as JSON."""
        if self.best is None:
            return {}
        known: dict[str, Any] = {"epoch": self.best.number, "loss": self.best.loss}
        if self.best.score is not None:
            known["development"] = self.best.score.as_json()
        return known

    def save(self, path: Path, metrics: Mapping[str, Any] | None = None) -> None:
        """Write the best tagger so far as a model directory.

        Raises:
            OSError: It cannot be written; its previous content is unchanged.
        """
        tagger = self.tagger
        tagger.metrics.update(metrics or {})
        seed = self.settings.training.seed
        tagger.save(path, texts=model_files(tagger, self.epochs, self.corpora, seed))

    def snapshot(self) -> Checkpoint:
        """Return the state of the run; all processes must call this together."""
        tensors = self._stepper.tensors()
        tensors |= {f"best.{name}": w for name, w in (self._best_weights or {}).items()}
        for kind, own in random_states(self.device).items():
            for rank, one in enumerate(self.processes.gather(own)):
                tensors[f"random-{rank}.{kind}"] = one
        state = {
            **self._circumstances(),
            "position": asdict(self.position),
            "epochs": [epoch.as_json() for epoch in self.epochs],
        }
        return Checkpoint(state, tensors)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore a snapshot of this run."""
        self.position = Position(**checkpoint.state["position"])
        if self.position.stage:
            self._begin(self.position.stage)
        parts = {name: checkpoint.part(name) for name in Stepper.PARTS}
        self._stepper.restore(parts, self.position.step - self.position.before)
        restore_random_states(checkpoint.part(f"random-{self.processes.rank}"), self.device)
        self.epochs = [Epoch.from_json(epoch) for epoch in checkpoint.state["epochs"]]
        best = checkpoint.part("best")
        self._best_weights = {name: tensor.to(self.device) for name, tensor in best.items()} or None

    def _circumstances(self) -> dict[str, Any]:
        """Return what must be the same when the run is continued."""
        columns = columns_of(part.indexer for part in self.network.context_embeddings)
        made_of = json.dumps(self.network.settings(), sort_keys=True)
        return {
            "settings": self.settings.as_dict(),
            "sentences": self.corpora.fingerprint(columns),
            "processes": self.processes.count,
            "device": self.device.type,
            "first weights": model_digest(self.init_from),
            "vocabularies and lists": hashlib.sha256(made_of.encode()).hexdigest(),
            **({"frozen weights": self._frozen} if self._frozen else {}),
        }

    def learning_rate(self, share: float) -> float:
        """Return the learning rate after a share of the current epoch."""
        epochs = self.epochs[self.position.begun :]
        done = min((len(epochs) + share) / (self._data.training.epochs or 1), 1.0)
        f1 = [epoch.score.f1 for epoch in epochs if epoch.score is not None]
        return self._schedule.learning_rate(done, f1)

    def _take(self, group: Group, share: float) -> float:
        """Take a step, and return the summed loss of its sentences."""
        try:
            return self._stepper.take(self._data.batches(group), self.learning_rate(share))
        except DivergedError as error:
            raise DivergedError(
                f"{error} at step {self.position.step + 1}, with the training sentences at lines "
                f"{self._data.lines(group)}; try a lower learning_rate or gradient_clip"
            ) from error

    def _pause(self) -> None:
        """Write a checkpoint between two steps if one is due, and stop if requested."""
        training = self._data.training
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
            snapshot = self.snapshot()
            if self.processes.writes:
                self.folder.write(self.position.step, snapshot)
            self.processes.wait()
        self._written = time.monotonic()

    def _end_epoch(self) -> Epoch:
        self._stepper.settle()
        place, labels = self.position, self._score()
        score = None if labels is None else sum(labels.values(), Score())
        lost = None if self._retention is None else self._retention.excess(labels or {})
        epoch = Epoch(
            number=len(self.epochs) + 1,
            loss=place.loss / self.sentences,
            score=score,
            seconds=place.seconds,
            tokens_per_second=self.tokens / place.seconds,
            best=not lost and self._is_best(score),
            labels=dict(sorted((labels or {}).items())),
            learning_rate=self.learning_rate(1.0 - 1.0 / place.steps_of_epoch),
            remarks=(*remarks_on(self.epochs, score), *([lost] if lost else ())),
            decoding=self._decoding,
        )
        self.epochs.append(epoch)
        self.position = replace(place, steps_of_epoch=0, loss=0.0, seconds=0.0)
        if epoch.best:
            self._keep()
        if self.folder is not None and self.processes.writes:
            self.folder.log(self.epochs)
        self._checkpoint()
        if self.processes.any(self._stopping):  # while the epoch was scored
            raise StoppedError
        return epoch

    def _score(self) -> Mapping[str, Score] | None:
        """Return the score of each label in the development sentences, if there are any."""
        fixed = self.settings.decoding
        average, development = self._stepper.average, self.corpora.development
        release_memory()
        scored = score_development(self.network, development, fixed, average, self.processes)
        release_memory()
        if scored is None:
            return None
        labels, decoding = scored
        self._decoding = decoding if fixed is None else None
        return labels

    def _is_best(self, score: Score | None) -> bool:
        before = None if self.best is None else self.best.score
        return score is None or before is None or score.f1 > before.f1

    def _keep(self) -> None:
        average = self._stepper.average
        trained = trained_weights(self.network)
        weights = average.weights if average else trained
        self._best_weights = {name: weights[name].clone() for name in trained if name in weights}
        if self.settings.output is not None and self.processes.writes:
            self.save(Path(self.settings.output))
