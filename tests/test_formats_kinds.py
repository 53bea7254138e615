"""Files that are something else: read as what they are, or one line says what that is."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest

import ner
from ner.formats import DataError, DataWarning
from ner.sentence import Span


def facts(path: Path, **options: object) -> list[tuple[tuple[str, ...], list[tuple[str, str]]]]:
    return [
        (one.tokens, [(" ".join(one.tokens[x.start : x.end]), x.label) for x in one.spans or ()])
        for one in ner.read(path, **options)
    ]


def zipped(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(name, "Ada B-PER\n")
    return held.getvalue()


WRONG: dict[str, tuple[str, bytes | str, str]] = {
    "zip": ("x.conll", zipped("train.conll"), "this is a zip archive; unpack it"),
    "Excel": ("x.csv", zipped("[Content_Types].xml", "xl/workbook.xml"), "Excel"),
    "old Excel": ("x.tsv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 20, "save it as CSV"),
    "pickle": ("x.txt", pickle.dumps([("Ada", "B-PER")]), "this is a pickle of Python"),
    "Parquet": ("train", b"PAR1\x15\x04", "ner.formats.frames"),
    "LFS": (
        "x.conll",
        "version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
        "git lfs pull",
    ),
    "HTML": ("x.conll", "<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "HTML page"),
    "JSON in a file of columns": ("x.conll", '{"text": "Ada left", "spans": []}\n', "this is JSON"),
    "pretty JSON in a file of columns": ("x.txt", '{\n  "text": "Ada"\n}\n', "this is JSON"),
    "Python": ("x.txt", 'TRAIN_DATA = [\n  ("Ada", {"entities": [(0, 3, "PER")]})]\n', "Python"),
    "Python literal": ("x.json", "[('Ada left', {'entities': [(0, 3, 'PER')]})]\n", "json.dump"),
    "Rasa": ("x.txt", "## intent:greet\n- hi [Ada](person)\n", "Rasa markdown"),
    "MSRA": ("x.txt", "\u7c73\u62c9/nr \u5728/o \u62c9\u8d6b\u8482/ns \u3002/o\n", "MSRA"),
    "TEI": ("x.xml", '<?xml version="1.0"?>\n<TEI xmlns="x"><text/></TEI>', "elements:"),
    "CoreNLP": (
        "x.xml",
        "<?xml version='1.0'?>\n<root>\n <document>\n</document></root>",
        "CoreNLP",
    ),
    "XMI": ("x.xml", '<?xml version="1.0"?><xmi:XMI xmlns:xmi="x"/>', "WebAnno TSV 3"),
    "WebAnno 2": ("x.tsv", "# webanno.custom.X | value\n", "export it as WebAnno TSV 3"),
    "Arrow": ("x.arrow", b"\xff\xff\xff\xff\x88\1\0\0", "this is an Arrow stream"),
    "RTF": ("x.txt", "{\\rtf1\\ansi Ada left}\n", "save it as plain text"),
    "brat under another name": ("x.a1", "T1\tPER 0 3\tAda\n", "name it .ann"),
    "a program": ("x", b"\x7fELF\2\1\1" + b"\0" * 99, "this is not text but binary data"),
    "an image": ("x.txt", b"\xff\xd8\xff\xe0\0\x10JFIF" + b"\0\1\xff" * 99, "binary data"),
    "elements without text between": ("x.xml", "<w><x>Ada</x></w>\n", "into another format: w (1)"),
    "no header": ("x.csv", "1,Ada,B-PER\n1,left,O\n", "holds the tag 'B-PER'; add a line above"),
    "Excel's separator": ("x.csv", "sep=;\ntoken;tag\nAda;O\n", "is 'sep='; remove it"),
    "nothing": ("x.csv", "", "found an empty line or file"),
    "a sentence in a row": (
        "x.csv",
        "text,labels\nAda Obi left,B-PER I-PER O\n",
        "x.csv:2: a row should hold a token and its tag, but this holds 3 tags",
    ),
    "sentences with tags": ("x.txt", "to/O a/O Rome/B-LOC\n", "set the format to slots"),
    "a list in a row": (
        "x.csv",
        'text,label\nAda left,"[{""start"": 0, ""end"": 3}]"\n',
        "write a text and its spans, or its tokens and tags, as JSON",
    ),
    "an entity in a row": (
        "x.csv",
        "text,start,end,label\nAda Obi left,0,7,PER\n",
        "x.csv:2: a row should hold a token and its tag, but this holds 3 words",
    ),
    "CoNLL in a .con file": ("x.con", "Ada B-PER\n", "their text x.txt is missing"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_of_another_kind_is_called_by_its_name(kind: str, tmp_path: Path) -> None:
    name, content, message = WRONG[kind]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        list(ner.read(path))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["{\tO\n}\tO\n", "[ O\n' O\n", "x = [\n\n"[:0] + "import\tO\nx\tO\n", "version O\n1 O\n"],
)
def test_columns_that_begin_like_something_else_are_columns(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text(text)
    assert len(facts(path)[0][0]) == 2


CSV = {
    "Kaggle": "Sentence #,Word,POS,Tag\nSentence: 1,Ada,NNP,B-per\n,left,VBD,O\n"
    'Sentence: 2,",",",",O\n,Rome,NNP,B-geo\n',
    "Excel": "sentence_id;token;tag\n1;Ada;B-per\n1;left;O\n2;,;O\n2;Rome;B-geo\n",
    "pandas": ',sentence,token,tag\n0,0,Ada,B-per\n1,0,left,O\n2,1,",",O\n3,1,Rome,B-geo\n',
    "TSV": "Sentence #\tWord\tTag\n1\tAda\tB-per\n\tleft\tO\n2\t,\tO\n2\tRome\tB-geo\n",
    "blank rows": 'word,label\nAda,B-per\nleft,O\n,\n",",O\nRome,B-geo\n',
}


@pytest.mark.parametrize("kind", CSV)
@pytest.mark.parametrize("name", ["x.csv", "x.txt", "x"])
def test_tables_with_a_header(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("\ufeff" * (kind == "Excel") + CSV[kind], encoding="utf-8")
    assert facts(path) == [
        (("Ada", "left"), [("Ada", "per")]),
        ((",", "Rome"), [("Rome", "geo")]),
    ]


BAD_CSV = {
    "sentence,token,tag\n1,Ada,O\n2,Obi,O\n1,left,O\n": "x.csv:4: the sentence '1' continues after",
    "sentence,token,tag\n1,Ada\n": "x.csv:2: expected 3 columns, found 2",
    "sentence,token,tag\n1,,O\n": "x.csv:2: the token is empty; was a word such as 'NA'",
    'sentence,token,tag\n1,",O\n1,Ada,O\n': "is a closing quote missing?",
    "sentence,token,tag\n1,Ada,PER_B\n": "did you mean 'B-PER'?",
    "sentence,wort,tag\n1,Ada,O\n": "set token to one of 'sentence', 'wort'",
}


@pytest.mark.parametrize("text", BAD_CSV)
def test_rows_that_are_wrong_are_told_with_their_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        list(ner.read(path))
    assert BAD_CSV[text] in str(caught.value)


def test_columns_of_a_table_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("satz,wort,marke\n1,Ada,B-PER\n")
    found = facts(path, sentence="satz", token="wort", tag="marke")
    assert found == [(("Ada",), [("Ada", "PER")])]


WEBANNO = """#FORMAT=WebAnno TSV 3.3
#T_SP=de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS|PosValue|coarseValue
#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value
#T_RL=webanno.custom.Relation|kind|BT_x


#Text=Ada Obi left \\\\ Rome.
1-1\t0-3\tAda\tPROPN\t_\t*[1]\tPER[1]\t_\t_\t
1-2\t4-7\tObi\tPROPN\t_\t*[1]|*[2]\tPER[1]|X\\|Y[2]\t_\t_\t
1-3\t8-12\tleft\tVERB\t_\t_\t_\t_\t_\t
1-4\t13-14\t\\\tX\t_\t_\t_\t_\t_\t
1-5\t15-19\tRome\tPROPN\t_\t*\tLOC\t_\t_\t
1-5.1\t15-17\tRo\t_\t_\t*\tPART\t_\t_\t
1-6\t19-20\t.\t_\t_\t_\t_\t_\t_\t

#Text=It rained
2-1\t21-23\tIt\t_\t_\t_\t_\t_\t_\t
2-2\t24-30\trained\t_\t_\t_\t_\t_\t_\t
"""


def test_webanno_of_several_layers(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(WEBANNO)
    with pytest.warns(DataWarning) as caught:
        found = list(ner.read(path))
    assert [one.tokens for one in found] == [
        ("Ada", "Obi", "left", "\\", "Rome", "."),
        ("It", "rained"),
    ]
    assert found[0].spans == (Span(0, 2, "PER"), Span(4, 5, "LOC"))
    assert found[1].spans == ()
    assert found[0].text == "Ada Obi left \\ Rome."
    assert found[0].document is found[1].document
    said = [str(one.message) for one in caught]
    assert said == [
        f"{path}: left out 1 entities that overlap a longer one",
        f"{path}: left out 1 entities of parts of a token",
    ]
    pos = [one.spans for one in ner.read(path, layer="POS", feature="PosValue")]
    assert pos[0][0] == Span(0, 1, "PROPN")  # type: ignore[index]


def test_webanno_without_a_known_layer_asks(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(WEBANNO.replace("NamedEntity", "Chunk"))
    with pytest.raises(DataError, match="set layer to the layer of the entities"):
        list(ner.read(path))


PUBTATOR = """1|t|Zorbex in mice
1|a|Zorbex lowers fever.
1\t0\t6\tZorbex\tChemical\tD1
1\t15\t21\tZorbex\tChemical\tD1
1\t29\t34\tfever\tDisease\tD2
1\tCID\tD1\tD2

2|t|Ada
"""


def test_pubtator(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text(PUBTATOR)
    assert facts(path, tokenizer="plain") == [
        (("Zorbex", "in", "mice"), [("Zorbex", "Chemical")]),
        (("Zorbex", "lowers", "fever", "."), [("Zorbex", "Chemical"), ("fever", "Disease")]),
        (("Ada",), []),
    ]
    found = list(ner.read(path, tokenizer="plain"))
    assert found[0].document is found[1].document
    assert found[0].document is not None
    assert found[0].document.id == "1"
    path.write_text(PUBTATOR.replace("\t34\t", "\t33\t"))
    with pytest.raises(
        DataError, match=r"x.txt:1: the span 29 to 33 \(Disease\) should be 'fever'"
    ):
        list(ner.read(path, tokenizer="plain"))


BIOC = """<?xml version="1.0"?>
<!DOCTYPE collection SYSTEM "BioC.dtd">
<collection><source>X</source><date/><key/><document><id>d</id>
<passage><infon key="type">title</infon><offset>0</offset><text>Zorbex &amp; mice</text>
<annotation id="T1"><infon key="type">Chemical</infon><location offset="0" length="6"/>
<text>Zorbex</text></annotation></passage>
<passage><offset>14</offset><sentence><offset>14</offset><text>No fever.</text>
<annotation id="T2"><infon key="type">Disease</infon><location offset="17" length="5"/>
<text>fever</text></annotation></sentence></passage></document></collection>
"""


def test_bioc(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text(BIOC)
    assert facts(path, tokenizer="plain") == [
        (("Zorbex", "&", "mice"), [("Zorbex", "Chemical")]),
        (("No", "fever", "."), [("fever", "Disease")]),
    ]


@pytest.mark.parametrize(
    "entity", ['<!ENTITY a "aaaa">', '<!ENTITY a SYSTEM "file:///etc/passwd">']
)
def test_entities_of_xml_are_refused(entity: str, tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text(BIOC.replace('SYSTEM "BioC.dtd"', f"[{entity}]"))
    with pytest.raises(DataError, match="the file declares XML entities"):
        list(ner.read(path, format="bioc"))


def test_i2b2_of_2010(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("The patient\nhas chest pain .\n")
    path = tmp_path / "x.con"
    path.write_text('c="chest pain" 2:1 2:2||t="problem"\n')
    assert facts(path) == [
        (("The", "patient"), []),
        (("has", "chest", "pain", "."), [("chest pain", "problem")]),
    ]
    path.write_text('c="chest pain" 2:1 2:3||t="problem"\n')
    with pytest.raises(DataError, match=r"x\.con:1: words 1 to 3 should be 'chest pain'"):
        list(ner.read(path))


def test_i2b2_of_2014(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8" ?>\n<deIdi2b2>\n'
        "<TEXT><![CDATA[Dr Ada\nleft]]></TEXT>\n"
        '<TAGS>\n<NAME id="P0" start="3" end="6" text="Ada" TYPE="DOCTOR" comment="" />\n</TAGS>\n'
        "</deIdi2b2>\n"
    )
    assert facts(path, tokenizer="plain") == [(("Dr", "Ada"), [("Ada", "DOCTOR")]), (("left",), [])]


def test_xml_of_another_task_of_i2b2(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text(
        "<Notes>\n<TEXT><![CDATA[Dr Ada left]]></TEXT>\n<TAGS>\n"
        '<EVENT id="E0" start="7" end="11" text="left" type="OCCURRENCE" />\n'
        '<NAME id="N0" start="3" end="6" text="Ada" />\n'
        '<TLINK id="L0" fromID="E0" toID="N0" type="BEFORE" />\n</TAGS>\n</Notes>\n'
    )
    marked = [("Ada", "NAME"), ("left", "OCCURRENCE")]
    assert facts(path, tokenizer="plain") == [(("Dr", "Ada", "left"), marked)]
    path.write_text('<N><TEXT><![CDATA[Ada]]></TEXT><TAGS><A met="not met" /></TAGS></N>')
    with pytest.raises(DataError, match="no tag says where it stands"):
        list(ner.read(path, tokenizer="plain"))


@pytest.mark.parametrize("name", ["x.conll", "x.txt", "x"])
def test_conll2012_by_its_first_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(
        "#begin document (bc/x); part 000\n"
        "bc/x 0 0 Rome NNP (NP*) - - - S1 (GPE) * -\nbc/x 0 1 grows VBZ (VP*) - - - S1 * * -\n\n"
        "#end document\n"
    )
    assert facts(path) == [(("Rome", "grows"), [("Rome", "GPE")])]


def test_xml_with_elements_that_may_be_entities(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text("<p>Hello <PERSON>Ada Obi</PERSON> of <ORG>Kestrel</ORG>.</p>\n")
    with pytest.raises(DataError, match="for example elements='person org'"):
        list(ner.read(path, tokenizer="plain"))
    assert facts(path, tokenizer="plain", elements="person org") == [
        (("Hello", "Ada", "Obi", "of", "Kestrel", "."), [("Ada Obi", "PERSON"), ("Kestrel", "ORG")])
    ]
