"""Make the pictures of the documentation: charts, a tagged text, and the page of an evaluation.

    python scripts/pictures.py models/quick

The charts show recorded figures (``docs/pictures/*.tsv``) and are all that is made without a model.
The rest needs a headless Chromium and pillow, and texts of the bundled corpus.
"""

from __future__ import annotations

import csv
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from ner.cli import main as ner
from ner.evaluation.charts import FILE, Axis, Chart, side_by_side
from ner.sample import path as sample_path

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
SENTENCES = 15  # of the first document of the test split, with the line that begins it
COLOURS = 64

GROWTH = {  # pictures of the quantities that `benchmarks/growth.py` varies
    "growth_of_text.svg": {"tokens": "tokens of a call", "length": "tokens of a sentence"},
    "growth_of_model.svg": {"labels": "labels", "words": "distinct words"},
}
STRATEGIES = dict(zip(("uncertainty", "random"), FILE.lines, strict=False))


def main(model: str | None = None) -> None:
    """Write the pictures."""
    with (PICTURES / "active_learning.tsv").open(encoding="utf-8", newline="") as records:
        for corpus, rows in groupby(csv.DictReader(records, delimiter="\t"), lambda r: r["corpus"]):
            name = f"active_learning_{corpus.lower()}.svg"
            (PICTURES / name).write_text(learning_curves(corpus, list(rows)) + "\n", "utf-8")
    with (PICTURES / "growth.tsv").open(encoding="utf-8", newline="") as records:
        rows = list(csv.DictReader(records, delimiter="\t"))
    for name, quantities in GROWTH.items():
        (PICTURES / name).write_text(growth(quantities, rows) + "\n", "utf-8")
    if model is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(model).resolve())
        os.chdir(folder)
        shutil.copy(sample_path("test"), "test.conll")
        document = "\n\n".join(Path("test.conll").read_text("utf-8").split("\n\n")[:SENTENCES])
        Path("document.conll").write_text(document + "\n", "utf-8")
        ner(["tag", model, "document.conll", "--output", "tagged.html", "--quiet"])
        ner(["evaluate", "test.conll", "--model", model, "--html", "report.html", "--quiet"])
        take(Path("tagged.html"), PICTURES / "tagged.png", 1000, 405)
        take(Path("report.html"), PICTURES / "evaluation.png", 1200, 900)


def learning_curves(corpus: str, rows: Sequence[dict[str, str]]) -> str:
    """Draw F1 over the number of annotated sentences: a dot for each seed, a line of their means.

    Dashed lines are the F1 of a model trained on all sentences, and 95 % of it.
    """
    (everything,) = (row for row in rows if row["strategy"] == "all")
    last, whole = int(everything["sentences"]), float(everything["F1"])
    ticks = [(n, f"{n:,}") for n in sorted({int(row["sentences"]) for row in rows})]
    across = Axis("annotated sentences", 0.0, 1.03 * last, ticks)
    chart = Chart(corpus, across, Axis.of("F1 on test, %", 60.0, 85.0))
    for share in (1.0, 0.95):
        chart.line([(0.0, share * whole), (across.high, share * whole)], FILE.ink, dashed=True)
    for strategy, colour in STRATEGIES.items():
        dots = [(int(r["sentences"]), float(r["F1"])) for r in rows if r["strategy"] == strategy]
        chart.dots(dots, colour, [3] * len(dots))
        sizes = sorted({size for size, _ in dots})
        means = [statistics.mean(f1 for one, f1 in dots if one == size) for size in sizes]
        chart.line(zip(sizes, means, strict=True), colour)
    names = [*STRATEGIES.items(), ("dashed: all sentences, and 95 % of that", FILE.ink)]
    chart.legend(names, "right")
    return chart.svg()


def growth(quantities: dict[str, str], rows: Sequence[dict[str, str]]) -> str:
    """Draw tagging speed over each quantity on a scale of logarithms, side by side."""
    charts = []
    for quantity, title in quantities.items():
        own = [row for row in rows if row["quantity"] == quantity]
        places = [math.log10(int(row["value"])) for row in own]
        ticks = list(zip(places, (f"{int(row['value']):,}" for row in own), strict=True))
        margin = 0.04 * (places[-1] - places[0])
        across = Axis(title, places[0] - margin, places[-1] + margin, ticks)
        charts.append(chart := Chart(f"by {title}", across, Axis.of("speed", 0.0, 1.75)))
        for how, colour in zip(("warm", "cold"), FILE.lines, strict=False):
            dots = [(x, float(row[how])) for x, row in zip(places, own, strict=True)]
            chart.line(dots, colour)
            chart.dots(dots, colour, [3] * len(dots))
        falls = float(own[0]["warm"]) > float(own[-1]["warm"])
        names = list(zip(("warm", "cold"), FILE.lines, strict=False))
        chart.legend(names, "left" if falls else "right")
    return side_by_side(charts)


def take(page: Path, picture: Path, width: int, height: int) -> None:
    """Take a picture of the top of a page."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"no browser found ({', '.join(BROWSERS)})")
    with tempfile.TemporaryDirectory() as profile:
        size = (f"--window-size={width},{height}", f"--screenshot={picture}")
        command = [browser, *FLAGS, f"--user-data-dir={profile}", *size, page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    from PIL import Image

    with Image.open(picture) as taken:
        taken.convert("RGB").quantize(COLOURS).save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
