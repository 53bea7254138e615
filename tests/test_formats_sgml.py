"""Entities marked in the text: MUC and IE-ER."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sentences, tokens

import ner
from ner.formats import DataError, DataWarning
from ner.formats.sgml import read, write
from ner.sentence import Sentence, Span, in_document

IEER = """\
<IEER_DOC type="NEWSWIRE">
<DOC>
<DOCNO> APW.0391 </DOCNO>
<DATE_TIME> 03/14/1998 </DATE_TIME>
<BODY>
<HEADLINE>
Mill sold in <b_enamex type="LOCATION">Accra<e_enamex>
</HEADLINE>
<TEXT>
\t   <b_enamex type="PERSON" status="opt">Ada
Obi<e_enamex> of <b_enamex type='ORGANIZATION'>Kestrel &AMP; Co<e_enamex> paid
<b_numex type=MONEY>$ 5<e_numex>.
\t   She left on <b_timex type="DATE">Monday<e_timex>.
</TEXT>
</BODY>
</DOC>
</IEER_DOC>
"""
WORDS = st.text(st.sampled_from("ab<>&;\"'/é]-!"), min_size=1, max_size=5)


def save(folder: Path, text: str) -> Path:
    path = folder / "x.sgml"
    path.write_text(text, "utf-8")
    return path


def found(path: Path, **options: Any) -> list[tuple[int, str, list[tuple[str, str]]]]:
    """Line, text, and what is marked in it, of each sentence."""
    return [
        (
            one.line,
            " ".join(one.tokens),
            [(" ".join(one.tokens[s.start : s.end]), s.label) for s in one.spans or ()],
        )
        for one in read(path, tokenizer="plain", **options)
    ]


def test_paragraphs_are_sentences_and_entities_run_over_lines(tmp_path: Path) -> None:
    path = save(tmp_path, IEER)
    assert found(path) == [
        (7, "Mill sold in Accra", [("Accra", "LOCATION")]),
        (
            10,
            "Ada Obi of Kestrel & Co paid $ 5 .",
            [("Ada Obi", "PERSON"), ("Kestrel & Co", "ORGANIZATION"), ("$ 5", "MONEY")],
        ),
        (13, "She left on Monday .", [("Monday", "DATE")]),
    ]
    sentences = list(read(path, tokenizer="plain"))
    assert {one.document.id for one in sentences if one.document} == {"APW.0391"}
    assert sentences[0].text == "Mill sold in Accra"


def test_muc_and_plain_texts_have_no_structure_to_speak_of(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        '<!-- from the desk --> <ENAMEX TYPE="PERSON|ORG">Lin</ENAMEX> won 3 < 5 <3.\n\n'
        '<p>The <ENAMEX\nTYPE="ORGANIZATION">Tern &#66;ank</ENAMEX> &mid; &lt;b&gt; &#xD800;</p>\n',
    )
    assert found(path) == [
        (1, "Lin won 3 < 5 < 3 .", [("Lin", "PERSON|ORG")]),
        (3, "The Tern Bank & mid ; < b > & # xD800 ;", [("Tern Bank", "ORGANIZATION")]),
    ]
    assert all(one.document is None for one in read(path, tokenizer="plain"))


def test_ontonotes_leaves_characters_out_of_an_entity(tmp_path: Path) -> None:
    path = save(tmp_path, 'a <ENAMEX TYPE="NORP" S_OFF="4" E_OFF="1">pro-Roman-</ENAMEX>born one\n')
    (one,) = read(path, tokenizer="plain")
    assert [(one.tokens[x.start : x.end], x.label) for x in one.spans or ()] == [
        (("Roman",), "NORP")
    ]


def test_elements_may_be_labels(tmp_path: Path) -> None:
    path = save(tmp_path, "<PERSON>Ada</PERSON> saw <Place>Lima</Place> <ENAMEX>x</ENAMEX>\n")
    with pytest.warns(DataWarning, match=r"unknown elements as structure: enamex \(1\)"):
        assert found(path, elements="person place")[:1] == [
            (1, "Ada saw Lima", [("Ada", "PERSON"), ("Lima", "PLACE")])
        ]


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        '<DATE> <ENAMEX TYPE="X">May</ENAMEX> 3 </DATE>\n'
        'a <ENAMEX TYPE="X">b<ENAMEX TYPE="Y">c</ENAMEX></ENAMEX>d <UNK>\n',
    )
    with pytest.warns(DataWarning) as told:
        (sentence,) = read(path, tokenizer="plain", align="expand")
    assert sentence.spans == (Span(1, 2, "X"),)
    text = "\n".join(str(one.message) for one in told)
    assert "of 2 spans, 2 not on token boundaries" in text
    assert f"{path}:2: 'bc' (2, 4) X, nearest tokens 'bcd': read as 'bcd'" in text
    assert "left out 1 entities in elements that do not hold text" in text
    assert "read unknown elements as structure: unk (1)" in text


def test_bad_lines_are_told_all_together(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        '<ENAMEX TYPE="X">never closed\n</P>\nnever opened</TIMEX>\n'
        '<ENAMEX TYPE="X"> </ENAMEX>\n<ENAMEX TYPE="X">a <NUMEX TYPE="Y">b</ENAMEX>\n',
    )
    with pytest.raises(DataError) as caught:
        found(path)
    assert str(caught.value).splitlines() == [
        f"{path}:1: <ENAMEX> is not closed before the end of its paragraph",
        f"{path}:3: </TIMEX> closes an entity that is not open",
        f"{path}:4: <ENAMEX> is empty",
        f"{path}:5: </ENAMEX> closes an entity that is not open",
    ]


@given(st.lists(sentences(WORDS | tokens, partial=False), min_size=1, max_size=3))
def test_what_is_written_reads_back(given: list[Sentence]) -> None:
    given = [
        Sentence(tuple("".join(word.split()) or "x" for word in one.tokens), one.spans)
        for one in given
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.sgml"
        ner.write(path, given)
        assert list(ner.read(path, tokenizer="blanks")) == given


def test_documents_read_back(tmp_path: Path) -> None:
    bare = Sentence(("a",), (), text="a", offsets=((0, 1),))
    given = [bare, *in_document([bare, bare], "<1> & 2"), *in_document([bare]), bare]
    ner.write(tmp_path / "x.sgml", given)
    back = list(ner.read(tmp_path / "x.sgml"))
    assert back == given
    assert [one.document.id if one.document else None for one in back] == [
        "",
        "<1> & 2",
        "<1> & 2",
        "",
        "",
    ]
    assert [one.position for one in back] == [0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (Sentence(("a",)), "has unannotated tokens"),
        (Sentence(("a", "b"), (), unknown=frozenset({1})), "has unannotated tokens"),
        (Sentence(("a", "b"), (Span(0, 2, "X"), Span(1, 2, "Y"))), "overlap"),
    ],
)
def test_what_the_format_cannot_say_is_refused(sentence: Sentence, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        write(io.StringIO(), [sentence])


def test_ieer_has_all_its_entities(shared: Path) -> None:
    """5,038 are marked, one of them twice over."""
    path = shared / "data" / "ieer"
    if not path.exists():
        pytest.skip(f"no {path}")
    files = sorted(one for one in path.iterdir() if one.name[:3] in ("APW", "NYT"))
    with pytest.warns(DataWarning, match="1 not on token boundaries"):  # ninefold
        every = list(ner.read(files, tokenizer="plain", align="expand"))
    assert len({id(one.document) for one in every}) == 94
    assert sum(len(one.spans or ()) for one in every) == 5037
