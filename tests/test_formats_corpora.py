"""Real corpora, where they are: the counts of their publishers, the same spans in every scheme."""

from __future__ import annotations

import functools
import itertools
import warnings
from pathlib import Path
from typing import Any

import pytest

import ner
from ner.formats import DataError, DataWarning
from ner.formats.conll import Reader, read
from ner.schemes import SCHEMES
from ner.sentence import Sentence

FACTS = {  # documents, sentences, tokens, spans
    "conll2003/train.txt": (946, 14041, 203621, 23499),
    "conll2003/valid.txt": (216, 3250, 51362, 5942),
    "conll2003/test.txt": (231, 3453, 46435, 5648),
    "conll2003-iob1/eng.train": (946, 14041, 203621, 23499),
    "conll2003-iob1/eng.testa": (216, 3250, 51362, 5942),
    "conll2003-iob1/eng.testb": (231, 3453, 46435, 5648),
    "conll2002_es/esp.train": (0, 8323, 264715, 18798),
    "conll2002_es/esp.testa": (0, 1915, 52923, 4352),
    "conll2002_es/esp.testb": (0, 1517, 51533, 3559),
    "wnut17/wnut17train.conll": (0, 3394, 62730, 1975),
    "wnut17/emerging.dev.conll": (0, 1009, 15733, 836),
    "wnut17/emerging.test.annotated": (0, 1287, 23394, 1079),
    "bc5cdr/train.tsv": (0, 4560, 118170, 9385),
    "bc5cdr/devel.tsv": (0, 4581, 117453, 9593),
    "bc5cdr/test.tsv": (0, 4797, 124750, 9809),
    "crossner_ai/train.txt": (0, 100, 3782, 532),
    "crossner_ai/dev.txt": (0, 350, 10919, 1549),
    "crossner_ai/test.txt": (0, 431, 12991, 1809),
    "crossner_politics/train.txt": (0, 200, 8384, 1304),
    "crossner_politics/dev.txt": (0, 541, 24624, 3482),
    "crossner_politics/test.txt": (0, 651, 27585, 4209),
    "europeana_de/enp_DE.lft.bio": (0, 1, 70259, 7481),
    "europeana_de/enp_DE.onb.bio": (0, 1, 28012, 3343),
    "germeval2014/NER-de-dev.tsv": (0, 2200, 41653, 2674),
    "germeval2014/NER-de-test.tsv": (0, 5100, 96499, 6178),
    "gum/conll/train.conll": (0, 10224, 177410, 4578),
    "gum/conll/dev.conll": (0, 1575, 28119, 638),
    "gum/conll/test.conll": (0, 1464, 28397, 841),
    "gum/conll/test2.conll": (0, 1334, 17799, 375),
    "hipe_topres19th_en/HIPE-2022-v2.1-topres19th-dev-en.tsv": (34, 646, 11917, 237),
    "klue_ko_dev/klue-ner-v1.1_dev.tsv": (0, 5000, 285929, 14257),
    "mit_restaurant/conll/train.conll": (0, 6894, 63533, 13858),
    "mit_restaurant/conll/valid.conll": (0, 766, 6992, 1505),
    "mit_restaurant/conll/test.conll": (0, 1521, 14256, 3151),
    "nemo_he_token_single/token-single_gold_train.bmes": (0, 4937, 93504, 6282),
    "nemo_he_token_single/token-single_gold_dev.bmes": (0, 500, 8531, 499),
    "nemo_he_token_single/token-single_gold_test.bmes": (0, 706, 12619, 932),
    "resume_zh/train.char.bmes": (0, 3821, 124099, 13440),
    "resume_zh/dev.char.bmes": (0, 463, 13890, 1497),
    "resume_zh/test.char.bmes": (0, 477, 15100, 1630),
    "uner_da_ddt/da_ddt-ud-train.iob2": (0, 4383, 80378, 3028),
    "uner_da_ddt/da_ddt-ud-dev.iob2": (0, 564, 10332, 379),
    "uner_da_ddt/da_ddt-ud-test.iob2": (0, 565, 10023, 447),
    "wojood_sample_ar/train.txt": (0, 1114, 18887, 2312),
    "wojood_sample_ar/val.txt": (0, 158, 2743, 385),
    "wojood_sample_ar/test.txt": (0, 357, 5344, 711),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "germeval2014": {"comment_prefix": "#\t", "token_column": 1, "tag_column": 2, "ragged": True},
    "hipe_topres19th_en": {
        "comment_prefix": "# ",
        "document_prefix": "# hipe2022:document_id = ",
        "header": True,
        "sentence_end": "EndOfSentence",
        "tag_column": "NE-COARSE-LIT",
    },
    "klue_ko_dev": {"comment_prefix": "## "},
    "nemo_he_token_single": {"ragged": True},
    "uner_da_ddt": {"comment_prefix": "# ", "token_column": 1, "tag_column": 2},
    "wojood_sample_ar": {"tag_column": 1, "ragged": True},
}
SCHEME = {"conll2003-iob1": "IOB1", "nemo_he_token_single": "BIOES", "resume_zh": "BMES"}
ILL_FORMED = {  # how many tags their annotators put where they may not stand
    "conll2002_es/esp.train": 1,
    "conll2002_es/esp.testa": 1,
    "conll2002_es/esp.testb": 1,
    "europeana_de/enp_DE.lft.bio": 130,
    "europeana_de/enp_DE.onb.bio": 41,
    "hipe_topres19th_en/HIPE-2022-v2.1-topres19th-dev-en.tsv": 1,
    "resume_zh/train.char.bmes": 4,
    "uner_da_ddt/da_ddt-ud-train.iob2": 6,
    "uner_da_ddt/da_ddt-ud-test.iob2": 1,
    "wojood_sample_ar/train.txt": 1,
}


@pytest.fixture
def told() -> Any:
    """The warnings of a test, which elsewhere are errors."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found


@pytest.mark.parametrize("name", FACTS)
def test_real_file_has_its_published_counts(name: str, shared: Path, told: list[Any]) -> None:
    path = shared / "data" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    folder = name.split("/")[0]
    reader = Reader(path, **OPTIONS.get(folder, {}))
    held, tokens, spans, number = set(), 0, 0, 0
    for sentence in reader:
        held.add(sentence.document)
        number += 1
        tokens += len(sentence)
        spans += len(sentence.spans or ())
    assert (len(held - {None}), number, tokens, spans) == FACTS[name]
    assert reader.scheme.name == SCHEME.get(folder, "BIO")
    assert reader.detection.illegal == ILL_FORMED.get(name, 0)
    assert len(told) == (name in ILL_FORMED)


ROUTES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # where a text is read back without its tokens, they are what stands between its blanks
    "conll": ("conll", {"layout": "plain"}, {}),
    "conllu": ("conllu", {}, {}),
    "conll2012": ("conll2012", {}, {}),
    "jsonl": ("jsonl", {}, {}),
    "jsonl tags": ("jsonl", {"shape": "tags", "scheme": "BILOU"}, {}),
    "jsonl prodigy": ("jsonl", {"shape": "prodigy"}, {}),
    "jsonl doccano": ("jsonl", {"shape": "doccano"}, {"tokenizer": "blanks"}),
    "jsonl labelstudio": ("jsonl", {"shape": "labelstudio"}, {"tokenizer": "blanks"}),
    "brat": ("brat", {}, {"tokenizer": "blanks"}),
    "docbin": ("docbin", {}, {}),
    "brackets": ("brackets", {}, {}),
    "sgml": ("sgml", {}, {"tokenizer": "blanks"}),
    "slots": ("slots", {}, {}),
}
REFUSED = {("klue_ko_dev", "conll2012"), ("klue_ko_dev", "slots")}  # tokens that are a blank


@functools.cache
def read_some(path: Path, folder: str, number: int | None) -> list[Sentence]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return list(itertools.islice(ner.read(path, **OPTIONS.get(folder, {})), number))


def check_route(given: list[Sentence], folder: str, route: str, path: Path) -> None:
    """Everything is read back as it was; of tokens that are blanks, the entities are."""
    kind, writing, reading = ROUTES[route]
    if (folder, route) in REFUSED:
        with pytest.raises(ValueError, match="blank"):
            ner.write(path, given, format=kind, **writing)
        return
    ner.write(path, given, format=kind, **writing)
    with warnings.catch_warnings():
        if folder == "klue_ko_dev":  # two of its entities begin with a blank, which is told
            warnings.simplefilter("ignore", DataWarning)
        back = list(ner.read(path, format=kind, **reading))
    if folder == "klue_ko_dev":
        assert [entities(one) for one in back] == [entities(one) for one in given]
    else:
        assert [(o.tokens, o.spans) for o in back] == [(o.tokens, o.spans) for o in given]


def entities(sentence: Sentence) -> list[tuple[str, str]]:
    """The entities of a sentence, their white space aside."""
    return [
        ("".join("".join(sentence.tokens[one.start : one.end]).split()), one.label)
        for one in sentence.spans or ()
    ]


LARGEST_FIRST = sorted(FACTS, key=lambda name: -FACTS[name][2])
SMALLEST = {name.split("/")[0]: name for name in LARGEST_FIRST}  # a file of each set


@pytest.mark.parametrize("route", ROUTES)
def test_every_set_goes_through_every_format_and_back(
    route: str, shared: Path, tmp_path: Path
) -> None:
    together: list[Sentence] = []
    for folder, name in SMALLEST.items():
        if not (shared / "data" / name).exists():
            pytest.skip(f"no {name}")
        # two of the files are one sentence of 28,000 tokens and more
        given = [first_tokens(s, 1000) for s in read_some(shared / "data" / name, folder, 25)]
        if folder == "klue_ko_dev":
            check_route(given, folder, route, tmp_path / "klue")
        else:
            together += given
    check_route(together, "all others", route, tmp_path / "others")


def first_tokens(sentence: Sentence, length: int) -> Sentence:
    spans = tuple(one for one in sentence.spans or () if one.end <= length)
    return Sentence(sentence.tokens[:length], spans)


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTS)
def test_every_file_goes_through_every_format_and_back(
    name: str, shared: Path, tmp_path: Path
) -> None:
    folder = name.split("/")[0]
    if not (shared / "data" / name).exists():
        pytest.skip(f"no {name}")
    given = read_some(shared / "data" / name, folder, None)
    for number, route in enumerate(ROUTES):
        check_route(given, folder, route, tmp_path / f"x{number}")


def test_texts_and_treebanks_go_through_every_format_and_back(shared: Path, tmp_path: Path) -> None:
    """Sets that are no columns: the tokens here are what our reader makes of them."""
    files = {
        "stockmark_ja/ner.json": {"tokenizer": "plain"},
        "gum/en_gum-ud-dev.conllu": {"named": True},
        "ieer/APW_19980429": {"tokenizer": "plain"},
        "mit_restaurant/valid": {},
    }
    for number, (name, options) in enumerate(files.items()):
        path = shared / "data" / name
        if not path.exists():
            pytest.skip(f"no {path}")
        given = [
            Sentence(s.tokens, s.spans) for s in itertools.islice(ner.read(path, **options), 20)
        ]
        for route in ROUTES:
            check_route(given, name.split("/")[0], route, tmp_path / f"{number} {route}")


def test_bad_lines_of_a_real_file_may_count_as_missing(shared: Path) -> None:
    """Of its 47,281 lines, 46 are no tokens; 61 URLs and tags without a label are no entities."""
    path = shared / "data/europeana_de/enp_DE.sbb.bio"
    if not path.exists():
        pytest.skip(f"no {path}")
    options = {"comment_prefix": "# ", "document_prefix": "# file:", "bad_lines": "missing"}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = list(ner.read(path, **options))
    assert ["152 bad lines" in str(told[0].message), len(told)] == [True, 2]
    assert len(found) == len({id(one.document) for one in found}) == 14
    assert sum(map(len, found)) == 47235
    assert sum(len(one.spans or ()) for one in found) == 1761
    assert sum(len(one.unknown) for one in found) == 152


def test_a_file_with_broken_tags_names_its_lines(shared: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(read(shared / "data/europeana_de/enp_DE.sbb.bio"))
    told = str(caught.value).split("\n")
    assert len(told) == 21
    assert "enp_DE.sbb.bio:1: expected 2 columns, found 3" in told[0]
    assert "it looks like a comment; set comment_prefix: '# '" in told[0]
    assert told[-1].endswith("and 174 more bad lines")


@pytest.mark.parametrize(
    ("bio", "iob1"), [("train", "train"), ("valid", "testa"), ("test", "testb")]
)
def test_the_original_conll2003_has_the_same_spans(bio: str, iob1: str, shared: Path) -> None:
    original = ner.read(shared / f"data/conll2003-iob1/eng.{iob1}")
    for one, other in zip(ner.read(shared / f"data/conll2003/{bio}.txt"), original, strict=True):
        assert (one.tokens, one.spans) == (other.tokens, other.spans)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_conll2003_has_the_same_spans_in_every_scheme(
    scheme: str, shared: Path, tmp_path: Path
) -> None:
    gold = list(ner.read(shared / "data/conll2003/test.txt"))
    ner.write(tmp_path / "x.conll", gold, scheme=scheme)
    reader = Reader(tmp_path / "x.conll")
    assert [(one.tokens, one.spans) for one in reader] == [(one.tokens, one.spans) for one in gold]
    assert reader.scheme.name == scheme


@pytest.mark.parametrize(
    "name", [f"conll2003/{one}.txt" for one in ("train", "valid", "test")] + ["bc5cdr/test.tsv"]
)
def test_a_real_file_is_written_back_byte_for_byte(name: str, shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / name
    ner.write(tmp_path / "x.conll", list(ner.read(path)))
    assert (tmp_path / "x.conll").read_bytes() == path.read_bytes()


def test_conll2003_test_sentences_that_stand_in_train(shared: Path) -> None:
    train = {one.tokens for one in ner.read(shared / "data/conll2003/train.txt")}
    assert sum(one.tokens in train for one in ner.read(shared / "data/conll2003/test.txt")) == 126
