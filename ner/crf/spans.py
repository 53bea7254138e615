"""What the tags of a span look like, in numbers, and how probable a span is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ner.crf.lattice import Lattice
from ner.crf.messages import Messages


@dataclass(frozen=True, slots=True, eq=False)
class SpanTags:
    """The tags that spell a span of each label; every field is ``(labels,)``, of integers.

    single: the tag of a span of one token.
    first, inside, last: the tags of the first, the inner and the last token of a longer span.
    prolonging: the tag which at the next token would make the span longer, or -1 where the
        scheme closes its spans itself (BIOES, BILOU, BMES).

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
        """The same table on another device."""
        return SpanTags(*(getattr(self, name).to(device) for name in self.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Spans of sentences of a batch; every field is ``(n,)``, of integers.

    rows: the sentence. starts: the first token. ends: the token after the last. labels: the
    number of the label.
    """

    rows: Tensor
    starts: Tensor
    ends: Tensor
    labels: Tensor

    def check(self, lengths: Tensor) -> None:
        """Refuse a span that does not lie in its sentence."""
        known = (self.rows >= 0) & (self.rows < len(lengths))
        within = self.ends <= lengths[torch.where(known, self.rows, 0)] if len(lengths) else known
        bad = ~(known & within & (self.starts >= 0) & (self.starts < self.ends))
        if bad.any():
            i = int(bad.nonzero()[0])
            raise ValueError(
                f"span {i} is tokens [{int(self.starts[i])}, {int(self.ends[i])}) of sentence "
                f"{int(self.rows[i])}; expected 0 <= start < end <= the sentence's length"
            )


def span_probability(
    lattice: Lattice, messages: Messages, spans: Spans, span_tags: SpanTags
) -> Tensor:
    """The exact probabilities of spans, ``(n,)``, float64.

    The weight of all paths through a span is alpha of its first tag, times the weights along
    its inner tags, which are differences of running sums, times beta of its last tag. Where the
    next tag could prolong the span, beta is summed over all others instead, not subtracted
    from, so that nothing cancels.

    Raises:
        ValueError: for a span that does not lie in its sentence.
    """
    spans.check(lattice.lengths)
    if len(spans.rows) == 0:
        return messages.log_partition.new_zeros(0)
    table = span_tags.to(lattice.emissions.device)
    rows, starts, ends, labels = spans.rows, spans.starts, spans.ends, spans.labels
    nodes, moves = lattice.nodes(), lattice.transitions.double()
    count = ends - starts
    first = torch.where(count == 1, table.single[labels], table.first[labels])
    last = torch.where(count == 1, table.single[labels], table.last[labels])
    inside = table.inside[labels]
    log_weight = messages.log_alpha[rows, starts, first]
    arriving = nodes[rows, ends - 1, last]
    log_weight += torch.where(count == 2, moves[first, last] + arriving, 0.0)
    inner = moves[first, inside] + moves[inside, last] + arriving
    inner += _along(nodes[:, :, table.inside], spans)
    inner += torch.where(count > 3, moves[inside, inside] * (count - 3), 0.0)
    log_weight += torch.where(count > 2, inner, 0.0)
    log_weight += _after(lattice, messages, nodes, spans, last, table.prolonging[labels])
    return (log_weight - messages.log_partition[rows]).exp().clamp_max(1.0)


def _along(nodes: Tensor, spans: Spans) -> Tensor:
    """The sum of the emissions of inner tokens, ``(n,)``.

    Args:
        nodes: the emissions of each label's inner tag, ``(batch, length, labels)``.
        spans: the spans.
    """
    blocked = nodes == -torch.inf
    sums = nodes.masked_fill(blocked, 0.0).cumsum(1)
    blocks = blocked.cumsum(1)
    begin, stop = spans.starts, (spans.ends - 2).clamp_min(0)  # sums end with their token
    sums = sums[spans.rows, stop, spans.labels] - sums[spans.rows, begin, spans.labels]
    free = blocks[spans.rows, stop, spans.labels] == blocks[spans.rows, begin, spans.labels]
    return torch.where(free, sums, -torch.inf)


def _after(
    lattice: Lattice, messages: Messages, nodes: Tensor, spans: Spans, last: Tensor, no: Tensor
) -> Tensor:
    """The log of the weight of all endings after spans' last tags, ``(n,)``.

    Args:
        lattice: the scores.
        messages: the sums over them.
        nodes: the lattice's emissions.
        spans: the spans.
        last: the tags of their last tokens, ``(n,)``.
        no: the tags that must not follow, or -1, ``(n,)``.
    """
    rows, ends = spans.rows, spans.ends
    closed = messages.log_beta[rows, ends - 1, last]
    at_end = ends == lattice.lengths[rows]
    following = torch.where(at_end, 0, ends)
    open_ = lattice.transitions.double()[last]
    open_ += nodes[rows, following] + messages.log_beta[rows, following]
    tags = torch.arange(nodes.shape[2], device=nodes.device)
    open_ = open_.masked_fill(tags == no.unsqueeze(1), -torch.inf).logsumexp(1)
    return torch.where(at_end | (no < 0), closed, open_)
