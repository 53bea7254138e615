"""The entry points for spaCy: the factory ``ner_crf``, its architecture, readers and more.

spaCy imports the factories of every installed package whenever a pipeline is made, so this
module imports nothing but spaCy; the component and torch follow when ``ner_crf`` is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
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
    """Make the component; ``model`` is an architecture, or the path of a model directory."""
    from ner.spacy_component import NerCrf

    return NerCrf(
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
        later=name in nlp._meta.get("components", ()),  # a saved pipeline brings its own
    )


def make_bilstm_crf(
    scheme: str = "BIOES",
    embeddings: dict[str, Any] | None = None,
    encoder: dict[str, Any] | None = None,
    crf: dict[str, Any] | None = None,
    include_static_vectors: bool = False,
    tok2vec: Any = None,
) -> Any:
    """The architecture ``ner_crf.BiLSTMCRF.v1``: its settings are those of ``ner train``.

    Args:
        scheme: How spans are written as tags inside the network.
        embeddings: Settings of each embedding by its name; ``false`` leaves out one.
        encoder: Settings of the encoder. Its dropout is what ``[training] dropout`` says.
        crf: Settings of the CRF.
        include_static_vectors: Whether the vectors of the pipeline are an embedding more. They are
            copied into the model.
        tok2vec: A layer whose vectors of the tokens are an embedding more, and which is trained
            with the rest: ``spacy.Tok2VecListener.v1`` for one that components share.
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
    """The reader ``ner_crf.Corpus.v1``: files of any format, as documents with sentences.

    Args:
        path: A file that ``ner.read`` can read.
        format: Of the file, where its name does not tell.
        limit: The most documents; 0 for all.
        sentences: Whether each sentence is an example, which knows its document, rather than each
            document: batches are of sentences from everywhere then.
    """
    from ner.spacy_component.corpus import Corpus

    return Corpus(path, format=format, limit=limit, sentences=sentences)


def make_seqeval_scorer(mode: str = "default") -> Callable[..., dict[str, Any]]:
    """The scorer ``ner_crf.seqeval.v1``: figures that seqeval computes.

    Args:
        mode: ``default``, or ``strict``, in which spans with ill-formed tags do not count.
    """
    from ner.spacy_component.corpus import score_by_seqeval

    return partial(score_by_seqeval, mode=mode)


def make_batcher(
    size: int = 32, tokens: int | None = None, noise: float = 2.0, buffer: int = 16384
) -> Callable[[Iterable[Example]], Iterable[list[Example]]]:
    """The batcher ``ner_crf.batch_by_length.v1``: examples of like length, in random order.

    Args:
        size: The most examples of a batch.
        tokens: The most tokens of a batch, padding counted, where there is a limit; a longer
            example is alone.
        noise: Examples are sorted by their length plus a random number up to this many tokens.
        buffer: The number of examples sorted together.
    """
    from ner.spacy_component.corpus import by_length

    return partial(by_length, size=size, tokens=tokens, noise=noise, buffer=buffer)
