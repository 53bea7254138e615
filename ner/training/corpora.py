"""The sentences of a run, as its settings name them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from ner.formats import DataWarning, read
from ner.sample import path as sample_path
from ner.sentence import Document, Sentence
from ner.training.settings import SAMPLE, CorpusSettings, DataSettings


@dataclass(frozen=True, slots=True)
class Corpora:
    """The sentences to train on, to choose the best epoch by, and to score at the end."""

    train: tuple[Sentence, ...]
    development: tuple[Sentence, ...]
    test: tuple[Sentence, ...]

    def fingerprint(self, columns: Sequence[str] = ()) -> str:
        """The SHA-256 of the sentences that training depends on, with their annotation.

        Args:
            columns: Names of other columns that it depends on.
        """
        digest = hashlib.sha256()
        for sentences in (self.train, self.development):
            for s in sentences:
                spans = s.spans and [(span.start, span.end, span.label) for span in s.spans]
                labels = None if s.labels is None else sorted(s.labels)
                others = [s.columns.get(name) for name in columns]
                known = (s.tokens, spans, sorted(s.unknown), labels, s.position, *others)
                digest.update(repr(known).encode())
            digest.update(b"\n")
        return digest.hexdigest()


def read_corpora(settings: DataSettings, seed: int) -> Corpora:
    """Read all files of a run.

    Raises:
        ValueError: A file is bad, or has no annotated sentence, or training has no entity.
        OSError: A file cannot be read.
    """
    train = _read(settings, "train")
    if not any(sentence.spans for sentence in train):
        named = _named(settings.corpora("train"))
        raise ValueError(f"{named}: no sentence has an entity, nothing to learn")
    development, test = _read(settings, "development"), _read(settings, "test")
    share, rest = settings.development_fraction, 1.0
    if settings.test_fraction is not None:
        rest -= settings.test_fraction
        train, test = hold_out(train, settings.test_fraction, seed=0)
    if share is not None:
        train, development = hold_out(train, share / rest, seed)
    return Corpora(train, development, test)


def hold_out(
    sentences: Sequence[Sentence], share: float, seed: int
) -> tuple[tuple[Sentence, ...], tuple[Sentence, ...]]:
    """Part sentences into those kept and about that share held out, by whole documents.

    Raises:
        ValueError: There is only one document.
    """
    documents = grouped(sentences)
    if len(documents) < 2:
        raise ValueError("to hold out a fraction, at least two documents are needed to part")
    Random(seed).shuffle(documents)
    held: set[int] = set()
    for document in documents[:-1]:
        if len(held) >= share * len(sentences):
            break
        held.update(document)
    kept = [sentence for place, sentence in enumerate(sentences) if place not in held]
    out = [sentence for place, sentence in enumerate(sentences) if place in held]
    return tuple(kept), tuple(out)


def recased(
    sentences: Sequence[Sentence], lower: float, upper: float, seed: int
) -> tuple[Sentence, ...]:
    """Copies of some of the sentences in lower case, then of some in upper case.

    A copy stands in no document, for the document's other sentences are not of its case.
    """
    copies: list[Sentence] = []
    for share, change, number in ((lower, str.lower, 0), (upper, str.upper, 1)):
        chosen = Random(2 * seed + number).sample(sentences, round(share * len(sentences)))
        copies += [
            replace(
                sentence,
                tokens=tuple(map(change, sentence.tokens)),
                document=None,
                position=0,
                text=None,
                offsets=None,
            )
            for sentence in chosen
        ]
    return tuple(copies)


def grouped(sentences: Sequence[Sentence]) -> list[list[int]]:
    """The places of the sentences of each document; one without a document is alone."""
    groups: dict[int | Document, list[int]] = {}
    for place, sentence in enumerate(sentences):
        groups.setdefault(sentence.document or place, []).append(place)
    return list(groups.values())


def _read(settings: DataSettings, split: str) -> tuple[Sentence, ...]:
    corpora = settings.corpora(split)
    readers = [  # all are opened before the first is read, so that a missing file is told at once
        read(_path(corpus), format=corpus.format, **(corpus.reader or {})) for corpus in corpora
    ]
    sentences: list[Sentence] = []
    for number, (corpus, reader) in enumerate(zip(corpora, readers, strict=True)):
        sentences += reader if corpus.labels is None else _declared(corpus, reader, split, number)
    if corpora and not sentences:
        raise ValueError(f"no sentences in {_named(corpora)}")
    return _annotated(sentences, _named(corpora))


def _annotated(sentences: Sequence[Sentence], name: str) -> tuple[Sentence, ...]:
    """Those that somebody has annotated; the others teach nothing and tell nothing.

    They stay in the documents of those kept, for embeddings to look at.

    Raises:
        ValueError: There are sentences, but nobody has annotated any.
    """
    kept = tuple(sentence for sentence in sentences if sentence.spans is not None)
    left_out = len(sentences) - len(kept)
    if left_out and not kept:
        raise ValueError(f"{name}: no sentence is annotated")
    if left_out:
        told = f"{left_out:,} of {len(sentences):,} sentences are not annotated; left out"
        warnings.warn(DataWarning(told, path=name, count=left_out), stacklevel=2)
    return kept


def _path(corpus: CorpusSettings) -> str:
    if corpus.file.startswith(SAMPLE):
        return str(sample_path(corpus.file.removeprefix(SAMPLE)))
    return corpus.file


def _declared(
    corpus: CorpusSettings, sentences: Iterable[Sentence], split: str, number: int
) -> Iterator[Sentence]:
    """The sentences of a corpus that declares its labels.

    Raises:
        ValueError: An entity has another label.
    """
    labels = frozenset(corpus.labels or ())
    for sentence in sentences:
        for span in sentence.spans or ():
            if span.label not in labels:
                raise ValueError(
                    f"{corpus.file}:{sentence.line}: the sentence has an entity of the label "
                    f"{span.label}, data.{split}[{number}].labels declares "
                    f"{', '.join(sorted(labels)) or 'none'}; declare it, or remove the entity"
                )
        yield replace(sentence, labels=labels)


def _named(corpora: Sequence[CorpusSettings]) -> str:
    return ", ".join(corpus.file for corpus in corpora)
