"""Tokenizers for raw text: the built-in rules, or spaCy's tokenizer for a language."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from ner.errors import ConfigError
from ner.sentence import Sentence
from ner.tokenizer import Offsets, tokenize

BUILTIN, SPACY = "builtin", "spacy"
WORDS = 100_000  # distinct words that spaCy's tokenizer caches, about 50 MiB

_NAME = re.compile(rf"{BUILTIN}|{SPACY}(:[a-z]{{2,3}})?")

TextTokenizer = Callable[[str], Sentence]


def text_tokenizer(name: str) -> TextTokenizer:
    """Return a function from a text to a sentence with token offsets.

    Not thread-safe.

    Args:
        name: As for ``tokenizer_named``.

    Raises:
        ConfigError: The tokenizer is unknown.
    """
    return partial(tokenized, cut=tokenizer_named(name))


def tokenizer_named(name: str) -> Callable[[str], Offsets]:
    """Return a function from a text to the character offsets of its tokens. Not thread-safe.

    Args:
        name: ``builtin``, ``spacy`` (for English) or ``spacy:LANGUAGE``.

    Raises:
        ConfigError: The tokenizer is unknown.
    """
    kind, _, language = name.partition(":")
    if name == BUILTIN:
        return tokenize
    if kind == SPACY:
        return _spacy_tokenizer(language or "en")
    raise _unknown(name)


def checked_name(name: object) -> str:
    """Check the name of a tokenizer from a model description.

    Raises:
        ConfigError: The tokenizer is unknown.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise _unknown(name)


def _unknown(name: object) -> ConfigError:
    return ConfigError(
        f"unknown tokenizer {name!r}; expected {BUILTIN}, {SPACY} or {SPACY}:LANGUAGE"
    )


def of_reader(option: object) -> str:
    """Return the tokenizer that matches the option ``tokenizer`` of a reader."""
    name = f"{SPACY}:{option}"
    return name if _NAME.fullmatch(name) else BUILTIN


def spacy_language(name: str) -> str:
    """Return the language of a spaCy tokenizer; an empty string for the built-in one."""
    kind, _, language = name.partition(":")
    return (language or "en") if kind == SPACY else ""


def tokenized(text: str, cut: Callable[[str], Offsets]) -> Sentence:
    """Return a text as one sentence."""
    offsets = tuple(cut(text))
    return Sentence(tuple(text[start:end] for start, end in offsets), text=text, offsets=offsets)


@lru_cache(4)
def _spacy_tokenizer(language: str) -> SpacyTokenizer:
    return SpacyTokenizer(language)


class SpacyTokenizer:
    """spaCy's tokenizer for a language, rebuilt before its cache of words takes much memory.

    On some texts its time is quadratic in their length. Not thread-safe.

    Args:
        language: The language code.

    Raises:
        ConfigError: spaCy does not support the language.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._nlp = blank(language)
        self._most = len(self._nlp.vocab.strings) + WORDS

    def __call__(self, text: str) -> Offsets:
        """Return the offsets of each token."""
        if len(self._nlp.vocab.strings) > self._most:
            self._nlp = blank(self._language)
        doc = self._nlp.make_doc(text)
        return [(token.idx, token.idx + len(token)) for token in doc if not token.is_space]


def blank(language: str) -> Any:
    """Return spaCy's empty pipeline of a language.

    Raises:
        ConfigError: spaCy does not support the language.
    """
    import spacy

    try:
        nlp = spacy.blank(language)
    except ImportError as error:
        if "E048" not in str(error):  # the language exists, but a package it needs is missing
            raise ConfigError(f"cannot load spaCy's tokenizer for {language!r}: {error}") from None
        raise ConfigError(f"spaCy has no language {language!r}; xx is language-neutral") from None
    nlp.max_length = sys.maxsize
    return nlp
