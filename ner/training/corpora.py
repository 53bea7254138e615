"""The sentences of a run, as its settings name them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from ner.formats import read
from ner.sample import path as sample_path
from ner.sentence import Document, Sentence
from ner.training.settings import SAMPLE, DataSettings, Files


@dataclass(frozen=True, slots=True)
class Corpora:
    """The sentences to train on, to choose the best epoch by, and to score at the end."""

    train: tuple[Sentence, ...]
    development: tuple[Sentence, ...]
    test: tuple[Sentence, ...]

    def fingerprint(self) -> str:
        """The SHA-256 of the sentences that training depends on, with their annotation."""
        digest = hashlib.sha256()
        for sentences in (self.train, self.development):
            for s in sentences:
                spans = s.spans and [(span.start, span.end, span.label) for span in s.spans]
                digest.update(repr((s.tokens, spans, sorted(s.unknown), s.position)).encode())
            digest.update(b"\n")
        return digest.hexdigest()


def read_corpora(settings: DataSettings, seed: int) -> Corpora:
    """Read all files of a run.

    Raises:
        ValueError: A file is bad, or has no sentence, or training has no entity.
        OSError: A file cannot be read.
    """
    train = _read(settings.train, settings)
    if not any(sentence.spans for sentence in train):
        raise ValueError(f"{_named(settings.train)}: no sentence has an entity, nothing to learn")
    development = _read(settings.development, settings) if settings.development else ()
    if settings.development_fraction is not None:
        train, development = hold_out(train, settings.development_fraction, seed)
    test = _read(settings.test, settings) if settings.test else ()
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
        raise ValueError("development_fraction needs at least two documents to part")
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


def _read(files: Files, settings: DataSettings) -> tuple[Sentence, ...]:
    names = [files] if isinstance(files, str) else files
    paths = [
        str(sample_path(name.removeprefix(SAMPLE))) if name.startswith(SAMPLE) else name
        for name in names
    ]
    sentences = tuple(read(paths, format=settings.format, **settings.reader))
    if not sentences:
        raise ValueError(f"no sentences in {_named(files)}")
    return sentences


def _named(files: Files) -> str:
    return files if isinstance(files, str) else ", ".join(files)
