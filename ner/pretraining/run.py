"""A pretraining run: text, vectors, network, each stage kept on disk until the run is finished."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from ner.embeddings import EMBEDDINGS, PretrainedEmbedding, TypeEmbedding
from ner.encoder import Encoder
from ner.errors import ConfigError
from ner.model_directory import save_tensors
from ner.network import RECIPE
from ner.options import instantiate, lookup
from ner.pretrained import CARD, DESCRIPTION, MANIFEST, PART, VECTORS, WEIGHTS, WORDS
from ner.pretraining.cloze import PARTS, ClozeData, ClozeNetwork, ClozeTraining
from ner.pretraining.text import FACTS, NumberedText, same_files, write_numbers
from ner.pretraining.vectors import Floats, Integers, Words, word_classes, word_vectors
from ner.sentence import Sentence
from ner.storage.atomic import atomic_directory, check_replaceable
from ner.storage.locks import RunLock
from ner.training.loop import StoppedError
from ner.training.run_folder import Checkpoint, RunFolder, prepare

log = logging.getLogger(__name__)
STAGES = ("text", "vectors", "network")
TRIED = 30  # steps after which a budget decides how many there are
FEWEST = 200  # steps, below which a network has learnt next to nothing
# Embeddings with a file of their own, which are not pretrained:
LEFT_OUT = ("pretrained", "referenced", "vectors", "transformer")
TEXT, CLASSES = "text", "classes.npy"
FROM_ZERO = ("seed", "own_classes")  # whole numbers that may be 0; others are at least 1
SHARES = ("learning_rate", "dropout")


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings:
    """The settings of `ner pretrain`.

    Attributes:
        seed: Drives the random projection, the first centres of the classes, initial weights, the
            order of sentences, and dropout.
        width: The width of the word vectors.
        contexts: How many of the most frequent words are counted as neighbours.
        min_count: How often a word must occur to take part in the decomposition.
        known_count: How often a word must occur for the network to have a vector of its own for it.
        classes: The number of classes that words are clustered into.
        own_classes: The number of most frequent words that are classes of their own.
        tokens: About how many tokens the network learns from; of a longer text a random part.
        batch_tokens: The tokens of a batch.
        learning_rate: The highest.
        dropout: That of the encoder.
        checkpoint_minutes: Save a checkpoint every so many minutes.
    """

    seed: int = 1
    width: int = 200
    contexts: int = 10_000
    min_count: int = 3
    known_count: int = 5
    classes: int = 1000
    own_classes: int = 200
    tokens: int = 3_000_000
    batch_tokens: int = 1500
    learning_rate: float = 3e-3
    dropout: float = 0.1
    checkpoint_minutes: float = 2.0

    def __post_init__(self) -> None:
        for name, value in self.as_dict().items():
            if name in SHARES:
                if not 0.0 <= value < 1.0:
                    raise ConfigError(f"{name} must be at least 0 and below 1, got {value}")
            elif isinstance(value, float):
                if not value > 0.0:
                    raise ConfigError(f"{name} must be more than 0, got {value}")
            elif value < (least := int(name not in FROM_ZERO)):
                raise ConfigError(f"{name} must be at least {least}, got {value}")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True)
class StageProgress:
    """The progress of a stage.

    Attributes:
        stage: The name of the stage.
        done: The tokens that it has been through.
        total: All of them; ``None`` where that is not known.
        loss: The mean loss of a token so far, of the network.
        right: The share of word classes predicted right.
    """

    stage: str
    done: int
    total: int | None = None
    loss: float | None = None
    right: float | None = None


Watch = Callable[[StageProgress], None]


class Pretraining:
    """A run of ``ner pretrain``.

    Args:
        texts: Files or globs of unlabelled text.
        output: The directory to write.
        settings: How to learn from them.
        model: The section ``model`` of the configuration that will be trained: the embeddings of
            tokens and the encoder are pretrained.
        format: The format of the files; by default by their endings.
        options: Options of its reader.
        resume: Go on with what is left of an interrupted run.
        overwrite: Whether an interrupted run that writes the same output may be discarded.

    Attributes:
        lock: Keeps other processes from the folder of the run.

    Raises:
        ConfigError: A setting cannot be used.
        FileExistsError: The output already exists and was not pretrained.
    """

    def __init__(  # noqa: PLR0913 - one argument for each option of `ner pretrain`
        self,
        texts: Sequence[str],
        output: Path | str,
        *,
        settings: PretrainingSettings | None = None,
        model: Mapping[str, Any] | None = None,
        format: str | None = None,  # noqa: A002 - as in `read`
        options: Mapping[str, Any] | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.texts = list(texts)
        self.output = Path(output)
        self.settings = settings or PretrainingSettings()
        self._model = dict(model or {})
        self._format, self._options = format, dict(options or {})
        check_replaceable(self.output, holds=DESCRIPTION)
        if self._model.get("members", 1) != 1:
            raise ConfigError("model.members: pretrain a single network; members may share it")
        self.folder = RunFolder(self.output)
        self.lock: RunLock | None = self.folder.lock()
        progress = self.folder.path / TEXT / FACTS
        prepare(self.folder.path, progress, resume=resume, overwrite=overwrite)
        self._stopping = False
        self._written = time.monotonic()

    def stop(self) -> None:
        """Write a checkpoint and leave after the step under way; a signal handler may call it."""
        self._stopping = True

    def run(
        self, *, only: str = "network", budget: float | None = None, watch: Watch = lambda p: None
    ) -> dict[str, Any]:
        """Run the stages up to one, write the directory, and return what its card says.

        Args:
            only: The last stage: ``vectors`` or ``network``.
            budget: The seconds that all of it may take, about.
            watch: Called with the progress of a stage.

        Raises:
            StoppedError: ``stop`` was called.
            ValueError: A file cannot be used.
        """
        began = time.monotonic()
        self._check_same()
        text = self._text(watch)
        words = Words.of(text)
        training = None
        try:
            vectors, classes = self._vectors(text, words, watch)
            if only == "network":
                training = self._network(text, words, vectors, classes)
        except ValueError:  # with other settings or more text it is another run
            shutil.rmtree(self.folder.path, ignore_errors=True)
            raise
        if training is not None:
            self._train(training, None if budget is None else began + budget, watch)
        facts = self._write(text, words, training)
        shutil.rmtree(self.folder.path, ignore_errors=True)
        self.lock = None
        return facts

    def _check_same(self) -> None:
        """Refuse to go on with a run of other settings.

        Raises:
            ConfigError: They were others.
        """
        now = json.dumps(
            {"settings": self.settings.as_dict(), "model": self._model}, sort_keys=True
        )
        file = self.folder.path / "settings.json"
        if file.exists() and file.read_text(encoding="utf-8") != now:
            raise ConfigError(
                f"--resume: the settings are not those of the run in {self.folder.path}; use the "
                "same, or begin anew with --overwrite"
            )
        file.write_text(now, encoding="utf-8")

    def _text(self, watch: Watch) -> NumberedText:
        folder = self.folder.path / TEXT
        if (folder / FACTS).exists():
            text = NumberedText.load(folder)
            if not same_files(text.facts, self.texts):
                raise ConfigError("--resume: the texts have changed; begin anew with --overwrite")
            return text
        log.info("reading the text")
        tokens = 0

        def count(more: int) -> None:
            nonlocal tokens
            tokens += more
            watch(StageProgress("text", tokens))

        try:
            write_numbers(
                folder, self.texts, format=self._format, options=self._options, done=count
            )
        except BaseException:  # there is nothing to continue
            self.folder.remove()
            raise
        return NumberedText.load(folder)

    def _vectors(self, text: NumberedText, words: Words, watch: Watch) -> tuple[Floats, Integers]:
        folder = self.folder.path / "vectors"
        own = self.settings
        if not (folder / VECTORS).exists():
            log.info("making vectors of %s words", f"{len(words.words):,}")
            vectors = word_vectors(
                text,
                words,
                width=own.width,
                contexts=own.contexts,
                min_count=own.min_count,
                seed=own.seed,
            )
            log.info("clustering the words")
            classes = word_classes(
                vectors, clusters=own.classes, own=own.own_classes, seed=own.seed
            )
            with atomic_directory(folder, holds=VECTORS) as fresh:
                save_tensors({"vectors": torch.from_numpy(vectors)}, fresh / VECTORS)
                np.save(fresh / CLASSES, classes)
        held = load_file(folder / VECTORS)["vectors"].numpy()
        return held, np.load(folder / CLASSES)

    def _network(
        self, text: NumberedText, words: Words, vectors: Floats, classes: Integers
    ) -> ClozeTraining:
        """Return the network with fresh weights, or those of the newest checkpoint."""
        own = self.settings
        torch.manual_seed(own.seed)
        known = [
            form
            for form, place in sorted(
                zip(text.forms, words.of_number[1:].tolist(), strict=True), key=lambda pair: pair[1]
            )
            if words.counts[place] >= own.known_count
        ]
        parts = dict(self._parts(known))
        part = PretrainedEmbedding(words.words, vector_width=vectors.shape[1])
        with torch.no_grad():
            part.vectors.weight[2:] = torch.from_numpy(vectors)
        parts[PART] = part
        encoder = self._encoder(sum(one.width for one in parts.values()))
        network = ClozeNetwork(parts, encoder, int(classes.max()) + 1)
        of_form = classes[words.of_number[1:]]
        log.info("indexing %s distinct tokens", f"{len(text.forms):,}")
        data = ClozeData(
            text,
            list(parts.values()),
            of_form,
            tokens=own.tokens,
            batch_tokens=own.batch_tokens,
            seed=own.seed,
        )
        training = ClozeTraining(network, data, own.learning_rate, len(data))
        self._continue(training)
        return training

    def _parts(self, forms: Sequence[str]) -> Iterator[tuple[str, TypeEmbedding]]:
        """Yield the embeddings of tokens that the configuration names, by name."""
        sentences = [Sentence((form, form)) for form in forms]
        for name, settings in {**RECIPE, **(self._model.get("embeddings") or {})}.items():
            if settings is False:
                continue
            own = dict(settings or {})
            kind = own.pop("kind", name)
            part = lookup(EMBEDDINGS, kind, of="embedding")
            if kind in LEFT_OUT or not issubclass(part, TypeEmbedding):
                continue
            own |= {"rare_dropout": 0.0} if kind == "words" else {}
            fitted = instantiate(part.fit, own, sentences, of=f"model.embeddings.{name}")
            assert isinstance(fitted, TypeEmbedding), "as its kind says"
            yield name, fitted

    def _encoder(self, width: int) -> Encoder:
        given = dict(self._model.get("encoder") or {})
        given |= {"layers": 1, "dropout": self.settings.dropout}
        encoder: Encoder = instantiate(Encoder, given, width, of="model.encoder")
        return encoder

    def _continue(self, training: ClozeTraining) -> None:
        checkpoint, remarks = (
            self.folder.newest() if self.folder.checkpoints.exists() else (None, [])
        )
        for remark in remarks:
            log.info(remark)
        if checkpoint is not None:
            training.steps = checkpoint.state["steps"]
            training.restore(
                checkpoint.state["step"], {name: checkpoint.part(name) for name in PARTS}
            )
            log.info("continuing after step %s", training.step)

    def _train(self, training: ClozeTraining, deadline: float | None, watch: Watch) -> None:
        began, first = time.monotonic(), training.step
        if training.steps < FEWEST:
            log.warning(
                "%s steps are too few for the network: give more text, or use its vectors alone",
                training.steps,
            )
        total = training.data.tokens(0, training.steps)
        done = training.data.tokens(0, first)
        loss = right = 0.0
        for one in training:
            step = training.step
            tokens = training.data.tokens(step - 1, step)
            done += tokens
            share = 1 / min(step - first, 100)  # a mean that forgets
            loss += (one[0] - loss) * share
            right += (one[1] - right) * share
            if deadline is not None and first < TRIED == step:
                each = (time.monotonic() - began) / (step - first)
                left = int((deadline - time.monotonic()) / each)
                if step + left < min(FEWEST, training.steps):
                    log.warning("the budget leaves no time for the network: use its vectors alone")
                training.steps = min(training.steps, max(step + left, step + 1))
                total = training.data.tokens(0, training.steps)
            watch(StageProgress("network", done, total, loss, right))
            self._pause(training)
        training.settle()

    def _pause(self, training: ClozeTraining) -> None:
        minutes = (time.monotonic() - self._written) / 60.0
        if self._stopping or minutes >= self.settings.checkpoint_minutes:
            state = {"step": training.step, "steps": training.steps}
            self.folder.write(training.step, Checkpoint(state, training.tensors()))
            self._written = time.monotonic()
        if self._stopping:
            raise StoppedError

    def _write(
        self, text: NumberedText, words: Words, training: ClozeTraining | None
    ) -> dict[str, Any]:
        own = {"text": text.facts, "settings": self.settings.as_dict(), "words": len(words.words)}
        network: dict[str, Any] = {}
        with atomic_directory(self.output, holds=DESCRIPTION) as fresh:
            shutil.copyfile(self.folder.path / "vectors" / VECTORS, fresh / VECTORS)
            (fresh / WORDS).write_text("\n".join(words.words) + "\n", "utf-8", newline="\n")
            if training is not None:
                own["steps"] = training.steps
                own["tokens"] = training.data.tokens(0, training.steps)
                network = {"network": _described(training.network)}
                save_tensors(_kept(training.network), fresh / WEIGHTS)
            (fresh / CARD).write_text(card(own), encoding="utf-8", newline="\n")
            MANIFEST.write(fresh, {**own, **network})
        return own


def _kept(network: ClozeNetwork) -> dict[str, Tensor]:
    """Return the weights that are not in the file of vectors."""
    start = f"embeddings.{PART}."
    return {
        name: weight.contiguous()
        for name, weight in network.tensors().items()
        if not name.startswith(start)
    }


def _described(network: ClozeNetwork) -> dict[str, Any]:
    found = network.settings()
    columns = {name: part.width for name, part in network.parts.items()}
    embeddings = {name: own for name, own in found["embeddings"].items() if name != PART}
    return {"embeddings": embeddings, "encoder": {**found["encoder"], "columns": columns}}


def card(facts: Mapping[str, Any]) -> str:
    """Return the card of a directory, in Markdown."""
    text, settings = facts["text"], facts["settings"]
    files = "\n".join(
        f"| {one['file']} | {one['bytes']:,} | `{one['sha256']}` |" for one in text["files"]
    )
    learnt = (
        f"A network read {facts['tokens']:,} of the tokens in {facts['steps']:,} steps."
        if "steps" in facts
        else "There are vectors only; no network was pretrained."
    )
    lines = "\n".join(f"- {name}: {value}" for name, value in settings.items())
    return (
        "# Pretrained by `ner pretrain`\n\n"
        f"From {text['documents']:,} documents, {text['sentences']:,} sentences and "
        f"{text['tokens']:,} tokens of unlabelled text. {facts['words']:,} words have a vector of "
        f"width {settings['width']}. {learnt}\n\n"
        "Use it with `model.pretrained: DIRECTORY` in the configuration of `ner train`.\n\n"
        f"| file | bytes | SHA-256 |\n| --- | --- | --- |\n{files}\n\n"
        f"Settings:\n\n{lines}\n"
    )
