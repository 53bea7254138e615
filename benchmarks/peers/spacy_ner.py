"""spaCy's own ``ner`` trained from nothing: its default pipeline for efficiency, no vectors.

The words are given as they are; the language is the blank ``xx``. The best epoch on the
development sentences is kept, or the last where there are none. As in spaCy's own configuration
training ends after 20,000 steps, or 1,600 without a better one; or after ``SECONDS`` of CPU time,
more than our own taggers take where the tables compare the two.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import spacy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import compounding, minibatch

from ner.evaluation import evaluate
from ner.sentence import Sentence, Span

STEPS, PATIENCE, SECONDS = 20_000, 1_600, 180.0


def train_and_tag(
    train: Sequence[Sentence], development: Sequence[Sentence], test: Sequence[Sentence]
) -> list[tuple[Span, ...]]:
    """Train on ``train``, choose the epoch on ``development``, and give the spans of ``test``."""
    spacy.util.fix_random_seed(1)
    pipeline = spacy.blank("xx")
    pipeline.add_pipe("ner")
    examples = [_example(pipeline, sentence) for sentence in train if len(sentence)]
    optimizer = pipeline.initialize(lambda: examples)
    best, kept, step, last = -1.0, pipeline.to_bytes(), 0, 0
    end = time.process_time() + SECONDS
    while step < STEPS and step - last < PATIENCE and time.process_time() < end:
        random.shuffle(examples)
        for batch in minibatch(examples, size=compounding(16.0, 64.0, 1.001)):
            pipeline.update(batch, sgd=optimizer, drop=0.1)
            step += 1
        with pipeline.use_params(optimizer.averages):
            found = _tag(pipeline, development)
            score = evaluate([s.spans or () for s in development], found).exact.f1
            if score > best or not development:
                best, kept, last = score, pipeline.to_bytes(), step
    return _tag(pipeline.from_bytes(kept), test)


def _example(pipeline: spacy.language.Language, sentence: Sentence) -> Example:
    reference = _doc(pipeline, sentence)
    spans = sentence.spans or ()
    reference.ents = [spacy.tokens.Span(reference, s.start, s.end, s.label) for s in spans]
    return Example(_doc(pipeline, sentence), reference)


def _doc(pipeline: spacy.language.Language, sentence: Sentence) -> Doc:
    return Doc(pipeline.vocab, words=list(sentence.tokens))


def _tag(
    pipeline: spacy.language.Language, sentences: Sequence[Sentence]
) -> list[tuple[Span, ...]]:
    docs = pipeline.pipe(_doc(pipeline, sentence) for sentence in sentences)
    return [tuple(Span(e.start, e.end, e.label_) for e in doc.ents) for doc in docs]
