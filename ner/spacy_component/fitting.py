"""The network of the layer: created for training documents, extended by labels, serialised."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

from spacy import util
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import get_current_ops, get_torch_default_device

from ner.network import build, from_settings
from ner.sentence import Sentence, Span
from ner.spacy_component.documents import UNSET, same_tokens, stretches
from ner.spacy_component.layer import Layer, network_of, shim_of, tok2vec_of
from ner.spacy_component.tagging import ExportedNer, TaggingPipe
from ner.storage.manifest import is_exported
from ner.tagger import Tagger, load

GIVEN = "tok2vec"  # the name of the embedding for the vectors of a tok2vec
SHOWN = 3  # examples per warning


def fit(model: Layer, vocab: Vocab, sentences: Sequence[Sentence], labels: Sequence[str]) -> None:
    """Create the network of a layer, with vocabularies from training sentences.

    Args:
        model: The layer.
        vocab: The vocabulary of the pipeline, for its vectors.
        sentences: The sentences of the training documents.
        labels: The labels to predict.

    Raises:
        ValueError: Static vectors are requested, but the pipeline has none.
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
    bearer = replace(plain[0], spans=every)  # `build` takes the labels from spans
    network = build([bearer, *plain[1:]], **settings)
    shim_of(model).network = network.eval().to(get_torch_default_device())


def vector_table(vocab: Vocab) -> dict[str, Any]:
    """Return the vectors of a pipeline for ``ner.embeddings.VectorEmbedding``.

    Raises:
        ValueError: There are none, or they are floret vectors, which have no words.
    """
    vectors = vocab.vectors
    if vectors.mode != "default" or not vectors.n_keys or not vectors.shape[1]:
        raise ValueError(
            "include_static_vectors needs a pipeline with word vectors; this one has "
            f"{len(vectors)} in mode {vectors.mode!r}. Set --paths.vectors to another pipeline"
        )
    rows = {vocab.strings[key]: row for key, row in vectors.key2row.items() if row >= 0}
    data = get_current_ops().to_numpy(vectors.data)  # type: ignore[no-untyped-call]
    return {"words": list(rows), "rows": [int(row) for row in rows.values()], "vectors": data}


def grow(model: Layer, labels: Sequence[str]) -> None:
    """Extend the network of a layer by labels; existing weights are unchanged."""
    old = network_of(model)
    settings = old.settings()
    settings["labels"] = [*old.labels, *labels]
    new = from_settings(settings)
    new.adopt(old)
    shim_of(model).network = new.eval().to(old.device)


def annotation_gaps(examples: Sequence[Example], name: str) -> list[str]:
    """Describe missing and misaligned annotation, one line per kind.

    Args:
        examples: All training examples.
        name: The name of the component.
    """
    kinds = {
        "entities not aligned with tokens": [line for eg in examples for line in _unaligned(eg)],
        "runs of tokens without annotation": [
            _shown(gap) for eg in examples for gap in _gaps(eg.reference)
        ],
    }
    return [
        f"{name}: {what}, treated as unknown: {len(found):,}, e.g. {'; '.join(found[:SHOWN])}"
        for what, found in kinds.items()
        if found
    ]


def _unaligned(example: Example) -> Iterator[str]:
    """Yield the entities whose boundaries are not token boundaries."""
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
    """Return the maximal runs of tokens without annotation.

    None for a document without any annotation, which is only used for its words.
    """
    if not doc.has_annotation("ENT_IOB"):
        return []
    return stretches(doc, doc.to_array("ENT_IOB") == UNSET)


def _shown(span: DocSpan) -> str:
    return f"{span.text!r} [{span.start_char}:{span.end_char}]"


class SavedPipe(TaggingPipe):
    """A component whose state is a tagger, the weights of a tok2vec, and a few settings.

    Attributes:
        cfg: Further state, as JSON values.
        model: The layer, which may contain a tok2vec.
        labels: The labels of the entities it predicts.
        tagger: The tagger; ``None`` before training or loading.
    """

    cfg: dict[str, Any]
    model: Layer

    def torch_device(self) -> str:
        """Return the torch name of the tagger's device."""
        return self.device or str(get_torch_default_device())

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the component to a model directory, which ``ner.load`` can read, too."""
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
        """Read a component from ``to_disk``, or any model directory."""
        folder = Path(path)
        if "model" not in exclude and is_exported(folder):
            self.become_exported()
            return self.from_disk(folder)
        if (folder / "cfg").is_file() and "cfg" not in exclude:
            self.cfg.update(json.loads((folder / "cfg").read_text(encoding="utf-8")))
        if "model" not in exclude:
            untrained = (folder / "cfg").is_file() and not (folder / "tagger.json").exists()
            self.tagger = None if untrained else load(folder, device=self.torch_device())
            if (tok2vec := tok2vec_of(self.model)) is not None and (folder / "tok2vec").is_file():
                tok2vec.from_bytes((folder / "tok2vec").read_bytes())
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialise the component."""
        tagger, tok2vec = self.tagger, tok2vec_of(self.model)
        parts = {
            "cfg": lambda: json.dumps({**self.cfg, "labels": self.labels}).encode(),
            "model": lambda: b"" if tagger is None else tagger.to_bytes(),
            "tok2vec": lambda: b"" if tok2vec is None else tok2vec.to_bytes(),
        }
        data: bytes = util.to_bytes(parts, exclude)
        return data

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Read a component from ``to_bytes``."""

        def take_model(model: bytes) -> None:
            self.tagger = Tagger.from_bytes(model, device=self.torch_device()) if model else None

        def take_exported(files: bytes) -> None:
            self.become_exported()
            cast(ExportedNer, self).take(files)

        def take_tok2vec(weights: bytes) -> None:
            if (tok2vec := tok2vec_of(self.model)) is not None and weights:
                tok2vec.from_bytes(weights)

        parts = {
            "cfg": lambda cfg: self.cfg.update(json.loads(cfg)),
            "model": take_model,
            "exported": take_exported,
            "tok2vec": take_tok2vec,
        }
        util.from_bytes(data, parts, exclude)
        return self
