"""Files of columns that are not as the reader was told: one line says what to set, and it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ner
from ner.formats import DataError, DataWarning
from ner.sentence import Sentence, Span

ADA = [(("Ada", "Obi", "left"), (Span(0, 2, "PER"),)), (("Rome", "grows"), (Span(0, 1, "LOC"),))]

BLANK = "\t_"
TAGS = [("Ada", "B-PER"), ("Obi", "I-PER"), ("left", "O"), ("Rome", "B-LOC"), ("grows", "O")]

# what stands in the file, what the message says, and the options that it leads to
WRONG: dict[str, tuple[str, str, dict[str, Any]]] = {
    "labels": (
        "Ada\tPERSON\nObi\tPERSON\nleft\tO\n\nRome\tLOCATION\ngrows\tO\n",
        "set scheme: IO",
        {"scheme": "IO"},
    ),
    "labels with hyphens": (
        "Ada\tperson-actor\nObi\tperson-actor\nleft\tO\n\nRome\tlocation-city\ngrows\tO\n",
        "set scheme: IO",
        {"scheme": "IO"},
    ),
    "header": (
        "token\ttag\nAda\tB-PER\nObi\tI-PER\nleft\tO\n\nRome\tB-LOC\ngrows\tO\n",
        "set header: true",
        {"header": True},
    ),
    "tags before their scores": (
        "Ada B-PER 0.9\nObi I-PER 0.8\nleft O 0.7\n\nRome B-LOC 0.1\ngrows O 1.0\n",
        "set tag_column: 1",
        {"tag_column": 1},
    ),
    "tags first": (
        "B-PER Ada\nI-PER Obi\nO left\n\nB-LOC Rome\nO grows\n",
        "set tag_column: 0 and token_column: 1",
        {"tag_column": 0, "token_column": 1},
    ),
    "brackets": (
        "[PER Ada Obi] left\n[LOC Rome] grows\n",
        "this looks like brackets; set the format to brackets",
        {"format": "brackets"},
    ),
    "elements": (
        '<ENAMEX TYPE="PER">Ada Obi</ENAMEX> left\n\n<ENAMEX TYPE="LOC">Rome</ENAMEX> grows\n',
        "this looks like sgml; set the format to sgml",
        {"format": "sgml"},
    ),
    "a treebank": (
        "# x\n"
        + "".join(
            f"{n + 1}\t{word}{BLANK * 7}\tNER={tag}\n" for n, (word, tag) in enumerate(TAGS[:3])
        )
        + "\n"
        + "".join(
            f"{n + 1}\t{word}{BLANK * 7}\tNER={tag}\n" for n, (word, tag) in enumerate(TAGS[3:])
        ),
        "this looks like conllu; set the format to conllu",
        {"format": "conllu"},
    ),
    "sentences on lines": (
        "Ada/B-PER Obi/I-PER left/O\nRome/B-LOC grows/O\n",
        "set the format to slots and separator: '/'",
        {"format": "slots", "separator": "/"},
    ),
    "sentences on lines, with labels": (
        "Ada/PERSON Obi/PERSON left/O\nRome/LOCATION grows/O\n",
        "set the format to slots and separator: '/', and scheme: IO",
        {"format": "slots", "separator": "/", "scheme": "IO"},
    ),
    "several columns of tags": (
        "Ada B-PER O x\nObi I-PER B-GIV y\nleft O O z\n\nRome B-LOC O x\ngrows O O y\n",
        "the columns 1, 2 (counted from 0) hold tags; set tag_column to one of them",
        {"tag_column": 1},
    ),
}


def facts(sentences: Any) -> list[tuple[tuple[str, ...], tuple[Span, ...]]]:
    return [(one.tokens, one.spans or ()) for one in sentences]


def save(folder: Path, text: str) -> Path:
    path = folder / "x.conll"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.filterwarnings("ignore:.*scheme IO")
@pytest.mark.parametrize("kind", WRONG)
def test_one_line_says_what_to_set_and_it_works(kind: str, tmp_path: Path) -> None:
    text, message, options = WRONG[kind]
    path = save(tmp_path, text)
    with pytest.raises(DataError) as caught:
        list(ner.read(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "missing:" not in str(caught.value)
    found = facts(ner.read(path, **options))
    assert [tokens for tokens, _ in found] == [tokens for tokens, _ in ADA]
    assert [[(x.start, x.end) for x in spans] for _, spans in found] == [[(0, 2)], [(0, 1)]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ada\u00a0B-PER\nleft\u00a0O\n", "no-break spaces (U+00A0)"),
        ("Ada x B-Big Name\nleft x O\n", "the label of 'B-Big Name' holds a blank"),
        ("Ada\tB\u2013PER\nleft\tO\nObi\tI\u2013PER\n", "did you mean 'B-PER'"),
        ("###MEDLINE:1\n\nAda\tB-PER\nleft\tO\n", "set comment_prefix: '###MEDLINE:'"),
        ("Ada B-PER\n\tO\nleft O\n", "the token is empty; restore it, if it was a blank"),
        ("Ada|B_PER\nleft|O\n\nBo|B_PER\n", "x.conll:1: columns are separated by '|'; replace it"),
        ("Ada|NNP|I-PER left|VBD|O\n\nBo|NNP|I-PER\n", "write one token a line"),
        ("Ada BPER\nObi IPER\nleft O\n", "no hyphen after their prefix ('BPER', 'IPER')"),
        ("Ada B_PER\nObi I_PER\nleft O\n", "did you mean 'B-PER'?"),
        ("Ada PER-B\nObi PER-I\nleft O\n", "did you mean 'B-PER'?"),
        ("Ada -\nObi B-PER\n", "(if it means O, tag_map: {'-': 'O'}; if it marks unannotated"),
    ],
)
def test_what_no_option_mends_is_called_by_its_name(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        list(ner.read(save(tmp_path, text)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "# My data\n\nAda Obi of [Rome](http://x) left.\n",
        "P00001|14 33|alkaline phosphatases\nP00001|37 50|nucleotidase\n",
        "- text: Ada left\n  spans:\n  - [0, 3, PER]\n",
    ],
    ids=["Markdown", "BioCreative", "YAML"],
)
def test_lines_that_are_no_columns_are_not_taken_for_labels(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(ner.read(save(tmp_path, text)))
    assert "x.conll:1: no line ends in a tag, so this does not look like columns" in str(
        caught.value
    )
    assert "scheme" not in str(caught.value)


REMARKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "nested layers": (
        "Ada\tB-PER\tO\nObi\tI-PER\tO\nleft\tO\tO\n\nRome\tB-LOC\tO\ngrows\tO\tO\n",
        "the columns 1, 2 (counted from 0) hold tags, of which column 2 is read",
        {"tag_column": 1},
    ),
    "an empty last layer": (
        "Ada\tB-PER\t_\nObi\tI-PER\t_\nleft\tO\t_\n\nRome\tB-LOC\t_\ngrows\tO\t_\n",
        "the last column holds nothing but '_', so nothing is annotated; column 1",
        {"tag_column": 1},
    ),
    "languages": (
        "en:Ada\tB-PER\nen:Obi\tI-PER\nen:left\tO\n\nen:Rome\tB-LOC\nen:grows\tO\n",
        "every token begins with 'en:'; set token_prefix: 'en:'",
        {"token_prefix": "en:"},
    ),
    "numbers of sentences": (
        "1 Ada B-PER\n1 Obi I-PER\n1 left O\n2 Rome B-LOC\n2 grows O\n",
        "set sentence_column: 0 and token_column: 1",
        {"sentence_column": 0, "token_column": 1},
    ),
}


@pytest.mark.parametrize("kind", REMARKS)
def test_what_may_be_meant_otherwise_is_said_and_can_be_set(kind: str, tmp_path: Path) -> None:
    text, message, options = REMARKS[kind]
    path = save(tmp_path, text)
    with pytest.warns(DataWarning) as caught:
        list(ner.read(path))
    assert any(message in str(one.message) for one in caught)
    assert facts(ner.read(path, **options)) == ADA


def test_chunks_and_predictions_are_no_layers(tmp_path: Path) -> None:
    chunks = "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nAda NNP B-NP B-PER\nleft VBD B-VP O\n"
    assert len(list(ner.read(save(tmp_path, chunks)))) == 2
    predicted = "Ada B-PER B-PER\nleft O O\n\nRome B-LOC B-ORG\n"
    assert len(list(ner.read(save(tmp_path, predicted)))) == 2


PRESETS: dict[str, str] = {
    "germeval": "#\thttp://x [2010]\n1\tAda\tB-PER\tO\n2\tObi\tI-PER\tO\n3\tleft\tO\tO\n\n"
    "1\tRome\tB-LOC\tO\n2\tgrows\tO\tO\n",
    "uner": "# id = 1\n1\tAda\tB-PER\t-\ta\n2\tObi\tI-PER\t-\ta\n3\tleft\tO\t-\ta\n\n"
    "1\tRome\tB-LOC\t-\ta\n2\tgrows\tO\t-\ta\n",
    "klue": "## 1\tAda Obi\nAda\tB-PER\nObi\tI-PER\nleft\tO\n\n## 2\tRome\nRome\tB-LOC\ngrows\tO\n",
    "jnlpba": "###MEDLINE:1\n\nAda\tB-PER\nObi\tI-PER\nleft\tO\n\nRome\tB-LOC\ngrows\tO\n",
    "wikiann": "en:Ada\tB-PER\nen:Obi\tI-PER\nen:left\tO\n\nde:Rome\tB-LOC\nde:grows\tO\n",
    "multiconer": "# id 1\tdomain=en\nAda _ _ B-PER\nObi _ _ I-PER\nleft _ _ O\n\n"
    "# id 2\tdomain=en\nRome _ _ B-LOC\ngrows _ _ O\n",
    "btc": "Ada\tB-PER\nObi\tI-PER\nleft\tO\n\nRome\tB-LOC\ngrows\tO\n",
    "few-nerd": "Ada\tPER\nObi\tPER\nleft\tO\n\nRome\tLOC\ngrows\tO\n",
    "hipe": "TOKEN\tNE-COARSE-LIT\tMISC\n# hipe2022:document_id = d\nAda\tB-PER\t_\nObi\tI-PER\t_\n"
    "left\tO\tEndOfSentence\nRome\tB-LOC\t_\ngrows\tO\tEndOfSentence\n",
}


@pytest.mark.filterwarnings("ignore:.*scheme IO")
@pytest.mark.parametrize("preset", PRESETS)
def test_well_known_corpora_have_a_preset(preset: str, tmp_path: Path) -> None:
    assert facts(ner.read(save(tmp_path, PRESETS[preset]), preset=preset)) == ADA


def test_a_preset_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no preset is called 'germevall'.*germeval"):
        list(ner.read(save(tmp_path, "a O\n"), preset="germevall"))


def test_io_can_be_written_and_says_that_neighbours_merge(tmp_path: Path) -> None:
    apart = Sentence(("Ada", "left"), (Span(0, 1, "person-actor"),))
    tricky = Sentence(("a", "b"), (Span(0, 1, "B-x"), Span(1, 2, "O")))
    path = tmp_path / "x.conll"
    ner.write(path, [apart, tricky], scheme="IO")
    assert path.read_text().splitlines()[0] == "Ada\tperson-actor"
    with pytest.warns(DataWarning, match="scheme IO cannot separate adjacent entities"):
        assert list(ner.read(path, scheme="IO")) == [apart, tricky]
