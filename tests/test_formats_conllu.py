"""CoNLL-U and CoNLL-U Plus: entities as tags and as parentheses, and the rest of a treebank."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sentences

import ner
from ner.formats import DataError, DataWarning
from ner.formats.conll2012 import parse, spell
from ner.formats.conllu import read, write
from ner.schemes import SCHEMES
from ner.sentence import Sentence, Span, in_document

HEAD = """\
# newdoc id = gum-1
# global.Entity = GRP-etype-infstat-identity
# sent_id = 1
# text = The King's aunt saw du Pont.
"""
GUM = (
    HEAD
    + """\
1	The	the	DET	DT	_	_	_	_	Entity=(1-person-new(2-person-giv-Charles_III
2	King	king	PROPN	NN	_	_	_	_	SpaceAfter=No
3	's	's	PART	POS	_	_	_	_	Entity=2)
4	aunt	aunt	NOUN	NN	_	_	_	_	Entity=1)
5	saw	see	VERB	VBD	_	_	_	_	_
6-7	du	_	_	_	_	_	_	_	_
6	de	de	ADP	IN	_	_	_	_	_
7	le	le	DET	DT	_	_	_	_	_
7.1	elided	_	_	_	_	_	_	_	_
8	Pont	Pont	PROPN	NNP	_	_	_	_	Entity=(3-person-new-Pont)|SpaceAfter=No
9	.	.	PUNCT	.	_	_	_	_	_

# newpar
1	She	she	PRON	PRP	_	_	_	_	Entity=(1-person-giv)

"""
)
PLUS = """\
# global.columns = ID FORM UPOS UNER:NER MISC
1	Ada	PROPN	B-PER	_
2	Obi	PROPN	I-PER	SpaceAfter=No
3	!	PUNCT	O	_

"""


def save(folder: Path, content: str, name: str = "x.conllu") -> Path:
    path = folder / name
    path.write_bytes(content.encode())
    return path


def spelled(given: list[Sentence] | tuple[Sentence, ...], **options: Any) -> str:
    target = io.StringIO()
    write(target, given, **options)
    return target.getvalue()


def words(*rows: str) -> str:
    """A sentence of ten columns, of which only the last differs."""
    lines = [f"{number}\tw{number}\t" + "_\t" * 7 + row for number, row in enumerate(rows, 1)]
    return "\n".join(lines) + "\n\n"


def test_words_are_tokens_and_the_rest_is_kept(tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match="left out 1 spans inside or across another"):
        first, second = read(save(tmp_path, GUM))
    assert first.tokens == ("The", "King", "'s", "aunt", "saw", "de", "le", "Pont", ".")
    assert first.spans == (Span(0, 4, "person"), Span(7, 8, "person"))
    assert first.columns["UPOS"][:3] == ("DET", "PROPN", "PART")
    assert (first.line, second.line) == (5, 18)
    assert first.document is second.document
    assert first.document is not None
    assert (first.document.id, second.position) == ("gum-1", 1)
    assert second.spans == (Span(0, 1, "person"),)


def test_only_named_entities_are_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    first, second = read(save(tmp_path, GUM), named=True)
    assert first.spans == (Span(0, 3, "person"), Span(7, 8, "person"))
    assert second.spans == ()


def test_a_treebank_is_written_back_with_its_entities_beside(tmp_path: Path) -> None:
    found = list(read(save(tmp_path, GUM), named=True))
    text = spelled([pickle.loads(pickle.dumps(one)) for one in found])
    assert (
        "8\tPont\tPont\tPROPN\tNNP\t_\t_\t_\t_\tEntity=(3-person-new-Pont)|SpaceAfter=No|NER=B"
        in text
    )
    without = "\n".join(
        line.partition("|NER=")[0].replace("\tNER=O", "\t_") for line in text.split("\n")
    )
    assert without == GUM
    again = list(read(save(tmp_path, text)))
    assert [(one.tokens, one.spans) for one in again] == [(one.tokens, one.spans) for one in found]


def test_the_text_is_kept_where_the_tokens_are_it(tmp_path: Path) -> None:
    text = "# text = Ada Obi!\n1\tAda\t" + "_\t" * 7 + "_\n2\tObi\t" + "_\t" * 7 + "_\n3\t!\t"
    (sentence,) = read(save(tmp_path, text + "_\t" * 7 + "_\n"))
    assert sentence.text == "Ada Obi!"
    assert sentence.offsets == ((0, 3), (4, 7), (7, 8))
    (first, _) = read(save(tmp_path, GUM), named=True)
    assert first.text is None  # `de le` is written `du`


def test_plus_has_its_columns_named_in_the_file(tmp_path: Path) -> None:
    (sentence,) = read(save(tmp_path, PLUS, "x.conllup"))
    assert sentence.tokens == ("Ada", "Obi", "!")
    assert sentence.spans == (Span(0, 2, "PER"),)
    assert sentence.columns == {
        "UPOS": ("PROPN", "PROPN", "PUNCT"),
        "MISC": ("_", "SpaceAfter=No", "_"),
    }
    assert spelled([sentence]) == PLUS
    assert "\tE-PER\t" in spelled([sentence], scheme="BIOES")


def test_columns_can_be_named_by_the_caller(tmp_path: Path) -> None:
    path = save(tmp_path, "# text = Ada\n1\tAda\tB-PER\tB-PER#O\ts\n")
    (sentence,) = read(path, columns=["ID", "FORM", "NER", "NOTE", "WHO"])
    assert sentence.spans == (Span(0, 1, "PER"),)
    assert sentence.columns == {"NOTE": ("B-PER#O",), "WHO": ("s",)}


@pytest.mark.parametrize("key", ["NER", "ner", "NE", "Entity"])
def test_tags_are_found_in_misc(key: str, tmp_path: Path) -> None:
    path = save(tmp_path, words(f"{key}=B-X|A=1", f"A=1|{key}=I-X", "_"))
    (sentence,) = read(path)
    assert sentence.spans == (Span(0, 2, "X"),)
    assert f"A=1|{key}=I-X" in spelled([sentence])


def test_the_key_can_be_given(tmp_path: Path) -> None:
    path = save(tmp_path, words("NER=B-X|MyKey=S-Y", "NER=I-X|MyKey=O"))
    assert next(read(path)).spans == (Span(0, 2, "X"),)
    assert next(read(path, entities="MyKey")).spans == (Span(0, 1, "Y"),)
    assert next(read(path, entities="Absent")).spans == ()


def test_a_treebank_without_entities_is_not_annotated(tmp_path: Path) -> None:
    (sentence,) = read(save(tmp_path, words("_", "SpaceAfter=No")))
    assert sentence.spans is None
    assert spelled([sentence]) == words("_", "SpaceAfter=No")


def test_where_o_is_written_its_absence_is_missing_annotation(tmp_path: Path) -> None:
    path = save(tmp_path, words("NER=B-X", "NER=O", "NER=_") + words("_", "_") + words("NER=O"))
    partly, never, nothing = read(path)
    assert (partly.spans, partly.unknown) == ((Span(0, 1, "X"),), {2})
    assert (never.spans, nothing.spans) == (None, ())
    assert spelled([partly, never, nothing]) == path.read_text()


def test_where_no_o_is_written_its_absence_is_o(tmp_path: Path) -> None:
    path = save(tmp_path, words("NER=B-X", "_", "_") + words("_", "_"))
    assert [one.spans for one in read(path)] == [(Span(0, 1, "X"),), ()]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_recognised(scheme: str, tmp_path: Path) -> None:
    spans = (Span(0, 3, "X"), Span(3, 5, "X"), Span(6, 7, "Y"), Span(8, 9, "X"))
    given = Sentence(tuple("abcdefghi"), spans)
    path = save(tmp_path, spelled([given], scheme=scheme))
    assert next(read(path)).spans == spans


def test_ill_formed_tags_are_repaired_with_one_warning(tmp_path: Path) -> None:
    path = save(tmp_path, words("NER=B-X", "NER=O", "NER=I-X", "NER=B-X"))
    with pytest.warns(DataWarning, match=r"repaired 1 tag .* line 3 \('I-X' after 'O'\)"):
        (sentence,) = read(path)
    assert len(sentence.spans or ()) == 3


def test_entities_beyond_their_sentence_are_left_out_and_counted(tmp_path: Path) -> None:
    path = save(tmp_path, words("Entity=(1-person", "_") + words("Entity=1)", "Entity=(2-place)"))
    with pytest.warns(DataWarning, match="left out 1 spans that go beyond their sentence"):
        found = list(read(path))
    assert [one.spans for one in found] == [(), (Span(1, 2, "place"),)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\ta\tb\n", "x.conllu:1: expected 10 columns, found 3: '1\\ta\\tb'"),
        (words("_").replace("1", "one", 1), "x.conllu:1: 'one' is not a word ID"),
        (words("_").replace("w1", ""), "x.conllu:1: the word is empty"),
        (words("NER=B-X", "NER=Q"), "x.conllu:2: 'Q' is not a BIO tag"),
        (words("Entity=(1-x", "Entity=1)("), None),
        (
            words("Entity=(1-x", "Entity=x(1)y"),
            "x.conllu:2: 'x(1)y' is not a sequence of opening and closing parentheses",
        ),
        ("# global.columns = ID LEMMA\n1\ta\n", "the columns need different names, FORM among"),
        ("1\ta\t\xff".encode("latin-1").decode("latin-1"), "expected 10 columns, found 3"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    text: str, message: str | None, tmp_path: Path
) -> None:
    path = save(tmp_path, text)
    if message is None:
        with pytest.warns(DataWarning, match="beyond their sentence"):
            list(read(path))
        return
    with pytest.raises(DataError) as caught:
        list(read(path))
    assert message in str(caught.value)


@given(st.lists(sentences(), min_size=1, max_size=4), st.sampled_from(sorted(SCHEMES)))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, given: list[Sentence], scheme: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.conllu"
    ner.write(path, given, scheme=scheme)
    found = list(ner.read(path, scheme=scheme))
    assert [(one.tokens, one.spans, one.unknown) for one in found] == [
        (one.tokens, one.spans, one.unknown) for one in given
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        Sentence(("a\tb",), ()),
        Sentence(("a\nb",), ()),
        Sentence(("",), ()),
        Sentence((), ()),
        Sentence(("a",), (Span(0, 1, "X|Y"),)),
        Sentence(("a",), (Span(0, 1, ""),)),
    ],
    ids=repr,
)
def test_what_could_not_be_read_back_is_not_written(sentence: Sentence) -> None:
    with pytest.raises(DataError, match=r"^sentence 2: "):
        spelled([Sentence(("fine",), ()), sentence])


def test_documents_begin_with_newdoc(tmp_path: Path) -> None:
    given = in_document([Sentence(("a",), ()), Sentence(("b",), ())], "the id")
    text = spelled(given)
    assert text.startswith("# newdoc id = the id\n1\ta\t")
    assert text.count("newdoc") == 1
    found = list(read(save(tmp_path, text)))
    assert {one.document.id for one in found if one.document} == {"the id"}


def test_gum_has_its_published_counts(shared: Path, tmp_path: Path) -> None:
    path = shared / "data/gum/en_gum-ud-dev.conllu"
    with pytest.warns(DataWarning, match="left out 2994 spans inside or across another"):
        mentions = list(read(path))
    assert sum(len(one.spans or ()) for one in mentions) + 2994 == 7897
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        found = list(read(path, named=True))
    assert len({id(one.document) for one in found}) == 30
    assert (len(found), sum(map(len, found))) == (1575, 28119)
    assert sum(len(one.spans or ()) for one in found) == 638
    derived = list(ner.read(shared / "data/gum/conll/dev.conll"))
    assert [(one.tokens, one.spans) for one in found] == [
        (one.tokens, one.spans) for one in derived
    ]


def test_uner_is_read_with_its_columns_named(shared: Path) -> None:
    path = shared / "data/uner_da_ddt/da_ddt-ud-dev.iob2"
    found = list(
        ner.read(path, format="conllu", columns=["ID", "FORM", "NER", "NOTE", "ANNOTATOR"])
    )
    assert (len(found), sum(map(len, found))) == (564, 10332)
    assert sum(len(one.spans or ()) for one in found) == 379


def test_parentheses_nest_and_close_by_name() -> None:
    found = parse(["(A(B", "*", "B)", "A)(C)"])
    assert sorted(found.spans) == [Span(0, 3, "B"), Span(0, 4, "A"), Span(3, 4, "C")]
    found = parse(["(A*", "*)", ")", "(B*"])
    assert (found.spans, found.strays, found.open) == ([Span(0, 2, "A")], [2], [3])


@given(st.lists(st.builds(Span, st.integers(0, 2), st.integers(3, 5), st.just("X"))))
def test_parentheses_say_what_they_were_told(spans: list[Span]) -> None:
    nested = [
        one
        for one in spans
        if not any(one.start < other.start < one.end < other.end for other in spans)
    ]
    nested = [
        one
        for one in nested
        if not any(other.start < one.start < other.end < one.end for other in nested)
    ]
    assert sorted(parse(spell(nested, 5)).spans) == sorted(nested)


def test_parentheses_are_spelled_as_in_ontonotes() -> None:
    spans = [Span(0, 1, "PER"), Span(1, 4, "ORG"), Span(2, 3, "LOC")]
    assert spell(spans, 5) == ["(PER)", "(ORG*", "(LOC)", "*)", "*"]
