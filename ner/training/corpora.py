"""The sentences of a run, read as the settings say, and facts about them."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from ner.formats import DataWarning, read
from ner.sample import path as sample_path
from ner.sentence import Document, Sentence
from ner.training.settings import SAMPLE, CorpusSettings, DataSettings


@dataclass(frozen=True, slots=True)
class Corpora:
    """The sentences for training, for choosing the best epoch, and for the final score."""

    train: tuple[Sentence, ...]
    development: tuple[Sentence, ...]
    test: tuple[Sentence, ...]

    def fingerprint(self, columns: Sequence[str] = ()) -> str:
        """Return the SHA-256 of the annotated sentences that training depends on.

        Args:
            columns: Names of further columns that it depends on.
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
        ValueError: A file is invalid or has no annotated sentence, or training has no entity.
        OSError: A file cannot be read.
    """
    train = _read(settings, "train")
    if not any(sentence.spans for sentence in train):
        named = _named(settings.corpora("train"))
        raise ValueError(f"{named}: no sentence has an entity")
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
    """Split sentences into those kept and about that share held out, by whole documents.

    Raises:
        ValueError: There is only one document.
    """
    documents = grouped(sentences)
    if len(documents) < 2:
        raise ValueError("cannot hold out a fraction of fewer than two documents")
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
    """Return copies of some of the sentences in lower case, then of some in upper case.

    A copy has no document, since the document's other sentences have another case.
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
    """Return the indices of the sentences of each document; others form their own."""
    groups: dict[int | Document, list[int]] = {}
    for place, sentence in enumerate(sentences):
        groups.setdefault(sentence.document or place, []).append(place)
    return list(groups.values())


def _read(settings: DataSettings, split: str) -> tuple[Sentence, ...]:
    corpora = settings.corpora(split)
    readers = [  # all are opened before the first is read, so a missing file is reported at once
        read(_path(corpus), format=corpus.format, **(corpus.reader or {})) for corpus in corpora
    ]
    sentences: list[Sentence] = []
    for number, (corpus, reader) in enumerate(zip(corpora, readers, strict=True)):
        sentences += reader if corpus.labels is None else _declared(corpus, reader, split, number)
    if corpora and not sentences:
        raise ValueError(f"no sentences in {_named(corpora)}")
    if settings.labels is not None:
        sentences = list(_only(sentences, frozenset(settings.labels), _named(corpora)))
    return _annotated(sentences, _named(corpora))


def _only(sentences: Sequence[Sentence], labels: frozenset[str], name: str) -> Iterator[Sentence]:
    """Yield the sentences without entities of other labels.

    Raises:
        ValueError: All entities have other labels.
    """
    found = {span.label for sentence in sentences for span in sentence.spans or ()}
    if found and found.isdisjoint(labels):
        raise ValueError(
            f"{name}: no entity has a label in data.labels ({', '.join(sorted(labels))}); "
            f"its labels are {', '.join(sorted(found))}"
        )
    for sentence in sentences:
        if sentence.spans is None:
            yield sentence
            continue
        kept = tuple(span for span in sentence.spans if span.label in labels)
        yield replace(sentence, spans=kept, tags=None)


def _annotated(sentences: Sequence[Sentence], name: str) -> tuple[Sentence, ...]:
    """Return the annotated sentences.

    The others stay in the documents of those kept, where embeddings see them.

    Raises:
        ValueError: There are sentences, but none is annotated.
    """
    kept = tuple(sentence for sentence in sentences if sentence.spans is not None)
    left_out = len(sentences) - len(kept)
    if left_out and not kept:
        raise ValueError(f"{name}: no sentence is annotated")
    if left_out:
        text = f"{left_out:,} of {len(sentences):,} sentences are not annotated; ignored"
        warnings.warn(DataWarning(text, path=name, count=left_out), stacklevel=2)
    return kept


def _path(corpus: CorpusSettings) -> str:
    if corpus.file.startswith(SAMPLE):
        return str(sample_path(corpus.file.removeprefix(SAMPLE)))
    return corpus.file


def _declared(
    corpus: CorpusSettings, sentences: Iterable[Sentence], split: str, number: int
) -> Iterator[Sentence]:
    """Yield the sentences of a corpus that declares its labels.

    Raises:
        ValueError: An entity has another label.
    """
    labels = frozenset(corpus.labels or ())
    for sentence in sentences:
        for span in sentence.spans or ():
            if span.label not in labels:
                raise ValueError(
                    f"{corpus.file}:{sentence.line}: the sentence has an entity with the label "
                    f"{span.label}, but data.{split}[{number}].labels declares "
                    f"{', '.join(sorted(labels)) or 'no label'}; declare it, or remove the entity"
                )
        yield replace(sentence, labels=labels)


def _named(corpora: Sequence[CorpusSettings]) -> str:
    return ", ".join(corpus.file for corpus in corpora)


RARE = 10  # entities below which little can be learnt about a label


@dataclass(frozen=True, slots=True)
class Inspection:
    """Facts of training and development sentences.

    Attributes:
        labels: The number of training entities of each label, the most frequent first.
        tokens: The number of training tokens.
        rare: The labels with fewer than ``RARE`` entities.
        wanted: The number of development entities; ``None`` without development data.
        absent: The number of development entities of each label that training lacks.
        repeated: The share of development sentences that occur in training.
        seen: The share of development entities that occur in training with the same label.
        declared: The number of training sentences annotated for some labels only, by labels.
    """

    labels: dict[str, int]
    tokens: int
    rare: tuple[str, ...]
    wanted: int | None
    absent: dict[str, int]
    repeated: float | None
    seen: float | None
    declared: dict[str, int]

    def lines(self) -> list[str]:
        """Return the remarks, a line each."""
        entities = sum(self.labels.values())
        counts = ", ".join(f"{label} {count:,}" for label, count in self.labels.items())
        lines = [f"entities {counts}; {1000 * entities / self.tokens:.1f} in 1,000 tokens"]
        if self.repeated is not None and self.seen is not None:
            lines.append(
                f"development: {100 * self.repeated:.1f} % of the sentences and "
                f"{100 * self.seen:.1f} % of the entities also occur in training"
            )
        lines += [
            f"{count:,} sentences declare {labels}: O leaves other labels open in them"
            for labels, count in self.declared.items()
        ]
        if self.rare:
            named = ", ".join(f"{label} ({self.labels[label]})" for label in self.rare)
            lines.append(f"warning: labels with fewer than {RARE} training entities: {named}")
        if self.wanted == 0:
            lines.append(
                "warning: development data has no entities, so the best epoch cannot be chosen"
            )
        if self.absent:
            named = ", ".join(f"{label} ({count:,})" for label, count in self.absent.items())
            lines.append(
                f"warning: labels of development data that training data lacks: {named}; "
                "their entities cannot be found and count as missed"
            )
        return lines


def inspect(corpora: Corpora) -> Inspection:
    """Look at the sentences of a run."""
    labels, wanted = (
        Counter(span.label for sentence in sentences for span in sentence.spans or ())
        for sentences in (corpora.train, corpora.development)
    )
    declared = Counter(
        ", ".join(sorted(sentence.labels)) or "no label"
        for sentence in corpora.train
        if sentence.labels is not None
    )
    return Inspection(
        labels=dict(labels.most_common()),
        tokens=sum(map(len, corpora.train)),
        rare=tuple(label for label, count in labels.most_common() if count < RARE),
        wanted=wanted.total() if corpora.development else None,
        absent={label: count for label, count in wanted.most_common() if label not in labels},
        repeated=_share(
            [sentence.tokens for sentence in corpora.development],
            {sentence.tokens for sentence in corpora.train},
        ),
        seen=_share(_entities(corpora.development), set(_entities(corpora.train))),
        declared=dict(declared),
    )


def _entities(sentences: Sequence[Sentence]) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (span.label, sentence.tokens[span.start : span.end])
        for sentence in sentences
        for span in sentence.spans or ()
    ]


def _share(items: Sequence[object], known: Set[Any]) -> float | None:
    """Return the share of items that are known, ``None`` without items."""
    return sum(item in known for item in items) / len(items) if items else None
