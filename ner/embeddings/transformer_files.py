"""Find and load the files of a pretrained transformer.

Weights are read from safetensors only, and code that comes with a model is never run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ner.errors import ConfigError, ModelError
from ner.indexers.subwords import MISSING
from ner.storage.atomic import known_sha256

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"
INDEX = "model.safetensors.index.json"  # lists weights in several files
PACKAGE = "package:"  # prefix of a folder in an installed package


def folder_of(model: str, revision: str | None, *, download: bool) -> Path:
    """Return the folder of a transformer.

    Args:
        model: A folder; ``package:NAME/FOLDER`` for one inside an installed package (which is not
            imported); or the name of a model on the Hugging Face hub, which is downloaded once
            and then found offline.
        revision: The commit, tag or branch of a model on the hub.
        download: Whether a model of the hub may be downloaded.

    Raises:
        ConfigError: The model does not exist, or a file is missing.
    """
    if model.startswith(PACKAGE):
        folder = _in_package(model.removeprefix(PACKAGE))
    elif Path(model).is_dir():
        folder = Path(model)
    else:
        folder = _from_hub(model, revision, download=download)
    for name in (CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            hint = ""
            if name == TOKENIZER:
                hint = "; create it with AutoTokenizer.from_pretrained(...).save_pretrained(...)"
            raise ConfigError(f"transformer {model!r}: {folder} has no {name}{hint}")
    weight_files(folder)
    return folder


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a transformer.

    Raises:
        ConfigError: There are no weights in safetensors format.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        names = sorted(set(index["weight_map"].values()))
    except OSError:
        raise ConfigError(
            f"{folder} has no {WEIGHTS}; pickled weights are not supported, convert them with "
            "save_pretrained(..., safe_serialization=True) of transformers"
        ) from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ConfigError(f"{folder / INDEX} is not a valid index of weights") from None
    files = [folder / name for name in names if Path(name).name == name]
    if len(files) < len(names) or not all(file.is_file() for file in files):
        raise ConfigError(f"{folder}: weight files listed in {INDEX} are missing")
    return files


def checksum(folder: Path) -> str:
    """Return the SHA-256 of the weights, the configuration and the tokenizer."""
    files = [folder / CONFIG, folder / TOKENIZER, *weight_files(folder)]
    each = b"".join(bytes.fromhex(known_sha256(file)) for file in files)
    return hashlib.sha256(each).hexdigest()


def read_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of a transformer.

    Raises:
        ConfigError: The file is not a configuration.
    """
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{folder / CONFIG} is not a configuration of a transformer")
    return found


def make(config: Mapping[str, Any], layers: int, *, checkpointing: bool = False) -> nn.Module:
    """Create a transformer with randomly initialised weights and a number of layers.

    Args:
        config: The configuration of the transformer.
        layers: The number of layers.
        checkpointing: Whether the backward pass computes each layer again (Chen et al. 2016).

    Raises:
        ConfigError: The configuration is invalid.
    """
    transformers = _transformers()
    with _silent(transformers), _as_config_error():
        network: Any = transformers.AutoModel.from_config(
            _config(transformers, config, layers), attn_implementation="sdpa"
        )
        if checkpointing:
            network.gradient_checkpointing_enable({"use_reentrant": False})
    return network  # type: ignore[no-any-return]


def load(folder: Path, layers: int) -> nn.Module:
    """Load the first layers of a transformer, in evaluation mode.

    Raises:
        ConfigError: The files cannot be read.
    """
    transformers = _transformers()
    with _silent(transformers), _as_config_error():
        network = transformers.AutoModel.from_pretrained(
            folder,
            config=_config(transformers, read_config(folder), layers),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
        )
    return network.eval()  # type: ignore[no-any-return]


def layers_of(network: nn.Module) -> list[nn.Module]:
    """Return the layers of a transformer, from the first to the last."""
    stacks: list[nn.ModuleList] = [
        m for m in network.modules() if isinstance(m, nn.ModuleList) and len(m) > 0
    ]
    if not stacks:
        return []
    largest = max(stacks, key=lambda stack: sum(p.numel() for p in stack.parameters()))
    return list(largest)


def tune_last(network: nn.Module, count: int) -> None:
    """Make the last layers trainable, and nothing else."""
    network.requires_grad_(False)
    layers = layers_of(network)
    for layer in layers[len(layers) - count :]:
        layer.requires_grad_(True)


def add_adapters(network: nn.Module, rank: int) -> None:
    """Add trainable low-rank adapters to the matrices of all layers.

    Raises:
        ConfigError: The package ``peft`` is missing.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ConfigError("tune: lora needs peft: pip install 'ner-crf[lora]'") from None
    inside = {part for layer in layers_of(network) for part in layer.modules()}
    names = [
        name
        for name, part in network.named_modules()
        if part in inside and isinstance(part, nn.Linear)
    ]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), network)


def merge_adapters(network: nn.Module) -> None:
    """Add adapters to the matrices that they belong to, and remove them."""
    for name, part in list(network.named_modules()):
        if hasattr(part, "lora_A"):
            part.merge()
            above, _, own = name.rpartition(".")
            setattr(network.get_submodule(above), own, part.get_base_layer())
    vars(network).pop("peft_config", None)


def depth_of(config: Mapping[str, Any]) -> int:
    """Return the number of layers of a transformer."""
    return int(_facts(config, {}).num_hidden_layers)


def shape_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return the width of a transformer's states, and its maximum number of subwords."""
    facts = _facts(config, {})
    positions = getattr(facts, "max_position_embeddings", None) or 512
    if facts.model_type in ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "mpnet"):
        positions -= (facts.pad_token_id or 0) + 1  # their positions start after that of padding
    return int(facts.hidden_size), int(positions)


def _facts(config: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    transformers = _transformers()
    with _as_config_error():
        return _config(transformers, {**config, **more}, None)


def _config(transformers: Any, config: Mapping[str, Any], layers: int | None) -> Any:
    """Return a configuration object; references to custom code are dropped."""
    own = {name: value for name, value in config.items() if name != "auto_map"}
    kind = own.pop("model_type", None)
    if not isinstance(kind, str) or kind not in transformers.CONFIG_MAPPING:
        raise ConfigError(f"transformers does not support the model type {kind!r:.80}")
    made = transformers.AutoConfig.for_model(kind, **own)
    if layers is not None:
        made.num_hidden_layers = layers
    return made


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise ConfigError(MISSING) from None
    return transformers


@contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """Silence progress bars and reports of unused weights."""
    log = logging.getLogger("transformers")
    level, bars = log.level, transformers.utils.logging.is_progress_bar_enabled()
    log.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()


@contextmanager
def _as_config_error() -> Iterator[None]:
    """Raise the errors of a library as a ConfigError of one line."""
    try:
        yield
    except (ConfigError, ModelError):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"transformers cannot load this model: {lines[0][:300]}") from None


def _in_package(path: str) -> Path:
    name, _, inner = path.partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    origin = None if spec is None else spec.origin
    if origin is None or ".." in Path(inner).parts:
        raise ConfigError(f"package {name!r} is not installed, or does not contain a model")
    return Path(origin).parent / inner


def _from_hub(model: str, revision: str | None, *, download: bool) -> Path:
    _transformers()
    from huggingface_hub import snapshot_download

    wanted = [CONFIG, TOKENIZER, WEIGHTS, INDEX, "model-*.safetensors"]
    try:
        found = snapshot_download(
            model, revision=revision, allow_patterns=wanted, local_files_only=not download
        )
        return Path(found)
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{model!r} is neither a folder nor an available model of the hub: {line[:200]}"
        ) from None
