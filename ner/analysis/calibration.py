"""Calibration, and the choice of the decoding with the highest F1 on development sentences.

The temperature maximises the likelihood of the annotation (Guo et al. 2017). Keeping the spans more
probable than half of the F1 reached maximises the expected F1 (Lipton, Elkan and Narayanaswamy
2014). The best path is kept if its F1 is higher.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress
from typing import Any

import numpy as np

from ner.config import ConfigError
from ner.crf.core.decoding import greatest_gain, probable_spans
from ner.crf.core.forward_backward import forward_backward
from ner.crf.core.scores import Bools, ChainScores, Doubles, Integers
from ner.crf.core.spans import SpanBatch
from ner.evaluation.calibration import calibrate
from ner.evaluation.pairs import Pair, pair_up
from ner.evaluation.score import Score
from ner.inference import engine_for
from ner.inference.decoding import VITERBI, Decoding
from ner.inference.span_decoder import SpanDecoder
from ner.scorer import Scorer
from ner.sentence import Sentence, Span

TEMPERATURES = np.geomspace(0.25, 4.0, 15)  # the grid at which the likelihood is computed


class Lattices:
    """The chains of sentences, as the tagging engine computes them.

    Args:
        network: A network in evaluation mode.
        sentences: The sentences.

    Attributes:
        units: The index of each sentence's document; of the sentence, if it has none.
    """

    def __init__(self, network: Scorer, sentences: Sequence[Sentence]) -> None:
        self.network = network
        self.sentences = sentences
        self.chains: list[tuple[list[int], ChainScores]] = list(
            engine_for(network).chains(sentences)
        )
        self.units = _units(sentences)

    def predict(self, decoding: Decoding) -> list[tuple[Span, ...]]:
        """Return the spans of each sentence, as the engine would."""
        decoder = SpanDecoder(self.network.scheme, self.network.labels, decoding)
        found: list[tuple[Span, ...]] = [()] * len(self.sentences)
        rest = {number for number, sentence in enumerate(self.sentences) if len(sentence)}
        for numbers, chain in self.chains:
            for number, spans in zip(numbers, decoder.choose(chain), strict=True):
                found[number] = spans
            rest -= set(numbers)
        ordered = sorted(rest)  # sentences too long for one chain
        engine = engine_for(self.network, decoding)
        own = engine.predict([self.sentences[number] for number in ordered]) if ordered else []
        for number, spans in zip(ordered, own, strict=True):
            found[number] = spans
        return found

    def counts(self, decoding: Decoding) -> Integers:
        """Return the correct, predicted and gold spans of each sentence, ``(sentences, 3)``."""
        return np.array(
            [_counts(s, own) for s, own in zip(self.sentences, self.predict(decoding), strict=True)]
        ).reshape(-1, 3)

    def losses(self) -> Doubles:
        """Return the negative log-likelihood of each annotation, ``(sentences, TEMPERATURES)``.

        It is 0 for sentences that are not fully annotated, or that have unknown labels.
        """
        found = np.zeros((len(self.sentences), len(TEMPERATURES)))
        for numbers, chain in self.chains:
            gold, known = self._gold(numbers, chain.emissions.shape[1])
            for column, temperature in enumerate(TEMPERATURES):
                hot = Decoding(temperature=float(temperature)).tempered(chain)
                sums = forward_backward(hot, gold)
                loss = sums.log_partition - sums.gold_score
                found[numbers, column] = np.where(known & np.isfinite(loss), loss, 0.0)
        return found

    def _gold(self, numbers: Sequence[int], length: int) -> tuple[Integers, Bools]:
        """Return the gold tags of a group, ``(batch, length)``, and which rows are fully known."""
        tags = {tag: number for number, tag in enumerate(self.network.tags)}
        gold = np.zeros((len(numbers), length), np.int64)
        known = np.zeros(len(numbers), bool)
        for row, number in enumerate(numbers):
            sentence = self.sentences[number]
            own = {span.label for span in sentence.spans or ()}
            if is_known(sentence) and own <= set(self.network.labels):
                spelt = self.network.scheme.encode(sentence.spans or (), len(sentence))
                gold[row, : len(sentence)] = [tags[tag] for tag in spelt]
                known[row] = True
        return gold, known

    def probable(self, decoding: Decoding, least: float) -> ProbableSpans:
        """Return the spans of at least a probability, as posterior decoding sees them."""
        table = self.network.span_tags.table()
        parts, sure = [SpanBatch(*(np.zeros(0, np.int64) for _ in range(4)))], [np.zeros(0)]
        for numbers, chain in self.chains:
            spans, own = probable_spans(decoding.biased(decoding.tempered(chain)), table, least)
            parts.append(
                SpanBatch(np.array(numbers)[spans.rows], spans.starts, spans.ends, spans.labels)
            )
            sure.append(own)
        names = SpanBatch.__slots__
        spans = SpanBatch(*(np.concatenate([getattr(part, n) for part in parts]) for n in names))
        return ProbableSpans(self, spans, np.concatenate(sure))


class ProbableSpans:
    """Candidate spans for posterior decoding at any threshold.

    Args:
        lattices: The sentences.
        spans: The spans; their rows are sentences.
        probabilities: The probability of each span.
    """

    def __init__(self, lattices: Lattices, spans: SpanBatch, probabilities: Doubles) -> None:
        self.spans, self.probabilities = spans, probabilities
        labels, sentences = lattices.network.labels, lattices.sentences
        self._labels = len(labels)
        columns = (spans.rows, spans.starts, spans.ends, spans.labels)
        places = list(zip(*(column.tolist() for column in columns), strict=True))
        self._counts = np.array(
            [
                _counts(sentences[row], (Span(start, end, labels[label]),))[:2]
                for row, start, end, label in places
            ]
        ).reshape(-1, 2)
        lengths = np.array([len(sentence) for sentence in sentences])
        self._begins = (lengths.cumsum() - lengths)[spans.rows]

    def counts(self, threshold: float | Doubles, within: Bools) -> Integers:
        """Return the correct and predicted spans of some sentences, ``(2,)``.

        Args:
            threshold: The threshold, or that of each label.
            within: The sentences.
        """
        least = np.broadcast_to(threshold, self._labels)[self.spans.labels]
        passed = np.flatnonzero((self.probabilities >= least) & within[self.spans.rows])
        gains = self.probabilities[passed] - least[passed]
        chosen = greatest_gain(self.spans.take(passed), self._begins[passed], gains)
        total: Integers = self._counts[passed[chosen]].sum(0)
        return total


def is_known(sentence: Sentence) -> bool:
    """Return whether a sentence has tokens, all of them annotated."""
    return bool(len(sentence)) and sentence.spans is not None and not sentence.unknown


def _counts(sentence: Sentence, predicted: Sequence[Span]) -> tuple[int, int, int]:
    """Return the correct, predicted and gold spans; none where the gold spans are unknown."""
    if sentence.spans is None:
        return 0, 0, 0
    own = [
        span
        for span in predicted
        if sentence.unknown.isdisjoint(range(span.start, span.end))
        and (sentence.labels is None or span.label in sentence.labels)
    ]
    return len(set(sentence.spans).intersection(own)), len(own), len(sentence.spans)


def _units(sentences: Sequence[Sentence]) -> Integers:
    """Return the index of each sentence's document; a sentence without one is its own."""
    numbers: dict[object, int] = {}
    keys = [
        ("document", id(s.document)) if s.document is not None else ("sentence", row)
        for row, s in enumerate(sentences)
    ]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


ENOUGH = 30  # minimum number of entities to choose a decoding by
FOLDS = 5
LEAST, MOST = 0.05, 0.95  # lowest and highest threshold
ROUNDS = 6  # iterations of threshold = F1 / 2
FACTORS = (0.5, 0.7, 0.85, 1.15, 1.4, 1.8)  # of the threshold, tried for each label


@dataclass(frozen=True, slots=True)
class DecodingChoice:
    """A decoding with its scores.

    Attributes:
        decoding: The decoding.
        f1: The F1 on the sentences that it was chosen by.
        cross_fitted: The F1 if the choice is made on other folds than those that are scored.
        best_path: The F1 of the best path.
    """

    decoding: Decoding
    f1: float
    cross_fitted: float
    best_path: float

    def as_json(self) -> dict[str, Any]:
        """Return the choice as JSON values."""
        figures = {"f1": self.f1, "cross_fitted": self.cross_fitted, "best_path": self.best_path}
        return {**asdict(self.decoding), "development": figures}


class Chooser:
    """Chooses a decoding by annotated sentences.

    Args:
        lattices: The annotated sentences and their scores.
    """

    def __init__(self, lattices: Lattices) -> None:
        self.lattices = lattices
        self._losses = lattices.losses()
        self._best_path = lattices.counts(VITERBI)
        self._everywhere = np.ones(len(lattices.sentences), bool)
        self._crossed: dict[str, Integers] = {}
        enough = int(lattices.units.max(initial=-1)) + 1 >= FOLDS
        self._units = lattices.units if enough else np.arange(len(lattices.sentences))

    @property
    def enough(self) -> bool:
        """Return whether there are enough entities to choose by."""
        known = [is_known(sentence) for sentence in self.lattices.sentences]
        return int(self._best_path[known, 2].sum()) >= ENOUGH

    def fit(self) -> Decoding:
        """Return the decoding with the higher F1: the best path or posterior decoding."""
        _, decoding, score = self._half(self._everywhere)
        best_path = Score(*self._best_path.sum(0).tolist())
        return self._viterbi() if score.f1 < best_path.f1 else decoding

    def best(self) -> Decoding:
        """Return the best by cross-fitted F1: best path, one threshold, or thresholds of labels.

        Thresholds of labels have to gain more than two standard errors of the difference. If
        probabilities are calibrated, one threshold is best for all labels; others may suit nothing
        but these sentences, whose labels are often more alike than those of later ones.
        """
        chosen, reached = self._viterbi(), self._best_path
        for fit, errors in ((self.fit_posterior, 0), (self.fit_labels, 2)):
            crossed = self._cross_fitted(fit)
            gain, error = gain_of(crossed, reached, self._units)
            if gain > errors * error:
                chosen, reached = fit(self._everywhere), crossed
        return chosen

    def _viterbi(self) -> Decoding:
        """Return the decoding of the best path with calibrated probabilities."""
        return Decoding(temperature=fitted(self._losses.sum(0)))

    def fit_posterior(self, within: Bools) -> Decoding:
        """Return posterior decoding for some sentences: the threshold is half of its F1."""
        return self._half(within)[1]

    def fit_labels(self, within: Bools) -> Decoding:
        """Return the best thresholds of labels with `ENOUGH` entities, by coordinate ascent."""
        spans, decoding, score = self._half(within)
        labels, gold = self.lattices.network.labels, score.gold
        counts = Counter(
            span.label
            for sentence in compress(self.lattices.sentences, within.tolist())
            for span in sentence.spans or ()
        )
        chosen, highest = np.full(len(labels), decoding.threshold), score.f1
        for number, label in enumerate(labels):
            for factor in FACTORS if counts[label] >= ENOUGH else ():
                tried = chosen.copy()
                tried[number] = min(max(decoding.threshold * factor, LEAST), MOST)
                correct, predicted = spans.counts(tried, within).tolist()
                f1 = Score(correct, predicted, gold).f1
                if f1 > highest:
                    chosen, highest = tried, f1
        pairs = zip(labels, chosen.tolist(), strict=True)
        return replace(
            decoding,
            label_thresholds={name: one for name, one in pairs if one != decoding.threshold},
        )

    def _half(self, within: Bools) -> tuple[ProbableSpans, Decoding, Score]:
        """Return posterior decoding with half of its F1 as the threshold, and its score."""
        best_path = Score(*self._best_path[within].sum(0).tolist())
        temperature = fitted(self._losses[within].sum(0))
        spans = self.lattices.probable(Decoding(temperature=temperature), LEAST)
        score, threshold = best_path, 0.0
        for _ in range(ROUNDS):
            half = min(max(score.f1 / 2.0, LEAST), 0.5)
            if abs(half - threshold) < 1e-3:
                break
            threshold = half
            correct, predicted = spans.counts(threshold, within).tolist()
            score = Score(correct, predicted, best_path.gold)
        return spans, Decoding("posterior", threshold, temperature), score

    def _cross_fitted(self, fit: Callable[[Bools], Decoding]) -> Integers:
        """Return the counts of each sentence if it is decoded as the other folds suggest.

        Documents are not split across folds, if there are as many.
        """
        name = fit.__name__
        if name not in self._crossed:
            folds = self._units * FOLDS // (int(self._units.max()) + 1)
            found = np.zeros_like(self._best_path)
            for fold in np.unique(folds):
                own = folds == fold
                found[own] = self.lattices.counts(fit(~own))[own]
            self._crossed[name] = found
        return self._crossed[name]

    def report(self, decoding: Decoding) -> DecodingChoice:
        """Return a decoding from `best` with its scores."""
        own, crossed = self.lattices.counts(decoding), self._best_path
        if decoding.decode != VITERBI.decode:
            by_label = bool(decoding.label_thresholds)
            crossed = self._cross_fitted(self.fit_labels if by_label else self.fit_posterior)
        f1 = [Score(*c.sum(0).tolist()).f1 for c in (own, crossed, self._best_path)]
        return DecodingChoice(decoding, *f1)


def gain_of(counts: Integers, others: Integers, units: Integers) -> tuple[float, float]:
    """Return by how much F1 is higher than another, and the standard error of that.

    F = 2c / n, for c correct spans and n predicted and gold ones. To first order, a unit i changes
    it by r_i = (2 c_i - F n_i) / n; the variance of a difference is the sum of the squared
    differences of r (the delta method).

    Args:
        counts: The correct, predicted and gold spans of each sentence, ``(sentences, 3)``.
        others: Those of the other.
        units: The unit of each sentence, from 0: sentences of one document are not independent.
    """
    found, residuals = [], []
    for own in (counts, others):
        correct, size = (np.bincount(units, c) for c in (own[:, 0], own[:, 1] + own[:, 2]))
        total = max(size.sum(), 1.0)
        found.append(2.0 * correct.sum() / total)
        residuals.append((2.0 * correct - found[-1] * size) / total)
    error = np.sqrt(np.square(residuals[0] - residuals[1]).sum())
    return float(found[0] - found[1]), float(error)


def choose_decoding(lattices: Lattices) -> Decoding:
    """Return the best decoding for a network; the best path if there are too few entities."""
    chooser = Chooser(lattices)
    return chooser.fit() if chooser.enough else VITERBI


def fitted(losses: Doubles) -> float:
    """Return the temperature with the lowest loss.

    The loss is convex in b = 1 / temperature, so a parabola through the lowest point of the grid
    and its neighbours, loss = p b^2 + q b + r, has its minimum at b = -q / 2p.

    Args:
        losses: The loss at each of `TEMPERATURES`.
    """
    place = int(np.clip(losses.argmin(), 1, len(losses) - 2))
    inverse, loss = 1.0 / TEMPERATURES[place - 1 : place + 2], losses[place - 1 : place + 2]
    square, slope, _ = np.polyfit(inverse, loss, 2)
    best = -0.5 * slope / square if square > 0.0 else inverse[1]
    return float(1.0 / np.clip(best, inverse[2], inverse[0]))


THRESHOLDS = (0.02, 0.05, *(number / 20 for number in range(2, 20)), 0.98)
COSTS = (1.0, 4.0, 16.0)  # values of miss_cost to try if a recall is requested


def fit_temperature(network: Scorer, sentences: Sequence[Sentence]) -> float:
    """Return the temperature that maximises the likelihood of the annotation (Guo et al. 2017).

    Args:
        network: A network in evaluation mode.
        sentences: Annotated sentences that it was not trained on.

    Raises:
        ValueError: No sentence is fully annotated, the sentences contain no entities, or a label
            is unknown to the network.
    """
    known = [s for s in sentences if is_known(s)]
    if not known:
        raise ValueError("cannot fit a temperature: no sentence is fully annotated")
    labels = {span.label for sentence in known for span in sentence.spans or ()}
    if not labels:
        raise ValueError("cannot fit a temperature: the sentences contain no entities")
    if strange := sorted(labels - set(network.labels)):
        raise ValueError(
            f"the model has no label {strange[0]!r}; its labels are {', '.join(network.labels)}"
        )
    return fitted(Lattices(network, known).losses().sum(0))


def thresholds(
    network: Scorer, decoding: Decoding, sentences: Sequence[Sentence]
) -> list[tuple[Decoding, Score]]:
    """Return the exact-match score of posterior decoding at each threshold, lowest first."""
    known = [sentence for sentence in sentences if sentence.spans is not None]
    spans = Lattices(network, known).probable(decoding, THRESHOLDS[0])
    gold, everywhere = sum(len(s.spans or ()) for s in known), np.ones(len(known), bool)
    found = []
    for threshold in THRESHOLDS:
        chosen = replace(decoding, decode="posterior", threshold=threshold, min_score=0.0)
        correct, predicted = spans.counts(threshold, everywhere).tolist()
        found.append((chosen, Score(correct, predicted, gold)))
    return found


def reaching(
    found: Sequence[tuple[Decoding, Score]], *, recall: float | None, precision: float | None
) -> tuple[Decoding, Score]:
    """Return the decoding that reaches a recall with the highest precision, or vice versa.

    Raises:
        ConfigError: No decoding reaches it.
    """
    name, other = ("recall", "precision") if recall is not None else ("precision", "recall")
    wanted = recall if recall is not None else precision
    reached = [one for one in found if wanted is not None and getattr(one[1], name) >= wanted]
    if not reached:
        best = max((getattr(score, name) for _, score in found), default=0.0)
        raise ConfigError(
            f"no threshold reaches a {name} of {wanted}; the highest {name} is {best:.4f}"
        )
    return max(reached, key=lambda one: (getattr(one[1], other), getattr(one[1], name)))


def calibration_errors(
    sentences: Sequence[Sentence], predicted: Sequence[Sequence[Span]]
) -> dict[str, float]:
    """Return the expected calibration error of each label, and of all scores under ``all``."""
    pairs = pair_up(sentences, predicted)
    labels = {span.label for pair in pairs for span in pair.predicted}
    parts = {"all": pairs, **{label: [_only(pair, label) for pair in pairs] for label in labels}}
    found = {name: calibrate(part) for name, part in parts.items()}
    return {name: one.error for name, one in found.items() if one is not None}


def _only(pair: Pair, label: str) -> Pair:
    """Return a pair with the spans of one label only."""
    return replace(
        pair,
        gold=tuple(span for span in pair.gold if span.label == label),
        predicted=tuple(span for span in pair.predicted if span.label == label),
    )
