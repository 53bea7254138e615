"""The choice of spans by their probabilities, and of the path that spells them."""

from __future__ import annotations

import torch
from torch import Tensor

from ner.crf.intervals import disjoint
from ner.crf.lattice import Lattice
from ner.crf.messages import Messages
from ner.crf.spans import Spans, SpanTags, span_probability

_SLACK = 1e-9  # rounding of a marginal that bounds a probability
_PENALTY = 1e9  # over any score; float64 still tells scores apart beside it


def best_spans(lattice: Lattice, messages: Messages, table: SpanTags, threshold: float) -> Spans:
    """Disjoint spans of at least that probability, the sum of p - threshold being greatest."""
    spans = _possible(lattice, messages, table, threshold)
    probabilities = span_probability(lattice, messages, spans, table)
    passed = probabilities >= threshold
    fields = (spans.rows, spans.starts, spans.ends, spans.labels)
    rows, starts, ends, labels = (field[passed] for field in fields)
    weights = (probabilities[passed] - threshold).tolist()
    length = lattice.emissions.shape[1]
    intervals = zip(
        (rows * length + starts).tolist(), (rows * length + ends).tolist(), weights, strict=True
    )
    kept = torch.tensor(disjoint(list(intervals)), dtype=torch.long, device=rows.device)
    return Spans(rows[kept], starts[kept], ends[kept], labels[kept])


def _possible(lattice: Lattice, messages: Messages, table: SpanTags, threshold: float) -> Spans:
    """All spans that may reach the threshold: no tag of theirs is less probable than it."""
    likely = messages.log_alpha + messages.log_beta - messages.log_partition[:, None, None]
    likely = (likely.exp() >= threshold - _SLACK) & lattice.mask.unsqueeze(2)
    row, start, label = likely[:, :, table.single].nonzero(as_tuple=True)
    found = [(row, start, start + 1, label)]
    row, start, label = likely[:, :, table.first].nonzero(as_tuple=True)
    at = start + 1
    while len(row):
        within = at < lattice.lengths[row]
        row, start, at, label = row[within], start[within], at[within], label[within]
        ending = likely[row, at, table.last[label]]
        found.append((row[ending], start[ending], at[ending] + 1, label[ending]))
        going = likely[row, at, table.inside[label]]
        row, start, at, label = row[going], start[going], at[going] + 1, label[going]
    return Spans(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def spell(spans: Spans, table: SpanTags, outside: int, shape: tuple[int, int]) -> Tensor:
    """The tags that spell spans, ``(batch, length)``, `outside` between them."""
    tags = torch.full(shape, outside, dtype=torch.long, device=spans.rows.device)
    count = spans.ends - spans.starts
    span = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    before = torch.repeat_interleave(count.cumsum(0) - count, count)
    token = spans.starts[span] + torch.arange(len(span), device=count.device) - before
    tags[spans.rows[span], token] = table.inside[spans.labels[span]]
    tags[spans.rows, spans.starts] = table.first[spans.labels]
    last = torch.where(count == 1, table.single[spans.labels], table.last[spans.labels])
    tags[spans.rows, spans.ends - 1] = last
    return tags


def holding(lattice: Lattice, spans: Spans, table: SpanTags) -> Lattice:
    """A lattice whose best path holds these spans, or as much of them as a legal path can."""
    shape, free = lattice.emissions.shape, -1
    tags = spell(spans, table, free, (shape[0], shape[1]))
    every = torch.arange(shape[2], device=tags.device)
    breaks = (tags.unsqueeze(2) != every) & (tags.unsqueeze(2) != free)
    no = table.prolonging[spans.labels]
    open_ = (no >= 0) & (spans.ends < lattice.lengths[spans.rows])
    breaks[spans.rows[open_], spans.ends[open_], no[open_]] = True
    return Lattice(
        lattice.nodes() - _PENALTY * breaks,
        lattice.transitions,
        lattice.start,
        lattice.end,
        lattice.lengths,
    )
