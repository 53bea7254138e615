"""Between spaCy's documents and the toolkit's sentences and spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.training import Example
from spacy.training.iob_utils import tags_to_entities
from spacy.vocab import Vocab

from ner.sentence import Document, Sentence, Span, SpanWithAlternatives

ALTERNATIVES = "ner_crf.alternatives"  # a part of keys of user_data
WHOLE = "ner_crf.document"  # the key of the document, and the place in it, of a part of one
UNSET = 0  # of spaCy's ENT_IOB; the odd 1 and 3 are inside and begin, which may block a token


@dataclass(frozen=True, slots=True)
class DocSentence:
    """A sentence of a document without its white space.

    Attributes:
        sentence: The tokens the tagger sees.
        places: Where each of them stands in the document.
    """

    sentence: Sentence
    places: Sequence[int]


def pieces(doc: Doc, *, use_sents: bool = True) -> list[DocSentence]:
    """The sentences of a document, where they are known and wanted; else all of it as one.

    A stretch of white space is not a sentence. What ``part_of`` made knows of the rest of
    its document.
    """
    table = doc.to_array(["ORTH", "SENT_START"])  # no Token is made: there are many
    words = _TEXTS.of(table[:, 0].tolist(), doc.vocab)
    starts = [0]
    if use_sents:
        starts += (np.flatnonzero(table[1:, 1] == 1) + 1).tolist()
    places: list[Sequence[int]] = list(map(range, starts, [*starts[1:], len(words)]))
    if "" in words:
        places = [tuple(place for place in row if words[place]) for row in places]
    places = [row for row in places if row]
    own = Document(tuple(tuple(map(words.__getitem__, row)) for row in places))
    document, first = doc.user_data.get(WHOLE, (own, 0))
    return [
        DocSentence(Sentence(tokens, document=document, position=number), row)
        for number, (tokens, row) in enumerate(zip(own.tokens, places, strict=True), first)
    ]


def part_of(doc: Doc, number: int, part: DocSentence) -> Doc:
    """A sentence of a document as a document of its own, with the entities that lie within it.

    Args:
        doc: The document, without white space.
        number: Which of its pieces it is.
        part: The piece.
    """
    alone = doc[part.places[0] : part.places[-1] + 1].as_doc()
    alone.user_data[WHOLE] = part.sentence.document, number
    return alone


def with_vectors(parts: Sequence[DocSentence], vectors: NDArray[np.float32]) -> list[DocSentence]:
    """The pieces of a document, whose sentences bring along the vectors of their tokens.

    Args:
        parts: The pieces.
        vectors: Of all tokens of the document, ``(tokens, width)``.
    """
    return [
        DocSentence(replace(part.sentence, vectors=vectors[list(part.places)]), part.places)
        for part in parts
    ]


class _Texts:
    """The texts of tokens by spaCy's hashes, which are the same in every vocabulary.

    White space has none. One string stands for all tokens of a text, so that whoever looks it up
    hashes it once.
    """

    def __init__(self, most: int = 1 << 16) -> None:
        self._most = most  # of texts remembered, but for those of one document
        self._known: dict[int, str] = {}

    def of(self, hashes: Sequence[int], vocab: Vocab) -> list[str]:
        """The text of each hash."""
        known = self._known
        try:
            return list(map(known.__getitem__, hashes))
        except KeyError:
            if len(known) > self._most:  # another thread may still be reading the old ones
                known = self._known = {}
            texts = ((key, vocab.strings[key]) for key in set(hashes) - known.keys())
            known.update((key, text if text.strip() else "") for key, text in texts)
            return list(map(known.__getitem__, hashes))


_TEXTS = _Texts()


def has_words(doc: Doc) -> bool:
    """Return whether a document has a token that is not white space."""
    return any(token.text.strip() for token in doc)


def taken(doc: Doc) -> NDArray[np.bool_]:
    """The tokens in entities set before, or blocked, ``(tokens,)``."""
    odd: NDArray[np.bool_] = _iob(doc) % 2 == 1
    return odd


def _iob(doc: Doc) -> NDArray[np.int64]:
    """Return spaCy's IOB code of each token, ``(tokens,)``."""
    return np.asarray(doc.to_array("ENT_IOB"), dtype=np.int64)


def clamped(doc: Doc, parts: Sequence[DocSentence], labels: Iterable[str]) -> list[DocSentence]:
    """The pieces with what is set before as their annotation; the other tokens are unknown.

    Where nothing is set they stay as they are, without annotation. Entities of none of the
    labels, and blocked tokens, are annotated as outside any entity.

    Args:
        doc: The document.
        parts: Its pieces.
        labels: Of the entities that may be annotated as such.
    """
    fixed, known = taken(doc), frozenset(labels)
    if not fixed.any():
        return list(parts)
    ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents if ent.label_ in known]
    return _annotated(parts, ents, ~fixed)


def moved(span: Span, places: Sequence[int]) -> Span:
    """A span of the tokens the tagger saw, in the tokens of the document."""
    return Span(places[span.start], places[span.end - 1] + 1, span.label, span.score)


def annotate(doc: Doc, spans: Sequence[Span], *, overwrite: bool) -> None:
    """Set the entities of a document; what was set before is kept unless to be overwritten."""
    if not len(doc):
        return
    iob = _iob(doc)
    fixed = iob % 2 == 1
    if overwrite or not fixed.any():
        doc.set_ents([doc_span(doc, span) for span in spans], default="outside")
        return
    free = [span for span in spans if not fixed[span.start : span.end].any()]
    empty = iob == UNSET
    for span in free:
        empty[span.start : span.end] = False
    outside = stretches(doc, empty)
    doc.set_ents([doc_span(doc, s) for s in free], outside=outside, default="unmodified")


def stretches(doc: Doc, chosen: NDArray[np.bool_]) -> list[DocSpan]:
    """The longest stretches of tokens that are all chosen, ``(tokens,)``."""
    edges = np.flatnonzero(np.diff(chosen.astype(np.int8), prepend=0, append=0)).tolist()
    return [doc[first:last] for first, last in zip(edges[::2], edges[1::2], strict=True)]


def given_ents(doc: Doc) -> list[Span]:
    """Return the entities set before; what was given is certain, so their score is 1."""
    return [Span(ent.start, ent.end, ent.label_, 1.0) for ent in doc.ents]


def annotate_group(doc: Doc, key: str, given: Sequence[Span], found: Sequence[Span]) -> None:
    """Write spans to ``doc.spans``, with their probabilities as ``attrs["scores"]``.

    Args:
        doc: The document.
        key: Of the group.
        given: The entities set before; their own ``_.score`` is left as it is.
        found: The spans that were found around them.
    """
    rows = [(DocSpan(doc, span.start, span.end, label=span.label), span.score) for span in given]
    rows += [(doc_span(doc, span), span.score) for span in without(found, given)]
    rows.sort(key=lambda row: (row[0].start, row[0].end))
    doc.spans[key] = [span for span, _ in rows]
    doc.spans[key].attrs["scores"] = np.array([score for _, score in rows], dtype=np.float64)


def without(found: Iterable[Span], given: Iterable[Span]) -> list[Span]:
    """Return what was found, those aside that were given."""
    known = {(span.start, span.end, span.label) for span in given}
    return [span for span in found if (span.start, span.end, span.label) not in known]


def doc_span(doc: Doc, span: Span) -> DocSpan:
    """A span of a document, with its score as ``_.score``."""
    found = DocSpan(doc, span.start, span.end, label=span.label)
    found._.score = span.score
    if isinstance(span, SpanWithAlternatives):
        found._.alternatives = span.alternatives
    return found


def _set_alternatives(span: DocSpan, alternatives: Iterable[Span]) -> None:
    """Keep the alternatives of a span as plain values that go where its document goes."""
    plain = [(other.start, other.end, other.label, other.score) for other in alternatives]
    kept: dict[Any, Any] = span.doc.user_data
    kept[ALTERNATIVES, span.start_char, span.end_char] = plain


def _alternatives(span: DocSpan) -> list[tuple[DocSpan, float]]:
    """The alternatives of a span with their probabilities, the most probable first."""
    kept: dict[Any, Any] = span.doc.user_data
    plain = kept.get((ALTERNATIVES, span.start_char, span.end_char), ())
    return [
        (DocSpan(span.doc, start, end, label=label), score) for start, end, label, score in plain
    ]


if not DocSpan.has_extension("score"):
    DocSpan.set_extension("score", default=None)
if not DocSpan.has_extension("alternatives"):
    DocSpan.set_extension("alternatives", getter=_alternatives, setter=_set_alternatives)


def gold(example: Example, parts: Sequence[DocSentence]) -> list[DocSentence]:
    """The pieces of the predicted document, annotated with what is known of its entities.

    Tokens whose annotation is missing, or does not fit the tokens, are unknown; so are those of
    entities that cross the boundary of a sentence.

    Args:
        example: An example.
        parts: The pieces of ``example.predicted``.
    """
    reference = example.reference
    if not same_tokens(example.predicted, reference):
        tags = [tag or "-" for tag in example.get_aligned_ner()]
        ents = [(first, last + 1, label) for label, first, last in tags_to_entities(tags) if label]
        return _annotated(parts, ents, np.array([tag == "-" for tag in tags], dtype=bool))
    ents = [(ent.start, ent.end, ent.label_) for ent in reference.ents]
    return _annotated(parts, ents, reference.to_array("ENT_IOB") == UNSET)


def check_labels(parts: Iterable[DocSentence], labels: Sequence[str], name: str) -> None:
    """Refuse annotation with labels that the component of that name does not have.

    Raises:
        ValueError: There is such an entity.
    """
    lacking = {s.label for part in parts for s in part.sentence.spans or ()} - set(labels)
    if lacking:
        raise ValueError(
            f"{name} has no label {min(lacking)!r}; its labels are {', '.join(labels)}; "
            "give it the label with add_label"
        )


def same_tokens(one: Doc, other: Doc) -> bool:
    """Return whether two documents have the same tokens, so that slow alignment can be skipped."""
    return len(one) == len(other) and bool((one.to_array("ORTH") == other.to_array("ORTH")).all())


def labels_of(examples: Iterable[Example]) -> list[str]:
    """The labels of the entities of examples, sorted."""
    return sorted({ent.label_ for example in examples for ent in example.reference.ents})


def _annotated(
    parts: Sequence[DocSentence], ents: Sequence[tuple[int, int, str]], free: NDArray[np.bool_]
) -> list[DocSentence]:
    """The pieces with entities of the document as their spans, and free tokens as unknown.

    Args:
        parts: The pieces.
        ents: Start, end and label of entities; those that cross pieces become unknown.
        free: The tokens of the document that are unknown, ``(tokens,)``.
    """
    owner = np.full(len(free), -1)
    for number, part in enumerate(parts):
        owner[list(part.places)] = number
    position = np.zeros(len(free), dtype=np.int64)
    for part in parts:
        position[list(part.places)] = np.arange(len(part.places))
    spans: list[list[Span]] = [[] for _ in parts]
    free = free.copy()
    for start, end, label in ents:
        places = start + np.flatnonzero(owner[start:end] >= 0)
        if len(places) and owner[places[0]] == owner[places[-1]]:
            first, last = position[places[0]], position[places[-1]]
            spans[owner[places[0]]].append(Span(int(first), int(last) + 1, label))
        else:
            free[start:end] = True
    return [
        DocSentence(_known(part.sentence, found, free[list(part.places)]), part.places)
        for part, found in zip(parts, spans, strict=True)
    ]


def _known(sentence: Sentence, spans: Sequence[Span], free: NDArray[np.bool_]) -> Sentence:
    unknown = frozenset(np.flatnonzero(free).tolist())
    return replace(sentence, spans=tuple(spans), unknown=unknown)
