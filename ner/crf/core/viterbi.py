"""The best tag sequences of a batch (Viterbi 1967).

Four changes make the recursion faster without changing its result:

- Every sentence is processed from both ends at once, and the two recursions meet in the middle,
  which halves the number of steps.
- Sentences are sorted by length, so that the batch shrinks as short ones end.
- Only the maxima are kept; backpointers are recomputed along the chosen path.
- Sentences are the innermost axis, so that one vector instruction serves many of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ner import native
from ner.crf.core.packing import runs_of
from ner.crf.core.scores import Bools, ChainScores, Floats, Integers, check_lengths

_CELLS = 1 << 24  # maximum size of a work array (64 MB in float32)
_HUGE = 1e30  # larger scores are summed in float64, since float32 might overflow
LEVEL = 32  # steps between subtractions of the maximum, so that float32 keeps its precision


def viterbi(scores: ChainScores) -> Integers:
    """Return the best tag sequence of each sentence, ``(batch, length)``, 0 at padding.

    Raises:
        ValueError: Emissions or transitions are NaN or infinite, a sentence has no legal path, or
            a length is negative or exceeds the width of the batch.
    """
    check_lengths(scores.lengths, scores.emissions.shape[1])
    found = _natively(scores)
    if found is not None:
        return found
    width, tags = scores.emissions.shape[1:]
    dtype = working_type(scores)
    moves = TwoWayMoves.of(scores, dtype)
    flat = scores.emissions.reshape(-1, tags)
    known = None if scores.candidates is None else scores.candidates.reshape(-1, tags)

    def walk(layout: TwoWayLayout) -> TwoWayWalk:
        nodes: Floats = np.take(flat, layout.tokens, axis=0).astype(dtype, copy=False)
        if known is not None:
            nodes[~np.take(known, layout.tokens, axis=0)] = -np.inf
        return TwoWayWalk.along(nodes, layout, moves)

    paths, lost = search(scores.lengths, width, moves, walk)
    if lost is not None:
        raise scores.failure(lost)
    return paths


def _natively(scores: ChainScores) -> Integers | None:
    """Return the result of ``viterbi`` by the C kernels; None if they do not support the scores."""
    emissions, lengths = scores.emissions, scores.lengths
    if scores.candidates is not None:
        emissions = np.where(scores.candidates, emissions, np.float32(-np.inf))
    return native.viterbi(emissions, lengths, scores.transitions, scores.start, scores.end)


def working_type(scores: ChainScores) -> type[np.float32] | type[np.float64]:
    """Return float32 for float32 emissions whose sums cannot overflow, else float64."""
    if scores.emissions.dtype == np.float64:
        return np.float64
    parts = (scores.emissions, scores.transitions, scores.start, scores.end)
    return np.float32 if all(map(is_ordinary, parts)) else np.float64


def is_ordinary(scores: Floats) -> bool:
    """Return whether sums of these scores stay within the range of float32."""
    if not scores.size:
        return True
    low, high = scores.min(), scores.max()
    if not (-np.inf < low and high < np.inf):
        finite = scores[np.isfinite(scores)]
        low, high = finite.min(initial=0.0), finite.max(initial=0.0)
    return bool(low > -_HUGE and high < _HUGE)


def search(
    lengths: Integers,
    width: int,
    moves: TwoWayMoves,
    walk: Callable[[TwoWayLayout], TwoWayWalk],
) -> tuple[Integers, int | None]:
    """Return the best path of each sentence, and the index of a sentence without one.

    Args:
        lengths: ``(batch,)``.
        width: The padded length of the batch.
        moves: The scores of transitions.
        walk: Runs the recursions over some sentences.

    Returns:
        ``(batch, width)``, 0 at padding; and the index of a sentence without a path, or None.
    """
    tags = len(moves.steps)
    paths = np.zeros((len(lengths), width), np.int64)
    for sentences in _parts(lengths, tags):
        layout = TwoWayLayout.of(sentences, lengths[sentences], width, tags)
        with np.errstate(invalid="ignore"):
            walked = walk(layout)
            tag, final = walked.meet(layout, moves)
        if not np.isfinite(final).all():
            return paths, int(sentences[np.flatnonzero(~np.isfinite(final))[0]])
        paths.reshape(-1)[layout.tokens] = walked.back(tag, layout, moves)
    return paths, None


def _parts(lengths: Integers, tags: int) -> Iterator[Integers]:
    """Yield the non-empty sentences, longest first, in groups that need bounded memory."""
    order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    first = 0
    while first < len(order):
        cells = max(int(lengths[order[first]]) * tags, 2 * tags * tags)
        last = first + max(1, _CELLS // cells)
        yield order[first:last]
        first = last


@dataclass(frozen=True, slots=True)
class TwoWayMoves:
    """The scores of transitions for the recursions from the start and from the end.

    steps: the transitions beside their transpose, ``(tags, 2 * tags)``.
    ends: the scores of start and end, ``(tags, 2)``.
    meetings: the score of joining the two recursions at neighbouring tokens (a transition), and at
        the same token (0 for equal tags, else minus infinity), ``(2, tags, tags)``.
    """

    steps: Floats
    ends: Floats
    meetings: Floats

    @staticmethod
    def of(scores: ChainScores, dtype: type) -> TwoWayMoves:
        transitions, start, end = scores.transitions, scores.start, scores.end
        steps: Floats = np.concatenate((transitions, transitions.T), axis=1).astype(dtype)
        meetings = np.full((2, *transitions.shape), -np.inf, dtype)
        meetings[0] = transitions
        meetings[1].reshape(-1)[:: len(steps) + 1] = 0.0
        return TwoWayMoves(steps, np.stack((start, end), axis=1).astype(dtype), meetings)

    def spread(self, rows: int) -> Floats:
        """Repeat the steps for every row, ``(tags, tags, rows)``."""
        tags, kind = len(self.steps), self.steps.dtype
        pair = np.dtype(f"V{2 * kind.itemsize}")  # copy forward and backward as one item
        pairs = self.steps.reshape(tags, 2, tags).transpose(0, 2, 1).copy().view(pair)
        return np.repeat(pairs, rows // 2, axis=2).view(kind)


@dataclass(frozen=True, slots=True)
class TwoWayLayout:
    """The token of each recursion at each step. Sentence i has rows 2i (forward) and 2i + 1.

    odd: the sentences of odd length, whose two recursions share the middle token.
    reach: the number of steps of each sentence, descending, ``(rows / 2,)``.
    tokens: the index of the tokens in the flattened batch, ``(steps, rows)``; a row that has
        finished stays at its last token.
    groups: sentences of equal reach: (reach, first sentence, end).
    runs: runs of steps with the same active sentences: (first step, end, sentences).
    """

    odd: Bools
    reach: Integers
    tokens: Integers
    groups: list[tuple[int, int, int]]
    runs: list[tuple[int, int, int]]

    @staticmethod
    def of(sentences: Integers, lengths: Integers, width: int, tags: int) -> TwoWayLayout:
        """Lay out sentences, longest first; `width` is the padded length of the batch."""
        reach = (lengths + 1) // 2
        step = np.minimum(np.arange(reach[0])[:, None], reach - 1)
        tokens = np.empty((*step.shape, 2), np.int64)
        begin = sentences * width
        np.add(begin, step, out=tokens[..., 0])
        np.subtract(begin + (lengths - 1), step, out=tokens[..., 1])
        tokens = tokens.reshape(len(step), -1)
        edges = [0, *((reach[1:] != reach[:-1]).nonzero()[0] + 1).tolist(), len(reach)]
        steps = reach.tolist()
        groups = [(steps[a], a, b) for a, b in itertools.pairwise(edges)]
        return TwoWayLayout(lengths % 2 == 1, reach, tokens, groups, runs_of(steps, tags))


@dataclass(frozen=True, slots=True)
class TwoWayWalk:
    """The best scores of both recursions.

    best: for each step, the best score of a path that ends in this tag, ``(tags, rows)``.
    """

    best: list[Floats]

    @staticmethod
    def along(nodes: Floats, layout: TwoWayLayout, moves: TwoWayMoves) -> TwoWayWalk:
        """Run both recursions over emissions, ``(steps, rows, tags)``, which are modified."""
        _, rows, tags = nodes.shape
        odd = np.flatnonzero(layout.odd)
        nodes[layout.reach[odd] - 1, 2 * odd + 1] = 0.0  # a shared middle token counts once
        scratch, origin = np.empty(tags * tags * rows, nodes.dtype), np.arange(tags).repeat(tags)
        add, greatest = np.add, np.maximum.reduce
        here = nodes[0].T.copy()
        here.reshape(tags, -1, 2)[...] += moves.ends[:, None]
        best = [here]
        for first, last, walking in layout.runs:
            n = 2 * walking
            spread, room = moves.spread(n), scratch[: tags * tags * n].reshape(tags, tags, n)
            before, copies = here[:, :n].take, room.reshape(-1, n)
            block = np.empty((last - first, tags, n), nodes.dtype)
            emitted = nodes[first:last, :n].transpose(0, 2, 1)
            for step, (here, node) in enumerate(zip(block, emitted, strict=True), first):
                # best(t, y') = e(t, y') + max_y best(t - 1, y) + A[y, y']; copying each row to all
                # y' first is faster than a broadcast addition
                before(origin, 0, copies, "clip")
                add(room, spread, room)
                greatest(room, axis=0, out=here)
                add(here, node, here)
                if step % LEVEL == 0:
                    here -= greatest(here, axis=0)
                before = here.take
            best.extend(block)
        return TwoWayWalk(best)

    def meet(self, layout: TwoWayLayout, moves: TwoWayMoves) -> tuple[Integers, Floats]:
        """Return the best pair of tags to join the recursions at, ``(rows,)``, and its score."""
        tags = len(moves.steps)
        ends = np.empty((2 * len(layout.reach), tags), moves.steps.dtype)
        for reach, first, last in layout.groups:
            ends[2 * first : 2 * last] = self.best[reach - 1][:, 2 * first : 2 * last].T
        # score(y, y') = forward(y) + meeting[y, y'] + backward(y'), maximised over both tags
        pairs = moves.meetings[layout.odd.view(np.int8)]
        pairs += ends[0::2, :, None]
        pairs += ends[1::2, None]
        flat = pairs.reshape(len(pairs), -1)
        chosen = flat.argmax(1)
        tag = np.stack(np.divmod(chosen, tags), axis=1).reshape(-1)
        return tag, flat[np.arange(len(flat)), chosen]

    def back(self, tag: Integers, layout: TwoWayLayout, moves: TwoWayMoves) -> Integers:
        """Trace both recursions back from the tags where they meet, ``(steps, rows)``."""
        tags, rows = len(moves.steps), len(tag)
        path = np.empty((len(self.best), rows), np.int64)
        side = np.tile(np.array([0, tags]), rows // 2)
        tag = tag.copy()
        take = moves.steps.take
        groups = layout.groups
        for (reach, _, last), (lower, _, _) in zip(groups, [*groups[1:], (1, 0, 0)], strict=True):
            walking, shift = tag[: 2 * last], side[: 2 * last]
            for step in range(reach - 1, lower - 1, -1):
                path[step] = tag
                # y(t - 1) = argmax_y best(t - 1, y) + A[y, y(t)]
                came = take(walking + shift, 1)
                came += self.best[step - 1][:, : 2 * last]
                came.argmax(0, walking)
        path[0] = tag
        return path
