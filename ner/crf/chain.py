"""The distribution over tag sequences that a CRF defines, and its decoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.crf.autograd import (
    LossSpec,
    backend,
    differentiable_entropy,
    differentiable_marginals,
    likelihood,
    on_gpu,
    with_slow_gradient,
)
from ner.crf.core import decoding as core
from ner.crf.core.scores import ChainScores, Messages, entropy, pair_marginals
from ner.crf.core.spans import SpanBatch, SpanTable, span_probability
from ner.crf.core.viterbi import viterbi as best_path
from ner.crf.gpu import viterbi_on_gpu
from ner.crf.lattice import Lattice


@dataclass(frozen=True, slots=True, eq=False)
class SpanTags:
    """The tags that spell a span of each label; every field is ``(labels,)``, of integers.

    single: the tag of a span of one token.
    first, inside, last: the tags of the first, the inner and the last token of a longer span.
    prolonging: the tag that would extend the span if it followed, or -1 if the scheme marks the
        end of a span (BIOES, BILOU, BMES).

    For BIO `single` and `first` are B, `inside`, `last` and `prolonging` are I.
    """

    single: Tensor
    first: Tensor
    inside: Tensor
    last: Tensor
    prolonging: Tensor

    def __post_init__(self) -> None:
        shapes = {name: tuple(getattr(self, name).shape) for name in self.__slots__}
        if len(set(shapes.values())) != 1 or self.single.dim() != 1:
            raise ValueError(f"the fields of SpanTags must all be (labels,), got {shapes}")

    def to(self, device: torch.device | str) -> SpanTags:
        """Return the same table on another device."""
        return SpanTags(*(getattr(self, name).to(device) for name in self.__slots__))

    def table(self) -> SpanTable:
        """Return the same table as arrays."""
        return SpanTable(*(getattr(self, name).cpu().numpy() for name in self.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """One path per sentence, or `n` of them.

    tags: ``(batch, length)``, 0 at padding; ``(batch, n, length)`` for n-best or sampled paths.
    scores: ``(batch,)`` or ``(batch, n)``, float64: the sum of a path's emissions, transitions,
        start and end. Its log-probability is the score less the chain's log partition. If a
        sentence has fewer than `n` paths, the score is minus infinity and the tags are 0.
    """

    tags: Tensor
    scores: Tensor


class LinearChain(Lattice):
    """A distribution over the tag sequences of each sentence of a batch.

    The probability of a sequence is the exponential of its score, divided by the sum of that
    over all sequences (Lafferty, McCallum and Pereira 2001). All methods take the whole batch at
    once. Log quantities are float64; probabilities of tags have the emissions' type, at least
    float32.

    emissions: ``(batch, length, tags)``; anything at padding.
    transitions: ``(tags, tags)``, from the row's tag to the column's; minus infinity where
        forbidden.
    start, end: ``(tags,)``; minus infinity where forbidden.
    lengths: the number of tokens of each sentence, ``(batch,)``; 0 is allowed.
    candidates: the tags that each token may have, bool ``(batch, length, tags)``, or None. With
        candidates, all results are conditional on the path using them.

    Raises:
        ValueError: Shapes or types do not match. Every method raises it for a score that is NaN or
            infinite, and for a sentence without a legal path.
    """

    __slots__ = ()

    def log_partition(self) -> Tensor:
        """Return the log partition, ``(batch,)``, 0 for an empty sentence; differentiable."""
        return likelihood(*self._scores(), LossSpec(self.lengths, self.candidates))

    def log_prob(self, tags: Tensor) -> Tensor:
        """Return the log-probabilities of paths; differentiable.

        Args:
            tags: ``(batch, length)``, or ``(batch, n, length)``; anything at padding.

        Returns:
            ``(batch,)`` or ``(batch, n)``; minus infinity for paths that are not legal.
        """
        total = self.log_partition()
        return self.score(tags) - (total if tags.dim() == 2 else total.unsqueeze(1))

    def marginals(self) -> Tensor:
        """Return the probability of each tag at each token, ``(batch, length, tags)``.

        Padding is 0. Differentiable, but the gradient is computed in log space and is slow.
        """
        return with_slow_gradient(self._marginals, differentiable_marginals, self)

    def pairwise_marginals(self) -> Tensor:
        """Return the probability of each pair of neighbouring tags; not differentiable.

        Returns:
            ``(batch, length - 1, tags, tags)``; entry t is about tokens t and t + 1, and is 0
            if token t + 1 is padding.
        """
        messages, length = self.messages(), max(self.emissions.shape[1], 1)
        return self._tensor(pair_marginals(self.arrays(), messages, 1, length)).to(self._type())

    def span_probability(
        self, rows: Tensor, starts: Tensor, ends: Tensor, labels: Tensor, span_tags: SpanTags
    ) -> Tensor:
        """Return the probability that tokens [start, end) of a sentence are one span of a label.

        Exact: the sum over all paths in which these tokens, and no others, spell the span. Not
        differentiable.

        Args:
            rows: The sentence of each span, ``(n,)``.
            starts: The first token, ``(n,)``.
            ends: The token after the last, ``(n,)``.
            labels: The index of the label in `span_tags`, ``(n,)``.
            span_tags: The tags that spell a span of each label.

        Returns:
            ``(n,)``, float64.

        Raises:
            ValueError: A span is empty or exceeds its sentence.
        """
        spans = SpanBatch(*(part.cpu().numpy() for part in (rows, starts, ends, labels)))
        scores, table = self.arrays(), span_tags.table()
        return self._tensor(span_probability(scores, self.messages(), spans, table))

    def entropy(self) -> Tensor:
        """Return the entropy of the distribution over paths in nats, ``(batch,)``, float64.

        Differentiable, but the gradient is computed in log space and is slow.
        """
        return with_slow_gradient(self._entropy, differentiable_entropy, self)

    def n_best(self, n: int) -> Paths:
        """Return the `n` highest-scoring paths, best first: tags are ``(batch, n, length)``.

        The probability of a path is the exponential of its score less the log partition.
        """
        tags, scores = core.n_best(self.arrays(), n)
        return Paths(self._tensor(tags), self._tensor(scores))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Paths:
        """Draw `n` paths from the distribution: tags are ``(batch, n, length)``.

        Forward filtering, backward sampling (Scott 2002).

        Raises:
            ValueError: `n` is less than 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        log_alpha = self._tensor(self.messages().log_alpha)
        batch, length, tags = log_alpha.shape
        moves = self.transitions.double().t()
        drawn = torch.zeros(batch, n, length, dtype=torch.long, device=moves.device)
        following = self.end.double().expand(batch, n, tags)
        for t in range(length - 1, -1, -1):
            inside = (self.lengths > t)[:, None, None]
            # p(y_t | y_t+1, x) is proportional to alpha(t, y_t) exp(A[y_t, y_t+1])
            weights = torch.where(inside, log_alpha[:, t].unsqueeze(1) + following, 0.0)
            weights = weights.softmax(2).view(-1, tags)
            tag = torch.multinomial(weights, 1, generator=generator).view(batch, n)
            drawn[:, :, t] = torch.where(inside.squeeze(2), tag, 0)
            following = torch.where(inside, moves[tag], following)
        return Paths(drawn, self.score(drawn))

    @torch.no_grad()
    def messages(self) -> Messages:
        """Return the forward and backward messages in log space, as arrays on the host."""
        return backend(self).messages()

    def _scores(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.emissions, self.transitions, self.start, self.end

    def _type(self) -> torch.dtype:
        """Return the type of probabilities."""
        return torch.promote_types(self.emissions.dtype, torch.float32)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """Return an array as a tensor on the device of the scores."""
        return torch.from_numpy(array).to(self.emissions.device)

    def _marginals(self) -> Tensor:
        one = torch.ones((), device=self.emissions.device)
        return backend(self).gradient(one, 1.0, self._type())[0]

    def _entropy(self) -> Tensor:
        return self._tensor(entropy(self.arrays(), self.messages()))


Decoder = Callable[[LinearChain], Paths]


def best_tags(lattice: Lattice) -> NDArray[np.int64]:
    """Return the tags of the highest-scoring path, ``(batch, length)``, 0 at padding.

    Raises:
        ValueError: Emissions or transitions are NaN or infinite, or a sentence has no legal path.
    """
    return viterbi_on_gpu(lattice) if on_gpu(lattice) else best_path(lattice.arrays())


def _paths(chain: LinearChain, tags: NDArray[np.int64]) -> Paths:
    """Return chosen tags with their scores, on the chain's device."""
    chosen = torch.from_numpy(tags).to(chain.emissions.device)
    return Paths(chosen, chain.score(chosen))


def _checked(chain: LinearChain) -> ChainScores:
    """Return the scores, after checking those of the CRF for NaN and infinity."""
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
    threshold: float | NDArray[np.float64] = 0.5,
) -> Paths:
    """Return the path with the greatest expected accuracy (minimum Bayes risk decoding).

    Without `span_tags`: the legal path with the greatest expected number of correct tags. With
    them: the disjoint spans with the greatest sum of probability less threshold. This maximises
    the expected F1 if the threshold is half of that F1 (Lipton, Elkan and Narayanaswamy 2014). A
    span less probable than the threshold is never kept; at a threshold of 0.5 or more, no two
    spans that exceed it can overlap.

    If that path is not legal, for example because candidates exclude `outside` at a token, the
    sentence gets the most probable path that contains the chosen spans.

    Args:
        chain: The distribution.
        span_tags: The tags that spell a span of each label.
        outside: The tag of a token outside all spans.
        threshold: The minimum probability of a span, greater than 0; or of each label,
            ``(labels,)``.

    Raises:
        ValueError: The threshold is not in (0, 1], a score is NaN or infinite, or a sentence has
            no legal path.
    """
    scores = _checked(chain)
    if not ((np.asarray(threshold) > 0.0) & (np.asarray(threshold) <= 1.0)).all():
        raise ValueError(f"threshold must be greater than 0 and at most 1, got {threshold}")
    if span_tags is None:
        return _paths(chain, core.posterior_tags(scores))
    table = span_tags.table()
    tags = core.posterior_spans(scores, table, outside=outside, threshold=threshold)
    return _paths(chain, tags)


@torch.no_grad()
def greedy(chain: LinearChain) -> Paths:
    """Return the best next tag, token by token, among those that can still reach a legal end.

    Raises:
        ValueError: Emissions or transitions are NaN or infinite, or a sentence has no legal path.
    """
    return _paths(chain, core.greedy(chain.arrays()))


def n_best(chain: LinearChain, n: int) -> Paths:
    """Return the `n` highest-scoring paths; see ``LinearChain.n_best``."""
    return chain.n_best(n)


DECODERS: dict[str, Decoder] = {"viterbi": viterbi, "posterior": posterior, "greedy": greedy}
