"""Random gold and predicted sentences to hold evaluation against other programs on."""

from random import Random

from ner.schemes import SCHEMES
from ner.sentence import Sentence, Span

LABELS = ("PER", "LOC", "ORG", "MISC")


def random_spans(rng, length, labels=LABELS, density=0.4):
    """Spans that do not overlap."""
    spans, at = [], 0
    while at < length:
        if rng.random() < density:
            end = min(length, at + rng.choice([1, 1, 1, 2, 2, 3, 5]))
            spans.append(Span(at, end, rng.choice(labels)))
            at = end
        else:
            at += 1
    return tuple(spans)


def spoiled(rng, spans, length, labels=LABELS):
    """Spans as a tagger would predict them: mostly the same, some moved, lost or relabelled."""
    taken = [False] * length
    found = []
    for span in (*spans, *random_spans(rng, length, labels, 0.1)):
        start, end, label = span.start, span.end, span.label
        chance = rng.random()
        if chance < 0.1:
            continue
        if chance < 0.2:
            label = rng.choice(labels)
        if chance > 0.85:
            start = max(0, start + rng.choice([-1, 0, 1]))
            end = min(length, max(start + 1, end + rng.choice([-1, 0, 1])))
        if start < end and not any(taken[start:end]):
            taken[start:end] = [True] * (end - start)
            found.append(Span(start, end, label))
    return tuple(sorted(found))


def random_pair(seed, sentences=8):
    """Gold and predicted sentences."""
    rng = Random(seed)
    labels = LABELS[: rng.randint(1, len(LABELS))]
    gold, predicted = [], []
    for _ in range(rng.randint(1, sentences)):
        length = rng.randint(1, 14)
        tokens = tuple(f"w{rng.randint(0, 30)}" for _ in range(length))
        spans = random_spans(rng, length, labels, rng.choice([0.0, 0.2, 0.5]))
        gold.append(Sentence(tokens, spans))
        predicted.append(Sentence(tokens, spoiled(rng, spans, length, labels)))
    return gold, predicted


def tags(sentences, scheme="BIO"):
    """The tags of sentences."""
    return [list(SCHEMES[scheme].encode(s.spans or (), len(s))) for s in sentences]


def random_tags(rng, length, prefixes="BI", labels=LABELS):
    """Tags in any order, legal or not."""
    return [
        "O" if rng.random() < 0.4 else f"{rng.choice(prefixes)}-{rng.choice(labels)}"
        for _ in range(length)
    ]
