"""Networks of random weights that find about as many spans as there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ner.sentence import Sentence


def make_spans_rare(
    projection: torch.nn.Linear,
    outside: int,
    count: Callable[[Sequence[Sentence]], int],
    sentences: Sequence[Sentence],
) -> None:
    """Raise the score of the tag outside spans until there are no more spans than annotated.

    Args:
        projection: What gives the scores of tags.
        outside: The number of the tag outside spans.
        count: How many spans the network finds in sentences.
        sentences: Annotated ones to look at.
    """
    gold = sum(len(sentence.spans or ()) for sentence in sentences)
    with torch.no_grad():
        projection.weight.mul_(10.0)  # so that spans of every label are found
        least, most = 0.0, 20.0
        for _ in range(10):
            projection.bias[outside] = middle = (least + most) / 2
            least, most = (middle, most) if count(sentences) > gold else (least, middle)
        projection.bias[outside] = most
