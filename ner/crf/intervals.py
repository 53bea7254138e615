"""The choice among intervals that overlap."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence


def disjoint(intervals: Sequence[tuple[int, int, float]]) -> list[int]:
    """The numbers of the disjoint intervals (start, end, weight) of greatest total weight."""
    order = sorted(range(len(intervals)), key=lambda i: intervals[i][1])
    ends = [intervals[i][1] for i in order]
    best, last = [0.0], [-1]  # of the first k intervals: the weight, and the last one chosen
    for k, i in enumerate(order):
        start, _, weight = intervals[i]
        taken = best[bisect_right(ends, start, hi=k)] + weight
        better = taken >= best[k]
        best.append(taken if better else best[k])
        last.append(k if better else last[k])
    chosen, k = [], last[-1]
    while k >= 0:
        chosen.append(order[k])
        k = last[bisect_right(ends, intervals[order[k]][0], hi=k)]
    return chosen[::-1]
