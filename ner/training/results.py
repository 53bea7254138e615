"""What a run leaves behind: the model, scored as it lies on disk, and how it came about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.evaluation import evaluate
from ner.evaluation.tables import percent
from ner.sentence import Sentence
from ner.tagger import Tagger, load, model_card
from ner.training.distillation import forgetting_report
from ner.training.history import Epoch
from ner.training.plot import plot

if TYPE_CHECKING:
    from ner.training.loop import Run


def score_tagger(tagger: Tagger, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """How well a tagger finds the spans of annotated sentences: the six figures of exact spans."""
    return evaluate(sentences, tagger.predict(sentences)).exact.as_json()


def finish(run: Run) -> dict[str, Any]:
    """Score the best model of a run, from the disk where it is saved, and save the figures.

    Raises:
        RuntimeError: The reloaded model does not score what the log said.
    """
    output = run.settings.output
    if not run.processes.writes:
        return run.metrics()
    tagger = run.tagger if output is None else load(output, device=str(run.device))
    old = None if run.init_from is None else load(run.init_from, device=str(run.device))
    metrics = run.metrics()
    for name in ("development", "test"):
        sentences = getattr(run.corpora, name)
        if not sentences:
            continue
        predicted = tagger.predict(sentences)
        found = evaluate(sentences, predicted).exact.as_json()
        if name in metrics and metrics[name] != found:
            raise RuntimeError(
                f"{output}: the saved model scores {found['f1']} on development data, "
                f"training saw {metrics[name]['f1']}"
            )
        metrics[name] = found
        if old is not None and (drop := forgetting_report(old, sentences, predicted)):
            metrics.setdefault("old labels", {})[name] = drop
    if output is not None:
        run.save(Path(output), metrics)
    return metrics


def history(epochs: Sequence[Epoch], *, timed: bool) -> str:
    """The epochs as JSON lines."""
    lines = (json.dumps(epoch.as_json(timed=timed), ensure_ascii=False) for epoch in epochs)
    return "".join(f"{line}\n" for line in lines)


def model_files(run: Run, tagger: Tagger) -> dict[str, str]:
    """The files of a model directory that tell how it was trained, by name.

    Nothing in them is timed, so that the same run leaves the same bytes.
    """
    if not run.epochs:
        return {}
    return {
        "metrics.jsonl": history(run.epochs, timed=False),
        "training.svg": plot(run.epochs),
        "README.md": model_card(tagger) + "\n".join(_how_trained(run)) + "\n",
    }


def _how_trained(run: Run) -> list[str]:
    """The part of the model card that tells of the training."""
    corpora, training = run.corpora, run.settings.training
    best = run.best.number if run.best else len(run.epochs)
    lines = [
        "## Training",
        "",
        f"Trained on {len(corpora.train):,} sentences ({sum(map(len, corpora.train)):,} tokens), "
        f"{len(run.epochs)} epochs, seed {training.seed}; epoch {best} is kept. "
        "`config.yaml` has every setting, `metrics.jsonl` every epoch.",
        "",
        "![loss and F1 over the epochs](training.svg)",
        "",
    ]
    scores = run.epochs[best - 1].labels
    if scores:
        lines += ["| label | precision | recall | F1 | entities |", "|---|---|---|---|---|"]
    for label, score in sorted(scores.items()):
        figures = (score.precision, score.recall, score.f1)
        shown = " | ".join(percent(figure) for figure in figures)
        lines.append(f"| {label} | {shown} | {score.gold} |")
    return [*lines, *(["", "The table is of the development sentences."] if scores else [])]
