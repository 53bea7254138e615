"""The directory that ``ner pretrain`` writes, and how a new network begins with what is in it.

It holds ``pretrained.json``, the word vectors (``vectors.safetensors``, their words a line each in
``vectors.txt``), where a network was pretrained its weights (``weights.safetensors``), and a card,
``README.md``. Nothing in it is code, and every file has a checksum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ner.embeddings import EMBEDDINGS, Embedding, TypeEmbedding
from ner.encoder import Encoder
from ner.errors import ConfigError, ModelError
from ner.options import instantiate, lookup
from ner.storage.manifest import Manifest

DESCRIPTION, VECTORS, WORDS = "pretrained.json", "vectors.safetensors", "vectors.txt"
WEIGHTS, CARD = "weights.safetensors", "README.md"
MANIFEST = Manifest(
    DESCRIPTION,
    1,
    frozenset({"text", "settings"}),
    frozenset({VECTORS}),
    frozenset({WORDS, WEIGHTS}),
)
PART = "text_vectors"  # the name of the embedding of the word vectors


@dataclass(frozen=True, slots=True, eq=False)
class Pretrained:
    """The knowledge learnt from unlabelled text.

    Attributes:
        path: Its directory.
        embeddings: The settings of the network's embeddings by name; empty for vectors alone.
        encoder: The settings of its encoder.
        weights: The weights of both by name.
    """

    path: Path
    embeddings: Mapping[str, Mapping[str, Any]]
    encoder: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    @classmethod
    def load(cls, path: Path | str) -> Pretrained:
        """Read a directory.

        Raises:
            ModelError: It is missing, damaged, or of a newer version of ner.
            ConfigError: It is a tagger.
        """
        folder = Path(path)
        if (folder / "tagger.json").is_file():
            raise ConfigError(f"{path} is a tagger; start from it with --init-from {path}")
        description = MANIFEST.read(folder)
        network = description.get("network") or {"embeddings": {}, "encoder": {}}
        weights = load_file(folder / WEIGHTS) if WEIGHTS in description["files"] else {}
        for name, weight in weights.items():
            if not torch.isfinite(weight).all():
                raise ModelError(f"{folder}: the weights {name} contain NaN or infinity")
        return cls(folder, network["embeddings"], network["encoder"], weights)

    def recipe(self) -> dict[str, Any]:
        """Return the settings of the embedding of the word vectors, by its name."""
        return {PART: {"kind": "pretrained", "file": str(self.path / VECTORS)}}

    def joined(self, name: str, part: Embedding) -> Embedding:
        """Return an embedding that also knows what the pretrained one of its name knows.

        Raises:
            ConfigError: The two are not alike.
            ModelError: The description does not fit the weights.
        """
        if name == PART or name not in self.embeddings:
            return part
        own = dict(self.embeddings[name])
        kind = lookup(EMBEDDINGS, own.pop("kind"), of="embedding")
        prefix = f"embeddings.{name}."
        state = {
            key.removeprefix(prefix): weight
            for key, weight in self.weights.items()
            if key.startswith(prefix)
        }
        largest = sum(weight.numel() for weight in state.values())
        if any(isinstance(value, int) and value > largest for value in own.values()):
            raise ModelError(f"{self.path}: the settings of {name} do not fit its weights")
        old = instantiate(kind, own, of=f"embedding {name!r} of {self.path}")
        try:
            old.load_state_dict(state)
            if not isinstance(part, TypeEmbedding):
                raise ValueError("it is not an embedding of the token alone")
            return part.joined(old)
        except (ValueError, RuntimeError) as error:
            told = str(error).splitlines()[-1].strip()
            raise ConfigError(
                f"model.embeddings.{name} does not fit {self.path}: {told}; use the settings it "
                "was pretrained with"
            ) from error

    @torch.no_grad()
    def start(self, parts: Mapping[str, Embedding], encoder: Encoder) -> None:
        """Give an encoder the pretrained weights of its first layer.

        Args:
            parts: The embeddings that it reads, in the order of their vectors; the columns of one
                that was not pretrained keep their fresh weights.
            encoder: The encoder.

        Raises:
            ConfigError: The encoder is not as wide as the pretrained one.
        """
        if not self.weights:
            return
        if encoder.width != self.encoder["width"]:
            raise ConfigError(
                f"model.encoder.width is {encoder.width}, the network in {self.path} has "
                f"{self.encoder['width']}; set the width it was pretrained with"
            )
        for name, layers in (("forwards", encoder.forwards), ("backwards", encoder.backwards)):
            prefix = f"encoder.{name}.0."
            if len(layers) and f"{prefix}weight_ih_l0" in self.weights:
                for key, weight in layers[0].named_parameters():
                    given = self.weights[prefix + key]
                    if key == "weight_ih_l0":
                        self._copy_columns(weight, given, parts)
                    else:
                        weight.copy_(given)

    def _copy_columns(self, weight: Tensor, given: Tensor, parts: Mapping[str, Embedding]) -> None:
        """Copy the columns of input weights that belong to embeddings that were pretrained."""
        old, place = {}, 0
        for name, width in self.encoder["columns"].items():
            old[name] = slice(place, place + width)
            place += width
        place = 0
        for name, part in parts.items():
            if name in old:
                weight[:, place : place + part.width] = given[:, old[name]]
            place += part.width
