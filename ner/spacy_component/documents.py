"""Conversion between spaCy documents and the sentences and spans of the toolkit."""

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

from ner.redaction import Replacer, replaced
from ner.sentence import Document, Sentence, Span, SpanWithAlternatives

ALTERNATIVES = "ner_crf.alternatives"  # part of the keys of user_data
WHOLE = "ner_crf.document"  # the key of a sentence's document and its position in it
UNSET = 0  # value of ENT_IOB; the odd values, 1 and 3, are inside and begin, or block a token


@dataclass(frozen=True, slots=True)
class DocSentence:
    """A sentence of a document, without white space tokens.

    Attributes:
        sentence: The sentence that the tagger reads.
        places: The index of each of its tokens in the document.
    """

    sentence: Sentence
    places: Sequence[int]


def pieces(doc: Doc, *, use_sents: bool = True) -> list[DocSentence]:
    """Return the sentences of a document; all of it as one if they are unknown or not used.

    Sentences of white space are left out. A document from ``part_of`` refers to the whole one.
    """
    table = doc.to_array(["ORTH", "SENT_START"])  # without creating Token objects
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
    """Return a sentence as a document, with the entities inside it.

    Args:
        doc: The document, without white space.
        number: The index of the sentence.
        part: The sentence.
    """
    alone = doc[part.places[0] : part.places[-1] + 1].as_doc()
    alone.user_data[WHOLE] = part.sentence.document, number
    return alone


def with_vectors(parts: Sequence[DocSentence], vectors: NDArray[np.float32]) -> list[DocSentence]:
    """Add the vectors of their tokens to the sentences of a document.

    Args:
        parts: The sentences.
        vectors: The vectors of all tokens of the document, ``(tokens, width)``.
    """
    return [
        DocSentence(replace(part.sentence, vectors=vectors[list(part.places)]), part.places)
        for part in parts
    ]


class _Texts:
    """A cache of token texts by spaCy's hashes, which are the same in every vocabulary.

    White space becomes an empty string. Equal tokens share one string, which is hashed only once.
    """

    def __init__(self, most: int = 1 << 16) -> None:
        self._most = most  # maximum number of texts, not counting those of one document
        self._known: dict[int, str] = {}

    def of(self, hashes: Sequence[int], vocab: Vocab) -> list[str]:
        """Return the text of each hash."""
        known = self._known
        try:
            return list(map(known.__getitem__, hashes))
        except KeyError:
            if len(known) > self._most:  # not cleared in place: another thread may read it
                known = self._known = {}
            texts = ((key, vocab.strings[key]) for key in set(hashes) - known.keys())
            known.update((key, text if text.strip() else "") for key, text in texts)
            return list(map(known.__getitem__, hashes))


_TEXTS = _Texts()


def has_words(doc: Doc) -> bool:
    """Return whether a document has a token that is not white space."""
    return any(token.text.strip() for token in doc)


def taken(doc: Doc) -> NDArray[np.bool_]:
    """Return which tokens are in existing entities or blocked, ``(tokens,)``."""
    odd: NDArray[np.bool_] = _iob(doc) % 2 == 1
    return odd


def _iob(doc: Doc) -> NDArray[np.int64]:
    """Return spaCy's IOB code of each token, ``(tokens,)``."""
    return np.asarray(doc.to_array("ENT_IOB"), dtype=np.int64)


def clamped(doc: Doc, parts: Sequence[DocSentence], labels: Iterable[str]) -> list[DocSentence]:
    """Add the existing entities of a document as annotation; other tokens are unknown.

    Sentences of a document without any stay unannotated. Entities with other labels, and blocked
    tokens, are annotated as outside of entities.

    Args:
        doc: The document.
        parts: Its sentences.
        labels: The labels of entities that can be clamped.
    """
    fixed, known = taken(doc), frozenset(labels)
    if not fixed.any():
        return list(parts)
    ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents if ent.label_ in known]
    return _annotated(parts, ents, ~fixed)


def moved(span: Span, places: Sequence[int]) -> Span:
    """Map a span from the tagger's tokens to those of the document."""
    return Span(places[span.start], places[span.end - 1] + 1, span.label, span.score)


def annotate(doc: Doc, spans: Sequence[Span], *, overwrite: bool) -> None:
    """Set the entities of a document; existing ones are kept unless ``overwrite`` is true."""
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
    """Return the maximal runs of selected tokens, given a mask ``(tokens,)``."""
    edges = np.flatnonzero(np.diff(chosen.astype(np.int8), prepend=0, append=0)).tolist()
    return [doc[first:last] for first, last in zip(edges[::2], edges[1::2], strict=True)]


def given_ents(doc: Doc) -> list[Span]:
    """Return the existing entities, with score 1 since they are certain."""
    return [Span(ent.start, ent.end, ent.label_, 1.0) for ent in doc.ents]


def annotate_group(doc: Doc, key: str, given: Sequence[Span], found: Sequence[Span]) -> None:
    """Write spans to ``doc.spans``, with their probabilities as ``attrs["scores"]``.

    Args:
        doc: The document.
        key: The key of the group.
        given: The existing entities; their ``_.score`` is not changed.
        found: The predicted spans.
    """
    rows = [(DocSpan(doc, span.start, span.end, label=span.label), span.score) for span in given]
    rows += [(doc_span(doc, span), span.score) for span in without(found, given)]
    rows.sort(key=lambda row: (row[0].start, row[0].end))
    doc.spans[key] = [span for span, _ in rows]
    doc.spans[key].attrs["scores"] = np.array([score for _, score in rows], dtype=np.float64)


def without(found: Iterable[Span], given: Iterable[Span]) -> list[Span]:
    """Return the predicted spans that were not given."""
    known = {(span.start, span.end, span.label) for span in given}
    return [span for span in found if (span.start, span.end, span.label) not in known]


def doc_span(doc: Doc, span: Span) -> DocSpan:
    """Return a span of a document, with its score as ``_.score``."""
    found = DocSpan(doc, span.start, span.end, label=span.label)
    found._.score = span.score
    if isinstance(span, SpanWithAlternatives):
        found._.alternatives = span.alternatives
    return found


def _set_alternatives(span: DocSpan, alternatives: Iterable[Span]) -> None:
    """Store the alternatives of a span as plain values, which are serialised with the document."""
    plain = [(other.start, other.end, other.label, other.score) for other in alternatives]
    kept: dict[Any, Any] = span.doc.user_data
    kept[ALTERNATIVES, span.start_char, span.end_char] = plain


def _alternatives(span: DocSpan) -> list[tuple[DocSpan, float]]:
    """Return the alternatives of a span with their probabilities, the most probable first."""
    kept: dict[Any, Any] = span.doc.user_data
    plain = kept.get((ALTERNATIVES, span.start_char, span.end_char), ())
    return [
        (DocSpan(span.doc, start, end, label=label), score) for start, end, label, score in plain
    ]


if not DocSpan.has_extension("score"):
    DocSpan.set_extension("score", default=None)
if not DocSpan.has_extension("alternatives"):
    DocSpan.set_extension("alternatives", getter=_alternatives, setter=_set_alternatives)
if not Doc.has_extension("redacted"):
    Doc.set_extension("redacted", default=None)
    Doc.set_extension("hidden", default=())


def gold(example: Example, parts: Sequence[DocSentence]) -> list[DocSentence]:
    """Annotate the sentences of the predicted document with the gold entities.

    Tokens without annotation, of misaligned entities, and of entities that cross sentence
    boundaries are unknown.

    Args:
        example: An example.
        parts: The sentences of ``example.predicted``.
    """
    reference = example.reference
    if not same_tokens(example.predicted, reference):
        tags = [tag or "-" for tag in example.get_aligned_ner()]
        ents = [(first, last + 1, label) for label, first, last in tags_to_entities(tags) if label]
        return _annotated(parts, ents, np.array([tag == "-" for tag in tags], dtype=bool))
    ents = [(ent.start, ent.end, ent.label_) for ent in reference.ents]
    return _annotated(parts, ents, reference.to_array("ENT_IOB") == UNSET)


def check_labels(parts: Iterable[DocSentence], labels: Sequence[str], name: str) -> None:
    """Check that the component has the labels of all annotated spans.

    Raises:
        ValueError: A label is unknown.
    """
    lacking = {s.label for part in parts for s in part.sentence.spans or ()} - set(labels)
    if lacking:
        raise ValueError(
            f"{name} has no label {min(lacking)!r} (its labels are {', '.join(labels)}); "
            "add it with add_label"
        )


def same_tokens(one: Doc, other: Doc) -> bool:
    """Return whether two documents have the same tokens, so that slow alignment can be skipped."""
    return len(one) == len(other) and bool((one.to_array("ORTH") == other.to_array("ORTH")).all())


def labels_of(examples: Iterable[Example]) -> list[str]:
    """Return the labels of the entities of examples, sorted."""
    return sorted({ent.label_ for example in examples for ent in example.reference.ents})


def _annotated(
    parts: Sequence[DocSentence], ents: Sequence[tuple[int, int, str]], free: NDArray[np.bool_]
) -> list[DocSentence]:
    """Annotate sentences with the entities of their document.

    Args:
        parts: The sentences.
        ents: Start, end and label of entities; those that cross sentences become unknown.
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


class RedactEntities:
    """The component ``ner_redact``: sets ``doc._.redacted`` and ``doc._.hidden``.

    The first is the text of the document with its entities replaced, whichever component set
    them; the second is what was replaced, a tuple of `ner.redaction.Hidden`.

    Args:
        replacement: ``label``, ``mask`` or ``pseudonym``.
        labels: The labels of the entities to replace; by default all.

    Raises:
        ConfigError: There is no such replacement.
    """

    def __init__(self, replacement: str, labels: Sequence[str] | None = None) -> None:
        Replacer(replacement)  # an unknown one fails at once
        self.replacement = replacement
        self.only = None if labels is None else frozenset(labels)

    def __call__(self, doc: Doc) -> Doc:
        """Redact a document; its tokens and entities stay as they are."""
        found = [
            (entity.start_char, entity.end_char, entity.label_, entity._.score)
            for entity in doc.ents
            if self.only is None or entity.label_ in self.only
        ]
        redacted = replaced(doc.text, found, Replacer(self.replacement))
        doc._.redacted, doc._.hidden = redacted.text, redacted.hidden
        return doc
