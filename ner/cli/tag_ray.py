"""``ner tag --engine ray``: the shards of a corpus on the machines of a Ray cluster.

Ray Data keeps a pool of workers, each with the tagger in it, and gives every shard to one of them,
again to another if a worker is lost. A shard is read, tagged and written by one worker as it is
without Ray: in order, at constant memory, and under its name only when it is whole.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ner.cli.console import Progress
from ner.cli.loading import loaded
from ner.cli.remote import exists
from ner.cli.tag_job import Shard, tag_shard
from ner.errors import ConfigError
from ner.runtime import is_exported

SHOWN = 5  # failed shards that are named


class Worker:
    """A tagger in a process of its own; made once, then called for each shard.

    Args:
        tagger: Where Ray keeps the bytes of the tagger.
        arguments: Those of ``ner tag``.
    """

    def __init__(self, tagger: Any, arguments: argparse.Namespace) -> None:
        import ray
        import torch

        from ner.tagger import Tagger

        torch.set_num_threads(arguments.threads)
        self._arguments = arguments
        self._tagger = Tagger.from_bytes(ray.get(tagger), device=arguments.device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Tag a shard and return its number of tokens, or the error."""
        told = {"path": row["path"], "tokens": 0, "skipped": "", "error": ""}
        if exists(row["target"]):  # a worker was lost after it had written this
            return told
        try:
            job = tag_shard(self._tagger, self._arguments, Shard(row["path"], row["target"]))
        except (ValueError, OSError) as error:
            return {**told, "error": str(error)}
        return {**told, "tokens": job.tokens, "skipped": job.skipped()}


def tag_on_ray(arguments: argparse.Namespace, shards: Sequence[Shard]) -> tuple[list[str], int]:
    """Tag shards on a cluster, or in several processes of this machine where there is none.

    Returns:
        What was left out of each shard that has bad lines; the tokens of all shards.

    Raises:
        ConfigError: Ray is missing, or shards could not be tagged; the others are.
    """
    if not shards:
        return [], 0
    if is_exported(arguments.model):
        raise ConfigError(f"{arguments.model}: --engine ray takes models, not exported ones")
    tagger = loaded(arguments)
    progress = Progress(quiet=arguments.quiet)
    told = []
    with _cluster(arguments) as ray:
        rows = _tagged(ray, ray.put(tagger.to_bytes()), arguments, shards)
        with progress.bar(len(shards), "tagging", "files") as done:
            for row in rows:
                told.append(row)
                done(1)
    failed = [row["error"] for row in told if row["error"]]
    if failed:
        listed = "; ".join(failed[:SHOWN])
        raise ConfigError(f"{len(failed)} of {len(shards)} files could not be tagged: {listed}")
    skipped = [row["skipped"] for row in told if row["skipped"]]
    return skipped, sum(row["tokens"] for row in told)


def _tagged(
    ray: Any, tagger: Any, arguments: argparse.Namespace, shards: Sequence[Shard]
) -> Iterator[dict[str, Any]]:
    """Yield the report of each shard as workers finish."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    rows = [{"path": shard.path, "target": shard.target} for shard in shards]
    told = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Worker,
        fn_constructor_args=(tagger, arguments),
        num_cpus=arguments.threads,
        num_gpus=_gpus(ray, arguments),
        compute=ray.data.ActorPoolStrategy(size=min(_workers(ray, arguments), len(rows))),
    )
    rows_told: Iterator[dict[str, Any]] = told.iter_rows()
    return rows_told


def _gpus(ray: Any, arguments: argparse.Namespace) -> int | None:
    """Return the number of GPUs of a worker; for ``auto``, one if the cluster has any."""
    if arguments.device == "auto":
        return 1 if ray.cluster_resources().get("GPU") else None
    return None if arguments.device == "cpu" else 1


def _workers(ray: Any, arguments: argparse.Namespace) -> int:
    """Return the default number of workers, in proportion to the processors of the cluster."""
    cpus = int(ray.cluster_resources().get("CPU", 1))
    workers: int = arguments.workers or max(1, cpus // arguments.threads)
    return workers


@contextmanager
def _cluster(arguments: argparse.Namespace) -> Iterator[Any]:
    """Connect Ray to the cluster of ``RAY_ADDRESS``, or to one that lives as long as the block.

    Raises:
        ConfigError: Ray is not installed, or cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # otherwise Ray reports usage statistics
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ConfigError(f"--engine ray needs {error.name}: pip install 'ner-crf[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        try:
            if "RAY_ADDRESS" in os.environ:
                ray.init(**quiet)
            else:
                count = (arguments.workers or os.cpu_count() or 1) * arguments.threads
                ray.init(
                    "local", num_cpus=count, include_dashboard=False, _temp_dir=folder, **quiet
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(f"Ray cannot be used: {str(error).splitlines()[0]}") from error
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        try:
            yield ray
        finally:
            ray.shutdown()
