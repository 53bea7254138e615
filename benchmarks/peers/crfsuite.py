"""CRFsuite with rich features: the baseline that needs no network (Okazaki 2007).

A window of two words and shapes on either side, affixes up to four characters, bigrams, in all
about what was published for CoNLL-2003 without lists. Needs ``python-crfsuite``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pycrfsuite

from ner.indexers.characters import case, shape
from ner.indexers.words import normalise
from ner.schemes import scheme_named
from ner.sentence import Sentence, Span

SETTINGS = {"c1": 0.1, "c2": 0.1, "max_iterations": 100, "feature.possible_transitions": True}


def train_and_tag(
    train: Sequence[Sentence], development: Sequence[Sentence], test: Sequence[Sentence]
) -> list[tuple[Span, ...]]:
    """Train on ``train`` and give the spans of ``test``; development sentences are not used."""
    scheme = scheme_named("BIO")
    trainer = pycrfsuite.Trainer(verbose=False, params=SETTINGS)
    for sentence in train:
        trainer.append(
            features(sentence.tokens), scheme.encode(sentence.spans or (), len(sentence))
        )
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model")
        trainer.train(model)
        tagger = pycrfsuite.Tagger()
        tagger.open(model)
        return [scheme.decode(tagger.tag(features(sentence.tokens))) for sentence in test]


def features(tokens: Sequence[str]) -> list[list[str]]:
    """The features of each token."""
    own = [list(_own(token)) for token in tokens]
    words = [normalise(token) for token in tokens]
    rows = []
    for place in range(len(tokens)):
        row = ["bias", *own[place]]
        for offset in (-2, -1, 1, 2):
            there = place + offset
            if not 0 <= there < len(tokens):
                row.append(f"{offset}:end")
                continue
            row += [f"{offset}:w={words[there]}", f"{offset}:s={shape(tokens[there])}"]
            row += [f"{offset}:c={case(tokens[there])}"]
        for left, right in ((-1, 0), (0, 1)):
            if place + left >= 0 and place + right < len(tokens):
                row.append(f"{left}|{right}:w={words[place + left]}|{words[place + right]}")
        rows.append(row)
    return rows


def _own(token: str) -> Iterator[str]:
    yield from (f"w={normalise(token)}", f"t={token}", f"s={shape(token)}", f"c={case(token)}")
    for length in range(1, min(4, len(token)) + 1):
        yield from (f"p={token[:length]}", f"x={token[-length:]}")
