"""The scores of all tag sequences of some sentences, and the sums over them."""

from __future__ import annotations

import torch
from torch import Tensor

from ner.crf import nbest, spans
from ner.crf.lattice import Lattice
from ner.crf.likelihood import likelihood, with_slow_gradient
from ner.crf.logspace import differentiable_entropy, differentiable_marginals, pair_marginals
from ner.crf.messages import Messages, Question
from ner.crf.paths import Paths
from ner.crf.recursions import recursions
from ner.crf.spans import SpanTags

_STEPS = 64  # tokens whose pairs of tags are looked at together


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
    lengths: the tokens of each sentence, ``(batch,)``; 0 is allowed.
    candidates: which tags each token may carry, bool ``(batch, length, tags)``, or None. With
        them, everything is about the distribution given that the path keeps to them.

    Raises:
        ValueError: where shapes or types do not fit. Every method raises it for a score that is
            no number, and for a sentence that has no legal path.
    """

    __slots__ = ()

    def log_partition(self) -> Tensor:
        """The log of the sum over all paths, ``(batch,)``; differentiable, 0 if empty."""
        return likelihood(*self._scores(), Question(self.lengths, self.candidates))

    def log_prob(self, tags: Tensor) -> Tensor:
        """The log-probabilities of paths; differentiable.

        Args:
            tags: ``(batch, length)``, or ``(batch, n, length)``; anything at padding.

        Returns:
            ``(batch,)`` or ``(batch, n)``; minus infinity where a path is not legal.
        """
        total = self.log_partition()
        return self.score(tags) - (total if tags.dim() == 2 else total.unsqueeze(1))

    def marginals(self) -> Tensor:
        """The probability of each tag at each token, ``(batch, length, tags)``; 0 at padding.

        Differentiable; the derivative runs in log space and is slow.
        """
        return with_slow_gradient(self._marginals, differentiable_marginals, self)

    def pairwise_marginals(self) -> Tensor:
        """The probability of each pair of neighbouring tags; not differentiable.

        Returns:
            ``(batch, length - 1, tags, tags)``; entry t is about tokens t and t + 1, and is 0
            where there is no token t + 1.
        """
        with torch.no_grad():
            length = self.emissions.shape[1]
            pairs = pair_marginals(self.messages(), self, 1, max(length, 1))
            return pairs.to(self._type())

    def span_probability(
        self, rows: Tensor, starts: Tensor, ends: Tensor, labels: Tensor, span_tags: SpanTags
    ) -> Tensor:
        """The probability that tokens [start, end) of a sentence are one span of that label.

        It is exact: the sum over all paths in which these tokens, and no token more, spell such
        a span. Not differentiable.

        Args:
            rows: The sentence of each span, ``(n,)``.
            starts: The first token, ``(n,)``.
            ends: The token after the last, ``(n,)``.
            labels: The number of the label in `span_tags`, ``(n,)``.
            span_tags: The tags that spell a span of each label.

        Returns:
            ``(n,)``, float64.

        Raises:
            ValueError: for a span that does not lie in its sentence.
        """
        with torch.no_grad():
            wanted = spans.Spans(rows, starts, ends, labels)
            return spans.span_probability(self, self.messages(), wanted, span_tags)

    def entropy(self) -> Tensor:
        """The entropy of the distribution over paths in nats, ``(batch,)``, float64.

        Differentiable; the derivative runs in log space and is slow.
        """
        return with_slow_gradient(self._entropy, differentiable_entropy, self)

    def n_best(self, n: int) -> Paths:
        """The `n` paths of greatest score, best first: tags are ``(batch, n, length)``.

        The probability of a path is the exponential of its score less the log partition.
        """
        with torch.no_grad():
            return nbest.n_best(self, n)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Paths:
        """`n` paths drawn from the distribution: tags are ``(batch, n, length)``."""
        with torch.no_grad():
            return nbest.sample(self, self.messages(), n, generator)

    def messages(self) -> Messages:
        """The forward and backward messages, in logs."""
        with torch.no_grad():
            return recursions(self).messages()

    def _scores(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.emissions, self.transitions, self.start, self.end

    def _type(self) -> torch.dtype:
        """The type of probabilities."""
        return torch.promote_types(self.emissions.dtype, torch.float32)

    def _marginals(self) -> Tensor:
        sums = recursions(self)
        return sums.gradient(
            torch.ones((), device=self.emissions.device), 1.0, self._type()
        ).emissions

    def _entropy(self) -> Tensor:
        """The log partition less the expected score."""
        messages, nodes = self.messages(), self.nodes()
        marginals = (messages.log_alpha + messages.log_beta).sub_(
            messages.log_partition[:, None, None]
        )
        marginals = torch.where(self.mask.unsqueeze(2), marginals.exp_(), 0.0)
        score = (marginals * _finite(nodes)).sum((1, 2))
        moves = _finite(self.transitions)
        for first in range(1, nodes.shape[1], _STEPS):
            last = min(first + _STEPS, nodes.shape[1])
            score += (pair_marginals(messages, self, first, last) * moves).sum((1, 2, 3))
        if nodes.shape[1]:
            rows = torch.arange(len(nodes), device=nodes.device)
            finals = marginals[rows, (self.lengths - 1).clamp_min(0)]
            score += marginals[:, 0] @ _finite(self.start) + finals @ _finite(self.end)
        return (messages.log_partition - score).clamp_min_(0.0)


def _finite(scores: Tensor) -> Tensor:
    """Scores in float64, 0 in place of minus infinity."""
    return scores.double().masked_fill(scores == -torch.inf, 0.0)
