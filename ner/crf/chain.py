"""The scores of all tag sequences of some sentences, and the sums over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ner.crf import logspace
from ner.crf.likelihood import LogPartition
from ner.crf.paths import Paths
from ner.crf.spans import SpanTags


@dataclass(frozen=True, slots=True, eq=False)
class LinearChain:
    """A distribution over the tag sequences of each sentence of a batch.

    emissions: ``(batch, length, tags)``.
    transitions: ``(tags, tags)``, from the row's tag to the column's; minus infinity where
        forbidden.
    start, end: ``(tags,)``; minus infinity where forbidden.
    lengths: ``(batch,)``; 0 is allowed.
    candidates: which tags each token may carry, bool ``(batch, length, tags)``, or None.
    """

    emissions: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor
    lengths: Tensor
    candidates: Tensor | None = None

    @property
    def mask(self) -> Tensor:
        """True at tokens, false at padding, ``(batch, length)``."""
        positions = torch.arange(self.emissions.shape[1], device=self.lengths.device)
        return positions < self.lengths.unsqueeze(1)

    def lattice(self) -> Tensor:
        """The emissions, 0 at padding and minus infinity at tags that are no candidates."""
        emissions = self.emissions.masked_fill(~self.mask.unsqueeze(2), 0.0)
        if self.candidates is None:
            return emissions
        forbidden = ~self.candidates & self.mask.unsqueeze(2)
        return emissions.masked_fill(forbidden, -torch.inf)

    def score(self, tags: Tensor) -> Tensor:
        """The score of one tag sequence per sentence, ``(batch,)``, float64.

        Args:
            tags: ``(batch, length)``; anything at padding.
        """
        mask = self.mask
        tags = torch.where(mask, tags, 0)
        emissions = self.lattice().double().gather(2, tags.unsqueeze(2)).squeeze(2)
        transitions = self.transitions.double()[tags[:, :-1], tags[:, 1:]]
        total = torch.where(mask, emissions, 0.0).sum(1)
        total = total + torch.where(mask[:, 1:], transitions, 0.0).sum(1)
        if tags.shape[1] == 0:
            return total
        last = tags.gather(1, (self.lengths - 1).clamp_min(0).unsqueeze(1)).squeeze(1)
        ends = self.start.double()[tags[:, 0]] + self.end.double()[last]
        return total + torch.where(self.lengths > 0, ends, 0.0)

    def log_partition(self) -> Tensor:
        """The log of the sum over all tag sequences, ``(batch,)``, float64."""
        total: Tensor = LogPartition.apply(
            self.lattice(), self.transitions, self.start, self.end, self.lengths
        )
        return total

    def log_prob(self, tags: Tensor) -> Tensor:
        """The log-probability of one tag sequence per sentence, ``(batch,)``, float64."""
        return self.score(tags) - self.log_partition()

    @torch.no_grad()
    def messages(self) -> logspace.Messages:
        """The forward and backward messages."""
        return logspace.messages(
            self.lattice().double(),
            self.transitions.double(),
            self.start.double(),
            self.end.double(),
            self.lengths,
        )

    def marginals(self) -> Tensor:
        """The probability of each tag at each token, ``(batch, length, tags)``."""
        return logspace.node_marginals(self.messages(), self.lengths)

    @torch.no_grad()
    def pairwise_marginals(self) -> Tensor:
        """The probability of each pair of neighbouring tags.

        Returns:
            ``(batch, length - 1, tags, tags)``; entry t is about tokens t and t + 1.
        """
        return logspace.pair_marginals(
            self.messages(), self.lattice().double(), self.transitions.double(), self.lengths
        )

    @torch.no_grad()
    def span_probability(
        self, rows: Tensor, starts: Tensor, ends: Tensor, labels: Tensor, span_tags: SpanTags
    ) -> Tensor:
        """The probability that tokens [start, end) of a sentence are one span of that label.

        Args:
            rows: the sentence of each span, ``(n,)``.
            starts, ends: half-open tokens, ``(n,)``.
            labels: numbers of labels in `span_tags`, ``(n,)``.
            span_tags: the tags that spell a span of each label.

        Returns:
            ``(n,)``, float64.
        """
        chain, lattice = self.messages(), self.lattice().double()
        transitions = self.transitions.double()
        inside, single = span_tags.inside[labels], ends - starts == 1
        last = (
            torch.where(single, span_tags.single, span_tags.last)[labels]
            if False
            else (torch.where(single, span_tags.single[labels], span_tags.last[labels]))
        )
        first = torch.where(single, span_tags.single[labels], span_tags.first[labels])
        total = chain.log_alpha[rows, starts, first]
        longest = int((ends - starts).max()) if len(rows) else 0
        previous = first
        for step in range(1, longest):
            here = starts + step
            tag = torch.where(here == ends - 1, last, inside)
            at = here.clamp_max(lattice.shape[1] - 1)
            more = transitions[previous, tag] + lattice[rows, at, tag]
            total = torch.where(here < ends, total + more, total)
            previous = tag
        following = ends.clamp_max(lattice.shape[1] - 1)
        after = transitions[last] + (lattice + chain.log_beta)[rows, following]
        prolonging = span_tags.prolonging[labels]
        tags = torch.arange(lattice.shape[2], device=tags_device(lattice))
        after = after.masked_fill(tags == prolonging.unsqueeze(1), -torch.inf)
        after = torch.where(
            ends == self.lengths[rows], self.end.double()[last], torch.logsumexp(after, dim=1)
        )
        return (total + after - chain.log_partition[rows]).exp()

    @torch.no_grad()
    def entropy(self) -> Tensor:
        """The entropy of the distribution over tag sequences in nats, ``(batch,)``."""
        lattice, transitions = self.lattice().double(), self.transitions.double()
        nodes, pairs = self.marginals(), self.pairwise_marginals()
        finite = lattice.masked_fill(lattice == -torch.inf, 0.0)
        total = (nodes * finite).sum((1, 2))
        total = total + (pairs * transitions.masked_fill(transitions == -torch.inf, 0.0)).sum(
            (1, 2, 3)
        )
        if nodes.shape[1]:
            rows = torch.arange(len(nodes), device=nodes.device)
            finals = nodes[rows, (self.lengths - 1).clamp_min(0)]
            total = total + (nodes[:, 0] * _finite(self.start)).sum(1)
            total = total + (finals * _finite(self.end)).sum(1)
        return (self.log_partition() - total).clamp_min(0.0)

    def n_best(self, n: int) -> Paths:
        """The `n` paths of greatest score, best first; ``(batch, n, length)``."""
        from ner.crf.decoding import n_best

        return n_best(self, n)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Paths:
        """`n` paths drawn from the distribution; ``(batch, n, length)``."""
        chain, transitions = self.messages(), self.transitions.double()
        batch, length, tags = self.emissions.shape
        drawn = torch.zeros(batch, n, length, dtype=torch.long, device=self.emissions.device)
        after = self.end.double().expand(batch, n, tags)
        for t in range(length - 1, -1, -1):
            logits = chain.log_alpha[:, t].unsqueeze(1) + after
            weights = torch.softmax(logits, dim=2).reshape(-1, tags)
            weights = weights.nan_to_num(nan=1.0)
            tag = torch.multinomial(weights, 1, generator=generator).reshape(batch, n)
            drawn[:, :, t] = tag
            here = (t < self.lengths)[:, None, None]
            after = torch.where(here, transitions.t()[tag], after)
        drawn = torch.where(self.mask.unsqueeze(1), drawn, 0)
        scores = torch.stack([self.score(drawn[:, i]) for i in range(n)], dim=1)
        return Paths(drawn, scores)


def tags_device(lattice: Tensor) -> torch.device:
    """The device of a tensor."""
    return lattice.device


def _finite(values: Tensor) -> Tensor:
    """In float64, 0 for minus infinity."""
    return values.double().masked_fill(values == -torch.inf, 0.0)
