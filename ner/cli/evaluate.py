"""``ner evaluate``: score predictions, in full."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import (
    Model,
    add_compared,
    add_device,
    add_output,
    add_reading,
    add_report,
    add_resampling,
    read_gold,
    read_predictions,
    reading_of,
)
from ner.cli.console import Progress
from ner.formats import read
from ner.options import lookup
from ner.sentence import Sentence

if TYPE_CHECKING:
    from ner.evaluation import Report

EXAMPLE = """\
example:
  ner evaluate test.conll --model models/conll2003
  ner evaluate test.conll --predictions predicted.jsonl --train train.conll --html report.html
  ner evaluate both.txt --two-columns --conlleval
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner evaluate``."""
    parser.add_argument("gold", metavar="GOLD", help="a file with gold annotation")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", metavar="MODEL", help="a model directory to tag GOLD with")
    which.add_argument("--predictions", metavar="FILE", help="a file of predictions for GOLD")
    which.add_argument(
        "--two-columns",
        action="store_true",
        help="GOLD has gold tags in the last column but one and predicted tags in the last",
    )
    text = "training file, to score seen and unseen mentions separately"
    parser.add_argument("--train", metavar="FILE", help=text)
    add_device(parser)
    text = "also score on perturbed text: lower,upper,title,typos,no-punctuation or all"
    parser.add_argument("--perturb", metavar="NAMES", help=text)
    add_resampling(parser.add_argument_group("intervals"), 2000)
    showing = parser.add_argument_group("output")
    add = showing.add_argument
    add("--brief", action="store_true", help="print only the table of scores")
    add("--redaction", action="store_true", help="also report how much redaction would cover")
    add("--conlleval", action="store_true", help="print the output of conlleval")
    text = "print seqeval's report, in its default or strict mode"
    modes = ("default", "strict")
    add("--seqeval", nargs="?", const="default", choices=modes, metavar="MODE", help=text)
    add_output(showing, "--html", "write everything as an HTML page")
    add("--plots", metavar="DIR", help="write the plots as SVG files")
    add_report(showing)
    add_compared(parser)
    add_reading(parser, "the --train file, if it is not read as GOLD is", prefix="train")


def run(arguments: argparse.Namespace) -> int:
    """Score."""
    show = Progress.of(arguments)
    task = _task(arguments, show)
    if arguments.conlleval:
        show.line(task.conlleval())
    elif arguments.seqeval:
        show.line(task.seqeval(arguments.seqeval))
    else:
        show.line("\n".join(task.lines(brief=arguments.brief)))
    said = task.as_json() if arguments.json else {}
    if arguments.redaction:
        from ner.redaction.promise import coverage

        covered = coverage(task.report.pairs)
        said["redaction"] = covered.as_json()
        show.line("\n".join(["", *covered.lines()]))
    show.result(said)
    if arguments.html:
        from ner.evaluation.page import write_page

        source = arguments.predictions or arguments.model or arguments.gold
        write_page(
            Path(arguments.html),
            task.report,
            title=f"Evaluation of {Path(source).name or source}",
            notes=[f"Gold annotation: {arguments.gold}", *task.notes()],
            perturbed=task.perturbed,
        )
    if arguments.plots:
        from ner.evaluation.charts import write_plots

        write_plots(Path(arguments.plots), task.report)
    return 0


@dataclass(frozen=True)
class _Task:
    """Gold and predicted sentences, their report, and the reports on perturbed text."""

    gold: Sequence[Sentence]
    predicted: Sequence[Sentence]
    report: Report
    perturbed: dict[str, Report] = field(default_factory=dict)

    def schemes(self) -> tuple[str | None, str | None]:
        """Return the schemes of gold and predictions."""
        from ner.evaluation.tags import scheme_of

        return scheme_of(self.gold), scheme_of(self.predicted)

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        said = self.report.as_json(full=True)
        said["predictions_scheme"] = self.schemes()[1]
        said["seqeval_strict"] = self.report.strict.as_json()
        if self.perturbed:
            said["perturbations"] = {
                name: report.exact.as_json() for name, report in self.perturbed.items()
            }
        return said

    def conlleval(self) -> str:
        """Return the output of conlleval."""
        from ner.evaluation.report import conlleval_report
        from ner.evaluation.tags import tags_of, token_accuracy

        accuracy = token_accuracy(map(tags_of, self.gold), map(tags_of, self.predicted))
        tokens = self.report.tokens
        return conlleval_report(self.report, tokens=tokens, accuracy=accuracy).rstrip("\n")

    def seqeval(self, mode: str) -> str:
        """Return the table that seqeval prints."""
        from ner.evaluation.score import score_table
        from ner.evaluation.tags import seqeval_text

        return (seqeval_text(self.report.pairs, mode) or score_table({})).rstrip("\n")

    def lines(self, *, brief: bool) -> list[str]:
        """Return the lines to print."""
        from ner.evaluation.report import headline

        said = [*self.notes(), "", str(self.report)]
        if brief:
            return said
        said += ["", *headline(self.report)]
        said.append(self._strict_line())
        sections = self.report.sections()
        if "document_intervals" in sections:
            del sections["intervals"]  # the headline has them; those of documents are wider
        for section in sections.values():
            said += ["", *section.lines()]
        if self.perturbed:
            from ner.evaluation.report import perturbation_lines

            said += ["", *perturbation_lines(self.report, self.perturbed)]
        return said

    def notes(self) -> list[str]:
        """Return the lines that describe the input."""
        report = self.report
        gold, predicted = self.schemes()
        counted = (
            f"{report.sentences:,} sentences, {report.tokens:,} tokens, "
            f"{report.exact.gold:,} gold and {report.exact.predicted:,} predicted spans"
        )
        schemes = f"scheme of the gold tags: {gold or 'none, spans were read'}"
        if predicted not in (None, gold):
            schemes += f"; of the predicted tags: {predicted}"
        return [counted, schemes]

    def _strict_line(self) -> str:
        from ner.evaluation.score import percent

        score, exact = self.report.strict, self.report.exact
        if score == exact:
            return "seqeval's strict mode counts the same: all tags are well-formed"
        return (
            f"seqeval's strict mode: precision {percent(score.precision)}, recall "
            f"{percent(score.recall)}, F1 {percent(score.f1)}; it ignores "
            f"{exact.gold - score.gold} gold and {exact.predicted - score.predicted} predicted "
            "spans with ill-formed tags"
        )


def _task(arguments: argparse.Namespace, show: Progress) -> _Task:
    from ner.evaluation import Settings

    names = _perturbations(arguments)
    settings = Settings(
        train=_training(arguments),
        resamples=arguments.resamples,
        seed=arguments.seed,
        level=arguments.level,
    )
    if arguments.two_columns:
        gold = read_gold(arguments, tag_column=-2)
        predicted = read_gold(arguments, tag_column=-1)
        return _Task(gold, predicted, _report(arguments, gold, predicted, settings))
    gold = read_gold(arguments)
    if arguments.predictions:
        predicted = read_predictions(arguments.predictions, arguments)
        return _Task(gold, predicted, _report(arguments, gold, predicted, settings))
    model = Model.load(arguments.model, arguments.device, show)
    predicted = model.predict(gold)
    report = _report(arguments, gold, predicted, settings)
    return _Task(gold, predicted, report, _perturbed(gold, model, names, settings))


def _report(
    arguments: argparse.Namespace,
    gold: Sequence[Sentence],
    predicted: Sequence[Sentence],
    settings: Any,
) -> Report:
    from ner.evaluation import Report
    from ner.evaluation.pairs import pair_up
    from ner.evaluation.score import label_scores
    from ner.evaluation.tags import scheme_of

    pairs = pair_up(
        gold,
        predicted,
        same_tokens=not arguments.ignore_tokens,
        names=(arguments.gold, arguments.predictions or arguments.model or arguments.gold),
    )
    return Report(pairs, label_scores(pairs), scheme_of(gold), settings)


def _training(arguments: argparse.Namespace) -> list[Sentence] | None:
    if not arguments.train:
        return None
    own = arguments.train_source is not None or arguments.train_reader
    return list(read(arguments.train, **reading_of(arguments, "train" if own else "")))


def _perturbations(arguments: argparse.Namespace) -> list[str]:
    """Return the perturbations requested.

    Raises:
        ValueError: A perturbation is unknown, or there is no model to tag perturbed text with.
    """
    from ner.evaluation.perturbations import PERTURBATIONS

    if not arguments.perturb:
        return []
    if not arguments.model:
        raise ValueError("--perturb needs --model: perturbed text must be tagged")
    if arguments.perturb == "all":
        return list(PERTURBATIONS)
    names = [name.strip() for name in arguments.perturb.split(",") if name.strip()]
    for name in names:
        lookup(PERTURBATIONS, name, of="perturbation")
    return names


def _perturbed(
    gold: Sequence[Sentence], model: Model, names: Sequence[str], settings: Any
) -> dict[str, Report]:
    from ner.evaluation import evaluate
    from ner.evaluation.perturbations import perturb

    reports = {}
    for name in names:
        sentences = perturb(gold, name, seed=settings.seed)
        reports[name] = evaluate(sentences, model.predict(sentences, f"tagging ({name})"))
    return reports
