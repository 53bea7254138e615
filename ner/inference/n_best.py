"""Several readings of a sentence, each with its probability."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ner.batch import group_by_length
from ner.inference.batch_engine import bare
from ner.inference.decoding import Decoding
from ner.inference.span_decoder import NBestParse
from ner.scorer import Scorer
from ner.sentence import Sentence


@torch.inference_mode()
def alternatives(
    network: Scorer, sentences: Sequence[Sentence], count: int, *, temperature: float = 1.0
) -> list[tuple[NBestParse, ...]]:
    """The most probable readings of each sentence, the best first.

    In the schemes a network uses, different legal tag sequences are different readings.

    Args:
        network: A network in evaluation mode.
        sentences: The sentences.
        count: The most readings of a sentence; a short one may not have so many.
        temperature: What all scores are divided by.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"the number of readings must be at least 1, got {count}")
    decoding = Decoding(temperature=temperature)
    found: list[tuple[NBestParse, ...]] = [(NBestParse((), 1.0),)] * len(sentences)
    filled = [number for number, sentence in enumerate(sentences) if len(sentence)]
    lengths = [len(sentences[number]) for number in filled]
    device = network.device
    for group in group_by_length(lengths, sentences=32, tokens=2048):
        numbers = [filled[place] for place in group]
        batch = network.batch([bare(sentences[number]) for number in numbers])
        chain = decoding.tempered(network(batch.to(device)))
        paths = chain.n_best(count)
        probabilities = (paths.scores - chain.log_partition().unsqueeze(1)).exp().tolist()
        for number, rows, own in zip(numbers, paths.tags.tolist(), probabilities, strict=True):
            length = len(sentences[number])
            found[number] = tuple(
                NBestParse(
                    network.scheme.decode([network.tags[tag] for tag in row[:length]]), probability
                )
                for row, probability in zip(rows, own, strict=True)
                if probability > 0.0
            )
    return found
