"""Charts: round ticks, and whole SVG whatever is drawn."""

import csv
import re
import runpy
import statistics
from xml.etree import ElementTree

import pytest
from documented import ROOT

from ner.evaluation.charts import PAGE, Axis, Chart, side_by_side

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0.0, 100.0, ["0", "20", "40", "60", "80", "100"]),
        (0.0, 7.3, ["0", "2", "4", "6"]),
        (0.0, 0.031, ["0", "0.01", "0.02", "0.03"]),
        (0.0, 40.0, ["0", "10", "20", "30", "40"]),
        (3.0, 3.0, ["3", "3.2", "3.4", "3.6", "3.8", "4"]),
    ],
)
def test_ticks_are_round_and_few(low, high, ticks):
    assert [text for _, text in Axis.of("", low, high).ticks] == ticks


def test_a_chart_is_whole_svg_with_what_was_drawn():
    chart = Chart("A & B", Axis.of("<x>"), Axis.of("y"), PAGE)
    chart.line([(0, 0), (1, 1)], "red")
    chart.dots([(0.5, 0.5)], "blue", [3])
    chart.mark(0.25, "here & now")
    for where in ("left", "right", "beside"):
        chart.legend([(where, "red")], where)
    root = ElementTree.fromstring(side_by_side([chart, Chart("C", Axis.of(""), Axis.of(""))]))
    assert root.find(f"{SVG}title").text == "A & B, C"
    assert root.get("width") == "800"
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"A & B", "<x>", "here & now", "left", "right", "beside"} <= texts
    line, dot = root.find(f".//{SVG}polyline"), root.find(f".//{SVG}circle")
    (x0, y0), (x1, y1) = (map(float, place.split(",")) for place in line.get("points").split())
    assert float(dot.get("cx")) == pytest.approx((x0 + x1) / 2, abs=0.1)
    assert float(dot.get("cy")) == pytest.approx((y0 + y1) / 2, abs=0.1)


def test_the_curves_of_active_learning_are_those_of_the_table():
    """The pictures are drawn from the recorded figures, and the table has their means."""
    script = runpy.run_path(str(ROOT / "scripts" / "pictures.py"))
    with (script["PICTURES"] / "active_learning.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    table = (ROOT / "docs" / "loop.md").read_text(encoding="utf-8")
    for corpus in ("CoNLL-2003", "BC5CDR"):
        held = [row for row in rows if row["corpus"] == corpus]
        picture = script["PICTURES"] / f"active_learning_{corpus.lower()}.svg"
        assert picture.read_text(encoding="utf-8") == script["learning_curves"](corpus, held) + "\n"
        assert picture.name in table
        for strategy in script["STRATEGIES"]:
            (line,) = re.findall(rf"\| {corpus}, `{strategy}` (.*)", table)
            for size in ("375", "750", "1500"):
                f1 = [
                    float(row["F1"])
                    for row in held
                    if (row["strategy"], row["sentences"]) == (strategy, size)
                ]
                assert len(f1) == 3
                assert f"{statistics.mean(f1):.2f}" in line


def test_the_pictures_of_growth_are_those_of_its_table():
    script = runpy.run_path(str(ROOT / "scripts" / "pictures.py"))
    with (script["PICTURES"] / "growth.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    for name, quantities in script["GROWTH"].items():
        picture = script["PICTURES"] / name
        assert picture.read_text(encoding="utf-8") == script["growth"](quantities, rows) + "\n"
        assert f"pictures/{name}" in page
