"""The best tag sequences of a batch, on numpy arrays; needs no torch.

The recursion is Viterbi's (1967), with four things done for speed, none of which changes the
result: every sentence is walked from both ends at once and the two walks meet in its middle,
which halves the number of steps; sentences are sorted by length, so that the batch shrinks as
short ones end; the walk keeps the greatest values only, and the tags they came from are looked
up again along the chosen path; and the innermost axis is the sentences, so that one vector
instruction serves many of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ner.crf.packing import runs_of

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]

_CELLS = 1 << 24  # at most so many numbers in a scratch array (64 MB in float32)
_LEVEL = 32  # scores are levelled so often, that long sentences lose no digits of float32


def viterbi_numpy(
    emissions: Floats,
    lengths: Integers,
    transitions: Floats,
    start: Floats,
    end: Floats,
    candidates: NDArray[np.bool_] | None = None,
) -> Integers:
    """The best tag sequence of each sentence.

    Args:
        emissions: ``(batch, length, tags)``, float32 or float64; anything at padding. Minus
            infinity forbids a tag at a token.
        lengths: the tokens of each sentence, ``(batch,)``; 0 is allowed.
        transitions: ``(tags, tags)``, from the row's tag to the column's; minus infinity where
            forbidden.
        start: ``(tags,)``.
        end: ``(tags,)``.
        candidates: which tags each token may carry, ``(batch, length, tags)``, or None.

    Returns:
        ``(batch, length)``, 0 at padding.

    Raises:
        ValueError: where emissions or moves are no numbers, a sentence has no legal path, or a
            length is below 0 or over the batch's.
    """
    if len(lengths) and (lengths.min() < 0 or lengths.max() > emissions.shape[1]):
        raise ValueError(f"lengths must be from 0 to {emissions.shape[1]}, got {lengths.tolist()}")
    width, tags = emissions.shape[1:]
    dtype = np.float64 if emissions.dtype == np.float64 else np.float32
    scores = Scores.of(transitions, start, end, dtype)
    flat = emissions.reshape(-1, tags)
    known = None if candidates is None else candidates.reshape(-1, tags)

    def walk(halves: Halves) -> Walk:
        nodes: Floats = np.take(flat, halves.tokens, axis=0).astype(dtype, copy=False)
        if known is not None:
            nodes[~np.take(known, halves.tokens, axis=0)] = -np.inf
        return Walk.along(nodes, halves, scores)

    paths, lost = search(lengths, width, scores, walk)
    if lost is not None:
        raise ValueError(complaint(emissions, lengths, lost, transitions, start, end))
    return paths


def search(
    lengths: Integers, width: int, scores: Scores, walk: Callable[[Halves], Walk]
) -> tuple[Integers, int | None]:
    """The best paths of sentences, and a sentence that has none.

    Args:
        lengths: ``(batch,)``.
        width: The padded length of the batch.
        scores: The scores of transitions.
        walk: Walks over some sentences.

    Returns:
        ``(batch, width)``, 0 at padding; and the number of a sentence without a path, or None.
    """
    tags = len(scores.moves)
    paths = np.zeros((len(lengths), width), np.int64)
    for sentences in _parts(lengths, tags):
        halves = Halves.of(sentences, lengths[sentences], width, tags)
        with np.errstate(invalid="ignore"):
            walked = walk(halves)
            tag, final = walked.meet(halves, scores)
        if not np.isfinite(final).all():
            return paths, int(sentences[np.flatnonzero(~np.isfinite(final))[0]])
        paths.reshape(-1)[halves.tokens] = walked.back(tag, halves, scores)
    return paths, None


def complaint(emissions: Floats, lengths: Integers, sentence: int, *moves: Floats) -> str:
    """Why a sentence has no best path: a score that is no number, or nothing legal.

    Args:
        emissions: ``(batch, length, tags)``.
        lengths: ``(batch,)``.
        sentence: The number of the sentence.
        moves: The scores of transitions, start and end.
    """
    rows = emissions[sentence, : int(lengths[sentence])]
    bad = np.argwhere(~(rows < np.inf))
    if len(bad):
        token, tag = bad[0].tolist()
        return (
            f"emissions of sentence {sentence} hold {rows[token, tag]} at token {token}, tag "
            f"{tag}; expected numbers (-inf forbids a tag): has the model diverged?"
        )
    return unsound(*moves) or (
        f"sentence {sentence} has no legal path: its candidates, the forbidden transitions and "
        "its length exclude one another"
    )


def unsound(transitions: Floats, start: Floats, end: Floats) -> str | None:
    """What is wrong with the scores of moves where one is no number; None where all are."""
    for name, scores in (("transitions", transitions), ("start", start), ("end", end)):
        bad = ~(scores < np.inf)  # nan, too
        if bad.any():
            return (
                f"the scores {name!r} of the CRF must be finite, or minus infinity where a move "
                f"is forbidden; {int(bad.sum())} of {bad.size} are nan or infinite: has the model "
                "diverged? Load the weights again, or train with a smaller learning rate"
            )
    return None


def _parts(lengths: Integers, tags: int) -> Iterator[Integers]:
    """Sentences, longest first and without empty ones, in parts that need bounded memory."""
    order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    first = 0
    while first < len(order):
        cells = max(int(lengths[order[first]]) * tags, 2 * tags * tags)
        last = first + max(1, _CELLS // cells)
        yield order[first:last]
        first = last


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of transitions, for the walk from the start beside that from the end.

    moves: from the tag a walk is at to the next one, ``(tags, 2 * tags)``.
    ends: the scores of first and of last tags, ``(tags, 2)``.
    meetings: from the tag that the one walk ends at to that of the other, where they end at
        neighbouring tokens, and where they end at the same token, ``(2, tags, tags)``.
    """

    moves: Floats
    ends: Floats
    meetings: Floats

    @staticmethod
    def of(transitions: Floats, start: Floats, end: Floats, dtype: type) -> Scores:
        moves: Floats = np.concatenate((transitions, transitions.T), axis=1).astype(dtype)
        meetings = np.full((2, *transitions.shape), -np.inf, dtype)
        meetings[0] = transitions
        meetings[1].reshape(-1)[:: len(moves) + 1] = 0.0
        return Scores(moves, np.stack((start, end), axis=1).astype(dtype), meetings)

    def spread(self, rows: int) -> Floats:
        """The moves repeated for every row, ``(tags, tags, rows)``."""
        tags, kind = len(self.moves), self.moves.dtype
        pair = np.dtype(f"V{2 * kind.itemsize}")  # a forward and a backward score are moved as one
        pairs = self.moves.reshape(tags, 2, tags).transpose(0, 2, 1).copy().view(pair)
        return np.repeat(pairs, rows // 2, axis=2).view(kind)


@dataclass(frozen=True, slots=True)
class Halves:
    """Which token each walk is at, at each step. Sentence i has rows 2i and 2i + 1.

    odd: the sentences whose two walks share their last token.
    reach: the steps of each sentence's walks, descending, ``(rows / 2,)``.
    tokens: the numbers of the tokens in the flattened batch, ``(steps, rows)``; a row that has
        done its steps stays at its last token.
    groups: sentences of equal reach: (reach, first sentence, after the last).
    runs: runs of steps in which the same sentences walk: (first step, after the last, sentences).
    """

    odd: NDArray[np.bool_]
    reach: Integers
    tokens: Integers
    groups: list[tuple[int, int, int]]
    runs: list[tuple[int, int, int]]

    @staticmethod
    def of(sentences: Integers, lengths: Integers, width: int, tags: int) -> Halves:
        """Lay out sentences given longest first; `width` is the padded length of the batch."""
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
        return Halves(lengths % 2 == 1, reach, tokens, groups, runs_of(steps, tags))


@dataclass(frozen=True, slots=True)
class Walk:
    """The best scores of both walks of all sentences.

    best: for each step, the score of the best walk that ends in this tag, ``(tags, rows)``.
    """

    best: list[Floats]

    @staticmethod
    def along(nodes: Floats, halves: Halves, scores: Scores) -> Walk:
        """Walk over emissions, ``(steps, rows, tags)``; they are changed."""
        _, rows, tags = nodes.shape
        odd = np.flatnonzero(halves.odd)
        nodes[halves.reach[odd] - 1, 2 * odd + 1] = 0.0  # a shared middle token counts once
        scratch, origin = np.empty(tags * tags * rows, nodes.dtype), np.arange(tags).repeat(tags)
        add, greatest = np.add, np.maximum.reduce
        here = nodes[0].T.copy()
        here.reshape(tags, -1, 2)[...] += scores.ends[:, None]
        best = [here]
        for first, last, walking in halves.runs:
            n = 2 * walking
            moves, room = scores.spread(n), scratch[: tags * tags * n].reshape(tags, tags, n)
            before, copies = here[:, :n].take, room.reshape(-1, n)
            block = np.empty((last - first, tags, n), nodes.dtype)
            emitted = nodes[first:last, :n].transpose(0, 2, 1)
            for step, (here, node) in enumerate(zip(block, emitted, strict=True), first):
                before(origin, 0, copies, "clip")  # a row to every tag that may follow: this way
                add(room, moves, room)  # of adding them is fast, since nothing is broadcast
                greatest(room, axis=0, out=here)
                add(here, node, here)
                if step % _LEVEL == 0:
                    here -= greatest(here, axis=0)
                before = here.take
            best.extend(block)
        return Walk(best)

    def meet(self, halves: Halves, scores: Scores) -> tuple[Integers, Floats]:
        """The tags at which the walks of each sentence meet best, ``(rows,)``, and the scores."""
        tags = len(scores.moves)
        ends = np.empty((2 * len(halves.reach), tags), scores.moves.dtype)
        for reach, first, last in halves.groups:
            ends[2 * first : 2 * last] = self.best[reach - 1][:, 2 * first : 2 * last].T
        pairs = scores.meetings[halves.odd.view(np.int8)]
        pairs += ends[0::2, :, None]
        pairs += ends[1::2, None]
        flat = pairs.reshape(len(pairs), -1)
        chosen = flat.argmax(1)
        tag = np.stack(np.divmod(chosen, tags), axis=1).reshape(-1)
        return tag, flat[np.arange(len(flat)), chosen]

    def back(self, tag: Integers, halves: Halves, scores: Scores) -> Integers:
        """Follow the walks back from the tags where they met, ``(steps, rows)``."""
        tags, rows = len(scores.moves), len(tag)
        path = np.empty((len(self.best), rows), np.int64)
        side = np.tile(np.array([0, tags]), rows // 2)
        tag = tag.copy()
        take = scores.moves.take
        groups = halves.groups
        for (reach, _, last), (lower, _, _) in zip(groups, [*groups[1:], (1, 0, 0)], strict=True):
            walking, shift = tag[: 2 * last], side[: 2 * last]
            for step in range(reach - 1, lower - 1, -1):
                path[step] = tag
                came = take(walking + shift, 1)
                came += self.best[step - 1][:, : 2 * last]
                came.argmax(0, walking)
        path[0] = tag
        return path
