"""Spoiled files: whatever is in them, a reader tells what is wrong or gives what can be kept."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pytest

import ner
from ner.errors import ConfigError
from ner.formats import DataError, DataWarning
from ner.sentence import Sentence

CONVENTIONS = [  # of JSON: one for each that `ner.formats.conventions` knows
    '{"tokenized_text": ["Ada", "Obi"], "ner": [[0, 1, "PER"]]}\n',
    '["Ada left", {"entities": [[0, 3, "PER"]]}]\n{"text": "Ada", "label": {"X": [[0, 3]]}}\n',
    '[{"id": 0, "paragraphs": [{"sentences": [{"tokens": [{"orth": "Ada", "ner": "U-X"}]}]}]}]\n',
    '{"rasa_nlu_data": {"common_examples": [{"text": "to Rome", "entities": [{"start": 3, '
    '"end": 7, "value": "Rome", "entity": "city"}]}]}}\n',
    '{"%FEATURE_STRUCTURES": [{"%TYPE": "x.Sofa", "sofaString": "Ada"}, {"%TYPE": '
    '"x.NamedEntity", "begin": 0, "end": 3, "value": "PER"}]}\n',
    '[{"fields": {"text": "Ada"}, "suggestions": {"spans": {"value": [{"start": 0, "end": 3, '
    '"label": "X"}], "score": [0.5]}}, "responses": {"spans": []}}]\n',
    '{"features": [{"name": "ner_tags", "type": {"feature": {"names": ["O", "B-X"]}}}], '
    '"rows": [{"row": {"tokens": ["a", "b"], "ner_tags": [0, 1]}}]}\n',
    '{"doc_key": "d", "sentences": [["a", "b"], ["c"]], "ner": [[[0, 1, "X"]], [[2, 2, "Y"]]]}\n',
    '{"sentences": [{"tokens": [{"word": "Ada"}], "entitymentions": [{"tokenBegin": 0, '
    '"tokenEnd": 1, "ner": "PERSON"}]}]}\n',
    '{"documents": [{"id": "d", "passages": [{"offset": 2, "text": "Ada", "annotations": [{'
    '"infons": {"type": "X"}, "locations": [{"offset": 2, "length": 3}]}]}]}]}\n',
    '{"text_snippet": {"content": "Ada"}, "annotations": [{"display_name": "X", '
    '"text_extraction": {"text_segment": {"end_offset": 3}}}]}\n',
    '{"textContent": "Ada", "textSegmentAnnotations": [{"endOffset": 3, "displayName": "X"}]}\n',
    '{"source": "Ada", "job": {"annotations": {"entities": [{"startOffset": 0, "endOffset": 3, '
    '"label": "X"}]}}}\n{"documentName": "d", "document": "Ada", "annotation": []}\n',
]
TEXT = "Ada Obi joined\nKestrel Foods in Accra.\n"
SEEDS = {
    "conll": [
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\n",
        "#NFL\tO\nDubbzTV\ufeff\tB-person\nx\tI-person\n\t\n\u3000\tO\n\u00e9t\u00e9\tB-creative-work\n",
        "1 a S-X\n2 b _\n3 c B-Y\n4 d I-Y\n5 e E-Y\n\n1 f _\n",
    ],
    "conllu": [
        "# newdoc id = d\n# text = Ada left.\n1\tAda\t_\tPROPN\t_\t_\t0\t_\t_\tNER=B-PER\n"
        "2-3\tleft.\t_\t_\t_\t_\t_\t_\t_\t_\n2\tleft\t_\tVERB\t_\t_\t1\t_\t_\tNER=O\n\n",
        "# global.Entity = GRP-etype-identity\n1\tA\t_\tDET\t_\t_\t0\t_\t_\tEntity=(1-org(2-loc-B\n"
        "2\tB\t_\tPROPN\t_\t_\t0\t_\t_\tEntity=2)1)|SpaceAfter=No\n2.1\tx\t_\t_\t_\t_\t_\t_\t_\t_\n",
        "# global.columns = ID FORM UNER:NER\n1\ta\tB-X\n2\tb\tI-X\n\n1\tc\t_\n",
    ],
    "conll2012": [
        "#begin document (bc/x); part 000\nbc/x 0 0 The DT (TOP* - - - A (ORG* (ARG0* (1\n"
        "bc/x 0 1 Bank NNP *) - - - A *) *) 1)\n\n#end document\n",
        "d 0 0 w X * - - - - (PER) -\n\nd 0 0 w X * - - - - (A(B) -\nd 0 1 w X * - - - - *) -\n",
    ],
    "brackets": [
        "-DOCSTART- d\n[PER Ada Obi] joined [ORG Kestrel \\[Foods\\]] .\n\n[? Rome] \\-DOCSTART-\n",
    ],
    "sgml": [
        '<DOC>\n<DOCNO> d </DOCNO>\n<TEXT>\n<p><ENAMEX TYPE="PER">Ada\nObi</ENAMEX> &amp;</p>\n'
        "&#65;</TEXT>\n</DOC>\n",
        '\t   <b_enamex type="X">a<b_timex type="Y">b<e_timex><e_enamex> 3 < 4\n\n<p>c\n',
        '<TEI><p><person>Ada</person> left <place type="city">Rome</place></p></TEI>\n',
    ],
    "csv": [
        'Sentence #,Word,POS,Tag\nSentence: 1,Ada,NNP,B-per\n,left,VBD,O\n2,",",x,_\n',
        ";sentence;token;tag\r\n0;1;Ada;S-X\r\n1;2;b;O\r\n",
    ],
    "webanno": [
        "#FORMAT=WebAnno TSV 3.3\n#T_SP=x.NamedEntity|identifier|value\n\n\n#Text=Ada Obi \\\\\n"
        "1-1\t0-3\tAda\t*[1]\tPER[1]|X\\|Y[2]\t\n1-2\t4-7\tObi\t*[1]\tPER[1]\t\n1-2.1\t4-5\tO\t_\t*\t\n",
    ],
    "pubtator": ["1|t|Ada left\n1|a|Rome\n1\t0\t3\tAda\tPER\tD1\n1\tCID\tD1\tD2\n\n2|t|a\n"],
    "bioc": [
        '<?xml version="1.0"?><collection><document><id>d</id><passage><offset>0</offset>'
        '<text>Ada &amp; Obi</text><annotation id="1"><infon key="type">X</infon>'
        '<location offset="0" length="3"/><text>Ada</text></annotation></passage></document>'
        "</collection>\n"
    ],
    "i2b2": [
        '<?xml version="1.0"?>\n<deIdi2b2>\n<TEXT><![CDATA[Dr Ada\nleft]]></TEXT>\n<TAGS>\n'
        '<NAME id="P0" start="3" end="6" text="Ada" TYPE="X" />\n</TAGS>\n</deIdi2b2>\n',
        'c="Ada Obi" 1:0 1:1||t="x"\nc="accra." 2:3 2:3||t="y"\n',
    ],
    "slots": ["-DOCSTART- d\nto:O New:B-City York:I-City <=> flight\na:_ 5:30:O\n\nx:S-X\n"],
    "jsonl": [
        '{"tokens": ["Ada", "x"], "tags": ["B-PER", "_"]}\n'
        '{"text": "a b", "label": [[0, 1, "X"]]}\n',
        '[{"text": "a\\nb", "entities": [{"name": "b", "span": [2, 3], "type": "X"}]},\n'
        '{"tokens": ["a", "b"], "spans": [[0, 2, "X"]], "document": "d", "position": 0}]\n',
        '{"data": {"text": "Ada"}, "annotations": [{"result": [{"value": {"start": 0, "end": 3, '
        '"labels": ["X"]}}]}]}\n{"text": "a", "tokens": [{"text": "a", "start": 0, "end": 1}], '
        '"spans": [{"start": 0, "end": 1, "label": "X"}], "answer": "accept"}\n',
        *CONVENTIONS,
    ],
    "brat": ["T1\tPER 0 7\tAda Obi\nT2\tORG 15 22;23 28\tKestrel Foods\nR1\tx Arg1:T1\n"],
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "conll": [
        {},
        {"tagged": False},
        {"header": True},
        {"ragged": True},
        {"ragged": True, "tag_column": 1},
        {"comment_prefix": "#"},
        {"document_prefix": "1"},
        {"sentence_end": "O"},
        {"encoding": "utf-16"},
        {"encoding": "cp1252"},
        {"scheme": "BIO"},
        {"missing": "O"},
        {"tag_map": {"O": "B-X"}},
        {"bad_lines": "missing"},
        {"bad_lines": "missing", "ragged": True, "token_column": 1},
        {"sentence_column": 0, "token_column": 1},
        {"token_prefix": "*:"},
        {"preset": "hipe"},
        {"scheme": "IO"},
    ],
    "conllu": [{}, {"named": True}, {"entities": "Entity"}, {"entities": "MISC"}],
    "conll2012": [{}, {"encoding": "utf-16-le"}],
    "brackets": [{}, {"encoding": "utf-16"}],
    "sgml": [
        {"tokenizer": "blanks"},
        {"tokenizer": "plain", "align": "expand"},
        {"tokenizer": "builtin", "elements": "person place"},
    ],
    "brat": [{"tokenizer": "plain"}, {"tokenizer": "builtin", "align": "contract"}],
    "csv": [{}, {"delimiter": ";"}, {"tag": "POS"}],
    "webanno": [{}, {"layer": "Entity"}, {"feature": "identifier"}],
    "pubtator": [{"tokenizer": "blanks"}, {"tokenizer": "plain", "offsets": "bytes"}],
    "bioc": [{"tokenizer": "blanks"}, {"tokenizer": "plain", "trust_offsets": True}],
    "i2b2": [{"tokenizer": "blanks"}, {"tokenizer": "plain", "offsets": "utf-16"}],
    "slots": [{}, {"separator": "O"}, {"scheme": "BIO"}],
    "jsonl": [
        {"tokenizer": "plain"},
        {"tokenizer": "plain", "align": "contract"},
        {"tokenizer": "builtin", "offsets": "utf-16 inclusive"},
        {"tokenizer": "plain", "annotation": "ner", "trust_offsets": True},
        {"tokenizer": "plain", "names": ["O", "B-X"]},
    ],
}
SAME = [
    {},
    {"tagged": False},
    {"header": True},
    {"tokenizer": "blanks"},
]  # options that read back what was written
PIECES = [
    *("\n", "\r", "\t", " ", "(", ")", "*", "|", "=", "_", "-", "#", "O", "B-X", "I-", "E-Y"),
    *("-DOCSTART-", "# newdoc id = x\n", "#begin document", "# global.columns = ", "1", "1-2"),
    *("Entity=(1-a", "NER=", "\u2028", "\ufeff", "\x00", "\x1c"),
]


def spoiled(seed: bytes, chance: random.Random) -> bytes:
    """The same bytes with something put in, taken out, changed or doubled, some times."""
    content = bytearray(seed)
    for _ in range(chance.choice([0, 1, 1, 2, 3, 8, 30])):
        place = chance.randrange(len(content) + 1)
        action = chance.randrange(4)
        if action == 0:
            content[place:place] = chance.choice(PIECES).encode()
        elif action == 1:
            del content[place : place + chance.choice([1, 1, 5, 50])]
        elif action == 2:
            content[place : place + 1] = bytes([chance.randrange(256)])
        else:
            start = chance.randrange(len(content) + 1)
            content[place:place] = content[start : start + chance.choice([3, 20, 100])]
    return bytes(content)


def read_or_complain(path: Path, name: str, **options: Any) -> list[Sentence]:
    """The sentences of a file, or none where it is told what is wrong with it."""
    try:
        return list(ner.read(path, format=name, **options))
    except DataError as error:
        told = str(error)
    except ConfigError:  # such as a column that a spoiled header does not have
        return []
    assert told.startswith(str(path))
    return []


def check(name: str, folder: Path, times: int, seed: int) -> None:
    chance = random.Random(seed)
    path, again = folder / ("spoiled.ann" if name == "brat" else "spoiled"), folder / "again"
    (folder / "spoiled.txt").write_text(TEXT, "utf-8")
    for _ in range(times):
        content = spoiled(chance.choice(SEEDS[name]).encode(), chance)
        path.write_bytes(content)
        options = chance.choice(OPTIONS[name])
        found = read_or_complain(path, name, **options)
        if not found or options not in SAME:
            continue
        try:
            ner.write(again, found, format=name)
        except ValueError:
            continue  # such as a label that is no word
        back = list(ner.read(again, format=name, **options))
        assert [one.tokens for one in back] == [one.tokens for one in found], content
        assert [one.spans for one in back] == [one.spans for one in found], content


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.filterwarnings("ignore::ner.errors.DataWarning")
def test_a_spoiled_file_raises_nothing_but_a_data_error(name: str, tmp_path: Path) -> None:
    check(name, tmp_path, times=400, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_very_many_spoiled_files_raise_nothing_but_data_errors(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        check(name, tmp_path, times=15_000, seed=2)
