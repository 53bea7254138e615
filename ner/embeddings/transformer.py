"""Hidden states of a pretrained transformer, frozen or fine-tuned.

The choice of layers matters: the middle layers have the most information about words, while the
last layer of sentence encoders has little. Windows include neighbouring sentences of the document
(see Schweter and Akbik 2020 on the value of document context).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ner.batch import batched
from ner.embeddings import transformer_files as files
from ner.embeddings.base import ContextEmbedding, check_shares, check_widths
from ner.errors import ConfigError
from ner.indexers.base import Arrays
from ner.indexers.subwords import Features, default_folder
from ner.indexers.transformer import Registry, SubwordBatch, TransformerIndexer, grouped
from ner.sentence import Sentence

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
SCALE = 0.25  # deviation of standardised states, about that of other embeddings
UNREAD = ("id2label", "label2id", "auto_map")  # keys of a configuration that are ignored
_TOP = re.compile(r"top-([1-9][0-9]?)")


class TransformerEmbedding(ContextEmbedding):
    """The mean, or a learned weighted sum, of hidden states at the subwords of a word.

    A frozen transformer is not part of the model, which refers to it by name and SHA-256, unless
    it is included. A fine-tuned transformer is part of the model.

    Args:
        model: The name or folder of the transformer.
        config: The content of its ``config.json``.
        tokenizer: The text of its ``tokenizer.json``; ``None`` to read it from ``model``.
        checksum: The SHA-256 of the files of ``model``, checked before they are used.
        revision: The commit, tag or branch of a model on the Hugging Face hub.
        layers: The layers whose states are used: 0 is the input, 1 the first layer.
        mix: Learn a weight for each layer instead of taking the mean.
        pooling: The state of a word: the ``mean`` over its subwords, or that of the ``first``.
        tune: The layers to fine-tune: none (``false``), all but the input embeddings (``true``),
            the last N of those that are used (``top-N``), or low-rank adapters of the weights of
            all layers (``lora``, Hu et al. 2022), which are merged when the model is saved.
        include: Store the transformer's weights in the model even if it is frozen.
        window: The maximum number of subwords of a window, without its context.
        context: The number of subwords of context on either side of a window.
        precision: The floating point type of a frozen transformer outside the model; one that is
            part of it has float32 weights and computes in bfloat16 where that is safe (autocast).
        learning_rate: The peak learning rate of the last fine-tuned layer; the schedule is that of
            training.
        layer_decay: The factor of the learning rate from each layer to the one below.
        rank: The rank of adapters.
        checkpointing: Compute each layer again in the backward pass: less memory, more time.
        positions, padding, state_width, states: As for ``TransformerIndexer``.

    Raises:
        ConfigError: The configuration is not that of a transformer, or its files are missing.
        ValueError: The transformer does not have these layers or cannot read such windows.
    """

    tokenwise = True
    indexer: TransformerIndexer

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        *,
        model: str,
        config: Mapping[str, Any],
        positions: int,
        padding: int,
        state_width: int,
        states: str,
        tokenizer: str | None = None,
        checksum: str = "",
        revision: str | None = None,
        layers: Sequence[int] = (),
        mix: bool = False,
        pooling: Literal["mean", "first"] = "mean",
        tune: bool | str = False,
        include: bool = False,
        window: int = 160,
        context: int = 0,
        precision: Literal["float32", "bfloat16"] = "float32",
        learning_rate: float = 1e-4,
        layer_decay: float = 1.0,
        rank: int = 8,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.revision, self.checksum = model, revision, checksum
        self.config, self.layers, self.mix = dict(config), tuple(layers), mix
        self.tune, self.include, self.precision = tune, include, precision
        check_shares(layer_decay=layer_decay)
        if not learning_rate > 0.0:
            raise ValueError(f"learning_rate must be greater than 0, got {learning_rate}")
        check_widths(rank=rank)
        self.learning_rate, self.layer_decay = learning_rate, layer_decay
        self.rank, self.checkpointing = rank, checkpointing
        if tokenizer is None:
            tokenizer = (self._folder() / files.TOKENIZER).read_text(encoding="utf-8")
        self.indexer = TransformerIndexer(
            tokenizer,
            window=window,
            context=context,
            positions=positions,
            padding=padding,
            pooling=pooling,
            state_width=state_width,
            states=states,
        )
        rows = len(self.layers) if mix else 1
        self.width = state_width // rows
        self.mean = nn.Parameter(torch.zeros(rows, self.width), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(rows, self.width), requires_grad=False)
        self.mixture = nn.Parameter(torch.zeros(rows)) if mix else None
        self.network: nn.Module | None = None
        if include or tune is not False:
            self.network = files.make(config, max(self.layers), checkpointing=checkpointing)
            files.tune_last(self.network, _tuned(tune, max(self.layers)))
        self.shared = tune is False
        self.frozen = tune is False  # or for now, see `fine_tune`
        self._cache: Features | None = None  # of the states of the pretrained weights
        self._outside: list[nn.Module] = []  # the network, if it is not part of the model
        self._registry = Registry()

    @classmethod
    def fit(  # noqa: D417, PLR0913 - one argument for each setting; the class describes most
        cls,
        sentences: Iterable[Sentence],
        *,
        model: str,
        revision: str | None = None,
        layers: list[int] | None = None,
        mix: bool = False,
        pooling: Literal["mean", "first"] = "mean",
        tune: bool | str = False,
        include: bool = False,
        window: int = 160,
        context: int = 0,
        precision: Literal["float32", "bfloat16"] = "float32",
        learning_rate: float = 1e-4,
        layer_decay: float = 1.0,
        rank: int = 8,
        checkpointing: bool = False,
        cache: str | None = None,
    ) -> Self:
        """Read a transformer and standardise its states on the training tokens.

        Further arguments are those of the class.

        Args:
            sentences: The training sentences.
            model: A folder, ``package:NAME/FOLDER`` in an installed package, or a name on the
                Hugging Face hub, which is downloaded once.
            layers: The layers whose states are used: 0 is the input, 1 the first layer. By default
                the upper half except the last layer.
            cache: The folder for the states of frozen transformers, which later runs reuse; by
                default ``ner/features`` in the user's cache folder.

        Raises:
            ConfigError: There is no such transformer, or a setting is invalid.
        """
        folder = files.folder_of(model, revision, download=True)
        config, checksum = files.read_config(folder), files.checksum(folder)
        chosen = _chosen_layers(layers, files.depth_of(config))
        width, positions = files.shape_of(config)
        part = cls(
            model=model,
            config={key: value for key, value in config.items() if key not in UNREAD},
            positions=positions,
            padding=config.get("pad_token_id") or 0,
            state_width=width * (len(chosen) if mix else 1),
            states=_states(checksum, chosen, mix, precision, include or tune is not False),
            tokenizer=(folder / files.TOKENIZER).read_text(encoding="utf-8"),
            checksum=checksum,
            revision=revision,
            layers=chosen,
            mix=mix,
            pooling=pooling,
            tune=tune,
            include=include,
            window=window,
            context=context,
            precision=precision,
            learning_rate=learning_rate,
            layer_decay=layer_decay,
            rank=rank,
            checkpointing=checkpointing,
        )
        if part.network is not None:
            part.network.load_state_dict(files.load(folder, max(chosen)).state_dict())
        base = default_folder() if cache is None else Path(cache)
        kind = f"{part.indexer.settings()['states']}-{pooling}"
        part.indexer.features = part._cache = Features(base / kind)
        part._standardise(sentences)
        part.fine_tune(tune is not False)
        return part

    def fine_tune(self, on: bool) -> bool:
        if self.network is None or self.tune is False:
            return False
        self.frozen = not on
        self.indexer.features = self._cache if self.frozen else None
        files.merge_adapters(self.network)
        files.tune_last(self.network, _tuned(self.tune, max(self.layers)) if on else 0)
        self.adapted = on and self.tune == "lora"
        if self.adapted:
            files.add_adapters(self.network, self.rank)
        self.train(self.training)
        return True

    def blocks(self, indexed: Iterable[Arrays]) -> list[int] | None:
        if self.frozen:
            return None
        places = self._registry.places([numbers[0] for (numbers,) in indexed])
        return list(map(int, places))

    def learning_rates(self) -> Iterator[tuple[nn.Parameter, float]]:
        if self.network is not None:
            rate = self.learning_rate
            for layer in reversed(files.layers_of(self.network)):
                yield from ((weight, rate) for weight in layer.parameters() if weight.requires_grad)
                rate *= self.layer_decay

    def settings(self) -> dict[str, Any]:
        own = self.indexer.settings()
        return {
            **own,
            "tokenizer": own["tokenizer"] if self.network is not None else None,
            "model": self.model,
            "config": self.config,
            "checksum": self.checksum,
            "revision": self.revision,
            "layers": list(self.layers),
            "mix": self.mix,
            "tune": self.tune,
            "include": self.include,
            "precision": self.precision,
            "learning_rate": self.learning_rate,
            "layer_decay": self.layer_decay,
            "rank": self.rank,
            "checkpointing": self.checkpointing,
        }

    def index(self, sentence: Sentence) -> Arrays:
        return self.index_all([sentence])[0]

    def index_all(self, sentences: Sequence[Sentence]) -> list[Arrays]:
        """Return the states of each word; while fine-tuning, its window and position."""
        if self.training and not self.frozen:
            return [
                (self._registry.slots(list(self.indexer.stretches(sentence))),)
                for sentence in sentences
            ]
        self.indexer.reader = self._states
        self.indexer.memory.at(self._weights_state())
        return self.indexer.index_all(sentences)

    def forward(self, numbers: Tensor) -> Tensor:
        """Return the vectors of the words, ``(batch, length, width)``."""
        if numbers.is_floating_point():
            states = numbers.view(*numbers.shape[:-1], -1, self.width)
        else:
            states = self._live(numbers)
        # standardise, then sum over layers: x = sum_l softmax(w)_l (h_l - mean_l) scale_l
        states = (states - self.mean) * self.scale
        if self.mixture is None:
            vectors: Tensor = states.squeeze(-2)
            return vectors
        mixed: Tensor = (states * torch.softmax(self.mixture, 0).unsqueeze(1)).sum(-2)
        return mixed

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.network is not None and self.frozen:
            self.network.eval()  # its states are the same in training
        return self

    def _apply(self, *args: Any, **settings: Any) -> Self:
        for outside in self._outside:
            outside._apply(*args, **settings)  # type: ignore[no-untyped-call]
        super()._apply(*args, **settings)  # type: ignore[no-untyped-call]
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_registry": Registry(), "_cache": None, "_outside": []}

    def _live(self, slots: Tensor) -> Tensor:
        """Return the states of words while fine-tuning, ``(batch, length, rows, width)``."""
        assert self.network is not None, "a fine-tuned transformer is part of the model"
        places = slots.nonzero(as_tuple=True)
        windows, rows = self._registry.windows(slots[places].cpu().numpy())
        groups = grouped(windows, lambda window: len(window.ids))
        read = [self._tuned(self.network, self.indexer.batch(group)) for group in groups]
        states = torch.cat(read)[torch.from_numpy(rows).to(slots.device)].to(self.mean.dtype)
        states = states.view(len(rows), -1, self.width)
        return states.new_zeros(*slots.shape, *states.shape[1:]).index_put(places, states)

    def _tuned(self, network: nn.Module, batch: SubwordBatch) -> Tensor:
        """Return the states of the words of windows, ``(words, state_width)``."""
        flat = self._read(network, batch.ids, batch.mask).flatten(0, 1)
        pieces, firsts, counts = (
            torch.from_numpy(array).to(flat.device)
            for array in (batch.pieces, batch.firsts, batch.counts)
        )
        if self.indexer.pooling == "first":
            return flat[pieces[firsts]]
        words = torch.repeat_interleave(torch.arange(len(counts), device=flat.device), counts)
        total = flat.new_zeros(len(counts), flat.shape[1]).index_add(0, words, flat[pieces])
        return total / counts.unsqueeze(1)

    @torch.inference_mode()
    def _states(self, ids: Numbers, mask: Numbers) -> Floats:
        """Return the states of subwords, ``(windows, length, state_width)``."""
        found: Floats = self._read(self.transformer(), ids, mask).float().cpu().numpy()
        return found

    def _read(self, network: nn.Module, ids: Numbers, mask: Numbers) -> Tensor:
        """Return the concatenated or mean states, ``(windows, length, state_width)``."""
        device = self.mean.device
        mixed = self.precision == "bfloat16" and network is self.network
        with torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext():
            hidden = network(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=torch.from_numpy(mask).to(device),
                output_hidden_states=True,
            ).hidden_states
        chosen = torch.stack([hidden[layer] for layer in self.layers], 2)
        return chosen.flatten(2) if self.mix else chosen.float().mean(2)

    def transformer(self) -> nn.Module:
        """Return the transformer; read it from its files if it is not part of the model."""
        if self.network is not None:
            return self.network
        if not self._outside:
            dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
            network = files.load(self._folder(), max(self.layers))
            self._outside = [network.to(self.mean.device, dtype).requires_grad_(False)]
        return self._outside[0]

    def include_weights(self) -> None:
        """Make a transformer outside the model part of it."""
        if self.network is None:
            folder, self.include, self._outside = self._folder(), True, []
            network = files.load(folder, max(self.layers)).requires_grad_(False)
            self.network = network.to(self.mean.device)

    def _folder(self) -> Path:
        """Return the folder of the transformer after verifying its checksum."""
        folder = files.folder_of(self.model, self.revision, download=False)
        if self.checksum and files.checksum(folder) != self.checksum:
            raise ConfigError(
                f"the transformer in {folder} differs from the one that the model was trained with "
                f"({self.model}); restore that one"
            )
        return folder

    def _weights_state(self) -> tuple[int, ...]:
        """Return a value that changes when the weights of the transformer do."""
        own = () if self.network is None else self.network.parameters()
        return tuple(weight._version for weight in own)

    def _standardise(self, sentences: Iterable[Sentence]) -> None:
        """Fit the mean and scale, so that states have mean 0 and deviation `SCALE` here."""
        count, size = 0, self.mean.numel()
        total, squares = np.zeros(size), np.zeros(size)
        training = self.training
        self.eval()
        for some in batched(sentences, 500):
            for (states,) in self.index_all(some):
                values = states.astype(np.float64)
                count += len(values)
                total += values.sum(0)
                squares += (values**2).sum(0)
        self.train(training)
        mean = total / max(count, 1)
        deviation = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 1e-12))
        for weights, values in ((self.mean, mean), (self.scale, SCALE / deviation)):
            weights.data.copy_(torch.from_numpy(np.asarray(values)).view(weights.shape))


def _chosen_layers(layers: Sequence[int] | None, depth: int) -> tuple[int, ...]:
    """Return the layers to use of a transformer; by default the upper half except the last one.

    Raises:
        ValueError: The transformer does not have these layers.
    """
    chosen = tuple(layers or range((depth + 1) // 2, depth)) or (depth,)
    if len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(depth + 1)):
        raise ValueError(f"layers must be distinct, from 0 to {depth}, got {list(chosen)}")
    return chosen


def _states(checksum: str, layers: Sequence[int], mix: bool, precision: str, inside: bool) -> str:
    """Return a key of the states of a transformer: its files, layers and precision."""
    if inside and precision == "bfloat16":
        precision = "autocast"
    return hashlib.sha256(repr((checksum, list(layers), mix, precision)).encode()).hexdigest()[:32]


def _tuned(tune: bool | str, layers: int) -> int:
    """Return the number of layers to fine-tune.

    Raises:
        ValueError: The value is not valid.
    """
    if isinstance(tune, bool) or tune == "lora":
        return layers if tune is True else 0
    found = _TOP.fullmatch(tune)
    if found is None:
        raise ValueError(f"tune must be true, false, lora or top-N (such as top-2), got {tune!r}")
    return min(int(found[1]), layers)
