"""Robustness: the same sentences, perturbed.

A perturbation changes or removes tokens and keeps the gold spans on those that remain.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random

from ner.options import lookup
from ner.sentence import Document, Sentence, Span

TYPO_SHARE = 0.1  # of the words of at least four letters that get a typing error
SHORTEST = 4
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # neighbouring letters side by side

Rewrite = Callable[[str, Random], str]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A way to change sentences.

    Attributes:
        summary: A description.
        rewrite: Returns the replacement of a token; empty to remove it.
    """

    summary: str
    rewrite: Rewrite


def _typo(token: str, rng: Random) -> str:
    """Sometimes swap, drop, double or mistype a letter inside a word."""
    if len(token) < SHORTEST or not token.isalpha() or rng.random() >= TYPO_SHARE:
        return token
    at = rng.randrange(1, len(token) - 1)
    before, letter, after = token[:at], token[at], token[at + 1 :]
    return rng.choice(
        [
            before + after[0] + letter + after[1:],
            before + after,
            before + letter + letter + after,
            before + _neighbour(letter, rng) + after,
        ]
    )


def _neighbour(letter: str, rng: Random) -> str:
    """Return a neighbouring letter on the keyboard; the letter doubled if it has none."""
    for row in KEYBOARD:
        at = row.find(letter.lower())
        if at >= 0:
            near = rng.choice(row[max(at - 1, 0) : at] + row[at + 1 : at + 2])
            return near.upper() if letter.isupper() else near
    return letter * 2


def _is_punctuation(token: str) -> bool:
    return all(unicodedata.category(sign).startswith("P") for sign in token)


PERTURBATIONS: Mapping[str, Perturbation] = {
    "lower": Perturbation("lower case", lambda token, rng: token.lower()),
    "upper": Perturbation("upper case", lambda token, rng: token.upper()),
    "title": Perturbation(
        "title case: only the first letter of each token in upper case",
        lambda token, rng: token[:1].upper() + token[1:].lower(),
    ),
    "typos": Perturbation(f"a typing error in {TYPO_SHARE:.0%} of the longer words", _typo),
    "no-punctuation": Perturbation(
        "punctuation tokens removed", lambda token, rng: "" if _is_punctuation(token) else token
    ),
}


RECASED = {"lower": "training.lower_cased", "upper": "training.upper_cased"}
LOST = 0.1  # of F1, from which on it is said


def case_advice(name: str, unchanged: float, recased: float) -> str:
    """Say what text in another case loses, and the setting that mends it; empty for a little."""
    if unchanged - recased < LOST:
        return ""
    return (
        f"F1 in {PERTURBATIONS[name].summary} is {100 * recased:.1f} in place of "
        f"{100 * unchanged:.1f}; if your text may come that way, train with {RECASED[name]}=0.2"
    )


def perturb(sentences: Iterable[Sentence], name: str, *, seed: int = 0) -> list[Sentence]:
    """Return the same sentences in the same documents, perturbed.

    A span is kept on those of its tokens that remain; if none would, they are left unchanged. Text
    and offsets are dropped.

    Args:
        sentences: The sentences; they are not modified.
        name: A key of ``PERTURBATIONS``.
        seed: The random seed.

    Raises:
        ConfigError: The perturbation is unknown.
    """
    rewrite, rng = lookup(PERTURBATIONS, name, of="perturbation").rewrite, Random(seed)
    perturbed: list[Sentence] = []
    documents: dict[Document, list[int]] = {}
    for sentence in sentences:
        if sentence.document is not None:
            documents.setdefault(sentence.document, []).append(len(perturbed))
        perturbed.append(_rewritten(sentence, rewrite, rng))
    for document, numbers in documents.items():
        _rejoin(perturbed, document, numbers)
    return perturbed


def _rejoin(perturbed: list[Sentence], document: Document, numbers: list[int]) -> None:
    """Update the documents of sentences with their new tokens; other sentences are unchanged."""
    tokens = list(document.tokens)
    for number in numbers:
        tokens[perturbed[number].position] = perturbed[number].tokens
    changed = Document(tuple(tokens), document.id)
    for number in numbers:
        perturbed[number] = replace(perturbed[number], document=changed)


def _rewritten(sentence: Sentence, rewrite: Rewrite, rng: Random) -> Sentence:
    tokens = [rewrite(token, rng) for token in sentence.tokens]
    for span in sentence.spans or ():
        inside = slice(span.start, span.end)
        if not any(tokens[inside]):
            tokens[inside] = sentence.tokens[inside]
    left = [at for at, token in enumerate(tokens) if token]
    place = {at: number for number, at in enumerate(left)}
    return replace(
        sentence,
        tokens=tuple(tokens[at] for at in left),
        spans=None if sentence.spans is None else tuple(_moved(s, place) for s in sentence.spans),
        columns={
            name: tuple(values[at] for at in left) for name, values in sentence.columns.items()
        },
        unknown=frozenset(place[at] for at in sentence.unknown if at in place),
        text=None,
        offsets=None,
    )


def _moved(span: Span, place: Mapping[int, int]) -> Span:
    inside = [place[at] for at in range(span.start, span.end) if at in place]
    return Span(inside[0], inside[-1] + 1, span.label, span.score)
