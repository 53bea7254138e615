"""The development sentences, by which the best epoch is chosen, scored by all processes."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from ner.evaluation import Score, evaluate
from ner.inference import Decoding, engine_for
from ner.scorer import Scorer
from ner.sentence import Sentence
from ner.training.distributed import Processes
from ner.training.optimisation import WeightAverage


def score_development(
    network: Scorer,
    sentences: Sequence[Sentence],
    decoding: Decoding,
    average: WeightAverage | None,
    processes: Processes,
) -> Mapping[str, Score] | None:
    """The score of each label, ``None`` where there are no sentences to score by.

    Args:
        network: The network as the last step left it.
        sentences: The development sentences, all of them in every process.
        decoding: How spans are chosen.
        average: The weights that would be saved, where they are not the network's own.
        processes: Those that train together; each tags its share.
    """
    if not sentences:
        return None
    own = processes.share(sentences)
    with _averaged(network, average):
        predicted = engine_for(network.eval(), decoding).predict(own)
    labels = evaluate(own, predicted).labels
    gold = {span.label for sentence in sentences for span in sentence.spans or ()}
    return _summed(labels, gold.union(network.labels), processes)


@contextlib.contextmanager
def _averaged(network: Scorer, average: WeightAverage | None) -> Iterator[None]:
    """While the block runs, the network has its averaged weights, where there are such."""
    if average is None:
        yield
        return
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(average.weights)
    try:
        yield
    finally:
        network.load_state_dict(own)


def _summed(
    labels: Mapping[str, Score], names: Collection[str], processes: Processes
) -> Mapping[str, Score]:
    """The scores of all processes added up.

    Args:
        labels: The scores of this one.
        names: The labels that some process may have met, the same in all.
        processes: The processes.
    """
    if processes.count == 1:
        return labels
    ordered = sorted(names)
    own = [labels.get(label, Score()) for label in ordered]
    rows = processes.sum_counts([[s.correct, s.predicted, s.gold] for s in own])
    return {label: Score(*row) for label, row in zip(ordered, rows, strict=True) if any(row)}
