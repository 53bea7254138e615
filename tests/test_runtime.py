"""An exported model finds what the model finds, without torch, and refuses what it cannot trust."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_inference_fast import SMALL, assert_same, network_of, texts
from tiny_transformers import transformer_settings

from ner.embeddings import EMBEDDINGS
from ner.errors import ModelError
from ner.inference import Decoding, PlainEngine
from ner.inference.decoding import WAYS
from ner.network import Ensemble
from ner.sentence import Sentence, in_document
from ner.storage.manifest import EXPORTED, checksum
from ner.tagger import Tagger

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from ner import runtime
from ner.export import write
from ner.export.parts import DRAWINGS
from ner.runtime.directory import EMISSIONS, MANIFEST, TYPES
from ner.runtime.tagger import _Session

NONE = dict.fromkeys(("characters", "affixes", "document", "topic"), False)
WITH = {"columns": {"columns": ["case"]}, "given": {"width": 3}}


def exported(network, folder, *, decoding=None, int8=False):
    """The tagger of a network exported to a folder."""
    write(Tagger(network, decoding=decoding), folder / "exported", int8=int8)
    return runtime.load(folder / "exported")


def annotated(toy):
    """Sentences in documents, with a column and vectors."""
    random, found = np.random.default_rng(0), []
    for sentence in texts(toy, 24):
        case = tuple("upper" if token[:1].isupper() else "lower" for token in sentence.tokens)
        vectors = random.normal(size=(len(case), 3)).astype(np.float32)
        found.append(replace(sentence, columns={"case": case}, vectors=vectors))
    return found


@pytest.fixture(scope="module")
def model(toy, tmp_path_factory):
    """A network of the usual parts, and the folder it was exported to."""
    network = network_of(toy)
    folder = tmp_path_factory.mktemp("runtime")
    exported(network, folder)
    return network, folder / "exported"


def test_every_embedding_has_its_drawing():
    assert list(DRAWINGS) == list(EMBEDDINGS.values())


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_every_embedding_gives_the_same_spans(toy, tmp_path, tmp_path_factory, kind):
    places = {"Ada Obi": 0, "Accra": 1}
    files = {"gazetteers": {"files": {"people": "names.txt"}},
             "pretrained": {"file": str(tmp_path / "v.txt"), "projection": 5},
             "vectors": {"table": {"words": list(places), "rows": list(places.values()),
                                   "vectors": np.ones((2, 3), np.float32)}}}  # fmt: skip
    (tmp_path / "names.txt").write_text("Ada Obi\nGhana\n", "utf-8")
    (tmp_path / "v.txt").write_text("Accra 1 2 3\nobi 0.5 1 0\n", "utf-8")
    files["gazetteers"]["files"]["people"] = str(tmp_path / "names.txt")
    more = {**files.get(kind, {}), **transformer_settings(kind, tmp_path_factory)}
    own = {kind: {**WITH.get(kind, {}), **more}}
    network = network_of(toy, embeddings={**NONE, "words": {"width": 8}, **own})
    sentences = annotated(toy)
    tagger = exported(network, tmp_path)
    assert_same(tagger.predict(sentences), PlainEngine(network).predict(sentences))


@pytest.mark.parametrize(
    "settings",
    [
        {"scheme": "BIO"},
        {"encoder": {"width": 9, "layers": 3}},
        {"encoder": {"width": 9, "bidirectional": False}},
        {"encoder": {"width": 9, "layers": 2, "bidirectional": False}},
    ],
)
def test_every_encoder_and_scheme_gives_the_same_spans(toy, tmp_path, settings):
    network, sentences = network_of(toy, **settings), texts(toy)
    tagger = exported(network, tmp_path)
    assert_same(tagger.predict(sentences), PlainEngine(network).predict(sentences))


def test_an_ensemble_of_unlike_members_is_exported_as_one(toy, tmp_path):
    parts = {**SMALL, "document": False, "pairs": {"min_count": 1}}
    unlike = network_of(toy, seed=2, embeddings=parts, encoder={"width": 7, "bidirectional": False})
    network = Ensemble([network_of(toy, seed=1), unlike]).eval()
    sentences = texts(toy)
    tagger = exported(network, tmp_path)
    assert_same(tagger.predict(sentences), PlainEngine(network).predict(sentences))


@pytest.mark.parametrize("decode", WAYS)
def test_a_model_decodes_as_it_was_told(toy, tmp_path, decode):
    decoding = Decoding(decode, threshold=0.3, temperature=1.7, min_score=0.05)
    network, sentences = network_of(toy), texts(toy)
    tagger = exported(network, tmp_path, decoding=decoding)
    assert tagger.decoding == decoding
    assert_same(tagger.predict(sentences), PlainEngine(network, decoding).predict(sentences))


def test_what_is_in_the_batch_changes_nothing(model, toy):
    tagger = runtime.load(model[1])
    sentences = texts(toy)
    alone = [tagger.predict([sentence])[0] for sentence in sentences]
    assert_same(tagger.predict(sentences[::-1])[::-1], alone)
    assert tagger.predict([]) == []
    assert tagger.predict([()]) == [()]
    assert tagger.predict([list(toy[0].tokens)]) == tagger.predict([Sentence(toy[0].tokens)])


def test_long_sentences_are_read_in_windows_and_streams(model):
    network, folder = model
    tokens = tuple(f"Word{number % 50}" for number in range(2500))
    sentences = in_document([Sentence(tokens), Sentence(("Word1", "won"))])
    tagger = runtime.load(folder)
    assert_same(tagger.predict(sentences), PlainEngine(network).predict(sentences))
    pieces = list(tagger.stream(iter(tokens)))
    assert [token for kept, _ in pieces for token in kept] == list(tokens)


def test_threads_share_a_tagger(model, toy):
    tagger = runtime.load(model[1])
    work = [texts(toy, seed=seed) for seed in range(6)]
    expected = [runtime.load(model[1]).predict(sentences) for sentences in work]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tagger.predict, work)) == expected


def test_eight_bits_are_a_quarter_of_the_size_and_nearly_the_same(model, toy, tmp_path):
    network, folder = model
    tagger = exported(network, tmp_path, int8=True)
    small = tmp_path / "exported"
    for name in (TYPES, EMISSIONS):
        assert (small / name).stat().st_size < (folder / name).stat().st_size
    sentences = texts(toy)
    pairs = zip(tagger.predict(sentences), PlainEngine(network).predict(sentences), strict=True)
    same = [set(one) & set(other) for one, other in pairs]
    found = sum(map(len, PlainEngine(network).predict(sentences)))
    assert sum(map(len, same)) > 0.8 * found  # of random weights, whose spans are doubtful


WITHOUT = (
    "torch", "torchcrf", "seqeval", "spacy", "thinc", "yaml", "safetensors", "tqdm", "jinja2",
    "onnx", "sklearn", "scipy",
)  # fmt: skip
ALONE = f"""
import sys
for name in {WITHOUT!r}:
    sys.modules[name] = None  # to import it is an error
import ner.runtime
from ner.cli import main
tagger = ner.runtime.load(sys.argv[1])
print(tagger.predict([["Ada", "Obi", "joined", "Kestrel", "Foods"]])[0])
sys.exit(main(["tag", sys.argv[1], sys.argv[2], "--to", "jsonl", "--quiet"]))
"""


def test_nothing_but_onnxruntime_and_numpy_is_needed(model, tmp_path):
    network, folder = model
    file = tmp_path / "news.conll"
    file.write_text("Ada\nObi\njoined\nKestrel\nFoods\n\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(folder), str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, tagged = done.stdout.splitlines()
    tokens = ("Ada", "Obi", "joined", "Kestrel", "Foods")
    (spans,) = PlainEngine(network).predict([Sentence(tokens)])
    assert len(spans) > 0
    found = [(s["token_start"], s["token_end"], s["label"]) for s in json.loads(tagged)["spans"]]
    assert found == [(span.start, span.end, span.label) for span in spans]
    assert said.count("Span(") == len(spans)


def test_a_graph_that_gives_another_shape_is_no_model():
    """A graph that was changed and signed gave the rows of other tokens than it was asked for."""
    session = object.__new__(_Session)
    session._name = "types.onnx"
    session._session = SimpleNamespace(run=lambda *_: [np.zeros((250, 128), np.float32)])
    with pytest.raises(ModelError, match=r"types.onnx: output of shape \(250, 128\)"):
        session.run({}, (79,))


def test_onnxruntime_keeps_no_record_of_its_use(model, tmp_path):
    code = "import sys, ner.runtime; ner.runtime.load(sys.argv[1]).predict([['Ada']])"
    told = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    told.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code, str(model[1])], env=told, check=True)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def copied(model, tmp_path):
    """A copy of an exported model, to be damaged."""
    return shutil.copytree(model[1], tmp_path / "copy")


def redescribe(folder, change):
    """Change the description of an exported model, its checksum made to fit."""
    description = json.loads((folder / EXPORTED).read_text("utf-8"))
    change(description)
    description["checksum"] = checksum(description)
    (folder / EXPORTED).write_text(json.dumps(description), "utf-8")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(format=99), "newer version"),
        (lambda d: d.update(labels=5), "not a usable model"),
        (lambda d: d["types"][0].update(kind="os"), "not a usable model: 'os'"),
        (lambda d: d["types"][0].update(evil=1), "not a usable model"),
        (lambda d: d["types"].append(d["contexts"][0]), "is not a TypeIndexer"),
        (lambda d: d["crf"].update(start=[0.0]), "expected finite scores of the shape"),
        (lambda d: d["decoding"].update(temperature=0), "temperature"),
        (lambda d: d.update(labels=["A"]), "expected finite scores"),
        (lambda d: d.pop("crf"), "is not a valid model description"),
        (lambda d: d["crf"]["start"].__setitem__(0, 1e308), "expected finite scores"),
        (lambda d: d["files"].update({"../x": {"sha256": ""}}), "is not a valid file name"),
    ],
)
def test_what_is_described_wrongly_is_refused(copied, change, told):
    redescribe(copied, change)
    with pytest.raises(ModelError, match=told):
        runtime.load(copied)


def test_damage_is_one_clear_error(copied):
    (copied / TYPES).write_bytes((copied / TYPES).read_bytes()[:-1])
    with pytest.raises(ModelError, match="SHA-256 differs"):
        runtime.load(copied)
    (copied / TYPES).unlink()
    with pytest.raises(ModelError, match=r"types\.onnx is missing"):
        runtime.load(copied)
    with pytest.raises(ModelError, match=r"model directory .* does not exist"):
        runtime.load(copied / "nothing")


def replaced(folder, name, content):
    """Put a file into an exported model, its description made to fit."""
    (folder / name).write_bytes(content)
    (folder / EXPORTED).rename(folder / "old")
    said = json.loads((folder / "old").read_text("utf-8"))
    (folder / "old").unlink()
    MANIFEST.write(folder, {n: v for n, v in said.items() if n not in ("format", "files")})


def test_a_graph_that_is_none_or_another_is_refused(copied):
    types = (copied / TYPES).read_bytes()
    replaced(copied, EMISSIONS, b"not a graph")
    with pytest.raises(ModelError, match=r"emissions\.onnx: not a graph of ONNX"):
        runtime.load(copied)
    replaced(copied, EMISSIONS, b"")
    with pytest.raises(ModelError, match="onnxruntime failed"):
        runtime.load(copied)
    replaced(copied, EMISSIONS, types)
    with pytest.raises(ModelError, match="has no output emissions"):
        runtime.load(copied)


@pytest.mark.parametrize("labels", [[], ["A", "A"], [""], [1, 2], [None], [["A"]], [{}], ["a\x1b"]])
def test_labels_that_cannot_be_told_apart_or_printed_are_refused(copied, labels):
    redescribe(copied, lambda d: d.update(labels=labels))
    with pytest.raises(ModelError, match=r"not a usable model: .*label"):
        runtime.load(copied)


def test_a_graph_reads_no_file_beside_it(copied, tmp_path):
    import onnx

    model = onnx.load_from_string((copied / EMISSIONS).read_bytes())
    large = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    secret = tmp_path / "secret"
    secret.write_bytes(large.raw_data)
    onnx.external_data_helper.set_external_data(large, str(secret))
    large.ClearField("raw_data")
    replaced(copied, EMISSIONS, model.SerializeToString())
    with pytest.raises(ModelError, match=r"emissions\.onnx: a tensor refers to another file"):
        runtime.load(copied)


def test_numbers_beyond_a_table_are_one_clear_error(copied):
    def more(description):
        words = next(part for part in description["types"] if part["kind"] == "words")
        words["words"] = [*words["words"], "zzz"]

    redescribe(copied, more)
    tagger = runtime.load(copied)
    with pytest.raises(ModelError, match="onnxruntime failed"):
        tagger.predict([["zzz"]])


def test_the_model_may_be_elsewhere_than_on_the_cpu_when_exported(toy, tmp_path):
    """Weights in float64 are exported as float32."""
    network = network_of(toy)
    right = PlainEngine(network).predict(texts(toy))
    tagger = exported(network.to(torch.float64), tmp_path)
    assert_same(tagger.predict(texts(toy)), right)
