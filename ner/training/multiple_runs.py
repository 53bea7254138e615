"""Several runs of one configuration: by folds, by seeds, or with other settings (Optuna)."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

from ner.config import ConfigError, assign
from ner.evaluation.score import percent
from ner.model_directory import DESCRIPTION
from ner.options import instantiate
from ner.sentence import Sentence
from ner.storage.atomic import atomic_directory
from ner.tagger import Tagger
from ner.training.corpora import Corpora, grouped, read_corpora
from ner.training.loop import Run
from ner.training.results import Epoch
from ner.training.run_folder import flat
from ner.training.settings import RunSettings, read_settings
from ner.training.step import DivergedError


def folds(sentences: Sequence[Sentence], count: int, seed: int) -> list[list[int]]:
    """Split sentences into folds of about equally many tokens, by whole documents.

    Raises:
        ValueError: There are fewer than two folds, or fewer documents than folds.
    """
    parts = grouped(sentences)
    if not 2 <= count <= len(parts):
        raise ValueError(
            f"folds must be from 2 to the number of documents ({len(parts)}), got {count}"
        )
    Random(seed).shuffle(parts)
    parts.sort(key=lambda part: -sum(len(sentences[number]) for number in part))
    held: list[list[int]] = [[] for _ in range(count)]
    tokens = [0] * count
    for part in parts:
        least = tokens.index(min(tokens))
        held[least] += part
        tokens[least] += sum(len(sentences[number]) for number in part)
    return [sorted(fold) for fold in held]


Follow = Callable[[str, Run], Iterable[Epoch]]


def _trained(name: str, run: Run) -> Iterable[Epoch]:
    return run


def cross_fit(
    sentences: Sequence[Sentence],
    settings: RunSettings,
    count: int,
    *,
    device: str = "auto",
    tell: Callable[[str], None] = lambda line: None,
    follow: Follow = _trained,
) -> Iterator[tuple[list[int], Tagger]]:
    """Train a tagger without each fold in turn.

    Args:
        sentences: Annotated sentences.
        settings: The settings; their files are not read and nothing is saved.
        count: The number of folds.
        device: The device.
        tell: Receives a line on each epoch.
        follow: Gives the epochs of a run, which has a name.

    Yields:
        The numbers of the sentences of a fold, and the tagger that was trained without them.

    Raises:
        ValueError: There are too few documents, or no entities outside a fold.
    """
    quiet = replace(settings, output=None)
    for number, fold in enumerate(folds(sentences, count, settings.training.seed)):
        out = set(fold)
        train = tuple(s for n, s in enumerate(sentences) if n not in out and s.spans is not None)
        if not any(sentence.spans for sentence in train):
            raise ValueError(f"no sentence outside fold {number + 1} of {count} has an entity")
        run = Run(quiet, device=device, corpora=Corpora(train, (), ()))
        for epoch in follow(f"fold {number + 1}", run):
            tell(f"fold {number + 1} of {count}, epoch {epoch.number}: loss {epoch.loss:.4f}")
        yield fold, run.tagger


def settings_of(settings: RunSettings, count: int) -> list[RunSettings]:
    """Return the settings of each run; ``OUTPUT.seeds/SEED`` is its model directory."""
    output, first = Path(str(settings.output)), settings.training.seed
    return [
        replace(
            settings,
            training=replace(settings.training, seed=seed),
            output=str(output.with_name(f"{output.name}.seeds") / str(seed)),
        )
        for seed in range(first, first + count)
    ]


def choose(results: Mapping[int, Mapping[str, Any]]) -> int:
    """Return the seed with the best development F1, the first of equals."""

    def f1(seed: int) -> float:
        return results[seed].get("development", {}).get("f1") or 0.0

    return max(results, key=f1)


def spread(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return mean and sample standard deviation of F1 for each split, as fractions."""
    figures = {}
    for split in ("development", "test"):
        found = [result[split]["f1"] or 0.0 for result in results if split in result]
        if found:
            deviation = stdev(found) if len(found) > 1 else 0.0
            figures[split] = {"mean": fmean(found), "deviation": deviation}
    return figures


def keep(model: Path, output: Path) -> None:
    """Copy a model directory to the output, atomically."""
    with atomic_directory(output, holds=DESCRIPTION) as fresh:
        shutil.copytree(model, fresh, dirs_exist_ok=True)


NAME = "ner"  # of the study in its file
FIRST, WARM = 4, 2  # trials that are never pruned; the first epoch after which others may be
COMPLETE, PRUNED, DIVERGED = "complete", "pruned", "diverged"
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Range:
    """A range of numbers: whole ones if both ends are.

    Attributes:
        low: The lowest number.
        high: The highest number.
        step: The distance between numbers.
        log: Whether to draw on a logarithmic scale.
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"low must not be above high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"with log, low must be more than 0, got {self.low}")
        if self.step is not None and (self.log or self.step <= 0):
            raise ValueError("step must be more than 0, and cannot be used with log")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(
                f"step must be at most high - low, {self.high - self.low}, got {self.step}"
            )

    def distribution(self) -> Any:
        """Return the range as a distribution of Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        low, high, step = self.low, self.high, self.step
        if isinstance(low, int) and isinstance(high, int) and isinstance(step, int | None):
            return IntDistribution(low, high, log=self.log, step=step or 1)
        return FloatDistribution(low, high, log=self.log, step=step)


Choices = Range | list[Any]


@dataclass(frozen=True)
class Trial:
    """A run with some settings.

    Attributes:
        number: The number of the trial in the study, from 0.
        settings: The tuned settings by dotted name.
        f1: The best development F1 of its epochs; ``None`` without a scored epoch.
        epochs: The number of epochs trained.
        state: ``complete``, ``pruned`` or ``diverged``.
        best: Whether it is the best of the study so far.
    """

    number: int
    settings: Mapping[str, Any]
    f1: float | None
    epochs: int
    state: str
    best: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the trial as JSON values."""
        return {
            "number": self.number,
            "state": self.state,
            "f1": self.f1,
            "epochs": self.epochs,
            "settings": dict(self.settings),
        }


class Study:
    """Trials of settings, stored in an SQLite file that later calls continue.

    The settings to try depend only on the seed of the configuration and on the previous trials, so
    that an interrupted study continues as if it had not been. An interrupted trial is restarted.

    Args:
        settings: The settings of a run, with the section ``tune``.
        path: The file of the study.
        device: The device.

    Raises:
        ConfigError: There is nothing to tune or no development data, a setting is invalid, the
            study has other settings, or Optuna is not installed.
        ValueError: A file is invalid.
    """

    def __init__(self, settings: RunSettings, path: Path, *, device: str = "auto") -> None:
        self.path = path
        self.ranges = read_ranges(settings)
        self._settings = replace(settings, tune={}, output=None)
        self._output = settings.output
        self._device = device
        self._corpora = read_corpora(settings.data, settings.training.seed)
        if not self._corpora.development:
            raise ConfigError("ner tune chooses by development F1: set data.development")
        for choices in self.ranges.values():
            choices if isinstance(choices, list) else choices.distribution()
        with _clear_errors(path):
            self._study = _opened(path, _identity(settings, self._corpora))

    @property
    def trials(self) -> list[Trial]:
        """The finished trials."""
        with _clear_errors(self.path):
            return [
                trial for one in self._study.get_trials(deepcopy=False) if (trial := _told(one))
            ]

    @property
    def best(self) -> Trial | None:
        """The complete trial with the highest F1, the first of equals."""
        complete = [trial for trial in self.trials if trial.state == COMPLETE]
        return max(complete, key=lambda trial: trial.f1 or 0.0, default=None)

    def run(
        self, count: int, tell: Tell = lambda line: None, follow: Follow = _trained
    ) -> Iterator[Trial]:
        """Run trials until the study has the requested number of finished ones.

        Args:
            count: The total number of trials, including those of earlier calls.
            tell: Receives a line on each epoch.
            follow: Gives the epochs of a run, which has a name.

        Raises:
            ConfigError: The settings of a trial are invalid.
        """
        while len(self.trials) < count:
            with _clear_errors(self.path):
                yield self._try(tell, follow)

    def settings_of(self, trial: Trial) -> RunSettings:
        """Return the complete configuration of a trial.

        Raises:
            ConfigError: It is invalid.
        """
        return _with(replace(self._settings, output=self._output), trial.settings)

    def _try(self, tell: Tell, follow: Follow) -> Trial:
        from optuna.samplers import TPESampler

        self._study.sampler = TPESampler(seed=self._settings.training.seed + len(self.trials))
        trial = self._study.ask({name: _choice(one) for name, one in self.ranges.items()})
        settings = {name: _chosen(self.ranges[name], trial.params[name]) for name in self.ranges}
        run = Run(_with(self._settings, settings), device=self._device, corpora=self._corpora)
        state = _train(run, follow(f"trial {trial.number}", run), trial, tell)
        f1 = max((epoch.score.f1 for epoch in run.epochs if epoch.score), default=None)
        trial.set_user_attr("told", [f1, len(run.epochs), state, settings])
        _tell(self._study, trial, f1, state)
        best = self.best
        found = Trial(trial.number, settings, f1, len(run.epochs), state)
        return replace(found, best=best is not None and best.number == trial.number)


def read_ranges(settings: RunSettings) -> dict[str, Choices]:
    """Read and check the section ``tune``.

    Raises:
        ConfigError: It is empty, names a setting that cannot be tuned, or has an invalid range.
    """
    if not settings.tune:
        raise ConfigError(
            "nothing to tune; add ranges to the configuration, such as "
            "tune: {training.learning_rate: {low: 0.001, high: 0.01, log: true}}"
        )
    ranges: dict[str, Choices] = {}
    for name, given in settings.tune.items():
        if name.partition(".")[0] not in ("model", "training"):
            raise ConfigError(f"tune.{name}: only settings of model and training can be tuned")
        ranges[name] = _range(name, given)
        ends = ranges[name] if isinstance(given, list) else (given["low"], given["high"])
        for value in ends:  # type: ignore[union-attr]
            _with(settings, {name: value})
    return ranges


def _range(name: str, given: Any) -> Choices:
    if isinstance(given, list):
        if not given or not all(isinstance(one, str | int | float | None) for one in given):
            raise ConfigError(f"tune.{name} wants a list of plain values, got {given}")
        return given
    return instantiate(Range, given, of=f"tune.{name}")


def _with(settings: RunSettings, tuned: Mapping[str, Any]) -> RunSettings:
    raw = settings.as_dict()
    for name, value in tuned.items():
        raw = assign(raw, name, value)
    return read_settings(raw)


def _choice(choices: Choices) -> Any:
    """Return the choices for Optuna; those of a list by index, since they may be anything."""
    from optuna.distributions import CategoricalDistribution

    if isinstance(choices, list):
        return CategoricalDistribution(list(range(len(choices))))
    return choices.distribution()


def _chosen(choices: Choices, value: Any) -> Any:
    """Return a choice of Optuna, rounded to 12 digits."""
    if isinstance(choices, list):
        return choices[value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _train(run: Run, epochs: Iterable[Epoch], trial: Any, tell: Tell) -> str:
    """Train a trial's run unless it is pruned; return how it ended."""
    try:
        for epoch in epochs:
            f1 = 0.0 if epoch.score is None else epoch.score.f1
            tell(f"trial {trial.number}, epoch {epoch.number}: development F1 {percent(f1)}")
            trial.report(f1, epoch.number)
            if not run.finished and trial.should_prune():
                return PRUNED
    except DivergedError:
        return DIVERGED
    return COMPLETE


def _tell(study: Any, trial: Any, f1: float | None, state: str) -> None:
    from optuna.trial import TrialState

    if state == COMPLETE:
        study.tell(trial, f1)
    else:
        study.tell(trial, state=TrialState.PRUNED)


def _told(trial: Any) -> Trial | None:
    """Return a finished trial, from the record of the study."""
    if not trial.state.is_finished() or "told" not in trial.user_attrs:
        return None
    f1, epochs, state, settings = trial.user_attrs["told"]
    return Trial(trial.number, settings, f1, epochs, state)


def _opened(path: Path, identity: dict[str, Any]) -> Any:
    """Return the study in a file, or a new one, with interrupted trials queued again."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{path}",
        study_name=NAME,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST, n_warmup_steps=WARM),
    )
    known = study.user_attrs.get("identity")
    if known is None or not any(map(_told, study.trials)):
        study.set_user_attr("identity", identity)
    elif known != identity:
        names = sorted(set(known) | set(identity))
        name = next(name for name in names if known.get(name) != identity.get(name))
        raise ConfigError(
            f"{path} is a study with other settings: {name} was {known.get(name)!r}, now "
            f"{identity.get(name)!r}; pass another file with --study"
        )
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if known == identity:
            study.enqueue_trial(trial.params)
    return study


def _identity(settings: RunSettings, corpora: Corpora) -> dict[str, Any]:
    """Return what must be the same for a study to be resumed."""
    raw = {**settings.as_dict(), "tune": settings.tune, "output": None}
    plain: dict[str, Any] = json.loads(json.dumps(flat(raw)))
    return {**plain, "sentences": corpora.fingerprint()}


@contextlib.contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn errors of the database into one line about the file.

    Raises:
        ConfigError: Optuna is not installed.
        ValueError: The file is not a study.
    """
    try:
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError as error:
        raise ConfigError("ner tune needs Optuna: pip install 'ner-crf[tune]'") from error
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"{path} cannot be used as a study: {reason}") from error
