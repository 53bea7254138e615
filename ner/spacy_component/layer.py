"""The network as a thinc layer, which spaCy trains.

thinc's own wrapper for torch switches the network between training and evaluation mode at every
prediction, which is not thread-safe; pickles weights; and ignores the averaged weights of thinc's
optimizers. This layer does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from spacy.tokens import Doc
from thinc.api import Model, Optimizer, Shim, get_current_ops, get_torch_default_device
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ner.batch import Batch, pad
from ner.embeddings import GivenEmbedding
from ner.scorer import Scorer, TypeTable
from ner.spacy_component.documents import DocSentence, pieces, with_vectors
from ner.tagger import Tagger

Layer = Model[Any, Any]

REMEMBERED = 1 << 16  # maximum number of cached tokens


class NetworkShim(Shim):
    """Wraps a network for thinc: updates, temporarily replaces and serialises its weights.

    Attributes:
        version: Incremented whenever the weights change, to invalidate what depends on them.
    """

    def __init__(self, network: Scorer | None = None) -> None:
        super().__init__(network)
        self.version = 0
        self._table: TypeTable | None = None

    @property
    def network(self) -> Scorer | None:
        """The network, in evaluation mode except during the forward pass of an update."""
        network: Scorer | None = self._model
        return network

    @network.setter
    def network(self, network: Scorer | None) -> None:
        self._model = network
        self._table = None
        self.version += 1

    def table(self) -> TypeTable | None:
        """Return the indexed training tokens; a new table if the old one has grown too large."""
        if self.network is not None and (self._table is None or len(self._table) > REMEMBERED):
            self._table = self.network.type_table()
        return self._table

    def finish_update(self, optimizer: Optimizer) -> None:
        """Update the weights by the accumulated gradients with thinc's optimizer."""
        if self.network is None:
            return
        for name, weight in self.network.named_parameters():
            if weight.grad is None:
                continue
            own: Any = torch2xp(weight.data)
            gradient: Any = torch2xp(weight.grad)
            changed, _ = optimizer((self.id, name), own, gradient)
            new = xp2torch(changed, device=weight.device)
            # Copy, since the result may be a view of the weights, and assigning it would add a
            # link to a chain of views at each step.
            if new.data_ptr() != weight.data_ptr():
                weight.data.copy_(new)
            weight.grad = None  # not zeroed in place: a caller may keep the gradient
        self.version += 1

    @contextmanager
    def use_params(self, params: Mapping[Any, Any]) -> Iterator[None]:
        """Use other weights, such as an optimizer's averages, while the block runs."""
        weights = dict(self.network.named_parameters()) if self.network is not None else {}
        lent = {name: params[self.id, name] for name in weights if (self.id, name) in params}
        own = {name: weights[name].data for name in lent}
        for name, value in lent.items():
            weights[name].data = xp2torch(value, device=weights[name].device).clone()
        self.version += 1
        try:
            yield
        finally:
            for name, value in own.items():
                weights[name].data = value
            self.version += 1

    def to_device(self, device_type: str, device_id: int) -> None:
        if self.network is not None:
            self.network.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def to_bytes(self) -> bytes:
        """Serialise the network as a model directory, without pickle."""
        return b"" if self.network is None else Tagger(self.network).to_bytes()

    def from_bytes(self, data: bytes) -> NetworkShim:
        device = str(get_torch_default_device())
        self.network = Tagger.from_bytes(data, device=device).network if data else None
        return self


def shim_of(model: Layer) -> NetworkShim:
    """Return the shim that holds the network of a layer."""
    shim = model.shims[0]
    assert isinstance(shim, NetworkShim)
    return shim


def network_of(model: Layer) -> Scorer:
    """Return the network of a layer, which must have one."""
    network = shim_of(model).network
    assert network is not None, "the layer was neither fitted nor loaded"
    return network


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The output of the layer for documents.

    Attributes:
        pieces: The sentences of each document.
        emissions: The emissions of all sentences by each stack of the network,
            ``(stacks, sentences, length, tags)``.
        lengths: Their number of tokens, ``(sentences,)``.
    """

    pieces: tuple[tuple[DocSentence, ...], ...]
    emissions: Tensor
    lengths: Tensor


def bilstm_crf(
    settings: Mapping[str, Any], *, static_vectors: bool = False, tok2vec: Layer | None = None
) -> Layer:
    """Create a layer from documents to ``Scored``.

    Args:
        settings: The arguments of ``ner.network.build``, used when the layer is fitted.
        static_vectors: Whether to use the vectors of the pipeline as an embedding.
        tok2vec: A layer from documents to the vectors of their tokens, to use as an embedding. It
            may be a listener to the layer of another component.
    """
    return Model(
        "ner_crf",
        _forward,
        attrs={
            "settings": dict(settings),
            "static_vectors": static_vectors,
            "use_sents": True,
            "dropout_rate": 0.0,
        },
        shims=[NetworkShim()],
        layers=[] if tok2vec is None else [tok2vec],
    )


def tok2vec_of(model: Layer) -> Layer | None:
    """Return the tok2vec inside a layer, if there is one."""
    return model.layers[0] if model.layers else None


def read(model: Layer, docs: Sequence[Doc]) -> list[list[DocSentence]]:
    """Return the sentences of documents, with token vectors if the layer has a tok2vec."""
    rows = [pieces(doc, use_sents=model.attrs["use_sents"]) for doc in docs]
    tok2vec = tok2vec_of(model)
    return rows if tok2vec is None else _with_vectors(rows, tok2vec.predict(docs))


def _with_vectors(
    rows: Sequence[Sequence[DocSentence]], vectors: Sequence[Any]
) -> list[list[DocSentence]]:
    to_numpy = get_current_ops().to_numpy
    return [
        with_vectors(row, to_numpy(own))  # type: ignore[no-untyped-call]
        for row, own in zip(rows, vectors, strict=True)
    ]


def loss(network: Scorer, scored: Scored, gold: Sequence[DocSentence]) -> tuple[float, Tensor]:
    """Return the loss of scored documents, in nats per sentence, and its gradient.

    The gradient of the CRF's weights is added to them; that of the emissions is returned.

    Args:
        network: The network that scored the documents.
        scored: The scored documents.
        gold: Their annotated sentences, in the same order.
    """
    emissions = scored.emissions.detach().requires_grad_()
    number = {tag: place for place, tag in enumerate(network.tags)}
    spelt = [network.scheme.encode(p.sentence.spans or (), len(p.sentence)) for p in gold]
    rows = [torch.tensor([number[tag] for tag in tags]).numpy() for tags in spelt]
    tags = pad(rows, emissions.shape[2])
    candidates = torch.nn.functional.one_hot(tags, len(network.tags)).bool()
    for row, part in zip(candidates, gold, strict=True):
        row[list(part.sentence.unknown)] = True
    partial = any(part.sentence.unknown for part in gold)
    with torch.enable_grad():
        value = network.loss_of(
            emissions.unbind(),
            scored.lengths,
            tags.to(emissions.device),
            candidates.to(emissions.device) if partial else None,
        )
    value.backward()  # type: ignore[no-untyped-call]
    assert emissions.grad is not None
    return value.item(), emissions.grad


def drift(model: Layer, scored: Scored, old: Layer, docs: Sequence[Doc]) -> tuple[float, Tensor]:
    """Return the mean squared difference to an older layer's emissions, and half its gradient.

    Tags that the older layer does not have are ignored.

    Args:
        model: The layer.
        scored: Its output for the documents.
        old: The older layer.
        docs: The documents.
    """
    before: Tensor = old.predict(docs).emissions
    tags, known = network_of(model).tags, network_of(old).tags
    places = [tags.index(tag) for tag in known]
    difference = torch.zeros_like(scored.emissions)
    difference[..., places] = scored.emissions.detach()[..., places] - before
    tokens = scored.lengths.sum() * len(difference)  # each stack scores every token
    inside = torch.arange(difference.shape[2], device=difference.device) < scored.lengths[:, None]
    difference *= inside.unsqueeze(2)
    return float((difference**2).sum() / tokens), difference / tokens


def _forward(
    model: Layer, docs: Sequence[Doc], is_train: bool
) -> tuple[Scored, Callable[[Tensor], Sequence[Doc]]]:
    network = network_of(model)
    rows = [pieces(doc, use_sents=model.attrs["use_sents"]) for doc in docs]
    tok2vec = tok2vec_of(model)
    if tok2vec is not None:
        vectors, give_back = tok2vec(docs, is_train)
        rows = _with_vectors(rows, vectors)
    device = network.device
    sentences = [part.sentence for row in rows for part in row]
    batch = network.batch(sentences, shim_of(model).table() if is_train else None).to(device)
    given = _given(network, batch)
    if given is not None:
        given.requires_grad_(is_train)
    with torch.set_grad_enabled(is_train), _mode(network, model.attrs["dropout_rate"], is_train):
        emissions = torch.stack(network.each(batch))

    def backprop(gradient: Tensor) -> Sequence[Doc]:
        emissions.backward(gradient)  # type: ignore[no-untyped-call]
        if tok2vec is not None and given is not None and given.grad is not None:
            give_back(_by_document(docs, rows, given.grad))
        return docs

    return Scored(tuple(map(tuple, rows)), emissions, batch.lengths), backprop


def _given(network: Scorer, batch: Batch) -> Tensor | None:
    """Return the tok2vec vectors of a batch, ``(batch, length, width)``."""
    for part, tensors in zip(network.context_embeddings, batch.contexts, strict=True):
        if isinstance(part, GivenEmbedding):
            return tensors[0]
    return None


def _by_document(
    docs: Sequence[Doc], rows: Sequence[Sequence[DocSentence]], gradient: Tensor
) -> list[Any]:
    """Return the gradient of each document's vectors, ``(tokens, width)``; 0 at white space."""
    ops = get_current_ops()
    sentences = iter(gradient)
    found = []
    for doc, row in zip(docs, rows, strict=True):
        own: Any = ops.alloc2f(len(doc), gradient.shape[2])
        for part in row:
            own[list(part.places)] = torch2xp(next(sentences)[: len(part.places)])
        found.append(own)
    return found


@contextmanager
def _mode(network: Scorer, dropout: float, is_train: bool) -> Iterator[None]:
    """Put the network in training mode with this dropout while the block runs, if training."""
    if not is_train:
        yield
        return
    dropouts = [stack.encoder.dropout for stack in network.stacks]
    shares = [own.share for own in dropouts]
    for own in dropouts:
        own.share = dropout
    network.train()
    try:
        yield
    finally:
        network.eval()
        for own, share in zip(dropouts, shares, strict=True):
            own.share = share
