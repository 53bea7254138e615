"""The choice between linear space, which is fast, and log space, which is always exact."""

from __future__ import annotations

from ner.crf.core.linear_space import LinearSpace
from ner.crf.core.log_space import LogSpace
from ner.crf.core.scores import ChainScores, Integers

PathSums = LinearSpace | LogSpace  # both give log_partition, gold_score, gradient and messages


def forward_backward(scores: ChainScores, gold: Integers | None = None) -> PathSums:
    """Run the forward and the backward recursion, the fastest way that is exact.

    Args:
        scores: The scores.
        gold: Gold tags, ``(batch, length)``; anything at padding.

    Raises:
        ValueError: A score is NaN or infinite, a sentence has no legal path, or a gold tag is not
            a tag.
    """
    fast = LinearSpace.of(scores, gold)
    if fast is not None:
        return fast
    slow = LogSpace.of(scores, gold)
    scores.check(slow.log_partition)
    return slow
