"""The description of a model in its directory: what it is made of, and what its files must be.

It is JSON with the format's version, the SHA-256 of every other file, and a checksum of its own.
No name in it leads outside the directory. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ner.errors import ModelError
from ner.storage import recover, sha256

LARGEST = 1 << 28  # bytes of a description
EXPORTED = "runtime.json"  # the name of that of an exported model


@dataclass(frozen=True, slots=True)
class Manifest:
    """One kind of description.

    Attributes:
        name: Of its file.
        version: The newest format that is read, and the one that is written.
        needs: Names it must hold.
        files: Files it must know.
    """

    name: str
    version: int
    needs: frozenset[str]
    files: frozenset[str]

    def write(self, folder: Path, said: Mapping[str, Any]) -> None:
        """Write the description of a directory whose other files are all there."""
        description = {
            "format": self.version,
            **said,
            "files": {file.name: {"sha256": sha256(file)} for file in sorted(folder.iterdir())},
        }
        description["checksum"] = checksum(description)
        text = json.dumps(description, ensure_ascii=False, indent=1, allow_nan=False)
        (folder / self.name).write_text(text + "\n", encoding="utf-8", newline="\n")

    def read(self, folder: Path) -> dict[str, Any]:
        """The description of a directory, every file of which is as it was written.

        Raises:
            ModelError: The directory is missing, damaged, or of a newer version of ner.
        """
        recover(folder)
        if not folder.is_dir():
            kind = "a file" if folder.exists() else "missing"
            raise ModelError(f"{folder}: expected a model directory, it is {kind}")
        description = self._read(folder)
        for name, facts in description["files"].items():
            if Path(name).name != name:
                raise ModelError(f"{folder / self.name}: {name!r} is no name of a file beside it")
            _verify(folder / name, facts)
        return description

    def _read(self, folder: Path) -> dict[str, Any]:
        """The description of a directory, sound in itself."""
        file = folder / self.name
        description = read_json(file)
        version = description.get("format") if isinstance(description, dict) else None
        if type(version) is not int or version < 1:
            raise ModelError(f"{file}: describes no tagger")
        if version > self.version:
            raise ModelError(
                f"{folder}: written by a newer version of ner (format {version}, this one reads "
                f"up to {self.version}); upgrade with `pip install -U ner-crf`"
            )
        if description.get("checksum") != checksum(description):
            raise ModelError(
                f"{file}: damaged (it does not fit its checksum); "
                "copy the model directory again, whole"
            )
        files = description.get("files")
        known = isinstance(files, dict) and self.files <= files.keys()
        if not known or not self.needs <= description.keys():
            raise ModelError(f"{file}: describes no tagger")
        return dict(description)


def is_exported(path: Path | str) -> bool:
    """Whether a directory holds an exported model, rather than one to be used with torch."""
    return (Path(path) / EXPORTED).is_file()


def checksum(description: Mapping[str, Any]) -> str:
    """The SHA-256 of what a description says, its own checksum aside, however it is laid out."""
    said = {name: value for name, value in description.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_json(file: Path) -> Any:
    """The content of a JSON file of a model.

    Raises:
        ModelError: It is missing, too large, or not JSON.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise ModelError(f"{file}: larger than any model's")
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{file}: missing; is {file.parent} a model directory?") from None
    except ModelError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: not JSON ({error})") from None


def _verify(file: Path, facts: Any) -> None:
    if file.is_symlink() or not file.is_file():
        raise ModelError(f"{file}: missing; copy the model directory again, whole")
    if not isinstance(facts, dict) or sha256(file) != facts.get("sha256"):
        raise ModelError(
            f"{file}: not the file the model was saved with (its SHA-256 differs); "
            "copy the model directory again, whole"
        )
