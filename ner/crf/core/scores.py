"""The scores of a batch of linear chains, and the marginals and entropies computed from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
_STEPS = 64  # tokens per block of pairwise marginals, which bounds the memory they take


def logsumexp(scores: Floats, axis: int) -> Doubles:
    """Return log(sum(exp(scores))) along an axis; minus infinity if all scores are."""
    greatest = scores.max(axis, keepdims=True)
    greatest[~np.isfinite(greatest)] = 0.0
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(scores - greatest).sum(axis, keepdims=True))
    return np.asarray((total + greatest).squeeze(axis))


def check_lengths(lengths: Integers, width: int) -> None:
    """Raise ValueError for lengths that are negative or exceed the padded width of the batch."""
    if len(lengths) and (lengths.min() < 0 or lengths.max() > width):
        raise ValueError(f"lengths must be between 0 and {width}, got {lengths.tolist()}")


def check_scores(transitions: Floats, start: Floats, end: Floats) -> None:
    """Raise ValueError for any NaN or +inf among the scores of a CRF, even if no path uses it.

    Minus infinity is allowed: it forbids a transition.
    """
    for name, scores in (("transitions", transitions), ("start", start), ("end", end)):
        bad = ~(scores < np.inf)  # NaN, too
        if bad.any():
            raise ValueError(
                f"CRF parameter {name!r}: NaN or +inf in {int(bad.sum())} of {bad.size} scores "
                "(only -inf is allowed, to forbid a transition). The model may have diverged; "
                "reload its weights, or train with a smaller learning rate"
            )


def explain_failure(
    emissions: Floats, lengths: Integers, sentence: int, *scores: Floats
) -> ValueError:
    """Return the error that explains why a sentence has no path: NaN, infinity or constraints.

    Args:
        emissions: ``(batch, length, tags)``.
        lengths: ``(batch,)``.
        sentence: The index of the sentence.
        scores: Transitions, start and end.
    """
    rows = emissions[sentence, : int(lengths[sentence])]
    bad = np.argwhere(~(rows < np.inf))
    if len(bad):
        token, tag = bad[0].tolist()
        return ValueError(
            f"emissions contain {rows[token, tag]} (sentence {sentence}, token {token}, "
            f"tag {tag}); the model may have diverged"
        )
    try:
        check_scores(*scores)
    except ValueError as error:
        return error
    return ValueError(
        f"sentence {sentence} has no legal path: no tag sequence of its length satisfies both its "
        "candidates and the allowed transitions"
    )


def not_a_tag(sentence: int, token: int, tag: int, tags: int) -> ValueError:
    """Return the error for a tag outside the range of the CRF's tags."""
    return ValueError(
        f"tag {tag} is out of range (sentence {sentence}, token {token}); expected 0 to {tags - 1}"
    )


def illegal_gold(sentence: int) -> ValueError:
    """Return the error for gold tags that form no legal path."""
    return ValueError(
        f"the gold tags of sentence {sentence} are not legal: they use a forbidden transition, "
        "a forbidden first or last tag, or a tag that is not among the candidates"
    )


@dataclass(frozen=True, slots=True, eq=False)
class ChainScores:
    """The scores of a batch of linear chains on numpy arrays; see ``ner.crf.LinearChain``.

    emissions: ``(batch, length, tags)``, float32 or float64; anything at padding.
    transitions: ``(tags, tags)``, from the row's tag to the column's; minus infinity where
        forbidden.
    start, end: ``(tags,)``; minus infinity where forbidden.
    lengths: the number of tokens of each sentence, ``(batch,)``; 0 is allowed.
    candidates: which tags each token may carry, bool ``(batch, length, tags)``, or None.
    """

    emissions: Floats
    transitions: Floats
    start: Floats
    end: Floats
    lengths: Integers
    candidates: Bools | None = None

    @property
    def mask(self) -> Bools:
        """True at tokens, false at padding, ``(batch, length)``."""
        return np.arange(self.emissions.shape[1]) < self.lengths[:, None]

    def nodes(self, first: int = 0, last: int | None = None) -> Doubles:
        """Return the emissions of tokens [first, last) in float64, ``(batch, tokens, tags)``.

        Padding is 0; tags that are not among the candidates are minus infinity.
        """
        some = slice(first, last)
        inside = self.mask[:, some, None]
        nodes: Doubles = np.where(inside, self.emissions[:, some], np.float64(0.0))
        if self.candidates is not None:
            nodes[inside & ~self.candidates[:, some]] = -np.inf
        return nodes

    def moves(self) -> tuple[Doubles, Doubles, Doubles]:
        """Return transitions, start and end in float64."""
        parts = (self.transitions, self.start, self.end)
        transitions, start, end = (part.astype(np.float64) for part in parts)
        return transitions, start, end

    def score(self, tags: Integers) -> Doubles:
        """Return the score of one path per sentence, ``(batch,)``; minus infinity if illegal.

        Args:
            tags: ``(batch, length)``; anything at padding.

        Raises:
            ValueError: A tag is out of range.
        """
        inside, count = self.mask, self.emissions.shape[2]
        tags = np.where(inside, tags, 0)
        if tags.size and (tags.min() < 0 or tags.max() >= count):
            sentence, token = np.argwhere((tags < 0) | (tags >= count))[0].tolist()
            raise not_a_tag(sentence, token, int(tags[sentence, token]), count)
        if not tags.size:
            return np.zeros(len(tags))
        taken = np.arange(0, self.emissions.size, count).reshape(tags.shape) + tags
        nodes = self.emissions.reshape(-1)[taken].astype(np.float64)
        if self.candidates is not None:
            nodes[~self.candidates.reshape(-1)[taken]] = -np.inf
        moves, start, end = self.moves()
        pairs = moves.reshape(-1)[tags[:, :-1] * count + tags[:, 1:]]
        total: Doubles = np.where(inside, nodes, 0.0).sum(1)
        total += np.where(inside[:, 1:], pairs, 0.0).sum(1)
        last = tags[np.arange(len(tags)), np.maximum(self.lengths - 1, 0)]
        total += start[tags[:, 0]] + end[last]
        return np.where(self.lengths > 0, total, 0.0)

    def check(self, sums: Doubles) -> None:
        """Raise ValueError for the first sentence whose log partition or best score is not finite.

        The message names the NaN or infinite score, or says that the sentence has no legal path.
        """
        sound = np.isfinite(sums)
        if not sound.all():
            raise self.failure(int(sound.argmin()))

    def check_moves(self) -> None:
        """Raise ValueError for any NaN or +inf among the CRF's scores, even if no path uses it."""
        check_scores(self.transitions, self.start, self.end)

    def check_numbers(self, nodes: Doubles) -> None:
        """Raise ValueError for any NaN or +inf score, even if no path uses it."""
        self.check_moves()
        self.check(np.where((nodes < np.inf).all((1, 2)), 0.0, np.nan))

    def failure(self, sentence: int) -> ValueError:
        """Return the error that explains why a sentence has no path."""
        scores = (self.transitions, self.start, self.end)
        return explain_failure(self.emissions, self.lengths, sentence, *scores)


@dataclass(frozen=True, slots=True, eq=False)
class Messages:
    """Forward and backward messages in log space, float64.

    log_alpha: the log of the sum over all prefixes that end in this tag at this token, including
        its emission, ``(batch, length, tags)``.
    log_beta: the log of the sum over all suffixes that follow this tag at this token, excluding
        its emission, ``(batch, length, tags)``.
    log_partition: ``(batch,)``, 0 for an empty sentence.

    Values at padding are undefined, but never NaN.
    """

    log_alpha: Doubles
    log_beta: Doubles
    log_partition: Doubles

    def alpha_at(self, rows: Integers, tokens: Integers) -> Doubles:
        """Return log alpha at some tokens of sentences, ``(n, tags)``."""
        return self.log_alpha[rows, tokens]

    def beta_at(self, rows: Integers, tokens: Integers) -> Doubles:
        """Return log beta at some tokens of sentences, ``(n, tags)``."""
        return self.log_beta[rows, tokens]

    def marginals(self) -> Doubles:
        """Return the probability of each tag at each token, ``(batch, length, tags)``."""
        # p(y_t | x) = alpha(t, y_t) beta(t, y_t) / Z, where Z = sum_y alpha(t, y) beta(t, y)
        return _normalised(self.log_alpha + self.log_beta, (2,))


@dataclass(frozen=True, slots=True, eq=False)
class ScoreGradient:
    """The derivatives of a weighted sum of log partitions, less those of gold paths' scores.

    emissions: ``(batch, length, tags)``, 0 at padding; the marginal probabilities of the tags if
        all weights are 1 and there are no gold paths.
    transitions: ``(tags, tags)``. start, end: ``(tags,)``.
    """

    emissions: Floats
    transitions: Floats
    start: Floats
    end: Floats


def pair_marginals(scores: ChainScores, messages: Messages, first: int, last: int) -> Doubles:
    """Return the probability of each pair of tags at tokens t - 1 and t, for t in [first, last).

    Returns:
        ``(batch, last - first, tags, tags)``; 0 where token t is padding.
    """
    # p(y, y') = alpha(t-1, y) exp(A[y, y'] + e(t, y')) beta(t, y') / Z
    before = messages.log_alpha[:, first - 1 : last - 1]
    behind = scores.nodes(first, last) + messages.log_beta[:, first:last]
    pairs = before[..., None] + scores.transitions.astype(np.float64) + behind[:, :, None]
    return np.where(scores.mask[:, first:last, None, None], _normalised(pairs, (2, 3)), 0.0)


def _normalised(weights: Doubles, axes: tuple[int, ...]) -> Doubles:
    """Return the softmax of log weights along axes; the input is overwritten.

    Each token is normalised by its own sum, not by the log partition, in which the rounding errors
    of a long sentence have accumulated.
    """
    greatest = weights.max(axes, keepdims=True)
    greatest[greatest == -np.inf] = 0.0  # at padding, where -inf - -inf would be NaN
    weights -= greatest
    np.exp(weights, weights)
    total = weights.sum(axes, keepdims=True)
    weights /= np.where(total == 0.0, 1.0, total)
    return weights


def entropy(scores: ChainScores, messages: Messages) -> Doubles:
    """Return the entropy of the distribution over paths in nats, ``(batch,)``."""
    # H = log Z - E[score], where E[score] = sum_t p(y_t) e(t, y_t) + sum_t p(y_t-1, y_t) A
    moves, start, end = map(_finite, scores.moves())
    nodes, inside = scores.nodes(), scores.mask
    marginals = np.where(inside[:, :, None], messages.marginals(), 0.0)
    expected = np.einsum("blt,blt->b", marginals, _finite(nodes))
    for first in range(1, nodes.shape[1], _STEPS):
        pairs = pair_marginals(scores, messages, first, min(first + _STEPS, nodes.shape[1]))
        expected += np.einsum("btij,ij->b", pairs, moves)
    if nodes.shape[1]:
        finals = marginals[np.arange(len(nodes)), np.maximum(scores.lengths - 1, 0)]
        expected += marginals[:, 0] @ start + finals @ end
    return np.asarray(np.maximum(messages.log_partition - expected, 0.0))


def _finite(scores: Doubles) -> Doubles:
    """Return scores with 0 in place of minus infinity."""
    return np.where(scores == -np.inf, 0.0, scores)
