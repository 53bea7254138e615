"""``ner export``: write a model so that it runs without torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import add_model, add_reading, add_report, reading_of
from ner.cli.console import Progress
from ner.evaluation.score import percent

if TYPE_CHECKING:
    from ner.sentence import Sentence
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  ner export models/conll2003 models/conll2003-onnx
  ner export models/conll2003 models/conll2003-int8 --int8 --gold test.conll
  ner tag models/conll2003-onnx news.conll

OUTPUT needs onnxruntime and numpy only: `ner.runtime.load(OUTPUT)`, or `ner tag`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner export``."""
    add_model(parser)
    text = "directory to write; an exported model there is replaced"
    parser.add_argument("output", metavar="OUTPUT", help=text)
    parser.add_argument("--format", default="onnx", help="format of OUTPUT: onnx (the only one)")
    parser.add_argument("--int8", action="store_true", help="quantise weights to 8 bits")
    text = "annotated sentences: tag them with both models and compare"
    parser.add_argument("--gold", metavar="FILE", help=text)
    add_reading(parser, "the --gold file", alias=False)
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export and report."""
    from ner.storage.atomic import check_replaceable
    from ner.storage.manifest import EXPORTED

    output = Path(arguments.output)
    check_replaceable(output, holds=EXPORTED)
    from ner.export import write
    from ner.formats import read
    from ner.tagger import load

    tagger = load(arguments.model)
    sentences = list(read(arguments.gold, **reading_of(arguments))) if arguments.gold else []
    write(tagger, output, format=arguments.format, int8=arguments.int8)
    result: dict[str, Any] = {
        "model_bytes": _size(Path(arguments.model)),
        "exported_bytes": _size(output),
    }
    if arguments.gold:
        result |= compared(tagger, output, sentences)
    show = Progress.of(arguments)
    show.result(result)
    _tell(result, show)
    return 0


def compared(tagger: Tagger, exported: Path, sentences: list[Sentence]) -> dict[str, Any]:
    """Compare a model with its export on annotated sentences."""
    import ner.runtime
    from ner.evaluation import evaluate

    ways = {"torch": tagger.predict, "exported": ner.runtime.load(exported).predict}
    predicted = {name: way(sentences) for name, way in ways.items()}
    f1 = {name: evaluate(sentences, found).exact.f1 for name, found in predicted.items()}
    pairs = list(zip(predicted["torch"], predicted["exported"], strict=True))
    both = [
        abs((one.score or 0.0) - (other.score or 0.0))
        for own, theirs in pairs
        for one, other in zip(own, theirs, strict=False)
        if one == other
    ]
    return {
        "spans_torch": sum(map(len, predicted["torch"])),
        "spans_exported": sum(map(len, predicted["exported"])),
        "spans_equal": sum(len(set(own) & set(theirs)) for own, theirs in pairs),
        "largest_score_difference": max(both, default=0.0),
        "f1_torch": f1["torch"],
        "f1_exported": f1["exported"],
    }


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _tell(result: dict[str, Any], progress: Progress) -> None:
    sizes = [f"{result[name] / 1e6:,.1f} MB" for name in ("exported_bytes", "model_bytes")]
    progress.line(f"exported {sizes[0]}, of {sizes[1]}")
    if "spans_equal" not in result:
        return
    progress.line(
        f"spans {result['spans_torch']:,} with torch, {result['spans_exported']:,} exported, "
        f"{result['spans_equal']:,} the same; "
        f"scores differ by at most {result['largest_score_difference']:.1e}"
    )
    before, after = result["f1_torch"], result["f1_exported"]
    lost = "n/a" if before is None or after is None else f"{100 * (before - after):.2f}"
    progress.line(f"F1 {percent(before)} with torch, {percent(after)} exported: {lost} lost")
