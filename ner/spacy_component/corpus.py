"""Readers of spaCy training examples from files, and scores as seqeval computes them."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from ner.batch import group_by_length
from ner.evaluation import evaluate
from ner.formats import docbin, read
from ner.sentence import Sentence, Span
from ner.spacy_component.documents import UNSET, part_of, pieces

NAMES = {"p": "precision", "r": "recall", "f": "f1-score"}


class Corpus:
    """Reads a file into examples with the file's tokens and sentences.

    spaCy's own reader tokenizes and splits the text again.

    Args:
        path: A file that ``ner.read`` can read.
        format: The format of the file; by default inferred from its name.
        limit: The maximum number of documents; 0 for all.
        sentences: Make each sentence an example, which refers to its document, instead of each
            document; batches then mix sentences of all documents.

    Raises:
        ValueError: The path is missing.
    """

    def __init__(
        self,
        path: str | None,
        *,
        format: str | None = None,  # noqa: A002 - as in `ner.read`
        limit: int = 0,
        sentences: bool = False,
    ) -> None:
        if not path:
            raise ValueError(
                "ner_crf.Corpus.v1 needs the path of a file; set --paths.train and --paths.dev"
            )
        self.path = str(path)
        self.format = format
        self.limit = limit
        self.sentences = sentences

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Yield the examples, in the order of the file."""
        raw = io.BytesIO()
        docbin.write(raw, read(self.path, format=self.format))
        docs = DocBin().from_bytes(raw.getvalue()).get_docs(nlp.vocab)
        for document in islice(docs, self.limit or None):
            for reference in _parts(document) if self.sentences else [document]:
                yield Example(_bare(reference), reference)


def by_length(
    examples: Iterable[Example], *, size: int, tokens: int | None, noise: float, buffer: int
) -> Iterator[list[Example]]:
    """Yield batches of examples of similar length, in random order, as ``ner train`` does.

    Uses the random generator that spaCy seeds.

    Args:
        examples: The examples.
        size: The maximum number of examples per batch.
        tokens: The maximum number of tokens per batch including padding, if any; a longer example
            gets its own batch.
        noise: Examples are sorted by their length plus a random number up to this many tokens.
        buffer: The number of examples sorted together.
    """
    source = iter(examples)
    while some := list(islice(source, buffer)):
        groups = group_by_length(
            [len(example.predicted) for example in some],
            sentences=size,
            tokens=tokens,
            noise=noise,
            seed=random.getrandbits(32),
        )
        for group in groups:
            yield [some[number] for number in group]


def _parts(doc: Doc) -> list[Doc]:
    """Return the sentences of a document as documents."""
    return [part_of(doc, number, part) for number, part in enumerate(pieces(doc))]


def _bare(doc: Doc) -> Doc:
    """Copy the tokens, sentences and user data of a document, without annotation."""
    words = [token.text for token in doc]
    spaces = [bool(token.whitespace_) for token in doc]
    bare = Doc(doc.vocab, words, spaces, sent_starts=[token.is_sent_start for token in doc])
    bare.user_data = dict(doc.user_data)
    return bare


def score_by_seqeval(examples: Iterable[Example], *, mode: str = "default", **_: Any) -> Any:
    """Score the entities of examples as seqeval does.

    Documents without annotation are ignored, and so are predictions on unannotated tokens.

    Args:
        examples: The examples; predictions are aligned to the tokens of their references.
        mode: ``default`` or ``strict``, as in ``Report.seqeval``.

    Returns:
        ``ents_p``, ``ents_r`` and ``ents_f`` (micro averages), the same with ``ents_macro_``, and
        ``ents_per_type``; ``None`` if there is nothing to score.
    """
    known = [one for one in examples if one.reference.has_annotation("ENT_IOB")]
    if not known:
        empty: dict[str, Any] = {f"ents_{name}": None for name in NAMES}
        return empty | {f"ents_macro_{name}": None for name in NAMES} | {"ents_per_type": None}
    gold = [_gold(example) for example in known]
    found = evaluate(gold, [_predicted(example) for example in known]).seqeval(mode)
    labels = {label: _row(own) for label, own in found.items() if not label.endswith(" avg")}
    averages = {"ents": found["micro avg"], "ents_macro": found["macro avg"]}
    means = {f"{of}_{name}": one for of, own in averages.items() for name, one in _row(own).items()}
    return {**means, "ents_per_type": labels}


def _row(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {name: figures[full] for name, full in NAMES.items()}


def _gold(example: Example) -> Sentence:
    reference = example.reference
    unset = [place for place, iob in enumerate(reference.to_array("ENT_IOB")) if iob == UNSET]
    spans = tuple(Span(ent.start, ent.end, ent.label_) for ent in reference.ents)
    words = tuple(token.text for token in reference)
    return Sentence(words, spans, unknown=frozenset(unset))


def _predicted(example: Example) -> tuple[Span, ...]:
    ents = example.get_aligned_spans_x2y(example.predicted.ents)
    return tuple(Span(ent.start, ent.end, ent.label_) for ent in ents)
