"""What of the annotation of training examples does not fit their tokens, or is not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.training import Example

from ner.spacy_component.documents import UNSET, same_tokens, stretches

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
