"""Flair's ``SequenceTagger`` as something to time: its own code and sizes, weights of no training.

How long tagging takes depends on the sizes of a network and on how many spans it finds, not on
what it has learnt, so nothing is downloaded and nothing trained. There are two of them:

- one of the sizes it is compared with: words, characters (25 -> 30), one BiLSTM, CRF;
- ``flair/ner-english-fast`` as published: words of 100, character language models of 1,024 states
  in both directions, a BiLSTM of 256, CRF. Its word vectors are looked up as one-hot words here,
  which is less work.

Everything else is Flair's default: batches of 32, sorted by length.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

import flair
import torch
from flair.data import Dictionary
from flair.embeddings import (
    CharacterEmbeddings,
    FlairEmbeddings,
    OneHotEmbeddings,
    StackedEmbeddings,
    TokenEmbeddings,
)
from flair.models import LanguageModel, SequenceTagger

from ner.sentence import Sentence
from peers.spans import make_spans_rare


def runs(
    sentences: Sequence[Sentence], *, words: int, width: int, published: bool
) -> dict[str, Callable[[], int]]:
    """What tags all sentences, tokens to spans, and gives the number of spans; by its name."""
    flair.device = torch.device("cpu")
    logging.getLogger("flair").setLevel(logging.WARNING)
    tokens = list(chain.from_iterable(sentence.tokens for sentence in sentences))
    vocabulary, signs = _dictionary(tokens), _dictionary(chain.from_iterable(tokens))
    same = [
        OneHotEmbeddings(vocabulary, embedding_length=words),
        CharacterEmbeddings(signs, char_embedding_dim=25, hidden_size_char=15),
    ]
    made = {"Flair, same sizes": _run(same, width, sentences)}
    if published:
        models = (LanguageModel(signs, forward, 1024, 1) for forward in (True, False))
        own = [OneHotEmbeddings(vocabulary, embedding_length=100), *map(FlairEmbeddings, models)]
        made["Flair, ner-english-fast"] = _run(own, 256, sentences)
    return made


def _dictionary(items: Iterable[str]) -> Dictionary:
    dictionary = Dictionary()
    for item in dict.fromkeys(items):
        dictionary.add_item(item)
    return dictionary


def _run(
    embeddings: list[TokenEmbeddings], width: int, sentences: Sequence[Sentence]
) -> Callable[[], int]:
    labels = Dictionary(add_unk=False)
    labels.span_labels = True
    for label in sorted({span.label for s in sentences for span in s.spans or ()}):
        labels.add_item(label)
    torch.manual_seed(0)
    tagger = SequenceTagger(StackedEmbeddings(embeddings), labels, "ner", hidden_size=width).eval()
    outside = tagger.label_dictionary.get_idx_for_item("O")
    some = sentences[:: max(1, len(sentences) // 24)]
    make_spans_rare(tagger.linear, outside, partial(_tag, tagger), some)
    return partial(_tag, tagger, sentences)


def _tag(tagger: SequenceTagger, sentences: Sequence[Sentence]) -> int:
    own = [flair.data.Sentence(list(sentence.tokens)) for sentence in sentences]
    tagger.predict(own)
    return sum(len(sentence.get_spans("ner")) for sentence in own)
