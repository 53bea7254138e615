"""The entry points for spaCy: the factory ``ner_crf``, its architecture, corpus and batcher.

spaCy imports the factories of every installed package with every pipeline, so this module imports
only spaCy; the component and torch are imported when ``ner_crf`` is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from typing import Any

from spacy.language import Language
from spacy.training import Example


@Language.factory(
    "ner_crf",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type"],
    default_config={
        "model": {
            "@architectures": "ner_crf.BiLSTMCRF.v1",
            "scheme": "BIOES",
            "embeddings": {},
            "encoder": {},
            "crf": {},
            "include_static_vectors": False,
            "tok2vec": None,
        },
        "overwrite_ents": False,
        "spans_key": None,
        "min_score": 0.0,
        "alternatives": 0,
        "use_sents": True,
        "device": None,
        "scorer": {"@scorers": "spacy.ner_scorer.v1"},
    },
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
def make_ner_crf(  # noqa: PLR0913 - one argument for each setting, as spaCy wants them
    nlp: Language,
    name: str,
    model: Any,
    overwrite_ents: bool,
    spans_key: str | None,
    min_score: float,
    alternatives: int,
    use_sents: bool,
    device: str | None,
    scorer: Callable[..., Any] | None,
) -> Any:
    """Create the component; ``model`` is an architecture or the path of a model directory."""
    later = name in nlp._meta.get("components", ())  # a saved pipeline has its own model
    make: Any
    if isinstance(model, str) and _without_torch(model, later=later):
        from ner.spacy_component.tagging import ExportedNer

        make = ExportedNer
    else:
        from ner.spacy_component import NerCrf

        make = NerCrf
    return make(
        nlp.vocab,
        model,
        name,
        overwrite_ents=overwrite_ents,
        spans_key=spans_key,
        min_score=min_score,
        alternatives=alternatives,
        use_sents=use_sents,
        device=device,
        scorer=scorer,
        later=later,
    )


def _without_torch(path: str, *, later: bool) -> bool:
    """Return whether a model is an exported one, or can only be one without torch."""
    from ner.storage.addresses import local
    from ner.storage.manifest import is_exported

    return find_spec("torch") is None or is_exported(path if later else local(path))


@Language.factory(
    "ner_redact", requires=["doc.ents"], default_config={"replacement": "label", "labels": None}
)
def make_redaction(nlp: Language, name: str, replacement: str, labels: list[str] | None) -> Any:
    """Create the component that sets ``doc._.redacted``, the text without its entities.

    Args:
        nlp: The pipeline.
        name: The name of the component.
        replacement: ``label``, ``mask`` or ``pseudonym``.
        labels: The labels of the entities to replace; by default all.
    """
    from ner.spacy_component.documents import RedactEntities

    return RedactEntities(replacement, labels)


def make_bilstm_crf(
    scheme: str = "BIOES",
    embeddings: dict[str, Any] | None = None,
    encoder: dict[str, Any] | None = None,
    crf: dict[str, Any] | None = None,
    include_static_vectors: bool = False,
    tok2vec: Any = None,
) -> Any:
    """Create the architecture ``ner_crf.BiLSTMCRF.v1``, with the settings of ``ner train``.

    Args:
        scheme: The tagging scheme inside the network.
        embeddings: The settings of each embedding by name; ``false`` removes a default one.
        encoder: The settings of the encoder. The dropout is that of ``[training] dropout``.
        crf: The settings of the CRF.
        include_static_vectors: Whether to use the vectors of the pipeline as an embedding. They are
            copied into the model.
        tok2vec: A layer to use as an embedding and to train together with the rest;
            ``spacy.Tok2VecListener.v1`` for one that components share.
    """
    from ner.spacy_component.layer import bilstm_crf

    settings = {"scheme": scheme, "embeddings": embeddings, "encoder": encoder, "crf": crf}
    return bilstm_crf(settings, static_vectors=include_static_vectors, tok2vec=tok2vec)


def make_corpus(
    path: str | None,
    format: str | None = None,  # noqa: A002 - as in `ner.read`
    limit: int = 0,
    sentences: bool = False,
) -> Callable[[Language], Iterable[Example]]:
    """Create the reader ``ner_crf.Corpus.v1``: files of any format, as documents with sentences.

    Args:
        path: A file that ``ner.read`` can read.
        format: The format of the file; by default inferred from its name.
        limit: The maximum number of documents; 0 for all.
        sentences: Make each sentence an example, which refers to its document, instead of each
            document; batches then mix sentences of all documents.
    """
    from ner.spacy_component.corpus import Corpus

    return Corpus(path, format=format, limit=limit, sentences=sentences)


def make_seqeval_scorer(mode: str = "default") -> Callable[..., dict[str, Any]]:
    """Create the scorer ``ner_crf.seqeval.v1``, with the scores of seqeval.

    Args:
        mode: ``default``, or ``strict``, in which spans with ill-formed tags do not count.
    """
    from ner.spacy_component.corpus import score_by_seqeval

    return partial(score_by_seqeval, mode=mode)


def make_batcher(
    size: int = 32, tokens: int | None = None, noise: float = 2.0, buffer: int = 16384
) -> Callable[[Iterable[Example]], Iterable[list[Example]]]:
    """Create the batcher ``ner_crf.batch_by_length.v1``: batches of similar length.

    Args:
        size: The maximum number of examples per batch.
        tokens: The maximum number of tokens per batch including padding, if any; a longer example
            gets its own batch.
        noise: Examples are sorted by their length plus a random number up to this many tokens.
        buffer: The number of examples sorted together.
    """
    from ner.spacy_component.corpus import by_length

    return partial(by_length, size=size, tokens=tokens, noise=noise, buffer=buffer)
