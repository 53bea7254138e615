"""The CoNLL reader and writer: every rule of docs/formats.md, and nothing lost on the way."""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ner
from ner.formats import DataError, DataWarning, conll, documents, table
from ner.formats.columns import Numbering
from ner.formats.conll import Reader, detect_scheme, read, write
from ner.schemes import SCHEMES
from ner.sentence import Sentence, Span, in_document

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "conll.jsonl").read_text().splitlines()
]


def save(folder: Path, content: str | bytes, name: str = "x.conll") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def spelled(given: list[Sentence] | tuple[Sentence, ...], **options: Any) -> str:
    target = io.StringIO()
    write(target, given, **options)
    return target.getvalue()


@pytest.fixture
def told() -> Any:
    """The warnings of a test, which elsewhere are errors."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case: dict[str, Any], tmp_path: Path, told: list[Any]) -> None:
    content = base64.b64decode(case["bytes_b64"]) if "bytes_b64" in case else case["text"]
    reader = Reader(save(tmp_path, content), **case.get("options", {}))
    if "expect_error_contains" in case:
        line = case["expect_error_contains"].removeprefix("line ")
        with pytest.raises(ValueError, match=rf"x\.conll:{line}: "):
            list(reader)
        return
    found = list(reader)
    pairs = [
        [[token, tag] for token, tag in zip(one.tokens, one.tags or [None] * len(one), strict=True)]
        for one in found
    ]
    assert pairs == case.get("expect_sentences", pairs)
    if "expect_scheme" in case:
        assert reader.scheme.name == case["expect_scheme"]
    bio = [list(SCHEMES["BIO"].encode(one.spans or (), len(one))) for one in found]
    assert bio == case.get("expect_bio", bio)
    held = {id(one.document) for one in found if one.document is not None}
    assert len(held) == case.get("expect_n_documents", len(held))
    assert case.get("expect_warning_contains", "") in "".join(str(one.message) for one in told)
    assert bool(told) == ("expect_warning_contains" in case)


# columns


def test_other_columns_are_kept_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n")
    (sentence,) = read(path)
    assert sentence.columns == {"column2": ("NNP", "VBZ"), "column3": ("B-NP", "B-VP")}
    (sentence,) = read(path, columns=["word", "pos", "chunk", "ner"])
    assert sentence.columns == {"pos": ("NNP", "VBZ"), "chunk": ("B-NP", "B-VP")}


def test_columns_are_chosen_by_number_or_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, "id\tner\tform\n1\tB-ORG\tEU\n2\tO\trejects\n")
    for options in (
        {"header": True, "token_column": "form", "tag_column": "ner"},
        {"header": True, "token_column": 2, "tag_column": 1},
        {"header": True, "token_column": -1, "tag_column": -2},
    ):
        (sentence,) = read(path, **options)
        assert sentence.tokens == ("EU", "rejects")
        assert sentence.spans == (Span(0, 1, "ORG"),)
        assert sentence.columns == {"id": ("1", "2")}
        assert spelled([sentence]) == "id\tner\tform\n1\tB-ORG\tEU\n2\tO\trejects\n\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token_column": 5}, "there are 2 columns, and no column 5"),
        ({"tag_column": -3}, "there are 2 columns, and no column -3"),
        ({"tag_column": 0}, "column 0 cannot hold both the tokens and the tags"),
        ({"token_column": "form"}, "there is no column 'form'"),
        ({"columns": ["word", "tag"], "tag_column": "tga"}, "did you mean 'tag'?"),
        ({"columns": ["word"]}, "only 'word' is named; expected a column for tokens"),
        ({"columns": ["word", "word"]}, "two columns have the same name: word, word"),
        ({"columns": ["word", "x", "y", "tag"]}, "x.conll:1: expected 4 columns, found 2"),
        ({"scheme": "BIOX"}, "no scheme is called 'BIOX'"),
        ({"encoding": "klingon"}, "unknown text encoding 'klingon'"),
        ({"widht": 3}, "the conll reader has no option 'widht'"),
        ({"coment_prefix": "#"}, "did you mean 'comment_prefix'?"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = save(tmp_path, "EU B-ORG\nrejects O\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        list(ner.read(path, **options))


def test_the_usual_number_of_columns_is_right_and_the_others_are_wrong(tmp_path: Path) -> None:
    path = save(tmp_path, "Word POS Tag Extra\n" + "EU NNP B-ORG\n" * 3)
    with pytest.raises(DataError, match=r"^\S+:1: expected 3 columns, found 4: 'Word POS Tag Ext"):
        list(read(path))


def test_all_bad_lines_are_told_in_one_run(tmp_path: Path) -> None:
    path = save(tmp_path, "ok O\n" * 50 + "a b O\n" * 15 + "x Q-PER\n" + "c\n" * 9 + "\u00e9 o\n")
    with pytest.raises(DataError) as caught:
        list(read(path))
    told = str(caught.value).split("\n")
    assert [line.split(":")[1] for line in told[:-1]] == [str(line) for line in range(51, 71)]
    assert told[-1].endswith("and 6 more bad lines")


def test_a_long_bad_line_is_cut_short(tmp_path: Path) -> None:
    for length, shown in ((100, "x" * 100), (101, "x" * 100 + "...")):
        path = save(tmp_path, "a O\n" * 3 + "x" * length + "\n")
        with pytest.raises(DataError, match=rf":4: expected 2 columns, found 1: '{shown}'$"):
            list(read(path))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("EU", "set tagged: false for a file without tags)"),
        ("EU,B-ORG", "for a file without tags, and columns are separated by TABs"),
    ],
)
def test_a_file_of_one_column_is_told_what_it_may_lack(
    line: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        list(read(save(tmp_path, f"{line}\n")))
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'x.conll'}:1: expected 2 columns, found 1: {line!r} (a t")
    assert said.endswith(f"{hint}{' or blanks)' * ('TABs' in hint)}")


def test_an_empty_token_is_refused(tmp_path: Path) -> None:
    for tagged in (True, False):
        path = save(tmp_path, "EU\tO\n\tO\n")
        with pytest.raises(DataError, match=r"x\.conll:2: the token is empty"):
            list(read(path, tagged=tagged))


def test_last_columns_may_be_empty_where_tabs_say_so(tmp_path: Path) -> None:
    path = save(tmp_path, "token\ttag\tmisc\nEU\tB-ORG\tx\nsays\tO\t\n")
    (sentence,) = read(path, header=True, tag_column=1)
    assert sentence.columns == {"misc": ("x", "")}
    assert spelled([sentence]) == path.read_text() + "\n"


def test_ragged_lines_are_kept_whole(tmp_path: Path) -> None:
    path = save(tmp_path, "a O\nb B-X I-Y B-Z\nc O\n")
    (first,) = read(path, ragged=True, tag_column=1)
    assert first.spans == (Span(1, 2, "X"),)
    assert first.columns == {"extra": ("_", "I-Y|B-Z", "_")}
    path = save(tmp_path, "a O\nb x y B-Z\nc O\n")
    (last,) = read(path, ragged=True)
    assert last.spans == (Span(1, 2, "Z"),)
    assert last.columns == {"extra": ("_", "x|y", "_")}


def test_what_ragged_lines_hold_is_written_where_it_stood(tmp_path: Path) -> None:
    """Else the tag, counted from the end, would be read from a column of leftovers."""
    path = save(tmp_path, "a O\nb x y B-Z\nc O\n")
    given = list(read(path, ragged=True))
    assert spelled(given) == "a _ O\nb x|y B-Z\nc _ O\n\n"
    again = save(tmp_path, spelled(given), "again.conll")
    assert list(read(again)) == list(read(again, ragged=True)) == given
    path = save(tmp_path, "B-Z\tb\tx\ty\nO\ta\nO\tc\n")
    options = {"ragged": True, "token_column": 1, "tag_column": 0}
    given = list(read(path, **options))
    again = save(tmp_path, spelled(given), "again.conll")
    assert again.read_text() == "B-Z\tb\tx|y\nO\ta\t_\nO\tc\t_\n\n"
    assert list(read(again, **options)) == given


def test_bad_lines_among_ragged_ones_keep_their_columns(tmp_path: Path) -> None:
    path = save(tmp_path, "a N O x\nb\nc N B-Z\nd V\ne N O\n")
    with pytest.warns(DataWarning, match="2 bad lines"):
        (sentence,) = read(path, ragged=True, tag_column=2, columns="wpt", bad_lines="missing")
    assert sentence.tokens == ("a", "b", "c", "d", "e")
    assert (sentence.spans, sentence.unknown) == ((Span(2, 3, "Z"),), {1, 3})
    assert sentence.columns == {"p": ("N", "_", "N", "V", "N"), "extra": ("x", "_", "_", "_", "_")}
    path = save(tmp_path, "a x N O\nb\nc N O\nd N B-Z\n")
    with pytest.warns(DataWarning, match="1 bad line"):
        (sentence,) = read(path, ragged=True, columns="wpt", bad_lines="missing")
    assert (sentence.spans, sentence.unknown) == ((Span(3, 4, "Z"),), {1})
    assert sentence.columns == {"p": ("x", "_", "N", "N"), "extra": ("N", "_", "_", "_")}


def test_comments_before_all_columns_do_not_settle_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "VOTING", 2)
    (sentence,) = read(save(tmp_path, "# a\n# b\n# c\nx N O\ny N O\n"), comment_prefix="#")
    assert sentence.tokens == ("x", "y")
    told = r":3: expected 2 columns, found 3"
    with pytest.raises(DataError, match=told):  # the first lines settle it, not the most
        list(read(save(tmp_path, "a O\nb O\nc N O\nd N O\ne N O\n"), comment_prefix="#"))


def test_a_comment_of_nothing_but_a_blank_parts_no_sentences(tmp_path: Path) -> None:
    for blank in ("\t", " "):
        path = save(tmp_path, f"a O\n{blank}\nb O\n")
        assert [one.tokens for one in read(path)] == [("a",), ("b",)]
        assert [one.tokens for one in read(path, comment_prefix=blank)] == [("a", "b")]
        assert [one.tokens for one in read(path, document_prefix=blank)] == [("a",), ("b",)]


@pytest.mark.parametrize("prefix", ["# ", "## ", "% ", "-- ", "#\t"])
def test_a_bad_line_that_may_be_a_comment_says_so(prefix: str, tmp_path: Path) -> None:
    path = save(tmp_path, f"a\tO\n{prefix}one two three\nb\tO\nc\tO\n")
    with pytest.raises(DataError, match=re.escape(f"a comment; set comment_prefix: {prefix!r}")):
        list(read(path))


def test_ragged_lines_may_lack_their_last_fields(tmp_path: Path) -> None:
    path = save(tmp_path, "a\tO\tx\nb\tB-Z\t\nc\tO\tx\ty\n")
    (sentence,) = read(path, ragged=True, tag_column=1)
    assert sentence.spans == (Span(1, 2, "Z"),)
    assert sentence.columns == {"column3": ("x", "", "x"), "extra": ("_", "_", "y")}


def test_a_plain_layout_needs_no_options(tmp_path: Path) -> None:
    text = "id word ner pos\n1 a B-X N\n2 b O V\n"
    given = list(read(save(tmp_path, text), header=True, token_column="word", tag_column="ner"))
    assert spelled(given) == text + "\n"
    assert spelled(given, layout="plain") == "a 1 N B-X\nb 2 V O\n\n"
    with pytest.raises(ValueError, match="layout must be same or plain, got 'wide'"):
        spelled(given, layout="wide")
    bare = list(read(save(tmp_path, "1 a\n2 b\n"), tagged=False, token_column=1))
    assert spelled(bare, layout="plain") == "a 1\nb 2\n\n"


def test_bad_lines_may_count_as_missing_annotation(tmp_path: Path) -> None:
    text = "a B-X\nNew York B-Y\nb\nc B_X\n\nd O\ne B_X\nf I-X\ng E-X\n"
    path = save(tmp_path, text + "\nh B-X\ni I-X\nk O\n" * 20)
    with pytest.warns(DataWarning) as told:
        first, second, *_ = read(path, bad_lines="missing")
    assert str(told[0].message).splitlines() == [
        f"{path}: 5 bad lines: their tokens are kept, without annotation",
        f"{path}:2: expected 2 columns, found 3: 'New York B-Y'",
        f"{path}:3: expected 2 columns, found 1: 'b'",
        f"{path}:4: 'B_X' is not a tag; did you mean 'B-X'? tag_map: {{'B_X': 'B-X'}}",
        f"{path}:7: 'B_X' is not a tag; did you mean 'B-X'? tag_map: {{'B_X': 'B-X'}}",
        f"{path}:9: 'E-X' is not a BIO tag; expected O or B-, I-; did you mean 'I-X'? "
        "tag_map: {'E-X': 'I-X'}",
    ]
    assert first.tokens == ("a", "New York", "b", "c")
    assert (first.spans, first.unknown) == ((Span(0, 1, "X"),), {1, 2, 3})
    assert (second.spans, second.unknown) == ((Span(2, 3, "X"),), {1, 3})
    again = tmp_path / "again.conll"
    ner.write(again, [first, second])
    assert list(read(again)) == [first, second]
    with pytest.raises(ValueError, match="bad_lines must be refuse or missing, got 'drop'"):
        read(path, bad_lines="drop")


def test_bad_lines_among_more_columns_and_without_tags(tmp_path: Path) -> None:
    path = save(tmp_path, "1 a N O\n2 New York N B-X\n3 b\n4\n5 c N O\n" + "6 d N O\n" * 3)
    with pytest.raises(DataError, match=r":4: expected 4 columns, found 1: '4'$"):
        list(read(path, token_column=1, bad_lines="missing"))
    path = save(tmp_path, "a N\nNew York N\nb\nc N\nd N\n")
    with pytest.warns(DataWarning, match="2 bad lines"):
        (sentence,) = read(path, tagged=False, bad_lines="missing")
    assert sentence.tokens == ("a", "New York", "b", "c", "d")
    assert sentence.columns == {"column2": ("N", "N", "_", "N", "N")}


@pytest.mark.parametrize("first", [0, 1])
def test_tokens_that_only_count_are_remarked_upon(first: int, tmp_path: Path) -> None:
    text = "".join(f"{n} {word} O\n" for n, word in enumerate("abc", first)) + "\n"
    with pytest.warns(
        DataWarning, match=r"numbers 1, 2, 3, \.\.\. in every sentence; if the words"
    ):
        list(read(save(tmp_path, text * 2)))
    list(read(save(tmp_path, text * 2), token_column=1))
    list(read(save(tmp_path, text)))  # too little to tell, as one sentence is however long
    list(read(save(tmp_path, "".join(f"{n} x O\n" for n in range(first, first + 9)))))
    list(read(save(tmp_path, text * 2 + "7 x O\n")))


@pytest.mark.parametrize(("tokens", "told"), [(4, False), (5, True)])
def test_five_numbers_in_two_sentences_are_enough_to_tell(tokens: int, told: bool) -> None:
    numbering = Numbering()
    numbering.add(["1", "2"])
    numbering.add(["1", "2", "3"][: tokens - 2])
    assert (numbering.remark() is not None) == told


# tags


@pytest.mark.parametrize(
    ("tag", "meant"),
    [
        ("o", "O"),
        ("0", "O"),
        ("PER", "B-PER"),
        ("b-PER", "B-PER"),
        ("B_PER", "B-PER"),
        ("B.PER", "B-PER"),
        ("PER-B", "B-PER"),
    ],
)
def test_a_wrong_tag_comes_with_what_it_may_have_meant(
    tag: str, meant: str, tmp_path: Path
) -> None:
    path = save(tmp_path, f"EU B-ORG\n\nObi {tag}\n")
    with pytest.raises(DataError) as caught:
        list(read(path))
    assert str(caught.value) == (
        f"{path}:3: {tag!r} is not a tag; did you mean {meant!r}? tag_map: {{{tag!r}: {meant!r}}}"
        + "; or 'I-PER', which reads adjacent ones as one entity" * (tag == "PER")
    )
    found = list(read(path, tag_map={tag: meant}))
    assert found[1].spans == SCHEMES["BIO"].decode([meant])


def test_prefixes_of_two_schemes_are_an_error_of_the_rarer_one(tmp_path: Path) -> None:
    path = save(tmp_path, "a B-X\nb I-X\nc E-X\nd S-Y\ne S-Y\nf U-Z\n")
    with pytest.raises(DataError, match=r"^\S+:6: 'U-Z' is not a BIOES tag"):
        list(read(path))


BIO_SENTENCES = "a B-X\nb I-X\nc O\nd B-Y\n\n" * 19
IOB1_SENTENCES = "a I-X\nb I-X\nc O\nd I-Y\n\n" * 19


@pytest.mark.parametrize(
    ("text", "stray", "scheme", "meant"),
    [
        (BIO_SENTENCES, "E-X", "BIO", "I-X"),
        (BIO_SENTENCES, "S-Y", "BIO", "B-Y"),
        (BIO_SENTENCES, "M-Y", "BIO", "I-Y"),
        (BIO_SENTENCES, "U", "BIO", "B"),
        (IOB1_SENTENCES, "E-X", "IOB1", "I-X"),
        (IOB1_SENTENCES, "S-X", "IOB1", "B-X"),
        ("a B-X\nb E-X\nc S-Y\n\n" * 19, "L-X", "BIOES", "E-X"),
        ("a B-X\nb M-X\nc E-X\n\n" * 19, "I-X", "BMES", "M-X"),
    ],
)
def test_a_stray_tag_of_another_scheme_is_an_error_and_no_sign_of_that_scheme(
    text: str, stray: str, scheme: str, meant: str, tmp_path: Path
) -> None:
    path = save(tmp_path, text + f"e {stray}\n")
    line = text.count("\n") + 1
    with pytest.raises(DataError) as caught:
        list(read(path))
    told, article = str(caught.value), "an" if scheme == "IOB1" else "a"
    assert told.startswith(
        f"{path}:{line}: {stray!r} is not {article} {scheme} tag; expected O or B-, "
    )
    assert told.endswith(f"; did you mean {meant!r}? tag_map: {{{stray!r}: {meant!r}}}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # it begins a sentence, where it may not stand
        found = list(read(path, tag_map={stray: meant}))
    assert found[-1].spans == SCHEMES[scheme].decode([meant])


def test_bioes_is_told_by_a_tenth_of_its_tags(tmp_path: Path) -> None:
    """Two files of different schemes in one, and a scheme that marks single tokens alone."""
    path = save(tmp_path, BIO_SENTENCES + "a B-X\nb E-X\n\n" * 6)
    with pytest.warns(DataWarning, match="repaired 38 tags that BIOES does not allow"):
        found = list(read(path))
    assert [one.spans for one in found[:19]] == [(Span(0, 2, "X"), Span(3, 4, "Y"))] * 19
    path = save(tmp_path, "a B-X\nb I-X\nc O\n\n" * 30 + "d S-X\n")
    assert detect_scheme(path).scheme.name == "BIOES"
    with pytest.warns(DataWarning, match="repaired 30 tags"):
        list(read(path))


def test_the_scheme_can_be_given(tmp_path: Path) -> None:
    path = save(tmp_path, "a I-X\nb I-X\nc O\n")
    assert detect_scheme(path).scheme.name == "IOB1"
    with pytest.warns(DataWarning, match="repaired 1 tag that BIO does not allow"):
        found = list(read(path, scheme="BIO"))
    assert found[0].spans == (Span(0, 2, "X"),)
    path = save(tmp_path, "a S-X\n")
    with pytest.raises(
        DataError, match=r"x\.conll:1: 'S-X' is not a BIO tag; expected O or B-, I-"
    ):
        list(read(path, scheme="IOB2"))


def test_one_warning_counts_the_repairs_and_shows_three(tmp_path: Path) -> None:
    path = save(tmp_path, "a B-X\nb O\n\n" * 9 + "c I-X\nd O\n\n" * 5)
    with pytest.warns(DataWarning) as told:
        list(read(path))
    assert [str(one.message) for one in told] == [
        f"{path}: repaired 5 tags that BIO does not allow there, as conlleval does: "
        "line 28 ('I-X' after the start), line 31 ('I-X' after the start), "
        "line 34 ('I-X' after the start), ..."
    ]


def test_a_span_that_does_not_end_is_a_repair_too(tmp_path: Path) -> None:
    path = save(tmp_path, "a S-X\nb B-X\n")
    with pytest.warns(DataWarning, match=r"repaired 1 tag .* line 2 \(the end after 'B-X'\)"):
        (sentence,) = read(path)
    assert sentence.spans == (Span(0, 1, "X"), Span(1, 2, "X"))


def test_detection_says_how_sure_it_is(tmp_path: Path) -> None:
    found = detect_scheme(save(tmp_path, "a I-X\nb O\nc I-X\nd O\ne I-X\nf O\ng B-X\n"))
    assert (found.scheme.name, found.support) == ("IOB1", 0.75)
    assert found.tags == {"I-X": 3, "B-X": 1, "O": 3}
    found = detect_scheme(save(tmp_path, "a O\n"))
    assert (found.scheme.name, found.support) == ("BIO", 1.0)


def test_missing_annotation_is_not_outside(tmp_path: Path) -> None:
    path = save(tmp_path, "a B-X\nb _\nc I-X\nd O\n\ne _\nf _\n\ng O\n")
    partly, never, empty = read(path)
    assert partly.spans == (Span(0, 1, "X"), Span(2, 3, "X"))
    assert partly.unknown == {1}
    assert never.spans is None
    assert never.unknown == frozenset()
    assert empty.spans == ()
    assert spelled([never, empty], separator=" ") == "e _\nf _\n\ng O\n\n"
    path = save(tmp_path, "a B-X\nb -\n")
    (sentence,) = read(path, missing="-")
    assert sentence.unknown == {1}


def test_files_without_tags_have_no_spans(tmp_path: Path) -> None:
    path = save(tmp_path, "EU NNP\nrejects VBZ\n")
    (sentence,) = read(path, tagged=False)
    assert sentence.spans is None
    assert sentence.columns == {"column2": ("NNP", "VBZ")}
    assert spelled([sentence]) == "EU NNP\nrejects VBZ\n\n"


def test_predictions_are_added_as_the_last_column(tmp_path: Path) -> None:
    (sentence,) = read(save(tmp_path, "EU NNP\nrejects VBZ\n"), tagged=False)
    predicted = replace(sentence, spans=(Span(0, 1, "ORG"),))
    assert spelled([predicted]) == "EU NNP B-ORG\nrejects VBZ O\n\n"


# documents


def test_documents_are_kept_with_their_sentences(tmp_path: Path) -> None:
    path = save(tmp_path, "before O\n\n-DOCSTART- (1 EU)\n\na O\n\nb O\n\n-DOCSTART- -X- O\nc O\n")
    before, a, b, c = read(path)
    assert before.document is None
    assert a.document is b.document
    assert a.document is not None
    assert c.document is not None
    assert (a.document.id, a.document.tokens) == ("(1 EU)", (("a",), ("b",)))
    assert (c.document.id, c.document.tokens) == ("", (("c",),))
    assert [one.position for one in (a, b, c)] == [0, 1, 0]
    assert [one.line for one in (before, a, b, c)] == [1, 5, 7, 10]


def test_comments_begin_no_document(tmp_path: Path) -> None:
    text = "-DOCSTART- x\n\n# one\na O\n# two\nb O\n\n# three\n\nc O\n"
    ab, c = read(save(tmp_path, text), comment_prefix="#")
    assert ab.tokens == ("a", "b")
    assert ab.document is c.document is not None
    assert (c.document.id, ab.position, c.position) == ("x", 0, 1)


def test_a_flag_in_the_last_column_ends_a_sentence(tmp_path: Path) -> None:
    path = save(tmp_path, "a O _\nb O No|End\nc O End\nd O NoEnd\ne O End|No\n\nf O _\n")
    found = read(path, tag_column=1, sentence_end="End")
    assert [one.tokens for one in found] == [("a", "b"), ("c",), ("d", "e"), ("f",)]


@pytest.mark.parametrize("filling", ["-X- -X- O", "X X O", "O O O", "_ _ _", "- -", "-DOCSTART-"])
def test_what_fills_a_boundary_line_is_no_name(filling: str, tmp_path: Path) -> None:
    (sentence,) = read(save(tmp_path, f"-DOCSTART- {filling}\n\na O\n"))
    assert sentence.document is not None
    assert sentence.document.id == ""


def test_a_boundary_has_as_many_columns_as_the_tokens(tmp_path: Path) -> None:
    (bare,) = in_document([Sentence(("a",))], "")
    assert spelled([replace(bare, spans=())]) == "-DOCSTART-\tO\n\na\tO\n\n"
    column = list(read(save(tmp_path, "-DOCSTART-\n\na\n"), tagged=False))
    assert spelled(column) == "-DOCSTART-\n\na\n\n"


def test_a_long_document_is_given_in_parts_and_written_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "DOCUMENT_TOKENS", 4)
    text = "-DOCSTART- O\n\n" + "".join(f"a{number} O\nb O\n\n" for number in range(5))
    found = list(read(save(tmp_path, text)))
    assert [one.tokens[0] for one in found] == [f"a{number}" for number in range(5)]
    assert [one.position for one in found] == [0, 1, 0, 1, 0]
    assert len({id(one.document) for one in found}) == 3
    assert spelled(found) == text


def test_copies_of_a_document_are_one_document() -> None:
    given = in_document([Sentence(("a",), ()), Sentence(("b",), ())], "x")
    copies = [pickle.loads(pickle.dumps(one)) for one in given]
    assert spelled(copies) == spelled(given) == "-DOCSTART-\tx\n\na\tO\n\nb\tO\n\n"


def test_a_sentence_survives_pickling_with_its_layout(tmp_path: Path) -> None:
    (sentence,) = read(save(tmp_path, "EU NNP S-ORG\n"))
    copy = pickle.loads(pickle.dumps(sentence))
    assert spelled([copy]) == "EU NNP S-ORG\n\n"


# streams


def test_a_large_file_is_read_as_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "-DOCSTART- O\n\na B-X\nb I-X\n\nc O\n\n-DOCSTART- O\n\nd B-Y\n\n"
    path = save(tmp_path, text)
    held = list(read(path))
    monkeypatch.setattr(conll, "HELD", 1)
    assert list(read(path)) == held
    assert spelled(held) == text
    reader = Reader(path)
    assert reader.scheme.name == "BIO"
    assert not reader._held  # what is large stays on the disk


def test_a_reader_can_be_read_again(tmp_path: Path) -> None:
    reader = Reader(save(tmp_path, "a B-X\n\nb O\n"))
    assert list(reader) == list(reader)
    assert reader.scheme.name == "BIO"
    broken = Reader(save(tmp_path, "a B-X\nb Q\n"))
    for _ in range(2):
        with pytest.raises(DataError, match=r"x\.conll:2: 'Q' is not a tag"):
            list(broken)


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (Sentence(("a", ""), ()), "a token is empty"),
        (Sentence((), ()), "has no tokens"),
        (Sentence(("a", "b"), (Span(0, 1, "X"), Span(1, 2, ""))), "a label is empty"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(sentence: Sentence, said: str) -> None:
    with pytest.raises(DataError, match=said):
        spelled([sentence])


def test_a_column_that_does_not_fit_its_tokens_is_not_cut_short() -> None:
    for fields in (("1",), ("1", "2", "3")):
        with pytest.raises(
            ValueError, match=rf"column 'x' needs a value per token \(2\), got {len(fields)}"
        ):
            spelled([Sentence(("a", "b"), (), columns={"x": fields})])


@pytest.mark.parametrize("text", ["a\tX\nb\tX\n\n", "a X\nb X\n\n", "X\tX\n\n"])
def test_columns_are_parted_as_they_were(text: str, tmp_path: Path) -> None:
    assert spelled(list(read(save(tmp_path, text), tagged=False))) == text


def test_nothing_is_given_of_a_file_with_a_bad_line(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        next(read(save(tmp_path, "a O\n\n" * 10_000 + "b\n")))


def test_standard_input_is_read_twice_as_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"a I-X\n\nb I-X\nc X\n")

    monkeypatch.setattr("sys.stdin", Stdin)
    with pytest.raises(DataError, match=r"^standard input:4: 'X' is not a tag"):
        list(ner.read("-"))
    Stdin.buffer = io.BytesIO(b"a I-X\n\nb I-X\n")
    assert [one.spans for one in ner.read("-")] == [(Span(0, 1, "X"),)] * 2


def test_standard_input_without_tags_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trickle(io.RawIOBase):
        given = iter([b"a\nb\n\n", b"c\n"])

        def readable(self) -> bool:
            return True

        def read1(self, size: int) -> bytes:
            return next(self.given, b"")

    class Stdin:
        buffer = Trickle()

    monkeypatch.setattr("sys.stdin", Stdin)
    stream = ner.read("-", tagged=False)
    assert next(stream).tokens == ("a", "b")
    assert next(Trickle.given) == b"c\n"  # still there when the first sentence was
