"""How the component is written down and read: its folder is a model directory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from spacy import util
from spacy.pipeline import TrainablePipe
from thinc.api import get_torch_default_device

from ner.spacy_component.layer import Layer, tok2vec_of
from ner.tagger import Tagger, load


class SavedPipe(TrainablePipe):  # type: ignore[misc]
    """A component whose state is a tagger, the weights of a tok2vec, and a few settings.

    Attributes:
        cfg: What is kept beside the weights, as JSON holds it.
        model: The layer, perhaps with a tok2vec inside.
        device: Where the tagger runs; ``None`` follows ``spacy.require_gpu``.
        labels: The labels of the entities it finds.
        tagger: The tagger; ``None`` before training or loading.
    """

    cfg: dict[str, Any]
    model: Layer
    device: str | None

    def torch_device(self) -> str:
        """Where the tagger runs, as torch names it."""
        return self.device or str(get_torch_default_device())

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the component: its folder is a model directory, which ``ner.load`` reads too."""
        folder = Path(path)
        if self.tagger is not None and "model" not in exclude:
            self.tagger.save(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if (tok2vec := tok2vec_of(self.model)) is not None and "model" not in exclude:
            (folder / "tok2vec").write_bytes(tok2vec.to_bytes())
        if "cfg" not in exclude:
            (folder / "cfg").write_text(
                json.dumps({**self.cfg, "labels": self.labels}), encoding="utf-8"
            )

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Read what ``to_disk`` wrote, or any model directory."""
        folder = Path(path)
        if (folder / "cfg").is_file() and "cfg" not in exclude:
            self.cfg.update(json.loads((folder / "cfg").read_text(encoding="utf-8")))
        if "model" not in exclude:
            untrained = (folder / "cfg").is_file() and not (folder / "tagger.json").exists()
            self.tagger = None if untrained else load(folder, device=self.torch_device())
            if (tok2vec := tok2vec_of(self.model)) is not None and (folder / "tok2vec").is_file():
                tok2vec.from_bytes((folder / "tok2vec").read_bytes())
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The component as bytes."""
        tagger, tok2vec = self.tagger, tok2vec_of(self.model)
        parts = {
            "cfg": lambda: json.dumps({**self.cfg, "labels": self.labels}).encode(),
            "model": lambda: b"" if tagger is None else tagger.to_bytes(),
            "tok2vec": lambda: b"" if tok2vec is None else tok2vec.to_bytes(),
        }
        data: bytes = util.to_bytes(parts, exclude)
        return data

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Read what ``to_bytes`` gave."""

        def take_model(model: bytes) -> None:
            self.tagger = Tagger.from_bytes(model, device=self.torch_device()) if model else None

        def take_tok2vec(weights: bytes) -> None:
            if (tok2vec := tok2vec_of(self.model)) is not None and weights:
                tok2vec.from_bytes(weights)

        parts = {
            "cfg": lambda cfg: self.cfg.update(json.loads(cfg)),
            "model": take_model,
            "tok2vec": take_tok2vec,
        }
        util.from_bytes(data, parts, exclude)
        return self
