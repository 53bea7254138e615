"""Stanza's NER tagger as something to time: its own code and sizes, weights of no training.

How long tagging takes depends on the sizes of a network and on how many spans it finds, not on
what it has learnt, so nothing is downloaded and nothing trained. There are two of them:

- one of the sizes it is compared with: words, characters (25 -> 30), one BiLSTM, CRF;
- the English one as published: words of 100, character language models of 1,024 states in both
  directions, a BiLSTM of 256, CRF. Its vectors of 100,000 words are left out, which is less work.

Everything else is the default of ``stanza.models.ner_tagger``: batches of 32 in the order of the
text. The steps are those of ``stanza.pipeline.ner_processor``, from a document of tokens to its
entities.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from stanza.models.common.char_model import CharacterLanguageModel
from stanza.models.common.doc import NER, Document
from stanza.models.ner.data import DataLoader
from stanza.models.ner.trainer import Trainer
from stanza.models.ner_tagger import parse_args
from stanza.models.pos.vocab import CharVocab

from ner.schemes import scheme_named
from ner.sentence import Sentence
from peers.spans import make_spans_rare

LANGUAGE_MODEL = {
    "char_emb_dim": 100,
    "char_hidden_dim": 1024,
    "char_num_layers": 1,
    "char_dropout": 0.05,
    "char_rec_dropout": 0.0,
}
DEFAULTS = ("--no_pretrain", "--shorthand", "en_conll03")


def runs(
    sentences: Sequence[Sentence], *, words: int, width: int, published: bool
) -> dict[str, Callable[[], int]]:
    """What tags all sentences, tokens to spans, and gives the number of spans; by its name."""
    logging.getLogger("stanza").setLevel(logging.WARNING)
    sizes = {"word_emb_dim": words, "char_emb_dim": 25, "char_hidden_dim": 15, "hidden_dim": width}
    same = [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
    made = {"Stanza, same sizes": _run(same, sentences)}
    if published:
        with tempfile.TemporaryDirectory() as folder:
            own = ["--charlm"]
            for direction in ("forward", "backward"):
                file = str(Path(folder) / direction)
                _language_model(sentences, forward=direction == "forward").save(file)
                own += [f"--charlm_{direction}_file", file]
            made["Stanza, as published"] = _run(own, sentences)
    return made


def _language_model(sentences: Sequence[Sentence], *, forward: bool) -> CharacterLanguageModel:
    signs = [["\n", " ", *(sign for s in sentences for token in s.tokens for sign in token)]]
    vocabulary = {"char": CharVocab(signs, "en_conll03")}
    return CharacterLanguageModel(LANGUAGE_MODEL, vocabulary, is_forward_lm=forward)


def _run(arguments: Sequence[str], sentences: Sequence[Sentence]) -> Callable[[], int]:
    settings = parse_args([*DEFAULTS, *arguments])
    size = settings["batch_size"]
    vocabulary = DataLoader(_document(sentences, annotated=True), size, settings).vocab
    torch.manual_seed(0)
    trainer = Trainer(settings, vocabulary, device="cpu")
    outside = vocabulary["tag"].unit2id(("O",))[0]
    some = sentences[:: max(1, len(sentences) // 24)]
    make_spans_rare(trainer.model.tag_clfs[0], outside, partial(_tag, trainer), some)
    return partial(_tag, trainer, sentences)


def _tag(trainer: Trainer, sentences: Sequence[Sentence]) -> int:
    settings = trainer.args
    loader = DataLoader(
        _document(sentences),
        settings["batch_size"],
        settings,
        vocab=trainer.vocab,
        evaluation=True,
        preprocess_tags=False,
    )
    with torch.no_grad():
        tags = [tag for batch in loader for found in trainer.predict(batch) for tag in found]
    loader.doc.set([NER], tags, to_token=True)
    return len(loader.doc.build_ents())


def _document(sentences: Sequence[Sentence], *, annotated: bool = False) -> Document:
    rows = [
        [{"id": (number,), "text": token} for number, token in enumerate(sentence.tokens, start=1)]
        for sentence in sentences
    ]
    if annotated:
        scheme = scheme_named("BIOES")
        for sentence, row in zip(sentences, rows, strict=True):
            for token, tag in zip(row, scheme.encode(sentence.spans or (), len(row)), strict=True):
                token["ner"] = tag
    return Document(rows)
