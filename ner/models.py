"""Load a model: a torch model, or an exported one, which does not need torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ner.errors import ConfigError
from ner.storage.addresses import local
from ner.storage.manifest import EXPORTED, is_exported, read_json
from ner.streaming.tokenizers import BUILTIN, checked_name

if TYPE_CHECKING:
    from ner.runtime import ExportedTagger
    from ner.tagger import Tagger


def tokenizer_of(path: Path | str) -> str:
    """Return the tokenizer that a model directory names, without loading the model.

    Raises:
        ConfigError: The tokenizer is unknown.
        ModelError: The description of the model cannot be read.
    """
    folder = local(path)
    names = (folder / name for name in (EXPORTED, "tagger.json"))
    found = next((file for file in names if file.is_file()), None)
    description = None if found is None else read_json(found)
    known = description if isinstance(description, dict) else {}
    return checked_name(known.get("tokenizer", BUILTIN))


def load(
    path: Path | str, *, device: str = "cpu", threads: int = 1, refresh: bool = False
) -> Tagger | ExportedTagger:
    """Read a model directory, exported or not: offline, without pickle, without running its code.

    Args:
        path: The directory; or the address of one, such as ``hf://user/name@revision``,
            ``https://host/folder`` or ``s3://bucket/folder``, with ``#sha256=...`` to pin it. It is
            fetched once, and read from the cache from then on.
        device: The device of the network; ``auto`` is CUDA if available. Exported models run on
            the CPU.
        threads: The number of threads of an exported model; torch has its own setting.
        refresh: Fetch an address again, even if it is in the cache.

    Raises:
        ConfigError: The device is not available, or onnxruntime is not installed.
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner, or not
            the model that is pinned.
        OSError: An address cannot be reached.
    """
    path = local(path, refresh=refresh)
    if not is_exported(path):
        from ner import tagger

        return tagger.load(path, device=device)
    if device not in ("cpu", "auto"):
        raise ConfigError(f"device {device}: exported models run on the CPU")
    from ner import runtime

    return runtime.load(path, threads=threads)
