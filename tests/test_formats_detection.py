"""The scheme of a file, told from its tags."""

import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ner
from ner.errors import DataError, DataWarning
from ner.formats.detection import Repairs, TagCounts, complaint, is_tag
from ner.schemes import OUTSIDE, SCHEMES
from ner.sentence import Span


def counted(*sentences, missing=None):
    counts = TagCounts(missing)
    for tags in sentences:
        counts.add(tags.split())
    return counts


@pytest.mark.parametrize(
    ("sentences", "name"),
    [
        (["O"], "BIO"),
        (["B-A I-A O", "O B-B"], "BIO"),
        (["I-A I-A O", "O I-B"], "IOB1"),
        (["I-A B-A O", "O I-B"], "IOB1"),
        (["I-A O B-A", "B-A"], "BIO"),  # more are opened by B- than by I-
        (["I-A", "B-A"], "BIO"),  # as many of either
        (["I-A O", "I-A B-A", "B-A"], "IOB1"),  # B- right after its own label tells nothing
        (["I-A O", "I-A B-B", "B-A"], "BIO"),
        (["E-A", "E-A", "L-A"], "BIOES"),
        (["E-A", "L-A", "U-B"], "BILOU"),
        (["S-A", "S-A", "U-B"], "BIOES"),
        (["B-A E-A O", "S-B"], "BIOES"),
        (["S-A O"], "BIOES"),
        (["B-A L-A O", "U-B"], "BILOU"),
        (["U-A O"], "BILOU"),
        (["B-A M-A E-A O", "S-B"], "BMES"),
        (["B-A I-A E-A"], "BIOES"),
        (["B-A I-A L-A"], "BILOU"),
        (["B-A O"] * 11 + ["S-A"], "BIO"),  # one stray S- among eleven plain spans
        (["B-A O"] * 10 + ["S-A"], "BIOES"),
    ],
)
def test_the_scheme_is_told(sentences, name):
    assert counted(*sentences).detect().scheme.name == name


@settings(max_examples=80)
@given(
    st.sampled_from(sorted(SCHEMES)),
    st.lists(
        st.lists(st.tuples(st.integers(1, 3), st.sampled_from("AB"), st.booleans()), max_size=4),
        min_size=1,
        max_size=5,
    ),
)
def test_what_a_scheme_writes_is_legal_in_it_and_in_the_one_detected(name, texts):
    counts = TagCounts()
    for pieces in texts:
        spans, place = [], 0
        for length, label, gap in pieces:
            spans.append(Span(place, place + length, label))
            place += length + gap
        counts.add(SCHEMES[name].encode(spans, place))
    assert counts.detect(SCHEMES[name]).illegal == 0
    assert counts.sentences == len(texts)
    found = counts.detect()
    assert found.illegal == 0
    assert found.support == 1.0


@pytest.mark.parametrize("closed", ["B-A", "B-A O", "B-A B-B", "B-A I-B"])
def test_spans_closed_by_no_end_tell_against_a_stray_end(closed):
    """Whether nothing, a span of their label or one of another comes next."""
    tags = " ".join([closed] * 30)
    assert counted(tags, "E-A").detect().scheme.name == "BIO"
    assert counted(" ".join(["B-A I-A E-A"] * 30), "E-A").detect().scheme.name == "BIOES"


def test_spans_of_several_tokens_closed_by_no_end_tell_against_a_stray_end():
    """Of BIO, though their first tags alone would say nothing."""
    assert counted(*["B-A I-A"] * 30, "B-A E-A").detect().scheme.name == "BIO"
    assert counted(*["B-A I-A"] * 10, "B-A E-A").detect().scheme.name == "BIOES"


@pytest.mark.parametrize(("inner", "name"), [(1, "BMES"), (2, "BIOES")])
def test_what_stands_inside_more_often_tells_bmes_from_bioes(inner, name):
    assert counted(*["B-A I-A E-A"] * inner, "B-A M-A E-A").detect().scheme.name == name


def test_support_is_the_share_that_agrees():
    assert counted("B-A O I-A O B-A O B-A").detect().support == 0.75
    found = counted("B-A O I-A O B-A O B-A").detect(SCHEMES["IOB1"])
    assert (found.scheme.name, found.support) == ("IOB1", 0.25)
    assert counted("B-A E-A O S-A L-A").detect().support == 0.75
    assert counted("O O").detect().support == 1.0


def test_tags_are_counted_as_they_stand_and_illegal_ones_once_each():
    found = counted("I-A O B-A I-B", "O I-A", "").detect(SCHEMES["BIO"])
    assert dict(found.tags) == {"I-A": 2, "O": 2, "B-A": 1, "I-B": 1}
    assert found.illegal == 3
    assert "tags" not in repr(found)


def test_missing_annotation_tells_nothing():
    counts = counted("? I-A ? B-A O", "B-A ? ?", missing="?")
    assert counts.detect().scheme.name == "BIO"
    assert counts.illegal_pairs(SCHEMES["BIO"]) == frozenset()
    assert counted("I-A ? O", "I-A", missing="?").detect().scheme.name == "IOB1"
    assert counted("B-A ?", "B-A ?", "S-A", missing="?").detect().scheme.name == "BIOES"


def test_repairs_are_told_in_one_warning_with_the_first_places():
    sentences = ["I-A O", "O I-A", "B-A I-B", "I-A", "I-A"]
    counts = counted(*sentences)
    scheme = SCHEMES["BIO"]
    repairs = Repairs("x.conll", counts.detect(scheme), counts.illegal_pairs(scheme))
    for number, tags in enumerate(sentences):
        repairs.note([10 * number + 1, 10 * number + 2], tags.split())
    with pytest.warns(DataWarning) as told:
        repairs.warn()
    assert str(told[0].message) == (
        "x.conll: repaired 5 tags that BIO does not allow there, as conlleval does: "
        "line 1 ('I-A' after the start), line 12 ('I-A' after 'O'), line 22 ('I-B' after 'B-A'), "
        "..."
    )


def test_one_repair_at_the_end_of_a_sentence():
    counts = counted("B-A", "B-A E-A S-A")
    scheme = SCHEMES["BIOES"]
    repairs = Repairs("x", counts.detect(scheme), counts.illegal_pairs(scheme))
    repairs.note([7], ["B-A"])
    with pytest.warns(
        DataWarning, match=r"repaired 1 tag that .*: line 7 \(the end after 'B-A'\)$"
    ):
        repairs.warn()


def test_without_repairs_or_tags_nothing_is_said():
    counts = counted("B-A I-A")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repairs = Repairs("x", counts.detect(), frozenset())
        repairs.note([1, 2], ["I-A", "B-A"])
        repairs.warn()
        Repairs("x", None, frozenset({("O", "I-A")})).warn()


@pytest.mark.parametrize(
    ("tag", "scheme", "said"),
    [
        ("O", None, None),
        ("B", None, None),
        ("B-A", "BIO", None),
        ("I", "BIO", None),
        ("B-", None, "'B-' is not a tag"),
        ("E-A", "BIO", r"'E-A' is not a BIO tag; expected O or B-, I-; did you mean 'I-A'\?"),
        ("S-A", "BIO", r"did you mean 'B-A'\? tag_map: \{'S-A': 'B-A'\}"),
        ("U-A", "BIOES", "did you mean 'S-A'"),
        ("M", "BIOES", "did you mean 'I'"),
        ("0", None, r"'0' is not a tag; did you mean 'O'\?"),
        *((tag, None, "did you mean 'O'") for tag in ("o", "OUT", "Other", "OTHER", "other")),
        *((tag, None, "did you mean 'O'") for tag in ("\u039f", "\u041e")),  # Greek, Cyrillic
        ("b-A", None, "did you mean 'B-A'"),
        ("B_A", None, "did you mean 'B-A'"),
        ("I:A", None, "did you mean 'I-A'"),
        ("B.A", None, "did you mean 'B-A'"),
        ("PER-B", None, "did you mean 'B-PER'"),
        ("PER_I", None, "did you mean 'I-PER'"),
        ("A-B", None, "did you mean 'B-A'"),
        ("PER-Q", None, "set scheme: IO"),
        *((tag, None, "expected O or B-.* U-$") for tag in ("5-x", ".|.|O", "W-LOC", "1", "[x]")),
        ("None", None, "did you mean 'O'"),
        ("?", None, r"if it marks unannotated tokens, set missing: '\?'"),
        ("B\u2013PER", None, "did you mean 'B-PER'"),
        ("\u0412-PER", None, "did you mean 'B-PER'"),
        ("\u0406\u2212PER", None, "did you mean 'I-PER'"),
        (
            "PER",
            None,
            r"did you mean 'B-PER'.*; or 'I-PER', which reads adjacent ones as one entity$",
        ),
        *((tag, None, "set scheme: IO") for tag in ("B_", "-B", "A", "Per", "A1", "person-actor")),
        ("x", None, "expected O or B-, E-, I-, L-, M-, S-, U-; if it is a label without a prefix"),
    ],
)
def test_a_complaint_says_what_may_have_been_meant(tag, scheme, said):
    found = complaint(tag, SCHEMES[scheme] if scheme else None)
    if said is None:
        assert found is None
        assert is_tag(tag, SCHEMES["BIO"])
    else:
        with pytest.raises(ValueError, match=said):
            raise ValueError(found)


def test_which_tags_a_scheme_has():
    bio = SCHEMES["BIO"]
    assert all(is_tag(tag, bio) for tag in (OUTSIDE, "B", "I-x", "B-a-b"))
    assert not any(is_tag(tag, bio) for tag in ("B-", "E-x", "x", "", "O-x"))


def test_a_prefix_alone_is_not_a_tag_of_io(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text("a I-\nb O\n")
    with pytest.raises(DataError, match=r"x\.conll:1: 'I-' is not an IO tag"):
        list(ner.read(path, scheme="IO"))
