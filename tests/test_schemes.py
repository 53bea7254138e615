"""Tagging schemes: spans to tags and back, repairs, and which tag may follow which."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from strategies import LABELS, spans

from ner.schemes import ALIASES, OUTSIDE, SCHEMES, Role, Scheme, outermost, scheme_named
from ner.sentence import Span

ALL = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def conlleval(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """The chunks of IOB1 or BIO tags by the rules of the shared task's Perl script."""
    chunks, start, kind = [], 0, ""
    before_tag, before_kind = "O", ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, label = tag.partition("-")
        ended = before_tag in ("B", "I") and (prefix in ("B", "O") or before_kind != label)
        started = prefix == "B" or (prefix == "I" and (before_tag == "O" or before_kind != label))
        if ended and kind:
            chunks.append((start, place, kind))
            kind = ""
        if started:
            start, kind = place, label
        before_tag, before_kind = prefix, label
    return chunks


@ALL
@given(data=st.data())
def test_reading_what_was_written_gives_the_same_spans(scheme: Scheme, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, 12))
    drawn = data.draw(spans(length))
    tags = scheme.encode(drawn, length)
    assert len(tags) == length
    assert scheme.decode(tags) == drawn


@ALL
@given(data=st.data())
def test_what_is_written_is_legal(scheme: Scheme, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, 12))
    tags = scheme.encode(data.draw(spans(length)), length)
    for before, after in itertools.pairwise((OUTSIDE, *tags, OUTSIDE)):
        assert scheme.allows(before, after)


@pytest.mark.parametrize("scheme", [SCHEMES[name] for name in ("BIO", "BIOES", "BILOU", "BMES")])
def test_a_sequence_is_legal_exactly_if_it_is_how_its_spans_are_written(scheme: Scheme) -> None:
    for tags in itertools.product(scheme.tags(("X", "Y")), repeat=3):
        legal = all(map(scheme.allows, (OUTSIDE, *tags), (*tags, OUTSIDE)))
        assert legal == (scheme.encode(scheme.decode(tags), 3) == tags), tags


def test_every_sequence_of_iob1_is_legal() -> None:
    tags = SCHEMES["IOB1"].tags(("X", "Y"))
    assert all(SCHEMES["IOB1"].allows(*pair) for pair in itertools.product(tags, repeat=2))


@pytest.mark.parametrize("name", ["IOB1", "BIO"])
def test_ill_formed_tags_are_repaired_as_conlleval_does(name: str) -> None:
    tags = SCHEMES[name].tags(("X", "Y"))
    for sequence in itertools.product(tags, repeat=4):
        found = [(span.start, span.end, span.label) for span in SCHEMES[name].decode(sequence)]
        assert found == conlleval(sequence), sequence


@given(st.lists(st.sampled_from(SCHEMES["BIOES"].tags(("X", "Y-Z"))), max_size=12))
def test_tags_are_read_as_seqeval_reads_them(tags: list[str]) -> None:
    found = [(span.label, span.start, span.end - 1) for span in SCHEMES["BIOES"].decode(tags)]
    assert found == get_entities(tags)


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("IOB1", "I-X I-X B-X I-X O I-Y"),
        ("BIO", "B-X I-X B-X I-X O B-Y"),
        ("BIOES", "B-X E-X B-X E-X O S-Y"),
        ("BILOU", "B-X L-X B-X L-X O U-Y"),
        ("BMES", "B-X E-X B-X E-X O S-Y"),
    ],
)
def test_each_scheme_spells_the_same_spans(name: str, tags: str) -> None:
    found = (Span(0, 2, "X"), Span(2, 4, "X"), Span(5, 6, "Y"))
    assert SCHEMES[name].encode(found, 6) == tuple(tags.split())
    assert SCHEMES[name].decode(tags.split()) == found


def test_long_spans_have_inner_tags() -> None:
    inner = {name: scheme.encode([Span(0, 4, "X")], 4)[1] for name, scheme in SCHEMES.items()}
    assert inner == {"IOB1": "I-X", "BIO": "I-X", "BIOES": "I-X", "BILOU": "I-X", "BMES": "M-X"}


def test_the_label_is_all_that_follows_the_first_hyphen() -> None:
    assert SCHEMES["BIO"].decode(["B-creative-work", "I-creative-work"]) == (
        Span(0, 2, "creative-work"),
    )


def test_tags_without_a_label_have_the_label_underscore() -> None:
    assert SCHEMES["BIO"].decode(["B", "I", "O"]) == (Span(0, 2, "_"),)


def test_a_label_may_be_called_like_the_outside_tag() -> None:
    assert SCHEMES["BIO"].decode(["B-O", "I-O", "O"]) == (Span(0, 2, "O"),)


@ALL
def test_tags_of_labels_begin_with_outside_and_are_all_read(scheme: Scheme) -> None:
    tags = scheme.tags(LABELS)
    assert tags[0] == OUTSIDE
    assert len(set(tags)) == len(tags) == 1 + len(scheme.roles) * len(LABELS)
    assert all(scheme.read(tag)[1] in LABELS for tag in tags[1:])
    assert scheme.read(OUTSIDE)[1] == ""


@pytest.mark.parametrize("tag", ["X-PER", "o", "0", "PER", "", "-", "B-", "b-PER", "BPER"])
def test_what_is_no_tag_is_refused_by_name(tag: str) -> None:
    with pytest.raises(ValueError, match="is not a BIO tag; its prefixes are B, I"):
        SCHEMES["BIO"].decode(["O", tag])


def test_a_text_is_no_list_of_tags_or_labels() -> None:
    with pytest.raises(TypeError, match="a tag for each token, got the string 'BIO'"):
        SCHEMES["BIO"].decode("BIO")
    with pytest.raises(TypeError, match="a list of labels, got the string 'PER'"):
        SCHEMES["BIO"].tags("PER")


def test_many_different_tags_do_not_pile_up() -> None:
    scheme = SCHEMES["BIO"]
    for number in range(25_000):
        scheme.read(f"B-{number}")
    assert len(scheme._read) <= 10_000


@ALL
def test_spans_that_overlap_or_end_beyond_the_sentence_are_refused(scheme: Scheme) -> None:
    with pytest.raises(ValueError, match="overlaps another span"):
        scheme.encode([Span(0, 2, "X"), Span(1, 3, "Y")], 4)
    with pytest.raises(ValueError, match="ends beyond its sentence, which has 2 tokens"):
        scheme.encode([Span(0, 3, "X")], 2)


@given(st.lists(st.builds(Span, st.integers(0, 3), st.integers(4, 9), st.just("X")), max_size=6))
def test_the_outermost_spans_do_not_overlap_and_cover_every_other(drawn: list[Span]) -> None:
    kept = outermost(drawn)
    assert set(kept) <= set(drawn)
    assert all(one.end <= other.start for one, other in itertools.pairwise(kept))
    assert all(any(span.start < one.end and one.start < span.end for one in kept) for span in drawn)


def test_of_nested_spans_the_outer_one_is_kept() -> None:
    nested = [Span(1, 2, "LOC"), Span(0, 3, "ORG"), Span(4, 5, "PER")]
    assert outermost(nested) == (Span(0, 3, "ORG"), Span(4, 5, "PER"))


def test_schemes_have_other_names() -> None:
    assert {name: scheme_named(name).name for name in ALIASES} == ALIASES
    told = ["BIO", "BIO", "BIOES", "BILOU", "BMES"]
    assert [ALIASES[name] for name in ("IOB2", "IOB", "IOBES", "BILUO", "BMESO")] == told
    assert scheme_named("bioes") is SCHEMES["BIOES"]
    with pytest.raises(ValueError, match="no scheme is called 'BIOX'; there are IOB1, BIO"):
        scheme_named("BIOX")


def test_a_scheme_is_its_name_and_roles_whatever_it_has_read() -> None:
    used = Scheme("BIO", SCHEMES["BIO"].roles)
    fresh = Scheme("BIO", SCHEMES["BIO"].roles)
    used.decode(["B-X", "I-X"])
    assert used == fresh
    assert repr(used) == repr(fresh)
    with pytest.raises(TypeError):
        Scheme("BIO", SCHEMES["BIO"].roles, {})  # type: ignore[call-arg]


def test_spans_that_need_no_end_are_prolonged_by_their_inner_tag() -> None:
    scheme = Scheme("BIE", {"B": Role(True, None), "I": Role(False, None), "E": Role(False, True)})
    assert scheme.decode(["B-X", "I-X"]) == (Span(0, 2, "X"),)
    assert scheme.spelling(["X"])["prolonging"] == [scheme.tags(["X"]).index("I-X")]


@pytest.mark.parametrize("name", ["BIO", "BIOES", "BILOU", "BMES"])
def test_the_spelling_of_spans_is_how_they_are_written(name: str) -> None:
    scheme, labels = SCHEMES[name], ("X", "Y")
    tags, spelled = scheme.tags(labels), scheme.spelling(labels)
    for number, label in enumerate(labels):
        said = {place: tags[numbers[number]] for place, numbers in spelled.items()}
        assert (said["single"],) == scheme.encode([Span(0, 1, label)], 1)
        longer = said["first"], said["inside"], said["inside"], said["last"]
        assert longer == scheme.encode([Span(0, 4, label)], 4)
        if name == "BIO":
            assert said["prolonging"] == f"I-{label}"
        else:
            assert spelled["prolonging"][number] == -1
