"""Checks of scores, lengths and tags, and the errors that say what is wrong with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


def check_lengths(lengths: Integers, width: int) -> None:
    """Raise ValueError for lengths that no sentence of a batch of that width can have."""
    if len(lengths) and (lengths.min() < 0 or lengths.max() > width):
        raise ValueError(f"lengths must be from 0 to {width}, got {lengths.tolist()}")


def check_scores(transitions: Floats, start: Floats, end: Floats) -> None:
    """Raise ValueError where a score of the CRF is NaN or infinite, whether a path meets it or not.

    Minus infinity is allowed: it forbids a transition.
    """
    for name, scores in (("transitions", transitions), ("start", start), ("end", end)):
        bad = ~(scores < np.inf)  # NaN, too
        if bad.any():
            raise ValueError(
                f"the scores {name!r} of the CRF must be finite, or minus infinity where a move "
                f"is forbidden; {int(bad.sum())} of {bad.size} are nan or infinite: has the model "
                "diverged? Load the weights again, or train with a smaller learning rate"
            )


def explain_failure(
    emissions: Floats, lengths: Integers, sentence: int, *scores: Floats
) -> ValueError:
    """Return the error that says why a sentence has no path: NaN, infinity or constraints.

    Args:
        emissions: ``(batch, length, tags)``.
        lengths: ``(batch,)``.
        sentence: The number of the sentence.
        scores: Those of transitions, start and end.
    """
    rows = emissions[sentence, : int(lengths[sentence])]
    bad = np.argwhere(~(rows < np.inf))
    if len(bad):
        token, tag = bad[0].tolist()
        return ValueError(
            f"emissions of sentence {sentence} hold {rows[token, tag]} at token {token}, tag "
            f"{tag}; expected numbers (-inf forbids a tag): has the model diverged?"
        )
    try:
        check_scores(*scores)
    except ValueError as error:
        return error
    return ValueError(
        f"sentence {sentence} has no legal path: its candidates, the forbidden transitions and "
        "its length exclude one another"
    )


def not_a_tag(sentence: int, token: int, tag: int, tags: int) -> ValueError:
    """Return the error for a gold tag that is not one of the CRF's tags."""
    return ValueError(
        f"tags of sentence {sentence} hold {tag} at token {token}; expected 0 to {tags - 1}"
    )


def illegal_gold(sentence: int) -> ValueError:
    """Return the error for gold tags that form no legal path."""
    return ValueError(
        f"the gold tags of sentence {sentence} are not legal: they hold a forbidden transition, "
        "start, end or tag"
    )
