"""A report as a self-contained HTML page with a browser of all errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.evaluation.buckets import FAMILIES, SMALL
from ner.evaluation.charts import PAGE, plots
from ner.evaluation.errors import KINDS, NOTHING, Case
from ner.evaluation.partial import MODES
from ner.evaluation.perturbations import PERTURBATIONS
from ner.evaluation.score import percent
from ner.sentence import Sentence
from ner.storage.atomic import write_text

if TYPE_CHECKING:
    from jinja2 import Environment

    from ner.evaluation.report import Report
    from ner.evaluation.review import Suspect

NO_SPAN = "(none)"  # in URLs: there is no gold span, or no predicted one
HERE = Path(__file__).parent


def write_page(path: Path, report: Report, **options: Any) -> None:
    """Write a report as an HTML page; the other arguments are those of `page`."""
    write_text(path, page(report, **options))


def page(
    report: Report,
    *,
    title: str = "Evaluation",
    notes: Sequence[str] = (),
    perturbed: Mapping[str, Report] | None = None,
) -> str:
    """Return a report as an HTML page.

    Args:
        report: The report.
        title: The title of the page.
        notes: Lines about the input, shown below the title.
        perturbed: Reports on perturbed text.
    """
    template = _environment().get_template("page.html")
    return template.render(
        title=title,
        notes=notes,
        report=report,
        perturbed={"unchanged": report, **(perturbed or {})} if perturbed else {},
        plots=plots(report, PAGE),
        confusion=_confusion(report),
        families=FAMILIES,
        kinds=KINDS,
        modes=MODES,
        perturbations=PERTURBATIONS,
        small=SMALL,
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        data=embedded(browser_data(report)),
    )


def review_page(suspects: Sequence[Suspect], title: str) -> str:
    """Return a page of suspects as HTML, to accept or reject what the model would change."""
    return (
        _environment()
        .get_template("review.html")
        .render(
            title=title,
            style=(HERE / "page.css").read_text(encoding="utf-8"),
            script=(HERE / "review.js").read_text(encoding="utf-8"),
            data=embedded([suspect.as_json() for suspect in suspects]),
        )
    )


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["number"] = lambda number: f"{number:,}"
    return environment


def _confusion(report: Report) -> dict[str, Any]:
    """Return the confusion matrix, and each cell's share of the gold spans of its row."""
    matrix = report.errors.matrix()
    return {
        "names": [*report.errors.labels, NOTHING],
        "addresses": [*report.errors.labels, NO_SPAN],
        "rows": [[(cell, cell / max(sum(row), 1)) for cell in row] for row in matrix],
    }


def embedded(data: Any) -> str:
    """Return JSON that is safe inside a script element, whatever the texts contain."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def browser_data(report: Report) -> dict[str, Any]:
    """Return the data of the page's error browser: sentences with a span, and their cases.

    Numbers stand for names: kinds, labels, buckets. A case is a list of the kind, the gold span
    as start, end, label (or null), the predicted span with its score (or null), the buckets.
    """
    labels = {label: number for number, label in enumerate(report.labels)}
    families = list(report.buckets.families)
    buckets = {
        family: {bucket: number for number, bucket in enumerate(report.buckets.families[family])}
        for family in families
    }
    kinds = {kind: number for number, kind in enumerate(KINDS)}

    def packed(case: Case, sentence: Sentence) -> list[Any]:
        span = case.gold or case.predicted
        placed = report.buckets.placed(sentence, span) if span else {}
        return [
            kinds[case.kind],
            case.gold and [case.gold.start, case.gold.end, labels[case.gold.label]],
            case.predicted
            and [
                case.predicted.start,
                case.predicted.end,
                labels[case.predicted.label],
                None if case.predicted.score is None else round(case.predicted.score, 4),
            ],
            [buckets[family][placed[family]] for family in families],
        ]

    shown: dict[int, list[Any]] = {}
    for case in report.errors.cases:
        sentence = report.pairs[case.sentence].sentence
        if sentence is None:
            continue  # bare spans have no text to show
        if case.sentence not in shown:
            shown[case.sentence] = [*_text(sentence), _where(sentence, case.sentence), []]
        shown[case.sentence][3].append(packed(case, sentence))
    return {
        "kinds": list(KINDS),
        "labels": list(labels),
        "families": [
            [family, FAMILIES[family].title, list(buckets[family])] for family in families
        ],
        "sentences": list(shown.values()),
    }


def _text(sentence: Sentence) -> tuple[tuple[str, ...], list[int] | None]:
    """Return the tokens, and the indices of those not followed by white space, if known."""
    if sentence.offsets is None:
        return sentence.tokens, None
    ends = [end for _, end in sentence.offsets[:-1]]
    starts = [start for start, _ in sentence.offsets[1:]]
    return sentence.tokens, [n for n, (a, b) in enumerate(zip(ends, starts, strict=True)) if a == b]


def _where(sentence: Sentence, number: int) -> str:
    """Describe the place of a sentence."""
    said = f"line {sentence.line:,}" if sentence.line else f"sentence {number + 1:,}"
    if sentence.document is not None and sentence.document.id:
        said = f"{sentence.document.id}, {said}"
    return said
