"""What a run leaves behind: the model, scored as it lies on disk, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ner.evaluation import evaluate
from ner.evaluation.tables import percent
from ner.sentence import Sentence
from ner.tagger import Tagger, model_card
from ner.training.corpora import Corpora
from ner.training.distillation import forgetting_report
from ner.training.history import Epoch, best_of, history
from ner.training.plot import plot


def score_tagger(tagger: Tagger, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """How well a tagger finds the spans of annotated sentences: the six figures of exact spans."""
    return evaluate(sentences, tagger.predict(sentences)).exact.as_json()


def final_metrics(
    tagger: Tagger, corpora: Corpora, known: Mapping[str, Any], old: Tagger | None = None
) -> dict[str, Any]:
    """Score a tagger on the development and test sentences of its run.

    Args:
        tagger: The tagger, from the disk where it is saved.
        corpora: The sentences of the run.
        known: What the run knows of its best epoch.
        old: The tagger that the run started from.

    Raises:
        RuntimeError: The tagger does not score what the log said.
    """
    metrics = dict(known)
    for name, sentences in (("development", corpora.development), ("test", corpora.test)):
        if not sentences:
            continue
        predicted = tagger.predict(sentences)
        found = evaluate(sentences, predicted).exact.as_json()
        if name in metrics and metrics[name] != found:
            raise RuntimeError(
                f"the saved model scores {found['f1']} on development data, "
                f"training saw {metrics[name]['f1']}"
            )
        metrics[name] = found
        if old is not None and (drop := forgetting_report(old, sentences, predicted)):
            metrics.setdefault("old labels", {})[name] = drop
    return metrics


def model_files(
    tagger: Tagger, epochs: Sequence[Epoch], corpora: Corpora, seed: int
) -> dict[str, str]:
    """Return the files of a model directory that describe its training, by name.

    Nothing in them is timed, so that the same run leaves the same bytes.
    """
    if not epochs:
        return {}
    return {
        "metrics.jsonl": history(epochs, timed=False),
        "training.svg": plot(epochs),
        "README.md": model_card(tagger) + "\n".join(_how_trained(epochs, corpora, seed)) + "\n",
    }


def _how_trained(epochs: Sequence[Epoch], corpora: Corpora, seed: int) -> list[str]:
    """Return the lines of the model card on the training."""
    kept = best_of(epochs) or epochs[-1]
    lines = [
        "## Training",
        "",
        f"Trained on {len(corpora.train):,} sentences ({sum(map(len, corpora.train)):,} tokens), "
        f"{len(epochs)} epochs, seed {seed}; epoch {kept.number} is kept. "
        "`config.yaml` has every setting, `metrics.jsonl` every epoch.",
        "",
        "![loss and F1 over the epochs](training.svg)",
        "",
    ]
    scores = kept.labels
    if scores:
        lines += ["| label | precision | recall | F1 | entities |", "|---|---|---|---|---|"]
    for label, score in sorted(scores.items()):
        figures = (score.precision, score.recall, score.f1)
        shown = " | ".join(percent(figure) for figure in figures)
        lines.append(f"| {label} | {shown} | {score.gold} |")
    return [*lines, *(["", "The table is of the development sentences."] if scores else [])]
