"""The sentences of a run, read as the settings say, and facts about them."""

from __future__ import annotations

import gc
import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.formats import DataWarning, read
from ner.sample import path as sample_path
from ner.sentence import Document, Sentence
from ner.training.on_disk import Lazy, StoredSentences, View, same
from ner.training.settings import SAMPLE, CorpusSettings, DataSettings

Sentences = tuple[Sentence, ...] | Lazy  # in memory, or on disk


@dataclass(frozen=True, slots=True)
class Corpora:
    """The sentences for training, for choosing the best epoch, and for the final score."""

    train: Sentences
    development: tuple[Sentence, ...]
    test: tuple[Sentence, ...]
    _digests: dict[tuple[str, ...], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # checkpoints and models need one each

    @property
    def tokens(self) -> int:
        """The number of training tokens."""
        train = self.train
        return train.token_counts.total() if isinstance(train, Lazy) else sum(map(len, train))

    def fingerprint(self, columns: Sequence[str] = ()) -> str:
        """Return the SHA-256 of the annotated sentences that training depends on.

        Args:
            columns: Names of further columns that it depends on.
        """
        key = tuple(columns)
        if key not in self._digests:
            self._digests[key] = self._digest(key)
        return self._digests[key]

    def _digest(self, columns: Sequence[str]) -> str:
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
        OSError: A file cannot be read, or the training sentences cannot be written to disk.
    """
    train, folder = _read(settings, "train"), settings.on_disk
    kept: Sentences = _held(train) if folder is None else StoredSentences(train, Path(folder))
    if not any(sentence.spans for sentence in kept):
        named = _named(settings.corpora("train"))
        raise ValueError(f"{named}: no sentence has an entity")
    development, test = tuple(_read(settings, "development")), tuple(_read(settings, "test"))
    share, rest = settings.development_fraction, 1.0
    if settings.test_fraction is not None:
        rest -= settings.test_fraction
        kept, test = hold_out(kept, settings.test_fraction, seed=0)
    if share is not None:
        kept, development = hold_out(kept, share / rest, seed)
    return Corpora(kept, development, test)


def _held(sentences: Iterable[Sentence]) -> tuple[Sentence, ...]:
    """Hold sentences, which have no cycles: to look for some among millions takes long."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return tuple(sentences)
    finally:
        if was_enabled:
            gc.enable()


def hold_out(
    sentences: Sentences, share: float, seed: int
) -> tuple[Sentences, tuple[Sentence, ...]]:
    """Split sentences into those kept and about that share held out, by whole documents.

    Raises:
        ValueError: There is only one document.
    """
    numbers = document_numbers(sentences)
    sizes = np.bincount(numbers)
    if len(sizes) < 2:
        raise ValueError("cannot hold out a fraction of fewer than two documents")
    documents = list(range(len(sizes)))
    Random(seed).shuffle(documents)
    held, count = np.zeros(len(sizes), bool), 0
    for document in documents[:-1]:
        if count >= share * len(sentences):
            break
        held[document] = True
        count += int(sizes[document])
    out = held[numbers]
    chosen = [sentences[place] for place in np.flatnonzero(out).tolist()]
    return like(sentences, (sentences, np.flatnonzero(~out), same)), tuple(chosen)


def document_numbers(sentences: Sentences) -> NDArray[np.int64]:
    """Return the number of each sentence's document in order; others form their own."""
    if isinstance(sentences, Lazy):
        found = sentences.documents()
    else:
        known: dict[Document, int] = {}
        found = np.array(
            [known.setdefault(s.document, len(known)) if s.document else -1 for s in sentences],
            np.int64,
        )
    alone = found < 0
    found[alone] = found.max(initial=-1) + 1 + np.arange(np.count_nonzero(alone))
    _, firsts, inverse = np.unique(found, return_index=True, return_inverse=True)
    ranks = np.empty(len(firsts), np.int64)
    ranks[np.argsort(firsts)] = np.arange(len(firsts))
    numbers: NDArray[np.int64] = ranks[inverse]
    return numbers


def like(sentences: Sentences, *parts: View.Part) -> Sentences:
    """Return a view of these sentences and others, as a tuple unless they are on disk."""
    if isinstance(sentences, Lazy):
        return View(*parts)
    return tuple(change(base[place]) for base, places, change in parts for place in places)


def recased(sentences: Sentences, lower: float, upper: float, seed: int) -> Sentences:
    """Return copies of some of the sentences in lower case, then of some in upper case.

    A copy has no document, since the document's other sentences have another case.
    """
    parts: list[View.Part] = []
    for share, change, number in ((lower, str.lower, 0), (upper, str.upper, 1)):
        places = range(len(sentences))
        chosen = Random(2 * seed + number).sample(places, round(share * len(sentences)))
        parts.append((sentences, sorted(chosen), partial(_changed, change)))
    return like(sentences, *parts)


def _changed(change: Callable[[str], str], sentence: Sentence) -> Sentence:
    return replace(
        sentence,
        tokens=tuple(map(change, sentence.tokens)),
        document=None,
        position=0,
        text=None,
        offsets=None,
    )


def grouped(sentences: Sequence[Sentence]) -> list[list[int]]:
    """Return the indices of the sentences of each document; others form their own."""
    groups: dict[int | Document, list[int]] = {}
    for place, sentence in enumerate(sentences):
        groups.setdefault(sentence.document or place, []).append(place)
    return list(groups.values())


def _read(settings: DataSettings, split: str) -> Iterator[Sentence]:
    """Yield the annotated sentences of a split.

    Those not annotated stay in the documents of the others, where embeddings see them.

    Raises:
        ValueError: No sentence is annotated.
    """
    corpora = settings.corpora(split)
    readers = [  # all are opened before the first is read, so a missing file is reported at once
        read(_path(corpus), format=corpus.format, **(corpus.reader or {})) for corpus in corpora
    ]
    name, total, left_out = _named(corpora), 0, 0
    sentences: Iterator[Sentence] = chain.from_iterable(
        reader if corpus.labels is None else _declared(corpus, reader, split, number)
        for number, (corpus, reader) in enumerate(zip(corpora, readers, strict=True))
    )
    if settings.labels is not None:
        sentences = _only(sentences, frozenset(settings.labels), name)
    for sentence in sentences:
        total += 1
        if sentence.spans is None:
            left_out += 1
        else:
            yield sentence
    if corpora and not total:
        raise ValueError(f"no sentences in {name}")
    if left_out and left_out == total:
        raise ValueError(f"{name}: no sentence is annotated")
    if left_out:
        text = f"{left_out:,} of {total:,} sentences are not annotated; ignored"
        warnings.warn(DataWarning(text, path=name, count=left_out), stacklevel=2)


def _only(sentences: Iterable[Sentence], labels: frozenset[str], name: str) -> Iterator[Sentence]:
    """Yield the sentences without entities of other labels.

    Raises:
        ValueError: All entities have other labels.
    """
    found: set[str] = set()
    for sentence in sentences:
        found.update(span.label for span in sentence.spans or ())
        if sentence.spans is None:
            yield sentence
            continue
        kept = tuple(span for span in sentence.spans if span.label in labels)
        yield replace(sentence, spans=kept, tags=None)
    if found and found.isdisjoint(labels):
        raise ValueError(
            f"{name}: no entity has a label in data.labels ({', '.join(sorted(labels))}); "
            f"its labels are {', '.join(sorted(found))}"
        )


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
    """Look at the sentences of a run, those of training once, since they may be on disk."""
    texts = [sentence.tokens for sentence in corpora.development]
    entities = [entity for sentence in corpora.development for entity in _entities(sentence)]
    wanted = Counter(label for label, _ in entities)
    labels: Counter[str] = Counter()
    declared: Counter[str] = Counter()
    tokens = 0
    new_texts, new_entities = set(texts), set(entities)  # those not in training
    for sentence in corpora.train:
        tokens += len(sentence)
        new_texts.discard(sentence.tokens)
        if sentence.labels is not None:
            declared[", ".join(sorted(sentence.labels)) or "no label"] += 1
        for entity in _entities(sentence):
            labels[entity[0]] += 1
            new_entities.discard(entity)
    return Inspection(
        labels=dict(labels.most_common()),
        tokens=tokens,
        rare=tuple(label for label, count in labels.most_common() if count < RARE),
        wanted=wanted.total() if corpora.development else None,
        absent={label: count for label, count in wanted.most_common() if label not in labels},
        repeated=_share_without(texts, new_texts),
        seen=_share_without(entities, new_entities),
        declared=dict(declared),
    )


def _entities(sentence: Sentence) -> list[tuple[str, tuple[str, ...]]]:
    tokens = sentence.tokens
    return [(span.label, tokens[span.start : span.end]) for span in sentence.spans or ()]


def _share_without(items: Sequence[object], new: Set[Any]) -> float | None:
    """Return the share of items that are not new, ``None`` without items."""
    return sum(item not in new for item in items) / len(items) if items else None
