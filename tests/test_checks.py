"""What a corpus is like, and what is wrong with it."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ner
from ner.checks import KINDS, CorpusReport, check
from ner.checks.characters import mended, mixed, oddities
from ner.checks.sources import ANY
from ner.checks.tables import Known, Mentions, Place, Seekers, Sentences
from ner.schemes import SCHEMES

# Nine sentences in which nothing is wrong, and which make Berlin an entity nine times.
GOOD = "".join(
    f"{who} B-PER\nflew O\nto O\nBerlin B-LOC\n{when} O\n. O\n\n"
    for who, when in zip(
        ["Ada", "Obi", "Eve", "Ivo", "Ute", "Kai", "Lea", "Max", "Zoe"],
        ["today", "then", "twice", "late", "alone", "again", "once", "soon", "early"],
        strict=True,
    )
)

# What is planted, with the kind of finding it must give, and on which of its lines.
FAULTS: list[tuple[str, str, int]] = [
    ("Ada B-PER\nsang B-VP O\nwell O\n", "bad-line", 2),
    ("Ada\nsang O\nloud O\n", "bad-line", 1),
    ("Ada X-PER\nsang O\nsoftly O\n", "bad-tag", 1),
    ("Ada B-PER\nsang o\nbadly O\n", "bad-tag", 2),
    ("Ada PER\nsang O\nhigh O\n", "bad-tag", 1),
    ("Obi B-PER\nwho 0\nsang O\n", "bad-tag", 2),
    ("Then O\nAda I-PER\nsang O\n", "illegal-tag", 2),
    ("Ivo B-PER\nMann I-LOC\nsang O\n", "illegal-tag", 2),
    ("Ute B-per\nsang O\nlow O\n", "label-case", 1),
    ("Rome B-GEO\nfell O\n. O\n", "rare-label", 1),
    ("Kai B-LOC\nsang O\nlong O\n", "label-conflict", 1),
    ("They O\nsaw O\nBerlin O\n", "suspicious-o", 3),
    ("Ada B-PER\nflew O\nto O\nBerlin B-LOC\ntoday O\n. O\n", "duplicate", 1),
    ("Obi B-PER\nflew O\nto O\nBerlin B-ORG\nthen O\n. O\n", "annotation-conflict", 1),
    ("\ufeffHe O\nsang O\nthere O\n", "odd-character", 1),
    ("He O\nsa\u200bng O\nhere O\n", "odd-character", 2),
    ("He O\nsang O\nno\u0007w O\n", "odd-character", 3),
    ("He O\nsa\u00adng O\nmuch O\n", "odd-character", 2),
    ("He O\nsa\ufffdng O\nmore O\n", "odd-character", 2),
    ("He O\ndid O\u00a0O\n", "bad-tag", 2),
    ("He O\nsaid O\nno\u00a0more O\n", "odd-character", 3),
    ("He O\nsaid\u2028so O\nthen O\n", "odd-character", 2),
    ("He O\nsaid\u200e O\nboth O\n", "odd-character", 2),
    ("He O\nate O\nfish&amp;chips O\n", "odd-character", 3),
    ("MÃ¼ller B-PER\nate O\nit O\n", "mojibake", 1),
    ("Лea B-PER\nate O\nlittle O\n", "mixed-script", 1),
    ("Lea B-PER\nate O\nсake O\n", "mixed-script", 3),
    ("He O\nwas O\n" + "x" * 80 + " O\n", "long-token", 3),
    ("".join(f"w{n} O\n" for n in range(300)), "long-sentence", 1),
    ("Max B-PER\n, I-PER\nslept O\n", "punctuation-edge", 1),
    ('" B-PER\nEve I-PER\nslept O\n', "punctuation-edge", 1),
    ("He O\nate O\ncafe\u0301 O\n", "unnormalised", 3),
    ("He O\ndrank O\n\ue000 O\n", "odd-character", 3),
]


def save(folder: Path, text: str, name: str = "x.conll") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def places(report: CorpusReport, kind: str) -> set[int]:
    return {finding.line for finding in report.findings.of(kind)}


def test_every_planted_fault_is_found_on_its_line_in_one_run(tmp_path: Path) -> None:
    text, expected = GOOD, set()
    for fault, kind, line in FAULTS:
        expected.add((kind, text.count("\n") + line))
        text += fault + "\n"
    raw = text.encode() + b"He O\nsang O\nl\xe9ger O\n"
    expected.add(("bad-line", raw.count(b"\n")))
    path = tmp_path / "x.conll"
    path.write_bytes(raw)
    report = check(path)
    found = {(one.kind, one.line) for one in report.findings if one.path == str(path)}
    assert not expected - found
    assert len(expected) >= 30
    assert report.status == 1


def test_nothing_wrong_is_nothing_found(tmp_path: Path) -> None:
    report = check(save(tmp_path, GOOD))
    assert list(report.findings) == []
    assert report.status == 0


def test_the_facts_of_a_file(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O\n\nAda NNP B-PER\nsang VBD O\n\n-DOCSTART- -X- O\n\nRome NNP B-LOC\n"
    (facts,) = check(save(tmp_path, text)).to_dict()["files"]
    assert facts == {
        "path": str(tmp_path / "x.conll"),
        "format": "conll",
        "columns": ["token", "column2", "tag"],
        "scheme": "BIO",
        "scheme_support": 1.0,
        "documents": 2,
        "sentences": 2,
        "tokens": 3,
        "unannotated_tokens": 0,
        "unannotated_sentences": 0,
        "spans": 2,
        "spans_per_thousand_tokens": 2000 / 3,
        "labels": {"PER": 1, "LOC": 1},
        "longest_sentence": 2,
        "duplicates": 0,
    }


def test_later_files_are_compared_with_earlier_ones(tmp_path: Path) -> None:
    train = save(tmp_path, "Ada B-PER\nsang O\n\nOld B-LOC\nYork I-LOC\nfell O\n", "train.conll")
    test = save(
        tmp_path,
        "Ada B-PER\nsang O\n\nAda B-PER\nsang O\n\nOld B-PER\nAda I-PER\n\nNew B-LOC\nYork I-LOC\n",
        "test.conll",
    )
    report = check([train, test])
    (overlap,) = report.to_dict()["overlaps"]
    assert overlap == {
        "file": str(test),
        "against": str(train),
        "sentences": 2,
        "sentences_share": 0.5,
        "mentions": 4,
        "unseen": 2,
        "unseen_share": 0.5,
        "out_of_vocabulary": 1,
        "out_of_vocabulary_share": 0.25,
    }
    assert [str(one) for one in report.findings.of("leak")] == [
        f"{test}:1: 'Ada sang', as in {train}:1"
    ]
    assert [one.line for one in report.findings.of("duplicate")] == [4]


def test_what_the_repair_makes_of_illegal_tags_is_said(tmp_path: Path) -> None:
    text = "a O\nb I-PER\nc I-LOC\n\nd B-PER\ne E-PER\n\nf B-LOC\ng O\n\nh S-PER\n\ni B-LOC\n"
    report = check(save(tmp_path, text))
    assert [(one.line, one.message) for one in report.findings.of("illegal-tag")] == [
        (2, "'I-PER' after 'O' is read as 'S-PER'"),
        (3, "'I-LOC' after 'I-PER' is read as 'S-LOC'"),
        (3, "'I-LOC' at the end of the sentence is read as 'S-LOC'"),
        (8, "'B-LOC' before 'O' is read as 'S-LOC'"),
        (13, "'B-LOC' at the end of the sentence is read as 'S-LOC'"),
    ]


def test_a_stray_tag_of_another_scheme_is_a_slip(tmp_path: Path) -> None:
    """One E- among the tags of BIO does not make the file BIOES."""
    report = check(save(tmp_path, GOOD + "a B-PER\nb E-PER\n"))
    assert report.to_dict()["files"][0]["scheme"] == "BIO"
    assert [(one.kind, one.line) for one in report.findings] == [("bad-tag", 65)]


def test_a_file_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    good = save(tmp_path, GOOD)
    wide = tmp_path / "wide.conll"
    wide.write_bytes("Ada B-PER\n".encode("utf-16"))
    empty = save(tmp_path, "\n", "empty.conll")
    report = check([tmp_path / "missing.conll", tmp_path / "no.spacy", wide, empty, good])
    assert [facts.sentences for facts in report.files][-1] == 9
    assert {Path(one.path).name for one in report.findings.of("unreadable")} == {
        "missing.conll",
        "no.spacy",
        "wide.conll",
        "empty.conll",
    }
    assert report.status == 2


def test_a_file_that_breaks_off_gives_what_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.conll.gz"
    text = "".join(f"w{n} O\n\n" for n in range(300_000))
    path.write_bytes(gzip.compress((GOOD + text).encode())[:-100])
    report = check(path)
    assert report.status == 2
    assert report.files[0].sentences > 9
    assert report.to_dict()["files"][0]["scheme"] == "BIO"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_read_from_its_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(GOOD,))
    writer.start()
    report = check(path)
    writer.join()
    assert report.files[0].sentences == 9


def test_a_byte_order_mark_at_the_start_is_told(tmp_path: Path) -> None:
    report = check(save(tmp_path, "\ufeff" + GOOD))
    assert [(one.kind, one.line) for one in report.findings] == [("odd-character", 1)]


def test_unannotated_and_empty_of_entities(tmp_path: Path) -> None:
    report = check([save(tmp_path, "a O\n", "a.conll"), save(tmp_path, "b _\n", "b.conll")])
    assert [one.message for one in report.findings.of("no-entity")] == [
        "the file has no entities",
        "the file is not annotated",
    ]
    assert report.to_dict()["files"][1]["unannotated_tokens"] == 1


def test_json_lines_are_checked_with_their_lines(tmp_path: Path) -> None:
    records = [
        {"text": "Ada left Berliner", "label": [[0, 3, "PER"], [9, 15, "LOC"]]},
        {"text": "Ada left", "label": [[0, 4, "PER"]]},
        {"text": "Bank of Ghana", "label": [[0, 13, "ORG"], [8, 13, "LOC"]]},
        {"tokens": ["a"], "tags": ["I-PER"]},
        {"tokens": ["a", "b"], "tags": ["B-PER", "O"]},
        {"oops": 1},
    ]
    text = "\n".join(map(json.dumps, records))
    report = check(save(tmp_path, text, "x.jsonl"), tokenizer="plain")
    found = [(one.kind, one.line) for one in report.findings]
    assert found == [
        ("bad-line", 6),
        ("illegal-tag", 4),
        ("misaligned", 1),
        ("misaligned", 2),
        ("overlapping", 3),
        ("reader", 0),
    ]
    assert "'Berlin' (9, 15) LOC, nearest tokens 'Berliner': left out" in str(
        report.findings.of("misaligned")[0]
    )


def test_a_folder_of_brat_is_one_corpus_whose_findings_name_their_files(tmp_path: Path) -> None:
    for name, text, annotation in [
        ("a", "Ada sang.\n", "T1\tPER 0 3\tAda\n"),
        ("b", "fine\nAda sang.\n", "T1\tPER 5 8\tAda\nbad\n"),
    ]:
        save(tmp_path, text, f"{name}.txt")
        save(tmp_path, annotation, f"{name}.ann")
    report = check(tmp_path)
    assert [str(one) for one in report.findings.of("duplicate")] == [
        f"{tmp_path / 'b.txt'}:2: 'Ada sang .', as in {tmp_path / 'a.txt'}:1"
    ]
    assert [(one.path, one.line) for one in report.findings.of("bad-line")] == [
        (str(tmp_path / "b.ann"), 2)
    ]
    assert report.files[0].documents == 2


def test_bad_lines_of_a_format_that_tells_them_at_once(tmp_path: Path) -> None:
    good = "1\tAda\t_\t_\t_\t_\t_\t_\t_\tNER=B-PER\n\n"
    report = check(save(tmp_path, good + "bad\n" * 30, "x.conllu"))
    assert report.status == 1
    (finding,) = report.findings.of("bad-line")
    assert finding.lines == (3, 4, 5)
    assert report.findings.counts["bad-line"] == 30


def test_an_option_that_the_reader_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the conll reader has no option 'colour'; did you mean"):
        check(save(tmp_path, GOOD), colour=1)
    assert check(save(tmp_path, "# x\n" + GOOD), comment_prefix="#").status == 0


def test_a_bad_tag_in_what_looks_like_a_comment_is_told_as_such(tmp_path: Path) -> None:
    [finding] = check(save(tmp_path, "# 12\n" + GOOD)).findings.of("bad-tag")
    assert finding.message.endswith("it looks like a comment; set comment_prefix: '# '")


def test_a_file_read_twice_gives_what_a_file_that_is_held_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, GOOD + "".join(fault + "\n" for fault, _, _ in FAULTS))
    held = check(path).to_dict()
    monkeypatch.setattr("ner.checks.sources.HELD", 10)
    assert check(path).to_dict() == held


def test_tables_that_are_full_say_so_and_grow_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ner.checks.survey.FORMS", 3)
    report = check(save(tmp_path, GOOD))
    assert report.full == ["words"]
    sentences = Sentences(room=2)
    assert [sentences.add((word,), 0, 0, 7, 1) for word in "abc"] == [None] * 3
    assert sentences.full
    assert sentences.add(("c",), 0, 0, 7, 2) is None
    seen = sentences.add(("b",), 1, 3, 8, 2)
    assert seen
    assert (seen.name, seen.line, seen.files, seen.same) == (7, 1, 0b1, False)
    again = sentences.add(("b",), 0, 3, 8, 2)
    assert again
    assert (again.files, again.same) == (0b1001, True)
    known = Known(1)
    assert [known.add(word, 1) for word in "aab"] == [["a"], [], ["b"]]
    assert known.full
    assert known.add("a", 2) == ["a"]
    assert known.files("a") == 3
    mentions = Mentions(1)
    mentions.add(("a",), "X", Place("x", 1))
    mentions.add(("b",), "X", Place("x", 1))
    assert list(mentions.counted(1)) == [(("a",), 1)]


def test_seekers_find_the_longest_forms_from_left_to_right() -> None:
    seekers = Seekers([("New", "York"), ("York",), ("New", "York", "City")])
    tokens = ("York", "New", "York", "City", "New", "York", "York", "New")
    assert list(seekers.among(tokens)) == [
        (0, ("York",)),
        (1, ("New", "York", "City")),
        (4, ("New", "York")),
        (6, ("York",)),
    ]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@given(data=st.data())
def test_tags_mean_the_same_spans_in_every_scheme_that_has_them(
    scheme: object, data: st.DataObject
) -> None:
    """Which is why spans are known before the scheme is."""
    chosen = next(one for one in SCHEMES.values() if one is scheme)
    tags = data.draw(st.lists(st.sampled_from(chosen.tags(["A", "B"])), max_size=8))
    assert ANY.decode(tags) == chosen.decode(tags)


def kinds(token: str) -> list[str]:
    return [kind for kind, _ in oddities(token)]


@pytest.mark.parametrize(
    "token",
    [
        "Müller",
        "TNFα",
        "SMS-сервис",
        "می\u200cخواهم",
        "👩\u200d🚀",
        "Σπάρτη",
        "naïve",
        "“",
        "&",
        "R&D",
        "東京",
    ],
)
def test_ordinary_tokens_are_not_odd(token: str) -> None:
    assert kinds(token) == []


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("\ufeffAda", "odd-character"),
        ("A\u200bda", "odd-character"),
        ("A\u200dda", "odd-character"),
        ("A\x00", "odd-character"),
        ("a b", "odd-character"),
        (" ", "blank-token"),
        ("\u00a0", "blank-token"),
        ("&#39;s", "odd-character"),
        ("â€™s", "mojibake"),
        ("Ð\u009cÐ¾Ñ\u0081ÐºÐ²Ð°", "odd-character"),
        ("Раris", "mixed-script"),
        ("Αthens", "mixed-script"),
        ("e\u0301", "unnormalised"),
        ("http://" + "x" * 300, "long-token"),
    ],
)
def test_odd_tokens_are_odd(token: str, kind: str) -> None:
    assert kind in kinds(token)


def test_what_mojibake_was_and_which_scripts_are_mixed() -> None:
    assert mended("MÃ¼ller") == "Müller"
    assert mended("Müller") is None
    assert mixed("Раris") == ["Cyrillic", "Latin"]


@given(st.text())
def test_any_text_is_odd_or_not_without_an_error(text: str) -> None:
    assert all(kind in KINDS and message for kind, message in oddities(text))


@given(
    st.lists(
        st.sampled_from(
            ["a", "B-X", "I-X", "E-Y", "O", "_", " ", "\t", "\n", "\ufeff", "-DOCSTART-"]
        )
    )
)
def test_any_file_gives_a_report(parts: Iterable[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = check(save(Path(folder), "".join(parts)))
    json.dumps(report.to_dict(), allow_nan=False)
    assert report.status in (0, 1, 2)


def test_the_facts_of_conll2003(shared: Path) -> None:
    folder = shared / "data/conll2003"
    report = check([folder / "train.txt", folder / "valid.txt", folder / "test.txt"]).to_dict()
    sizes = [
        (one["documents"], one["sentences"], one["tokens"], one["spans"]) for one in report["files"]
    ]
    assert sizes == [
        (946, 14041, 203621, 23499),
        (216, 3250, 51362, 5942),
        (231, 3453, 46435, 5648),
    ]
    (test,) = (
        one
        for one in report["overlaps"]
        if one["against"] == str(folder / "train.txt") and one["file"] == str(folder / "test.txt")
    )
    assert test["sentences"] == 126
    assert round(test["unseen_share"], 3) == 0.460
    assert round(test["out_of_vocabulary_share"], 3) == 0.363
    assert report["errors"] == 0


def test_broken_tags_of_real_files_are_all_told(shared: Path) -> None:
    """enp_DE.sbb.bio holds words, addresses and misspelt tags where tags should be."""
    report = check(shared / "data/europeana_de/enp_DE.sbb.bio")
    assert {"B_PER", "B.PER", "I_ORG"} <= {
        one.message.split("'")[1] for one in report.findings.of("bad-tag")
    }
    assert "the label 'PEr'" in str(report.findings.of("label-case")[0])
    assert report.findings.counts["bad-line"] > 100
    assert report.status == 1


def test_a_thousand_equal_findings_are_one_with_its_first_lines(tmp_path: Path) -> None:
    report = check(save(tmp_path, GOOD + "x q\n\n" * 1000))
    (finding,) = report.findings.of("bad-tag")
    assert (finding.count, report.findings.counts["bad-tag"]) == (1000, 1000)
    first = GOOD.count("\n") + 1
    assert finding.lines == (first, first + 2, first + 4)
    assert str(finding).endswith(f"(1,000 times: lines {first}, {first + 2}, {first + 4}, ...)")


def test_findings_of_a_file_stand_together(tmp_path: Path) -> None:
    one, other = save(tmp_path, "a x\n\nb y\n", "1.conll"), save(tmp_path, "c z\n", "2.conll")
    found = check([one, other, save(tmp_path, "a O\n", "3.conll")]).findings.of("bad-tag")
    assert [finding.path for finding in found] == [str(one), str(one), str(other)]


def test_kinds_that_are_ignored_do_not_count(tmp_path: Path) -> None:
    path = save(tmp_path, GOOD + "x q\n")
    assert check(path).status == 1
    report = check(path, ignore=["bad-tag"])
    assert report.status == 0
    assert "bad-tag" not in report.to_dict()["counts"]
    with pytest.raises(ValueError, match="unknown kind of finding 'bad-tga'; did you mean"):
        check(path, ignore=["bad-tga"])


@pytest.mark.parametrize("label", ["РER", "PER\u200b", "PER\u00a0", "Ρer"])
def test_labels_that_look_alike_are_found(label: str, tmp_path: Path) -> None:
    report = check(save(tmp_path, f"Ada\tB-PER\n\nEve\tB-PER\n\nJoe\tB-{label}\n"))
    (finding,) = report.findings.of("label-alike")
    assert finding.line == 5
    assert "looks like 'PER' (2 times)" in finding.message
    assert "U+" in finding.message


def test_a_word_before_a_quotation_mark_is_no_wrong_encoding(tmp_path: Path) -> None:
    report = check(save(tmp_path, "Landstraß« O\nMENÜ« O\nCAFÉ» O\nÖ» O\nMÃ¼ller B-PER\n"))
    assert places(report, "mojibake") == {5}


def test_words_of_scripts_without_blanks_are_written_without(tmp_path: Path) -> None:
    text = "東 B-LOC\n京 I-LOC\nは O\n\n東 B-ORG\n京 I-ORG\nも O\n"
    (finding,) = check(save(tmp_path, text)).findings.of("label-conflict")
    assert finding.message.startswith("'東京' is ")


def test_sentences_nobody_has_annotated_are_counted(tmp_path: Path) -> None:
    path = save(tmp_path, "Ada B-PER\n\nEve _\nran _\n\nJoe B-PER\n")
    report = check(path)
    assert report.to_dict()["files"][0]["unannotated_sentences"] == 1
    (finding,) = report.findings.of("unannotated")
    assert finding.message == "1 of 3 sentences are not annotated"


def test_what_training_refuses_is_an_error_here_too(tmp_path: Path) -> None:
    path = save(tmp_path, "Ada\tB-PER\n\tO\n")
    with pytest.raises(ValueError, match="the token is empty"):
        list(ner.read(path))
    report = check(path)
    assert (report.status, places(report, "bad-line")) == (1, {2})


def test_a_file_that_cannot_be_read_is_compared_with_none(tmp_path: Path) -> None:
    good, other = save(tmp_path, GOOD), save(tmp_path, GOOD, "y.conll")
    broken = tmp_path / "broken.conll.gz"
    broken.write_bytes(gzip.compress(GOOD.encode() * 99)[:-9])
    report = check([good, broken, other])
    assert report.status == 2
    assert {one["against"] for one in report.to_dict()["overlaps"]} == {str(good)}


def test_a_file_given_twice_is_checked_once(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text("Ada B-PER\nleft O\n\nEve B-PER\nran O\n")
    report = check([path, tmp_path / "." / "x.conll"])
    assert [facts.sentences for facts in report.files] == [2]
    assert [str(one) for one in report.findings.of("reader")] == [
        f"{path}: given more than once; checked once"
    ]
    assert not report.findings.counts["leak"]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("Ada PERSON\nleft O\nRome place\nx O\n\n" * 3, "set scheme: IO"),
        ("word tag\nAda B-PER\nleft O\n" + "x O\n" * 9, "set header: true"),
        ("Ada B-PER x\nleft O y\nx O z\n\n" * 3, "set tag_column: 1"),
        ("en:Ada B-PER\nen:left O\nen:x O\n", "set token_prefix: 'en:'"),
        ("a B-X B-Y\nb O O\nc B-Z O\nd O B-X\n", "to read another, set tag_column"),
    ],
)
def test_check_gives_the_advice_of_the_reader(text: str, advice: str, tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text(text)
    found = [one.message for one in check([path]).findings.of("reader")]
    assert any(advice in one for one in found), found
