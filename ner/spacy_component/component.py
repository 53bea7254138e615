"""The tagger as a trainable component of a spaCy pipeline: it reads tokens and sets ``doc.ents``.

``predict`` computes and does not modify documents; ``set_annotations`` writes and does not compute.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ner.formats import DataWarning
from ner.sentence import Sentence, Span
from ner.spacy_component.documents import (
    check_labels,
    gold,
    has_words,
    labels_of,
    pieces,
)
from ner.spacy_component.fitting import SavedPipe, annotation_gaps, fit, grow
from ner.spacy_component.layer import (
    Layer,
    NetworkShim,
    Scored,
    bilstm_crf,
    drift,
    loss,
    network_of,
    read,
    shim_of,
    tok2vec_of,
)
from ner.tagger import Tagger, load

Scoring = Callable[..., dict[str, Any]]


class NerCrf(SavedPipe):
    """A spaCy component that tags entities, and can be trained.

    Entities that a document already has are kept: the others are the most probable given these.

    Args:
        vocab: The vocabulary of the pipeline.
        model: The layer to train, or a model directory; ``None`` if training or loading sets it.
        name: The name of the component.
        overwrite_ents: Whether to replace existing entities.
        spans_key: Also write all spans to ``doc.spans`` under this key, with ``attrs["scores"]``.
        min_score: The minimum probability of a span.
        alternatives: The maximum number of alternatives of an entity, ``entity._.alternatives``.
        use_sents: Whether to use the sentence boundaries of a document, if it has any; entities do
            not cross them.
        device: The device of the tagger; ``None`` follows ``spacy.require_gpu``.
        scorer: The scorer of examples.
        later: Read the model directory only when it is needed, since loading may replace it.

    Raises:
        ConfigError: A setting is out of its range.
    """

    def __init__(  # noqa: PLR0913 - one argument for each setting, as spaCy wants them
        self,
        vocab: Vocab,
        model: Layer | str | Path | None = None,
        name: str = "ner_crf",
        *,
        overwrite_ents: bool = False,
        spans_key: str | None = None,
        min_score: float = 0.0,
        alternatives: int = 0,
        use_sents: bool = True,
        device: str | None = None,
        scorer: Scoring | None = None,
        later: bool = False,
    ) -> None:
        settings = {
            "overwrite_ents": overwrite_ents,
            "spans_key": spans_key,
            "min_score": min_score,
            "alternatives": alternatives,
            "use_sents": use_sents,
            "device": device,
        }
        super().__init__(vocab, name, scorer, settings)
        self.model: Layer = model if isinstance(model, Model) else bilstm_crf({})
        self.model.attrs["use_sents"] = use_sents
        self.cfg: dict[str, Any] = {"labels": [], "initialized": False}
        self._rehearsal_model: Layer | None = None
        self._made: tuple[int, Tagger] | None = None
        self._directory = model if isinstance(model, str | Path) else None
        self._kept = False  # whether a loaded network is to be trained further
        if not later:
            self._read_directory()

    def __repr__(self) -> str:
        labels = ", ".join(self.labels) or "no labels yet"
        return f"<NerCrf {self.name!r}: {labels}>"

    @property
    def shim(self) -> NetworkShim:
        """The shim that holds the network inside the layer."""
        self._read_directory()
        return shim_of(self.model)

    @property
    def tagger(self) -> Tagger | None:
        """The tagger; ``None`` before training or loading."""
        shim = self.shim
        if shim.network is None:
            return None
        made = self._made
        if made is None or made[0] != shim.version:
            decoding = None if made is None else made[1].decoding
            self._made = made = (shim.version, Tagger(shim.network.eval(), decoding=decoding))
        if shim.network.training:  # set by the caller; dropout must be off
            shim.network.eval()
        return made[1]

    @tagger.setter
    def tagger(self, tagger: Tagger | None) -> None:
        self._directory = None
        shim = self.shim
        shim.network = None if tagger is None else tagger.network
        self._made = None if tagger is None else (shim.version, tagger)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the entities it predicts."""
        network = shim_of(self.model).network  # loading needs labels before everything is read
        return tuple(self.cfg["labels"]) if network is None else network.labels

    @property
    def label_data(self) -> tuple[str, ...]:
        """The labels, as ``spacy init labels`` writes them."""
        return self.labels

    def add_label(self, label: str) -> int:
        """Add a label; return 0 if the component already has it, else 1.

        Raises:
            ValueError: The label is not a string.
        """
        if not label:
            raise ValueError(Errors.E187)
        if label in self.labels:
            return 0
        self.vocab.strings.add(label)
        if self.shim.network is None:
            self.cfg["labels"].append(label)
        else:
            grow(self.model, [label])
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
        strict: bool = False,
    ) -> None:
        """Create a network for the words and labels of examples.

        A network from a model directory is kept, and extended by missing labels.

        Args:
            get_examples: Returns the training examples.
            nlp: The pipeline; not needed.
            labels: The labels; by default collected from the examples.
            strict: Raise an error for annotation that is missing or not aligned with the tokens,
                instead of a warning.

        Raises:
            ValueError: There is such annotation, and ``strict`` is true.
        """
        validate_get_examples(get_examples, "NerCrf.initialize")
        examples = list(get_examples())
        for line in annotation_gaps(examples, self.name):
            if strict:
                raise ValueError(line)
            warnings.warn(line, DataWarning, stacklevel=2)
        wanted = labels_of(examples) if labels is None else list(labels)
        if self.shim.network is not None and self._kept:
            for label in wanted:
                self.add_label(label)
            return
        self.shim.network = None
        if (tok2vec := tok2vec_of(self.model)) is not None:
            tok2vec.initialize(X=[eg.reference for eg in examples[:10]] or None)
        self.cfg = {"labels": sorted({*self.cfg["labels"], *wanted}), "initialized": True}
        sentences = self._sentences(examples)
        if sentences and self.cfg["labels"] and any(eg.reference.ents for eg in examples):
            self._fit(sentences)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from examples; gradients accumulate until ``finish_update``.

        Args:
            examples: The examples; missing annotation is treated as unknown.
            drop: The dropout of the encoder's input and output.
            sgd: The optimizer, to update the weights at once.
            losses: Updated with the loss in nats per sentence, under the component's name.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        batch = list(examples)
        validate_examples(batch, "NerCrf.update")
        if not any(has_words(eg.predicted) for eg in batch) or not self._ready(batch):
            return losses
        docs = [eg.predicted for eg in batch]
        losses[self.name] += self._learn(docs, partial(self.get_loss, batch), drop, sgd)
        return losses

    def get_loss(self, examples: Iterable[Example], scores: Scored) -> tuple[float, torch.Tensor]:
        """Return the loss of scored documents in nats per sentence, and its gradient.

        Raises:
            ValueError: An entity has a label that the component does not have.
        """
        network = self.shim.network
        assert network is not None, "scores come from a network"
        rows = zip(examples, scores.pieces, strict=True)
        annotated = [part for example, row in rows for part in gold(example, row)]
        check_labels(annotated, self.labels, self.name)
        return loss(network, scores, annotated)

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn to score tags as the network did when training was resumed.

        Args:
            examples: The examples; their annotation is ignored.
            drop: The dropout of the encoder's input and output.
            sgd: The optimizer, to update the weights at once.
            losses: Updated with the mean squared difference of the emissions.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        docs = [eg.predicted for eg in examples if has_words(eg.predicted)]
        if self._rehearsal_model is None or self.shim.network is None or not docs:
            return losses
        old = self._rehearsal_model
        losses[self.name] += self._learn(
            docs, lambda scores: drift(self.model, scores, old, docs), drop, sgd
        )
        return losses

    def predict(self, docs: Iterable[Doc]) -> list[tuple[Span, ...]]:
        """Return the spans of each document, which is not modified.

        Raises:
            ValueError: The component was neither trained nor loaded.
        """
        together = list(docs)
        tagger = self.tagger
        if tagger is None:
            if self.cfg["initialized"]:
                return [()] * len(together)
            raise ValueError(Errors.E109.format(name=self.name))
        return self.tag(tagger, together, read(self.model, together))

    def __reduce__(self) -> tuple[Any, ...]:
        settings = self.settings()
        layer = {name: self.model.attrs[name] for name in ("settings", "static_vectors")}
        layer["tok2vec"] = tok2vec_of(self.model)
        return _restored, (self.vocab, self.name, layer, settings, self.scorer, self.to_bytes())

    def _learn(
        self,
        docs: Sequence[Doc],
        loss_of: Callable[[Scored], tuple[float, torch.Tensor]],
        drop: float,
        sgd: Optimizer | None,
    ) -> float:
        """Backpropagate a loss through the layer; return the loss.

        Args:
            docs: The input of the layer.
            loss_of: Returns the loss of the layer's output, and its gradient.
            drop: The dropout of the encoder's input and output.
            sgd: The optimizer, to update the weights at once.
        """
        set_dropout_rate(self.model, drop)
        network_of(self.model).admit()
        scores, backprop = self.model.begin_update(docs)
        value, gradient = loss_of(scores)
        backprop(gradient)
        if sgd:
            self.finish_update(sgd)
        return value

    def _sentences(self, examples: Iterable[Example]) -> list[Sentence]:
        rows = [pieces(eg.predicted, use_sents=self.use_sents) for eg in examples]
        return [part.sentence for row in rows for part in row]

    def _read_directory(self) -> None:
        """Read the model directory, if that is pending."""
        if self._directory is not None:
            path, self._directory = self._directory, None
            self.tagger = load(path, device=self.torch_device())
            self._kept = True

    def _fit(self, sentences: Sequence[Sentence]) -> None:
        fit(self.model, self.vocab, sentences, self.cfg["labels"])
        if self.device is not None and self.shim.network is not None:
            self.shim.network.to(self.device)

    def _ready(self, examples: Sequence[Example]) -> bool:
        """Return whether there is a network to train; create one if examples were missing."""
        if self.shim.network is not None:
            return True
        if not self.cfg["initialized"]:
            raise ValueError(Errors.E109.format(name=self.name))
        self.cfg["labels"] = sorted({*self.cfg["labels"], *labels_of(examples)})
        if not self.cfg["labels"]:
            return False
        warnings.warn(
            f"{self.name} was initialized without entities, so its words and labels are those of "
            "the first batch; pass all training examples to nlp.initialize",
            stacklevel=4,
        )
        self._fit(self._sentences(examples))
        return True


def _restored(
    vocab: Vocab,
    name: str,
    layer: Mapping[str, Any],
    settings: Mapping[str, Any],
    scorer: Scoring,
    data: bytes,
) -> NerCrf:
    """Restore a pickled component; in another process, use one thread."""
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)
    component = NerCrf(vocab, bilstm_crf(**layer), name, scorer=scorer, **settings)
    return component.from_bytes(data)
