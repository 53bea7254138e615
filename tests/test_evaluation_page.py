"""The page and the plots: whole, quiet, safe, and right in a real browser."""

import html
import json
import re
from random import Random
from xml.etree import ElementTree

import pytest
from evaluation_samples import random_pair
from headless import dom_of, framed

from ner.evaluation import Settings, evaluate
from ner.evaluation.charts import plots, write_plots
from ner.evaluation.page import browser_data, embedded, page, write_page
from ner.sentence import Sentence, Span

HOSTILE = '</script><img src=x onerror="document.title=1">'


def with_scores(seed, sentences=30):
    rng = Random(seed)
    gold, predicted = [], []
    for number in range(sentences):
        one, other = random_pair(1000 * seed + number, sentences=2)
        gold += one
        predicted += [
            Sentence(
                s.tokens,
                tuple(Span(x.start, x.end, x.label, rng.random()) for x in s.spans),
            )
            for s in other
        ]
    return evaluate(gold, predicted, settings=Settings(resamples=50))


@pytest.fixture(scope="module")
def report():
    return with_scores(1)


def data_of(text):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def test_the_page_asks_nothing_of_the_network(report):
    text = page(report)
    addresses = set(re.findall(r"https?://[^\"'\s<]*", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches
    assert "default-src 'none'" in text
    assert not re.search(r"<(link|img|iframe|script src)", text)


def test_the_page_says_what_the_report_says(report):
    text = page(report, title="A <title>", notes=["one & two"])
    assert "A &lt;title&gt;" in text
    assert "one &amp; two" in text
    assert f"<strong>{100 * report.exact.f1:.2f}</strong>" in text
    for score in report.labels.values():
        assert f"{100 * score.f1:.2f}</span>" in text
    assert text.count("<svg") == 4


def test_the_browser_has_every_case_of_every_sentence(report):
    data = browser_data(report)
    cases = [case for *_, held in data["sentences"] for case in held]
    counts = dict.fromkeys(data["kinds"], 0)
    for kind, *_ in cases:
        counts[data["kinds"][kind]] += 1
    assert counts == report.errors.counts
    for at, (family, _, buckets) in enumerate(data["families"]):
        gold = [case for case in cases if case[1]]
        for number, bucket in enumerate(buckets):
            score = report.buckets.families[family][bucket]
            assert sum(case[3][at] == number for case in gold) == score.gold
    assert data_of(page(report)) == json.loads(json.dumps(data))


def test_hostile_text_stays_text():
    hostile = Sentence((HOSTILE, "<!--", "&amp;", "\u2028"), (Span(0, 1, "<b>X</b>"),))
    text = page(evaluate([hostile], [hostile]), title=HOSTILE, notes=[HOSTILE])
    assert HOSTILE not in text
    assert "<b>X" not in text
    assert data_of(text)["sentences"][0][0] == list(hostile.tokens)
    assert json.loads(embedded({"a": HOSTILE})) == {"a": HOSTILE}


def test_nothing_to_show_is_a_page_too():
    for gold, predicted in (
        ([], []),
        ([Sentence(("a",), ())], [Sentence(("a",), ())]),
        ([[Span(0, 1, "PER")]], [[]]),
    ):
        assert "</html>" in page(evaluate(gold, predicted))


def test_white_space_is_kept_where_it_is_known():
    text, offsets = "Ada's cat.", ((0, 3), (3, 5), (6, 9), (9, 10))
    sentence = Sentence(("Ada", "'s", "cat", "."), (Span(0, 1, "PER"),), text=text, offsets=offsets)
    data = browser_data(evaluate([sentence], [sentence]))
    assert data["sentences"][0][1] == [0, 2]


def test_perturbed_text_has_its_table(report):
    text = page(report, perturbed={"lower": with_scores(2)})
    assert "<h2>Robustness</h2>" in text
    assert "lower case" in text
    assert "<h2>Robustness</h2>" not in page(report)


def test_plots_are_whole_svg_files(report, tmp_path):
    write_plots(tmp_path / "plots", report)
    names = {path.stem for path in (tmp_path / "plots").iterdir()}
    assert names == {"labels", "reliability", "precision-recall", "thresholds"}
    for path in (tmp_path / "plots").iterdir():
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in path.read_text("utf-8")


def test_labels_in_plots_are_escaped():
    odd = [(Span(0, 1, "<b>&"),)]
    for svg in plots(evaluate(odd, odd)).values():
        ElementTree.fromstring(svg)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """What a headless browser makes of a page: ``browser(text, "kind=missed")``."""
    folder = tmp_path_factory.mktemp("browser")

    def show(text, fragment="", more=None):
        for name, content in {"page.html": text, **(more or {})}.items():
            (folder / name).write_text(content, encoding="utf-8")
        first = next(iter(more)) if more else "page.html"
        address = (folder / first).as_uri() + (f"#{fragment}" if fragment else "")
        return dom_of(address, folder / "profile")

    return show


def cards(dom):
    return re.findall(r"<li>.*?</li>", dom, re.DOTALL)


def status(dom):
    return re.search(r"([\d,]+) cases? in ([\d,]+) sentences?", dom).groups()


def test_a_browser_shows_the_errors_and_filters_them(report, browser):
    text = page(report)
    counts = report.errors.counts
    dom = browser(text)
    errors = sum(number for kind, number in counts.items() if kind != "matched")
    assert status(dom)[0] == str(errors)
    assert 0 < len(cards(dom)) <= int(status(dom)[1])
    missed = [case for case in report.errors.cases if case.kind == "missed"]
    label = missed[0].gold.label
    wanted = [case for case in missed if case.gold.label == label]
    dom = browser(text, f"kind=missed&label={label}")
    sentences = {case.sentence for case in wanted}
    assert status(dom) == (str(len(wanted)), str(len(sentences)))
    assert all('class="kind missed"' in card for card in cards(dom))
    words = " ".join(report.pairs[missed[0].sentence].tokens)
    shown = html.unescape(re.sub(r"<small>.*?</small>|<[^>]*>", "", "".join(cards(dom))))
    assert words in shown


def test_a_browser_filters_by_score_bucket_and_text(report, browser):
    text = page(report)
    scores = [c.predicted.score for c in report.errors.cases if c.predicted]
    dom = browser(text, "kind=any&low=0.5")
    assert status(dom)[0] == str(sum(round(score, 4) >= 0.5 for score in scores))
    dom = browser(text, "kind=any&bucket=mention_length:2")
    lengths = [(c.gold or c.predicted) for c in report.errors.cases]
    assert status(dom)[0] == str(sum(span.end - span.start == 2 for span in lengths))


def links(text, path):
    """The addresses of the links inside an element, and their words."""
    part = re.search(rf"<{path}.*?</table>", text, re.DOTALL).group()
    found = re.findall(r'<a href="#([^"]*)">([^<]*)</a>', part)
    return [(html.unescape(address), int(words.replace(",", ""))) for address, words in found]


def test_the_cells_of_the_confusion_matrix_open_their_cases(report, browser):
    text = page(report)
    cells = links(text, 'table class="confusion"')
    assert sum(number for _, number in cells) == len(report.errors.cases)
    wrong = [cell for cell in cells if "none" in cell[0]][:1]
    for address, number in [cells[0], *wrong]:
        assert status(browser(text, address))[0] == str(number)


def test_the_rows_of_subgroups_open_their_cases(report, browser):
    text = page(report)
    family, bucket = "mention_length", "2"
    address = f"kind=any&amp;bucket={family}%3A{bucket}"
    assert f'<th><a href="#{address}">{bucket}</a></th>' in text
    lengths = [c.gold or c.predicted for c in report.errors.cases]
    expected = sum(span.end - span.start == 2 for span in lengths)
    assert status(browser(text, html.unescape(address)))[0] == str(expected)


AFTER = """<script>
URL.createObjectURL = (blob) => {
  blob.text().then((text) => { document.title = text; });
  return "#";
};
%s
</script></body>"""


def test_the_cases_that_are_shown_can_be_saved(report, browser):
    text = page(report).replace("</body>", AFTER % "document.getElementById('save').click();")
    dom = browser(text, "kind=missed")
    saved = html.unescape(re.search(r"<title>(.*?)</title>", dom, re.DOTALL).group(1))
    cases = [json.loads(line) for line in saved.splitlines()]
    missed = [case for case in report.errors.cases if case.kind == "missed"]
    assert [case["gold"]["label"] for case in cases] == [case.gold.label for case in missed]
    assert cases[0]["tokens"] == list(report.pairs[missed[0].sentence].tokens)
    assert {(case["kind"], case["predicted"]) for case in cases} == {("missed", None)}


def test_a_change_event_filters_as_input_does(report, browser):
    act = "const f = document.getElementById('filters'); f.kind.value = 'missed';"
    act += "f.dispatchEvent(new Event('change'));"
    dom = browser(page(report).replace("</body>", AFTER % act))
    assert status(dom)[0] == str(report.errors.counts["missed"])


def test_a_browser_runs_nothing_that_the_text_says(browser):
    hostile = Sentence((HOSTILE, "b"), (Span(0, 1, HOSTILE),))
    text = page(evaluate([hostile], [Sentence(hostile.tokens, ())]), title="quiet")
    dom = browser(text)
    assert "<title>quiet</title>" in dom
    assert "<img" not in dom
    assert html.escape("</script><img", quote=False) in dom


def test_the_page_is_as_wide_as_a_phone(report, browser):
    """Nothing but tables, which scroll on their own, is wider than a screen of 360 pixels."""
    frame, text = framed(page(report))
    dom = browser(text, more={"frame.html": frame})
    assert "<title>beyond 0 of true</title>" in dom


def test_five_thousand_sentences_are_rendered_some_at_a_time(browser):
    rows = [Sentence(tuple(f"word{n}" for n in range(20)), (Span(3, 5, "PER"),))] * 5000
    report = evaluate(rows, [Sentence(row.tokens, ()) for row in rows])
    dom = browser(page(report))
    assert status(dom) == ("5,000", "5,000")
    assert 40 <= len(cards(dom)) < 500


def test_a_page_is_written_whole(report, tmp_path):
    write_page(tmp_path / "folder" / "report.html", report, title="t")
    assert (tmp_path / "folder" / "report.html").read_text("utf-8") == page(report, title="t")
