"""Make the CoNLL files of the bundled corpus from its inline files.

Whole documents go to one split, some of every genre to each; which ones, a hash of their
names decides, so the same files come out everywhere. Run it after changing an inline file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby

from ner import sample
from ner.formats.brackets import read
from ner.schemes import SCHEMES
from ner.sentence import Sentence
from ner.storage.atomic import write_text

HELD_BACK = {"test": 0.18, "development": 0.12}  # the share of a genre's documents; at least one
Texts = list[list[Sentence]]


def split(documents: Texts) -> dict[str, Texts]:
    """The documents of a genre by split."""
    drawn = sorted(range(len(documents)), key=lambda place: _hash(documents[place]))
    chosen = {}
    for name, share in HELD_BACK.items():
        count = max(1, round(share * len(documents)))
        chosen[name], drawn = drawn[:count], drawn[count:]
    chosen["train"] = drawn
    return {name: [documents[place] for place in sorted(found)] for name, found in chosen.items()}


def build() -> dict[str, str]:
    """The text of each split's CoNLL file."""
    lines: dict[str, list[str]] = {name: [] for name in sample.SPLITS}
    for file in sorted(sample.path("train").with_name("inline").glob("*.txt")):
        for name, texts in split(list(_documents(read(file)))).items():
            for sentences in texts:
                lines[name] += ["-DOCSTART-", "", *(_conll(one) for one in sentences)]
    return {name: "\n".join(found) + "\n" for name, found in lines.items()}


def _documents(sentences: Iterable[Sentence]) -> Iterator[list[Sentence]]:
    return (list(group) for _, group in groupby(sentences, lambda one: one.document))


def _hash(sentences: list[Sentence]) -> str:
    name = sentences[0].document.id if sentences[0].document else ""
    return hashlib.sha256(name.encode()).hexdigest()


def _conll(sentence: Sentence) -> str:
    tags = SCHEMES["BIO"].encode(sentence.spans or (), len(sentence))
    return "".join(f"{token} {tag}\n" for token, tag in zip(sentence.tokens, tags, strict=True))


if __name__ == "__main__":
    for split_name, text in build().items():
        write_text(sample.path(split_name), text)
