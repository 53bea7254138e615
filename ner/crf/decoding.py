"""Ways to choose tags from their scores. Each takes a chain and gives paths through it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ner.crf.autograd import on_gpu
from ner.crf.chain import LinearChain, Paths, SpanTags
from ner.crf.core import decoding as core
from ner.crf.core.scores import ChainScores
from ner.crf.core.viterbi import viterbi as best_path
from ner.crf.gpu import viterbi_on_gpu
from ner.crf.lattice import Lattice

Decoder = Callable[[LinearChain], Paths]


def best_tags(lattice: Lattice) -> NDArray[np.int64]:
    """Return the tags of the path of greatest score, ``(batch, length)``, 0 at padding.

    Raises:
        ValueError: Emissions or transitions are NaN or infinite, or a sentence has no legal path.
    """
    return viterbi_on_gpu(lattice) if on_gpu(lattice) else best_path(lattice.arrays())


def _paths(chain: LinearChain, tags: NDArray[np.int64]) -> Paths:
    """Return chosen tags with their scores, on the chain's device."""
    chosen = torch.from_numpy(tags).to(chain.emissions.device)
    return Paths(chosen, chain.score(chosen))


def _checked(chain: LinearChain) -> ChainScores:
    """Return the scores, refused if one of the CRF's is NaN, whether a path meets it or not."""
    scores = chain.arrays()
    scores.check_moves()
    return scores


@torch.no_grad()
def viterbi(chain: LinearChain) -> Paths:
    """Return the most probable path (Viterbi 1967).

    Raises:
        ValueError: Emissions or transitions are NaN or infinite, or a sentence has no legal path.
    """
    _checked(chain)
    return _paths(chain, best_tags(chain))


@torch.no_grad()
def posterior(
    chain: LinearChain,
    span_tags: SpanTags | None = None,
    *,
    outside: int = 0,
    threshold: float = 0.5,
) -> Paths:
    """Return the path of the greatest expected accuracy (minimum Bayes risk decoding).

    Without `span_tags`: the legal path with the greatest expected number of right tags. With
    them: the spans that do not overlap and have the greatest sum of probability less threshold,
    which is the choice of greatest expected F1 where the threshold is half of that F1 (Lipton,
    Elkan and Narayanaswamy 2014); a span less probable than the threshold is never kept. At a
    threshold of 0.5 or more no two such spans can overlap.

    Where that path is not legal, as when candidates leave a token no `outside`, the sentence
    gets the most probable path that holds the kept spans.

    Args:
        chain: The distribution.
        span_tags: The tags that spell a span of each label.
        outside: The tag of a token outside all spans.
        threshold: The least probability of a span, over 0.

    Raises:
        ValueError: The threshold is not in (0, 1], a score is NaN or infinite, or a sentence has
            no legal path.
    """
    scores = _checked(chain)
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be over 0 and at most 1, got {threshold}")
    if span_tags is None:
        return _paths(chain, core.posterior_tags(scores))
    table = span_tags.table()
    tags = core.posterior_spans(scores, table, outside=outside, threshold=threshold)
    return _paths(chain, tags)


@torch.no_grad()
def greedy(chain: LinearChain) -> Paths:
    """Return the best next tag, token by token, of those from which a legal end can be reached.

    Raises:
        ValueError: Emissions or transitions are NaN or infinite, or a sentence has no legal path.
    """
    return _paths(chain, core.greedy(chain.arrays()))


def n_best(chain: LinearChain, n: int) -> Paths:
    """Return the `n` paths of greatest score; see ``LinearChain.n_best``."""
    return chain.n_best(n)


DECODERS: dict[str, Decoder] = {"viterbi": viterbi, "posterior": posterior, "greedy": greedy}
