"""The sections of a configuration file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from ner.config import ConfigError, load, override
from ner.embeddings import EMBEDDINGS
from ner.encoder import Encoder
from ner.formats import options_of
from ner.inference import MOST_THREADS
from ner.inference.decoding import Decoding
from ner.network import build
from ner.options import (
    UnknownOptionError,
    check_all,
    instantiate,
    lookup,
    nearest,
    parameters_of,
)
from ner.training.optimisation import OPTIMIZERS, SCHEDULES, Schedule

POSITIVE = (
    "epochs",
    "batch_size",
    "longest",
    "batch_tokens",
    "learning_rate",
    "plateau_factor",
    "gradient_clip",
    "accumulate",
    "patience",
    "checkpoint_steps",
    "checkpoint_minutes",
)
LAST_SEED = 2**32 - 1
FINE_TUNING = {"epochs": 2, "learning_rate": 1e-3}  # defaults of the second stage
WHOLE_RUN = ("seed", "deterministic", "threads", "rehearsal", "max_drop", "fine_tuning")
RANGES: tuple[tuple[tuple[str, ...], str, Callable[[float], bool]], ...] = (
    (POSITIVE, "more than 0", lambda value: value > 0),
    (("warmup", "average", "momentum"), "at least 0 and below 1", lambda value: 0 <= value < 1),
    (
        (
            "rehearsal",
            "max_drop",
            "length_noise",
            "weight_decay",
            "plateau_patience",
            "adversarial",
        ),
        "at least 0, and finite",
        lambda value: 0 <= value < math.inf,
    ),
    (("threads",), f"from 1 to {MOST_THREADS:,}", lambda value: 1 <= value <= MOST_THREADS),
    (("seed",), f"from 0 to {LAST_SEED:,}", lambda value: 0 <= value <= LAST_SEED),
    (("lower_cased", "upper_cased"), "from 0 to 1", lambda value: 0.0 <= value <= 1.0),
)
AUTO = "auto"  # choose the decoding on the development sentences
SAMPLE = "sample:"  # prefix of the splits of the bundled corpus

Settings = dict[str, Any]
Files = str | Settings | list[str | Settings]  # settings are those of a CorpusSettings


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """A corpus among the files of a split.

    Attributes:
        file: A path, a pattern, or ``sample:train`` of the bundled corpus.
        labels: The annotated labels: a token outside of entities may belong to an entity of any
            other label, and training leaves that open. Null: all labels.
        format: The format, if neither the extension nor the section ``data`` gives it.
        reader: Options of that format's reader; null for those of the section ``data``.
    """

    file: str
    labels: list[str] | None = None
    format: str | None = None
    reader: Settings | None = None


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """The section ``data``: the files.

    Attributes:
        train: The files to train on: paths, patterns, or ``sample:train`` of the bundled corpus;
            or settings of a corpus: ``{file: people.conll, labels: [PER]}``.
        development: The files to choose the best epoch by.
        test: The files to score the finished model on.
        development_fraction: Without development files, the share of the training documents (or
            sentences, without documents) held out for development. Null: nothing is held out.
        test_fraction: Without test files, the share held out for testing, in the same way, but
            independently of the seed.
        format: The format of the files, if their extensions do not give it.
        reader: Options of that format's reader.
        labels: The labels to learn; entities with other labels are ignored. Null: all labels.
        on_disk: A folder, for training sentences that do not fit in memory: they are kept in
            temporary files there, with the same result. Null: they are kept in memory.
    """

    train: Files
    development: Files | None = None
    test: Files | None = None
    development_fraction: float | None = None
    test_fraction: float | None = None
    format: str | None = None
    reader: dict[str, Any] = field(default_factory=dict)
    labels: list[str] | None = None
    on_disk: str | None = None

    def __post_init__(self) -> None:
        for split in ("development", "test"):
            share = getattr(self, f"{split}_fraction")
            if share is not None and not 0.0 < share < 1.0:
                raise ValueError(f"{split}_fraction must be between 0 and 1, got {share}")
            if share is not None and getattr(self, split) is not None:
                raise ValueError(f"set {split} or {split}_fraction, not both")
        held = (self.development_fraction or 0.0) + (self.test_fraction or 0.0)
        if held >= 1.0:
            raise ValueError(f"the fractions held out ({held} in total) leave no training data")
        for split in ("train", "development", "test"):
            if not self.corpora(split) and getattr(self, split) is not None:
                raise ValueError(f"{split} names no file")

    def corpora(self, split: str) -> list[CorpusSettings]:
        """Return the corpora of a split, each with its settings.

        Raises:
            ConfigError: A setting is invalid.
        """
        files: Files | None = getattr(self, split)
        entries = files if isinstance(files, list) else [] if files is None else [files]
        found = []
        for number, entry in enumerate(entries):
            own = {"file": entry} if isinstance(entry, str) else entry
            corpus = instantiate(CorpusSettings, own, of=f"data.{split}[{number}]")
            found.append(
                replace(
                    corpus,
                    format=corpus.format or self.format,
                    reader=self.reader if corpus.reader is None else corpus.reader,
                )
            )
        return found


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The section ``training``: how to train. The defaults are the published recipe.

    Attributes:
        seed: The random seed of initial weights, the order of sentences, and dropout.
        deterministic: On CUDA, whether to use deterministic operations only, some of which are
            slower. On the CPU, results depend only on the number of threads.
        epochs: The number of epochs. Null: 8, or as many as it takes for 1,000 steps if there are
            few sentences.
        batch_size: The maximum number of sentences per batch. Null: 32, or fewer (at least 4) if an
            epoch would have less than 400 steps; times the number of processes that train
            together, if there are enough sentences.
        longest: Longer sentences are split between entities into pieces of at most this many
            tokens. (In tagging and scoring, sentences are never split.)
        batch_tokens: The maximum number of tokens per batch, including padding; null for no limit.
        length_noise: Batches contain sentences of similar length: they are sorted by length plus a
            random number up to this many tokens.
        lower_cased: The share of training sentences that are added as copies in lower case, so that
            text without capitals is understood.
        upper_cased: The share of training sentences that are added as copies in upper case.
        optimizer: ``adamw``, ``adam``, ``nadam`` or ``sgd``.
        learning_rate: The maximum learning rate.
        weight_decay: The weight decay of all weights.
        momentum: The momentum of ``sgd``.
        schedule: The schedule of the learning rate: ``one_cycle``, ``linear``, ``cosine``,
            ``constant``, or ``plateau``, which lowers it when the development F1 stops rising.
        warmup: The share of the steps over which the learning rate rises.
        plateau_patience: The number of epochs that ``plateau`` waits for a better F1.
        plateau_factor: The factor that ``plateau`` then multiplies the learning rate by.
        gradient_clip: The maximum length of gradients; longer ones are shortened to it.
        gradient_normalisation: Whether shorter gradients are lengthened to it.
        accumulate: The number of batches per step, with the effect of one large batch.
        precision: ``float32``, or ``bfloat16`` for the network before the CRF.
        costs: The costs of errors in training (softmax-margin, Gimpel and Smith 2010): ``miss`` for
            tokens of entities taken for others, ``false_alarm`` for the reverse, and a label for
            all errors at tokens of its entities. 1 is neutral; more makes an error rarer.
        adversarial: The length of perturbations of the vectors of tokens, relative to the vectors:
            half of the loss is that of the vectors moved so that it rises (adversarial training,
            Miyato, Dai and Goodfellow 2017), which regularises the network. 0 for none.
        average: The decay of a moving average of the weights, which is scored and saved; 0 for
            none.
        patience: Stop after this many epochs without a better development F1; null for never.
        rehearsal: With a model to start from, the weight of its marginals as soft targets, relative
            to the annotation of the new sentences; its labels are kept, and O in the new sentences
            leaves them open. 0 for none.
        max_drop: With a model to start from, the largest drop of F1 on its labels in development
            data, in points: epochs with a larger drop are not kept, and nothing is saved if none
            is kept. Null: no limit.
        fine_tuning: A second stage, from the best epoch of the first: embeddings with ``tune`` are
            frozen until then. Settings of this section that differ in it; by default ``epochs: 2``
            and ``learning_rate: 0.001``. Null: no second stage.
        threads: The number of CPU threads; null for torch's choice. More than one is rarely worth
            it: the steps are short, and threads wait for each other beside other work.
        checkpoint_steps: Save a checkpoint every this many steps, besides those after epochs.
        checkpoint_minutes: Save a checkpoint when this many minutes have passed since the last one.
    """

    seed: int = 1
    deterministic: bool = False
    epochs: int | None = None
    batch_size: int | None = None
    longest: int = 256
    batch_tokens: int | None = None
    length_noise: float = 2.0
    lower_cased: float = 0.0
    upper_cased: float = 0.0
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: str = "one_cycle"
    warmup: float = 0.1
    plateau_patience: int = 2
    plateau_factor: float = 0.5
    gradient_clip: float = 5.0
    gradient_normalisation: bool = False
    accumulate: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    costs: dict[str, float] = field(default_factory=dict)
    adversarial: float = 0.0
    average: float = 0.998
    patience: int | None = None
    rehearsal: float = 0.0
    max_drop: float | None = None
    fine_tuning: Settings | None = None
    threads: int | None = 1
    checkpoint_steps: int | None = None
    checkpoint_minutes: float | None = 10.0

    def __post_init__(self) -> None:
        for names, wanted, fits in RANGES:
            for name in names:
                value = getattr(self, name)
                if value is not None and not fits(value):
                    raise ValueError(f"{name} must be {wanted}, got {value}")
        for name, cost in self.costs.items():
            if not 0.0 < cost < math.inf:
                raise ValueError(f"costs: {name} must be above 0 and finite, got {cost}")
        for name, shelf in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in shelf:
                raise ValueError(
                    f"{name} must be one of {', '.join(shelf)}, got {getattr(self, name)!r}"
                )
        self.stages()

    def stages(self) -> list[TrainingSettings]:
        """Return the settings of each stage.

        Raises:
            ConfigError: A setting of ``fine_tuning`` is invalid.
        """
        if self.fine_tuning is None:
            return [self]
        for name in WHOLE_RUN:
            if name in self.fine_tuning:
                raise ConfigError(f"fine_tuning: {name} is a setting of the whole run")
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        given |= {**FINE_TUNING, "fine_tuning": None, **self.fine_tuning}
        return [self, instantiate(TrainingSettings, given, of="training.fine_tuning")]

    def learning_rates(self) -> Schedule:
        """Return the schedule of the learning rate."""
        return Schedule(
            self.schedule,
            self.learning_rate,
            self.warmup,
            self.plateau_patience,
            self.plateau_factor,
        )


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """A whole configuration.

    Attributes:
        data: The files.
        model: The settings of ``ner.network.build``.
        training: The training settings.
        decoding: The decoding of spans, for every score and the finished tagger. Null: the best for
            the development sentences, or the best path if these are missing or few.
        output: The model directory to write; null for none.
        tune: The ranges of ``ner tune`` by the dotted names of settings.
    """

    data: DataSettings
    model: dict[str, Any] = field(default_factory=dict)
    training: TrainingSettings = TrainingSettings()
    decoding: Decoding | None = None
    output: str | None = None
    tune: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.output is not None and Path(self.output).name in ("", ".."):
            raise ConfigError(f"output must be a directory of its own, got {self.output!r}")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as in a configuration file, including defaults."""

        def plain(section: Any) -> dict[str, Any]:
            return {one.name: getattr(section, one.name) for one in fields(section)}

        return {
            "data": plain(self.data),
            "model": self.model,
            "training": plain(self.training),
            "decoding": AUTO if self.decoding is None else plain(self.decoding),
            "output": self.output,
        }


WHOLE = "the configuration"
SECTIONS = {  # and the settings in each
    "": parameters_of(RunSettings),
    "data": parameters_of(DataSettings),
    "training": parameters_of(TrainingSettings),
    "decoding": parameters_of(Decoding),
    "model": parameters_of(build, 1),
    "model.encoder": parameters_of(Encoder, 1),
    "model.embeddings": dict.fromkeys(EMBEDDINGS, (Any, False)),
    "data.reader": options_of("conll", "read"),
}
SYNONYMS = {
    **dict.fromkeys(("dev", "valid", "validation"), "data.development"),
    **dict.fromkeys(("lr", "alpha"), "training.learning_rate"),
    "batch": "training.batch_size",
    "hidden_size": "model.encoder.width",
}


SHORTCUTS = {  # short names of settings, on the command line and in Python
    "train": "data.train",
    "development": "data.development",
    "test": "data.test",
    "labels": "data.labels",
    "epochs": "training.epochs",
}


def shortcuts(given: Mapping[str, Any]) -> list[str]:
    """Return assignments of the settings with short names that are not ``None``."""

    def plain(value: Any) -> Any:
        if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
            return [plain(one) for one in value]
        return str(value) if isinstance(value, Path) else value

    return [
        f"{SHORTCUTS[name]}={json.dumps(plain(value))}"
        for name, value in given.items()
        if value is not None
    ]


def read_settings(
    config: Path | str | Mapping[str, Any],
    assignments: Sequence[str] = (),
    *,
    output: str | None = None,
) -> RunSettings:
    """Read the settings of a run from a file or a mapping, and apply ``KEY=VALUE`` assignments.

    ``output`` overrides that of the configuration.

    Raises:
        ConfigError: A setting is invalid; the message names file and key.
        OSError: The file cannot be read.
    """
    is_mapping = isinstance(config, Mapping)
    raw = dict(config) if is_mapping else load(Path(config))  # type: ignore[arg-type]
    if raw.get("decoding") == AUTO:
        del raw["decoding"]  # so that a setting of it can be assigned
    try:
        settings = _checked(override(raw, assignments))
    except ConfigError as error:
        told = _placed(error) if isinstance(error, UnknownOptionError) else str(error)
        raise ConfigError(told if is_mapping else f"{config}: {told}") from error
    return settings if output is None else replace(settings, output=output)


def _checked(raw: Mapping[str, Any]) -> RunSettings:
    sections = dict(raw)
    if sections.get("decoding") in (None, AUTO, {"decode": AUTO}):
        sections.pop("decoding", None)
    kinds = {"data": DataSettings, "training": TrainingSettings, "decoding": Decoding}
    for name in kinds.keys() & sections.keys():
        sections[name] = instantiate(kinds[name], sections[name], of=name)
    sections["model"] = model = check_all(sections.get("model"), SECTIONS["model"], of="model")
    check_all(model.get("encoder") or None, SECTIONS["model.encoder"], of="model.encoder")
    for name, own in (model.get("embeddings") or {}).items():
        if not (isinstance(own, Mapping) and "kind" in own):
            lookup(EMBEDDINGS, name, of="embedding")
    return instantiate(RunSettings, sections, of=WHOLE)


def _placed(error: UnknownOptionError) -> str:
    """Return the message about an unknown setting, with the section of the nearest known one."""
    name, here = error.name, "" if error.of == WHOLE else error.of
    paths = [f"{section}.{own}".strip(".") for section, known in SECTIONS.items() for own in known]
    paths.sort(key=lambda path: not path.startswith(f"{here}."))  # nearer sections first
    leaves = {path.rpartition(".")[2]: path for path in reversed(paths)}
    meant = leaves.get(name) or SYNONYMS.get(name)
    if meant is None and nearest(name, error.known) is None:
        meant = leaves.get(nearest(name, leaves) or "")
    return f"{error.of} has no setting {name!r}; did you mean {meant!r}?" if meant else str(error)
