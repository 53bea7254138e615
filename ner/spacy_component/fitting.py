"""The layer's network: made for training documents, and grown by labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import get_current_ops, get_torch_default_device

from ner.ensemble import from_settings
from ner.network import build
from ner.sentence import Sentence, Span
from ner.spacy_component.documents import UNSET, same_tokens, stretches
from ner.spacy_component.layer import Layer, network_of, shim_of, tok2vec_of

GIVEN = "tok2vec"  # the name of the network's part that reads the vectors of a tok2vec
UNLIKELY = -10.0  # the emission with which the tags of a new label begin


def fit(model: Layer, vocab: Vocab, sentences: Sequence[Sentence], labels: Sequence[str]) -> None:
    """Give the layer a fresh network, whose vocabularies are these sentences'.

    Args:
        model: The layer.
        vocab: Of the pipeline, for its vectors.
        sentences: Of the training documents.
        labels: Of the entities it is to find.

    Raises:
        ValueError: The vectors of the pipeline are to be used, and it has none.
    """
    settings = dict(model.attrs["settings"])
    if model.attrs["static_vectors"]:
        own = {"vectors": {"table": vector_table(vocab)}}
        settings["embeddings"] = {**(settings.get("embeddings") or {}), **own}
    tok2vec = tok2vec_of(model)
    if tok2vec is not None:
        given = {GIVEN: {"kind": "given", "width": tok2vec.get_dim("nO")}}
        settings["embeddings"] = {**(settings.get("embeddings") or {}), **given}
    every = tuple(Span(0, 1, label) for label in labels)
    plain = [replace(sentence, spans=None, unknown=frozenset()) for sentence in sentences]
    bearer = replace(plain[0], spans=every)  # build reads the labels off the spans
    network = build([bearer, *plain[1:]], **settings)
    shim_of(model).network = network.eval().to(get_torch_default_device())


def vector_table(vocab: Vocab) -> dict[str, Any]:
    """The vectors of a pipeline, as ``ner.embeddings.VectorEmbedding`` takes them.

    Raises:
        ValueError: There are none, or they are floret's, which belong to no words.
    """
    vectors = vocab.vectors
    if vectors.mode != "default" or not vectors.n_keys or not vectors.shape[1]:
        raise ValueError(
            "include_static_vectors needs a pipeline with a vector for each word; this one has "
            f"{len(vectors)} of mode {vectors.mode!r}; give --paths.vectors another"
        )
    rows = {vocab.strings[key]: row for key, row in vectors.key2row.items() if row >= 0}
    data = get_current_ops().to_numpy(vectors.data)  # type: ignore[no-untyped-call]
    return {"words": list(rows), "rows": [int(row) for row in rows.values()], "vectors": data}


def grow(model: Layer, labels: Sequence[str]) -> None:
    """Give the network of the layer more labels; what it knows stays bit for bit."""
    old = network_of(model)
    settings = old.settings()
    settings["labels"] = [*old.labels, *labels]
    new = from_settings(settings)
    with torch.no_grad():
        for stack in new.stacks:
            for weight in (*stack.of_tags(), stack.crf.transitions):
                weight.zero_()
            stack.projection.bias.fill_(UNLIKELY)
    new.adopt(old)
    shim_of(model).network = new.eval().to(old.device)


SHOWN = 3  # of each kind


def told(examples: Sequence[Example], name: str) -> list[str]:
    """What to say of annotation that is left open, a line for each kind.

    Args:
        examples: All training examples.
        name: Of the component.
    """
    kinds = {
        "entities that do not fit the tokens": [line for eg in examples for line in _unaligned(eg)],
        "stretches of tokens without annotation": [
            _shown(gap) for eg in examples for gap in _gaps(eg.reference)
        ],
    }
    return [
        f"{name}: {what}, left open: {len(found):,}, such as {'; '.join(found[:SHOWN])}"
        for what, found in kinds.items()
        if found
    ]


def _unaligned(example: Example) -> Iterator[str]:
    """The entities whose boundaries are none of the predicted document's tokens'."""
    predicted, reference = example.predicted, example.reference
    if same_tokens(predicted, reference):
        return
    for ent in reference.ents:
        if not example.get_aligned_spans_y2x([ent]):
            places = example.alignment.y2x[ent.start : ent.end]
            near = "none"
            if len(places):
                near = _shown(predicted[int(min(places)) : int(max(places)) + 1])
            yield f"{_shown(ent)} {ent.label_}, nearest tokens {near}"


def _gaps(doc: Doc) -> list[DocSpan]:
    """The longest stretches of tokens of which nobody said whether they are in an entity.

    A document without any annotation is none: it is there for its words.
    """
    if not doc.has_annotation("ENT_IOB"):
        return []
    return stretches(doc, doc.to_array("ENT_IOB") == UNSET)


def _shown(span: DocSpan) -> str:
    return f"{span.text!r} [{span.start_char}:{span.end_char}]"
