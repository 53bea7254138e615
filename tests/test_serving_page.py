"""The page of the server: in a real browser, whatever the text says, on a phone too."""

import re
from html import escape, unescape
from urllib.parse import quote

import pytest
from headless import dom_of, framed
from serving_client import running

import ner
from ner.serving import Limits
from ner.serving.page import page

HOSTILE = '<img src=x onerror="document.title=1"></textarea><script>document.title=1</script>'


@pytest.fixture(scope="module")
def served(small_model):
    with running(
        ner.load(small_model), Limits(characters=1000, arrival=300.0, seconds=300.0), name="a<b>"
    ) as it:
        yield it


@pytest.fixture(scope="module")
def show(served, tmp_path_factory):
    """What a browser makes of the page when it is given a text."""
    profile = tmp_path_factory.mktemp("profile")

    def shown(text, **more):
        fields = {"text": text, **more}
        fragment = "&".join(f"{name}={quote(value)}" for name, value in fields.items())
        return dom_of(f"{served.address}/#{fragment}", profile)

    return shown


def marks(dom):
    """The marked texts, and what stands small in them."""
    found = re.findall(r"<mark[^>]*>(.*?)<small>(.*?)</small></mark>", dom, re.DOTALL)
    return [(unescape(text), remark) for text, remark in found]


def told(record):
    return [
        (span["text"], f"{span['label']} {100 * span['score']:.1f} %") for span in record["spans"]
    ]


def test_it_loads_nothing_and_lets_nothing_run(served):
    answer = served.client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://|<(link|img|iframe|script src)", answer.text)
    assert "<h1>a&lt;b&gt;</h1>" in answer.text


def test_entities_are_marked_where_they_are_with_their_scores(served, show):
    text = "\U0001f600\U0001f600 Ada Obi joined\n\nKestrel Foods \u05d0\u05d1 in Accra."
    record = served.client.post("/tag", json={"text": text}).json()
    dom = show(text)
    assert marks(dom) == told(record) != []
    shown = re.search(r'<p id="marked">(.*?)</p>', dom, re.DOTALL)[1]
    assert unescape(re.sub(r"<small>.*?</small>|<[^>]*>", "", shown)) == text
    assert dom.count("<tr>") == 1 + len(record["spans"])
    assert f"{len(record['tokens'])} tokens" in dom
    scores = [span["score"] for span in record["spans"]]
    least = round(100 * sorted(scores)[len(scores) // 2])
    likely = [span for span in record["spans"] if 100 * span["score"] >= least]
    assert marks(show(text, least=str(least))) == told({"spans": likely})


def test_nothing_that_a_text_says_is_run(show):
    dom = show(f"Ada {HOSTILE} Obi")
    assert "<title>a&lt;b&gt;: named entities</title>" in dom
    assert "<img" not in dom
    shown = re.search(r'<p id="marked">(.*?)</p>', dom, re.DOTALL)[1]
    plain = re.sub(r"<small>.*?</small>|<[^>]*>", "", shown)
    assert escape(HOSTILE, quote=False) in plain


def test_what_is_wrong_is_said(show):
    dom = show("a" * 1001)
    assert 'role="alert">text: at most 1,000 characters, got 1,001</p>' in dom
    assert "<mark" not in dom
    assert "spaCy has no language 'zq'" in unescape(show("Ada", language="zq"))


def test_it_is_as_wide_as_a_phone(served, tmp_path):
    long = "Donaudampfschifffahrtsgesellschaft" * 5
    made = page(long, ["PER", long], "en").html.replace(" hidden>", ">")
    made = made.replace('id="marked">', f'id="marked">{long}')
    frame, told_page = framed(made)
    (tmp_path / "page.html").write_text(told_page, encoding="utf-8")
    (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
    dom = dom_of((tmp_path / "frame.html").as_uri(), tmp_path / "profile")
    assert "<title>beyond 0 of true</title>" in dom
