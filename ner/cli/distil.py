"""``ner distil``: teach a tagger what a teacher finds in raw text, then train it on the gold."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import (
    add_number,
    add_outcome,
    add_reading,
    add_repeated,
    add_resuming,
    add_shortcuts,
    assignments_of,
)
from ner.cli.console import Progress
from ner.cli.train import train_once
from ner.errors import ConfigError
from ner.evaluation.score import percent
from ner.formats import expand

if TYPE_CHECKING:
    from ner.analysis.uncertainty import Doubts
    from ner.pretraining.silver import Silver
    from ner.runtime import ExportedTagger
    from ner.sentence import Sentence, Span
    from ner.tagger import Tagger
    from ner.training import RunSettings
    from ner.training.corpora import Corpora

EXAMPLE = """\
example:
  ner distil models/big news.txt.gz --config mine.yaml --output models/small
  ner distil models/mine news.txt --train train.conll --development dev.conll --output models/next
  ner distil answers.jsonl --config mine.yaml --output models/student --control
"""
SILVER, TEACHER = "silver.jsonl", "teacher.json"
MOST_OPEN = 0.5  # share of open tokens from which a silver sentence is left out
SHOWN = 10  # sentences in which teacher and student differ


@dataclass(frozen=True, slots=True)
class Plan:
    """Two stages of training.

    Attributes:
        first: The settings of the stage on silver and gold together.
        second: Those of the stage on gold alone.
    """

    first: RunSettings
    second: RunSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner distil``."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("teacher", metavar="TEACHER", help="a model, or JSON lines with spans and their scores")
    add("raw", metavar="RAW", nargs="*", help="unlabelled text for a teacher that is a model")
    add("--output", metavar="STUDENT", required=True, help="model directory to write")
    add("--config", metavar="CONFIG.yaml", help="the settings of the student and its gold")
    text = "change a setting of the student, such as model.pretrained=DIR"
    add_repeated(parser, "--set", text, "assignments")
    add_shortcuts(parser)
    add_number(parser, "--tokens", 1_500_000, "about how many tokens of RAW to annotate")
    add(
        "--sure",
        type=float,
        default=0.9,
        metavar="P",
        help="probability from which the teacher is believed (default: 0.9)",
    )
    text = "epochs on silver and gold, before those on gold alone"
    add_number(parser, "--silver-epochs", 2, text)
    add(
        "--control",
        action="store_true",
        help="also train on gold alone for as many steps, to see what the silver text is worth",
    )
    add_resuming(parser)
    add_reading(parser, "the files of the configuration, in place of what it sets")
    add_outcome(parser)


def run(arguments: argparse.Namespace) -> int:
    """Annotate, train in two stages, and report."""
    from ner.training import read_settings
    from ner.training.corpora import read_corpora

    if arguments.config is None and arguments.train is None:
        raise ConfigError("nothing to train on: give --config CONFIG.yaml or --train GOLD")
    _check_output(arguments)
    if not 0.0 < arguments.sure <= 1.0:
        raise ConfigError(f"--sure must be above 0 and at most 1, got {arguments.sure}")
    show = Progress.of(arguments)
    epochs, arguments.epochs = arguments.epochs, None
    settings = read_settings(
        Path(arguments.config) if arguments.config else {},
        assignments_of(arguments),
        output=arguments.output,
    )
    folder = Path(f"{arguments.output}.distil")
    _prepare(folder, arguments)
    corpora = read_corpora(settings.data, settings.training.seed)
    silver = _silver(folder, arguments, corpora, show, settings.training.seed)
    share = 100 * silver.open / max(silver.tokens, 1)
    show.line(
        f"silver {len(silver.sentences):,} sentences, {silver.tokens:,} tokens, "
        f"{silver.spans:,} spans; {share:.1f} % of the tokens are left open"
    )
    plan = _plan(settings, folder, arguments.silver_epochs, epochs)
    status = _teach(plan, corpora, silver, arguments, show)
    if status:
        return status
    results: dict[str, Any] = {}
    if arguments.control:
        control = _control(plan, folder, corpora, silver)
        status = _teach(control, corpora, None, arguments, show)
        if status:
            return status
        results["control"] = _scored(str(control.second.output), corpora)
    results = {**_report(arguments, corpora), **results}
    for line in lines_of(results):
        show.line(line)
    shutil.rmtree(folder, ignore_errors=True)
    show.result({**results, "output": arguments.output})
    return 0


def _check_output(arguments: argparse.Namespace) -> None:
    """Refuse an output that could not be written, or would replace the teacher, hours later.

    Raises:
        ConfigError: It is the teacher.
        FileExistsError: It already exists and is not a model.
    """
    from ner.model_directory import DESCRIPTION
    from ner.storage.atomic import check_replaceable

    output = Path(arguments.output)
    if output.resolve() == Path(arguments.teacher).resolve():
        raise ConfigError(f"the output is the teacher, {output}; give another output")
    check_replaceable(output, holds=DESCRIPTION)


def _prepare(folder: Path, arguments: argparse.Namespace) -> None:
    """Make the folder of the run, or see that it is that of this very run.

    Raises:
        ConfigError: It is of another run, or an interrupted run would be lost.
    """
    from ner.training.run_folder import prepare

    names = ("teacher", "raw", "tokens", "sure", "silver_epochs")
    now = json.dumps({name: getattr(arguments, name) for name in names})
    file, silver = folder / TEACHER, folder / SILVER
    prepare(folder, silver, resume=arguments.resume, overwrite=arguments.overwrite)
    if silver.exists() and file.read_text(encoding="utf-8") != now:
        raise ConfigError(f"--resume: teacher, text or options are not those of {folder}")
    file.write_text(now, encoding="utf-8")


def _silver(
    folder: Path,
    arguments: argparse.Namespace,
    corpora: Corpora,
    show: Progress,
    seed: int,
) -> Silver:
    """Return the silver sentences, annotated now or before an interruption."""
    from ner.pretraining.silver import read_silver, write_silver
    from ner.pretraining.text import LEAST_TOKENS

    path = folder / SILVER
    if not path.exists():
        try:
            write_silver(path, _annotation(arguments, corpora, show, seed))
            if not read_silver(path).sentences:
                raise ConfigError(
                    f"{arguments.teacher} leaves no sentence to learn from: documents of fewer "
                    f"than {LEAST_TOKENS} tokens are left out, and sentences of which more than "
                    f"{100 * MOST_OPEN:.0f} % is in doubt; give more text, or lower --sure"
                )
        except BaseException:  # there is nothing to continue
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return read_silver(path)


def _annotation(
    arguments: argparse.Namespace, corpora: Corpora, show: Progress, seed: int
) -> Iterator[Sentence]:
    """Yield the silver sentences."""
    from ner.analysis.uncertainty import Doubts
    from ner.models import load
    from ner.pretraining.silver import as_silver

    found: Iterator[tuple[Sentence, Any]]
    known_labels = None
    if Path(arguments.teacher).is_file():
        found = _given(arguments)
    else:
        doubts = Doubts.of(load(arguments.teacher, device=arguments.device))
        known_labels = frozenset(doubts.network.labels)
        found = _annotated(doubts, arguments, corpora, show, seed)
    return as_silver(
        found,
        labels=frozenset(s.label for one in corpora.train for s in one.spans or ()),
        sure=arguments.sure,
        most_open=MOST_OPEN,
        looked_for=known_labels,
    )


def _given(arguments: argparse.Namespace) -> Iterator[tuple[Sentence, None]]:
    """Yield the sentences of a file of spans with scores.

    Raises:
        ConfigError: There is raw text too.
    """
    from ner.formats import read

    if arguments.raw:
        raise ConfigError(f"{arguments.teacher} holds its own sentences: give no RAW")
    return ((one, None) for one in read(arguments.teacher) if one.spans is not None)


def _annotated(
    doubts: Doubts, arguments: argparse.Namespace, corpora: Corpora, show: Progress, seed: int
) -> Iterator[tuple[Sentence, Any]]:
    """Yield chosen sentences of raw text with what the teacher finds in them.

    Raises:
        ConfigError: There is no raw text.
    """
    from ner.pretraining.silver import annotate, choose_documents
    from ner.pretraining.text import documents

    if not arguments.raw:
        raise ConfigError("no text to annotate: give RAW files")
    known = frozenset(word.lower() for one in corpora.train for word in one.tokens)
    files = expand(arguments.raw)
    show.line("choosing documents ...")
    chosen = choose_documents(
        chain.from_iterable(map(documents, files)), known, tokens=arguments.tokens, seed=seed
    )
    total = sum(len(sentence) for document in chosen for sentence in document)
    show.line(f"annotating {len(chosen):,} documents, {total:,} tokens ...")
    with show.bar(total, "annotating", "tokens") as bar:
        yield from annotate(chosen, doubts.readings, done=bar)


def _plan(settings: RunSettings, folder: Path, silver: int, gold: int | None) -> Plan:
    """Return the settings of both stages: on gold alone at half the learning rate."""
    training = settings.training
    rate = training.learning_rate / 2
    epochs = gold or training.epochs or 4
    first = replace(training, epochs=silver)
    second = replace(training, epochs=epochs, learning_rate=rate)
    return Plan(
        replace(settings, training=first, output=str(folder / "silver")),
        replace(settings, training=second),
    )


def _control(plan: Plan, folder: Path, corpora: Corpora, silver: Silver) -> Plan:
    """Return the same two stages for gold alone: as many tokens are seen in the first."""
    gold = sum(map(len, corpora.train))
    epochs = plan.first.training.epochs or 1
    equal = max(1, round(epochs * (gold + silver.tokens) / gold))
    first = replace(plan.first.training, epochs=equal)
    return Plan(
        replace(plan.first, training=first, output=str(folder / "control-first")),
        replace(plan.second, output=str(folder / "control")),
    )


def _teach(
    plan: Plan,
    corpora: Corpora,
    silver: Silver | None,
    arguments: argparse.Namespace,
    show: Progress,
) -> int:
    """Train both stages; return the exit status, 0 unless interrupted."""
    from ner.integrations.trackers import Trackers

    more = () if silver is None else silver.sentences
    first = replace(corpora, train=(*corpora.train, *more), test=())
    for settings, own, start in (
        (plan.first, first, None),
        (plan.second, corpora, plan.first.output),
    ):
        show.line(f"stage on {len(own.train):,} sentences")
        given = argparse.Namespace(
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            device=arguments.device,
            init_from=start,
            seeds=1,
        )
        result = train_once(settings, given, show, Trackers(), own, "on all labels")
        if isinstance(result, int):
            return result
    return 0


def _report(arguments: argparse.Namespace, corpora: Corpora) -> dict[str, Any]:
    """Return the scores of teacher and student, their speed, and where they differ."""
    from ner.evaluation import evaluate
    from ner.models import load

    found: dict[str, Any] = {"student": _scored(arguments.output, corpora)}
    if Path(arguments.teacher).is_file() or not corpora.development:
        return found
    found["teacher"] = _scored(arguments.teacher, corpora)
    sentences = corpora.development
    teacher, student = (
        list(load(path).predict(sentences)) for path in (arguments.teacher, arguments.output)
    )
    as_gold = [
        replace(one, spans=tuple(spans)) for one, spans in zip(sentences, teacher, strict=True)
    ]
    found["agreement"] = evaluate(as_gold, student).exact.f1
    found["differences"] = _differences(sentences, teacher, student)
    return found


def _scored(model: str, corpora: Corpora) -> dict[str, Any]:
    """Return the F1 of a model on the development and test sentences, and its speed."""
    from ner.evaluation import evaluate
    from ner.models import load

    tagger: Tagger | ExportedTagger = load(model)
    result: dict[str, Any] = {}
    for split in ("development", "test"):
        sentences = getattr(corpora, split)
        if sentences:
            tagger.predict(sentences[:100])
            began = time.perf_counter()
            predicted = tagger.predict(sentences)
            seconds = time.perf_counter() - began
            result[split] = evaluate(sentences, predicted).exact.f1
            result["tokens_per_second"] = sum(map(len, sentences)) / max(seconds, 1e-9)
    return result


def _differences(
    sentences: Sequence[Sentence],
    teacher: Sequence[Sequence[Span]],
    student: Sequence[Sequence[Span]],
) -> list[dict[str, Any]]:
    """Return the first sentences in which teacher and student find other spans."""

    def named(sentence: Sentence, spans: Sequence[Span]) -> list[str]:
        return [f"{' '.join(sentence.tokens[s.start : s.end])} ({s.label})" for s in spans]

    differing = (
        {"tokens": list(one.tokens), "teacher": named(one, old), "student": named(one, new)}
        for one, old, new in zip(sentences, teacher, student, strict=True)
        if tuple(old) != tuple(new)
    )
    return [one for _, one in zip(range(SHOWN), differing, strict=False)]


def lines_of(results: dict[str, Any]) -> list[str]:
    """Return the report, a line each."""
    lines = []
    for name in ("teacher", "student", "control"):
        own = results.get(name)
        if own:
            scores = "  ".join(
                f"{split} F1 {percent(own[split])}"
                for split in ("development", "test")
                if split in own
            )
            lines.append(f"{name:8} {scores}  {own.get('tokens_per_second', 0):,.0f} tokens/s")
    if "agreement" in results:
        lines.append(f"student and teacher agree: F1 {percent(results['agreement'])}")
    scored = [results.get(name, {}).get("development") for name in ("teacher", "student")]
    if None not in scored:
        gain = 100 * (scored[1] - scored[0])
        lines.append(
            f"on development the student is {abs(gain):.2f} F1 "
            f"{'better' if gain > 0 else 'worse'} than its teacher"
        )
    return lines
