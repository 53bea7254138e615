"""The factory ``ner_crf`` by which spaCy finds the component.

spaCy imports the factories of every installed package whenever a pipeline is made, so this
module imports nothing but spaCy; the component and torch follow when ``ner_crf`` is added.
"""

from __future__ import annotations

from typing import Any

from spacy.language import Language


@Language.factory(
    "ner_crf",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type"],
    default_config={
        "model": None,
        "overwrite_ents": False,
        "spans_key": None,
        "min_score": 0.0,
        "device": "cpu",
    },
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
def make_ner_crf(  # noqa: PLR0913 - one argument for each setting, as spaCy wants them
    nlp: Language,
    name: str,
    model: str | None,
    overwrite_ents: bool,
    spans_key: str | None,
    min_score: float,
    device: str,
) -> Any:
    """Make the component; ``model`` is a model directory, or ``None`` if it is loaded later."""
    from ner.spacy_component import NerCrf

    return NerCrf(
        nlp.vocab,
        name,
        model=model,
        overwrite_ents=overwrite_ents,
        spans_key=spans_key,
        min_score=min_score,
        device=device,
    )
