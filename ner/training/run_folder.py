"""Stopping a run and going on with it: what a checkpoint holds, and what may continue it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ner.config import ConfigError
from ner.indexers.columns import columns_of
from ner.model_directory import DESCRIPTION
from ner.storage.atomic import check_replaceable, recover, remove_stale
from ner.storage.locks import RunLock, run_lock
from ner.training import checkpointing
from ner.training.checkpointing import Checkpoint
from ner.training.history import Epoch, Position
from ner.training.initialisation import model_digest
from ner.training.step import Stepper, random_states, restore_random_states

if TYPE_CHECKING:
    from ner.training.loop import Run


CHOSEN = ("training.epochs", "training.batch_size")  # by a run, where its settings are null
CHECKPOINTS, HISTORY = "checkpoints", "metrics.jsonl"  # what lies in the folder of a run


def check_place(output: str | None, *, resume: bool, init_from: Path | str | None) -> None:
    """Refuse what would be found out, or lost, only when the run is under way.

    Raises:
        ConfigError: There is nothing to resume beside, or a model would be trained into the place
            of the one it starts from.
        FileExistsError: The output is there already, and is no model.
    """
    if output is None:
        if resume:
            raise ConfigError("to resume needs an output, beside which the checkpoints lie")
        return
    check_replaceable(Path(output), holds=DESCRIPTION)
    if init_from is not None and Path(output).resolve() == Path(init_from).resolve():
        raise ConfigError(f"output and --init-from are both {output}; give another output")


def run_folder(output: Path) -> Path:
    """Where a run that writes a model there keeps what it needs until it is finished."""
    return output.with_name(f"{output.name}.run")


def write(run: Run, stepper: Stepper, best_weights: Mapping[str, Tensor] | None) -> None:
    """Write a checkpoint of a run that has a folder.

    Raises:
        OSError: It cannot be written; those before it are untouched.
    """
    tensors = stepper.tensors()
    tensors |= {f"best.{name}": tensor for name, tensor in (best_weights or {}).items()}
    for kind, own in random_states(run.device).items():
        for rank, one in enumerate(run.processes.gather(own)):
            tensors[f"random-{rank}.{kind}"] = one
    state = {
        **_circumstances(run),
        "settings": run.settings.as_dict(),
        "position": run.position.as_json(),
        "epochs": [epoch.as_json() for epoch in run.epochs],
    }
    if run.processes.writes:
        checkpointing.write(_checkpoints(run), run.position.step, Checkpoint(state, tensors))
    run.processes.wait()


def begin(run: Run) -> list[str]:
    """Bring a fresh run to where its last checkpoint was written; what there is to say of it.

    Raises:
        ConfigError: The checkpoint is of another run, or that run is still under way.
    """
    folder, output = _checkpoints(run), Path(str(run.settings.output))
    if run.processes.writes:
        run.lock = _lock(output)
        recover(output)
        remove_stale(folder)
    run.processes.wait()
    checkpoint, remarks = checkpointing.newest(folder)
    if checkpoint is None:
        return [*remarks, f"no checkpoint in {folder}: training from the beginning"]
    _check_same(run, checkpoint.state)
    run.restore(checkpoint)
    if run.processes.writes and run.best is not None:
        run.save(output)
    position = run.position
    return [
        *remarks,
        f"going on after step {position.step}: epoch {len(run.epochs) + 1}, "
        f"{position.steps_of_epoch} steps of it done",
    ]


def clear(run: Run) -> list[str]:
    """Remove what is left of an unfinished run of the same output.

    Raises:
        ConfigError: Something else lies there too, or that run is still under way.
    """
    output, remarks = Path(str(run.settings.output)), []
    folder = run_folder(output)
    if run.processes.writes:
        left = folder.exists()
        run.lock = _lock(output)
        if left:
            remove_stale(folder)
            if strange := {path.name for path in folder.iterdir()} - {CHECKPOINTS, HISTORY}:
                raise ConfigError(
                    f"{folder}: holds {min(strange)}, which is no part of an unfinished run, and "
                    "would be removed; move it, or give another output"
                )
            if (folder / CHECKPOINTS).exists():
                shutil.rmtree(folder / CHECKPOINTS)
            (folder / HISTORY).unlink(missing_ok=True)
            told = (
                f"removed the checkpoints of an unfinished run in {folder}; --resume continues one"
            )
            remarks.append(told)
    run.processes.wait()
    return remarks


def _lock(output: Path) -> RunLock:
    """Make the folder of a run, and keep it from the runs of other processes.

    Raises:
        ConfigError: It is one of theirs.
    """
    try:
        return run_lock(run_folder(output))
    except BlockingIOError:
        raise ConfigError(
            f"{output}: another run is under way that writes it; wait for its end, or give "
            "another output"
        ) from None


def restore_stepper(stepper: Stepper, checkpoint: Checkpoint, run: Run) -> Position:
    """Give a stepper and the random numbers the states of a checkpoint; where it was written."""
    position = Position(**checkpoint.state["position"])
    parts = {name: checkpoint.part(name) for name in Stepper.PARTS}
    stepper.restore(parts, position.step)
    restore_random_states(checkpoint.part(f"random-{run.processes.rank}"), run.device)
    return position


def epochs_of(checkpoint: Checkpoint) -> list[Epoch]:
    """The epochs that were done when a checkpoint was written."""
    return [Epoch.from_json(epoch) for epoch in checkpoint.state["epochs"]]


def _checkpoints(run: Run) -> Path:
    return run_folder(Path(str(run.settings.output))) / CHECKPOINTS


def _circumstances(run: Run) -> dict[str, Any]:
    """What must be the same when a run is continued, beside its settings."""
    columns = columns_of(part.indexer for part in run.network.context_embeddings)
    made_of = json.dumps(run.network.settings(), sort_keys=True)
    return {
        "sentences": run.corpora.fingerprint(columns),
        "processes": run.processes.count,
        "device": run.device.type,
        "first weights": model_digest(run.init_from),
        "vocabularies and lists": hashlib.sha256(made_of.encode()).hexdigest(),
    }


def _check_same(run: Run, state: Mapping[str, Any]) -> None:
    check_settings(state["settings"], run.settings.as_dict())
    for name, value in _circumstances(run).items():
        if state[name] != value:
            raise ConfigError(
                f"--resume: the {name} are not those of the checkpoint ({state[name]!s:.12}, now "
                f"{value!s:.12}); train without --resume, or with what was used before"
            )


def check_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with a run whose settings were others.

    Raises:
        ConfigError: They were; the message names the first.
    """
    old, new = flat(before), flat(json.loads(json.dumps(now)))
    for name in sorted(set(old) | set(new)):
        left_open = name in CHOSEN and new.get(name) is None
        if old.get(name) != new.get(name) and name != "output" and not left_open:
            raise ConfigError(
                f"--resume: {name} was {old.get(name)!r} in the run so far, it is "
                f"{new.get(name)!r}; train without --resume, or with the settings used before"
            )


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= (
            flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
        )
    return found
