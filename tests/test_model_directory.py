"""A model directory is whole or not there, and nothing in it can hurt."""

import json
import os
import shutil
import struct
import threading
import time
import tracemalloc
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import ner
from ner.errors import ConfigError
from ner.evaluation import Score
from ner.inference import FastEngine, PlainEngine
from ner.model_directory import DESCRIPTION, FORMAT, MANIFEST, WEIGHTS, ModelError, checksum
from ner.network import build
from ner.sentence import Sentence
from ner.storage import manifest
from ner.storage.atomic import atomic_directory, sha256
from ner.storage.manifest import parse_json, read_consistently, read_json
from ner.tagger import Tagger

SMALL = {
    "embeddings": {
        "words": {"width": 4},
        "characters": {"width": 4, "character_width": 3},
        "affixes": {"width": 2},
        "document": {"width": 3, "flag_width": 2},
    },
    "encoder": {"width": 5},
}


@pytest.fixture(scope="module")
def good(tmp_path_factory, toy):
    """A model directory, not to be changed."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "good"
    Tagger(build(toy, **SMALL).eval(), metrics={"development": Score(1, 2, 2).as_json()}).save(path)
    return path


@pytest.fixture
def model(good, tmp_path):
    """A model directory to spoil."""
    return shutil.copytree(good, tmp_path / "model")


def sign(model):
    """Make the manifest agree with the files again, as somebody who means harm would."""
    description = json.loads((model / DESCRIPTION).read_text())
    for name, facts in description["files"].items():
        facts["sha256"] = sha256(model / name)
    description["checksum"] = checksum(description)
    (model / DESCRIPTION).write_text(json.dumps(description))


def change(model, edit):
    """Edit the description of a model, and make its checksum agree again."""
    description = json.loads((model / DESCRIPTION).read_text())
    edit(description)
    description["checksum"] = checksum(description)
    (model / DESCRIPTION).write_text(json.dumps(description))


def flip(file, place):
    """Change one bit."""
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def test_a_pipeline_of_spacy_is_named_as_such(tmp_path):
    (tmp_path / "config.cfg").write_text("[nlp]\n")
    with pytest.raises(ModelError, match=r"a spaCy pipeline; .* the folder of its component"):
        ner.load(tmp_path)


def test_a_loaded_tagger_predicts_what_the_saved_one_did(good, toy, tmp_path):
    tagger = ner.load(good)
    predicted = tagger.predict(toy)
    tagger.save(tmp_path / "again")
    again = ner.load(tmp_path / "again")
    assert again.predict(toy) == predicted
    assert [s.score for row in again.predict(toy) for s in row] == [
        s.score for row in predicted for s in row
    ]
    for name in (WEIGHTS, DESCRIPTION):
        assert (tmp_path / "again" / name).read_bytes() == (good / name).read_bytes()


def test_it_holds_the_files_of_the_contract(good):
    names = {file.name for file in good.iterdir()}
    assert names == {DESCRIPTION, WEIGHTS, "config.yaml", "metrics.json", "README.md"}


def test_who_may_read_the_folder_may_read_the_weights(good):
    assert {file.stat().st_mode & 0o777 for file in good.iterdir()} == {
        (good / "config.yaml").stat().st_mode & 0o777
    }


def test_a_tagger_passes_through_bytes(good, toy):
    tagger = ner.load(good)
    assert Tagger.from_bytes(tagger.to_bytes()).predict(toy) == tagger.predict(toy)


def test_the_folder_one_is_in_can_be_loaded(good, monkeypatch):
    monkeypatch.chdir(good)
    assert ner.load(".").labels == ner.load(good).labels


def test_it_loads_read_only_with_no_home(good, toy, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    good.chmod(0o555)
    try:
        assert ner.load(good).labels == ("LOC", "MISC", "ORG", "PER")
    finally:
        good.chmod(0o755)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (shutil.rmtree, "does not exist"),
        (lambda m: (m / WEIGHTS).unlink(), "missing"),
        (lambda m: (m / DESCRIPTION).unlink(), "missing"),
        (lambda m: (m / DESCRIPTION).write_text("{"), "is not valid JSON"),
        (lambda m: (m / DESCRIPTION).write_text("[" * 100_000), "is not valid JSON"),
        (lambda m: (m / DESCRIPTION).write_text("[]"), "is not a valid model description"),
        (lambda m: (m / DESCRIPTION).write_text('{"format": 1}'), "checksum"),
        (lambda m: (m / DESCRIPTION).write_bytes(b"\xff\xfe"), "is not valid JSON"),
        (lambda m: (m / WEIGHTS).write_bytes((m / WEIGHTS).read_bytes()[:-1]), "damaged"),
        (lambda m: flip(m / WEIGHTS, -3), "SHA-256"),
        (lambda m: flip(m / "README.md", 5), "SHA-256"),
        (lambda m: change(m, lambda d: d.update(format=FORMAT + 1)), "newer version"),
        (lambda m: change(m, lambda d: d.update(format=True)), "is not a valid model description"),
        (
            lambda m: change(m, lambda d: d["files"].update({"../x": {}})),
            "is not a valid file name",
        ),
        (lambda m: change(m, lambda d: d["files"].update({"..": {}})), "is not a valid file name"),
        (lambda m: change(m, lambda d: d["files"].update({"": {}})), "is not a valid file name"),
        (lambda m: change(m, lambda d: d["files"].update({"\0": {}})), "is not a valid file name"),
        (
            lambda m: change(m, lambda d: d["files"].update({"ü" * 200: {}})),
            "is not a valid file name",
        ),
        (lambda m: change(m, lambda d: d["network"].update(odd=1)), "no setting 'odd'"),
        (lambda m: change(m, lambda d: d["network"].pop("labels")), "needs the setting 'labels'"),
        (lambda m: change(m, lambda d: d["network"].update(embeddings=[])), "not a usable model"),
        (lambda m: change(m, lambda d: d["network"].update(scheme="IOB1")), "not a usable model"),
        (lambda m: change(m, lambda d: d["network"]["labels"].append("NEW")), "shape"),
        (
            lambda m: change(m, lambda d: d["network"]["embeddings"]["words"].update(kind="os")),
            "no embedding is called 'os'",
        ),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(model, spoil, complaint):
    spoil(model)
    with pytest.raises(ModelError, match=complaint) as caught:
        ner.load(model)
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_in_place_of_a_directory_is_said(tmp_path):
    (tmp_path / "m").write_text("x")
    with pytest.raises(ModelError, match=r"model directory .* is a file"):
        ner.load(tmp_path / "m")


HOSTILE = {
    "width": lambda d: d["network"]["encoder"].update(width=10_000_000),
    "layers": lambda d: d["network"]["encoder"].update(layers=1_000_000_000),
    "vectors": lambda d: d["network"]["embeddings"]["words"].update(width=1_000_000_000),
    "window": lambda d: d["network"]["embeddings"]["characters"].update(window=99_999_999),
    "members": lambda d: (
        d["network"].update(members=100),
        d["network"]["encoder"].update(layers=100),
    ),
    "labels": lambda d: d["network"].update(labels=[str(n) for n in range(100_000)]),
    "parts": lambda d: d["network"]["embeddings"].update(
        {f"x{n}": {"kind": "words", "words": []} for n in range(2000)}
    ),
    "columns": lambda d: d["network"]["embeddings"].update(
        x={"kind": "columns", "values": {f"x{n}": [] for n in range(2000)}}
    ),
    "files": lambda d: d["files"].update({f"x{n}": {} for n in range(1000)}),
}


@pytest.mark.parametrize("edit", HOSTILE.values(), ids=HOSTILE)
def test_what_the_weights_do_not_hold_takes_neither_memory_nor_time(model, edit):
    change(model, edit)
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(ModelError) as caught:
        ner.load(model)
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20
    assert seconds < 20  # a bound against hanging, not a measurement
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 40_000 + "]" * 40_000, "is not valid JSON"),
        ("[" + "[]," * 60_000 + "[]]", "more than 50,000 lists"),
        ('{"format": 1, "format": 1}', "twice"),
        ('{"format": NaN}', "NaN is not valid"),
        ('{"format": 1, "x": 1e999}', "is not a valid model description"),
        ('{"format": 1, "x": "\\ud800"}', "surrogates"),
        ('{"x": "' + "x" * 6_000_000 + '"}', "exceeds the limit of"),
    ],
    ids=["deep", "wide", "twice", "nan", "infinite", "surrogate", "large"],
)
def test_hostile_json_is_refused(model, text, complaint):
    (model / DESCRIPTION).write_text(text)
    with pytest.raises(ModelError, match=complaint):
        ner.load(model)


def test_names_without_number_are_refused(model):
    (model / DESCRIPTION).write_text(json.dumps({f"k{n}": ": " for n in range(200_000)}))
    with pytest.raises(ModelError, match="more than 50,000 names in objects"):
        ner.load(model)
    words = json.dumps({"words": [f"a: {n}" for n in range(60_000)]})
    assert len(parse_json(words.encode())["words"]) == 60_000


def test_a_description_takes_little_more_memory_than_its_words(tmp_path):
    """A million words took 116 MiB, for it stood in memory as bytes, text and JSON once more."""
    file = tmp_path / DESCRIPTION
    file.write_text(json.dumps({"words": [f"w{n:x}" for n in range(200_000)]}))
    tracemalloc.start()
    try:
        description = read_json(file)
        checksum(description)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most - held < 4 * file.stat().st_size


def test_a_string_without_end_is_looked_at_once(model):
    """Half an hour, if what is quoted in it were looked at again from each of its quotes."""
    for quoted in (b'\\"', b'\\\n"', b'\\" '):
        content = b'{"a": "' + quoted * 200_000 + b"[" * 50_001
        (model / DESCRIPTION).write_bytes(content)
        with pytest.raises(ModelError, match="is not valid JSON"):
            ner.load(model)


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS, "config.yaml", "metrics.json", "README.md"])
def test_nothing_but_a_regular_file_is_opened(model, name):
    """A link may lead out or to a device that never ends; a pipe would wait for ever."""
    (model / name).unlink()
    (model / name).symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="a symbolic link"):
        ner.load(model)
    (model / name).unlink()
    os.mkfifo(model / name)
    with pytest.raises(ModelError, match="not a regular file"):
        ner.load(model)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.json"])
def test_no_file_is_read_that_the_description_does_not_vouch_for(model, name):
    change(model, lambda d: d["files"].pop(name))
    with pytest.raises(ModelError, match=f"does not list {name}"):
        ner.load(model)


@pytest.mark.parametrize("labels", [[], ["PER", "PER"], [""], ["a\nb"], ["\x1b[2J"]])
def test_labels_that_cannot_be_told_apart_or_printed_are_refused(model, labels):
    change(model, lambda d: d["network"].update(labels=labels))
    with pytest.raises(ModelError, match="label"):
        ner.load(model)


def test_a_feature_that_nobody_knows_is_refused_at_loading(model):
    def rename(description):
        values = description["network"]["embeddings"]["affixes"]["values"]
        values["unheard"] = values.pop("shape")

    change(model, rename)
    with pytest.raises(ModelError, match="unknown feature 'unheard'"):
        ner.load(model)


def test_weights_of_another_type_are_refused(model):
    weights = {name: tensor.half() for name, tensor in load_file(model / WEIGHTS).items()}
    save_file(weights, model / WEIGHTS)
    sign(model)
    with pytest.raises(ModelError, match="has type F16, expected F32"):
        ner.load(model)


def test_a_sparse_file_of_weights_is_not_read_to_its_end(model):
    with (model / WEIGHTS).open("ab") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match="damaged"):
        ner.load(model)


def test_a_model_that_is_replaced_while_it_is_read_is_the_old_or_the_new_one(good, tmp_path):
    path, tagger, stop = tmp_path / "model", ner.load(good), threading.Event()

    def save(number):
        with torch.no_grad():
            tagger.network.projection.bias.fill_(number)
        tagger.metrics["n"] = number
        tagger.save(path)

    def go_on():
        number = 0
        while not stop.is_set():
            number += 1
            save(number)

    save(0)
    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for _ in range(10):
            loaded = ner.load(path)
            assert loaded.network.projection.bias.unique().tolist() == [loaded.metrics["n"]]
    finally:
        stop.set()
        writer.join()


def test_a_directory_that_takes_the_number_of_the_one_before_is_another(tmp_path):
    folder, reads = tmp_path / "model", []

    def replace():
        with atomic_directory(folder, holds="file") as fresh:
            (fresh / "file").write_text("new")

    def read():
        reads.append(folder.stat().st_ino)
        if len(reads) == 1:
            for _ in range(20):  # file systems give a free number to the next directory or so
                replace()
                if folder.stat().st_ino == reads[0]:
                    break
            raise ModelError("a file of the one before and a file of the one after")
        return "whole"

    replace()
    assert read_consistently(folder, read) == "whole"


def test_bytes_that_are_no_tagger_are_one_clear_error(good):
    data = ner.load(good).to_bytes()
    length = int.from_bytes(data[:8], "little")
    for sizes in (b"[]", b'{"a": "b"}', b'{"../a": 1}', b'{"a": -1}', b"{", b"[" * 99_999, b"\xff"):
        with pytest.raises(ModelError):
            Tagger.from_bytes(len(sizes).to_bytes(8, "little") + sizes + data[8 + length :])
    for name in ("", "..", "a/b", "\0", "x" * 256):
        sizes = json.dumps({name: 1}).encode()
        with pytest.raises(ModelError, match=r"not a valid name of a model|not a valid file name"):
            Tagger.from_bytes(len(sizes).to_bytes(8, "little") + sizes + b"x")
    for cut in (0, 4, 8, 20, len(data) - 1):
        with pytest.raises(ModelError):
            Tagger.from_bytes(data[:cut])


def test_a_lying_header_of_weights_is_refused(model):
    header = b'{"x":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
    (model / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header)
    sign(model)
    with pytest.raises(ModelError, match="damaged"):
        ner.load(model)


WEIGHED = ["projection.bias", "crf.transitions", "crf.start_transitions", "crf.end_transitions"]


@pytest.mark.parametrize("spaces", range(5))
def test_weights_are_read_as_safetensors_reads_them(good, model, spaces):
    """Wherever they begin in the file: other writers need not align them."""
    content = (good / WEIGHTS).read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size] + b" " * spaces
    weights = len(header).to_bytes(8, "little") + header + content[8 + size :]
    (model / WEIGHTS).write_bytes(weights)
    sign(model)
    expected, found = load_file(model / WEIGHTS), ner.load(model)._held.weights
    assert found.keys() == expected.keys()
    assert all((found[name] == tensor.numpy()).all() for name, tensor in expected.items())
    assert all(weight.flags.aligned and weight.flags.writeable for weight in found.values())


def test_the_settings_of_training_are_read_only_when_they_are_asked_for(model):
    (model / "config.yaml").write_text("training: {epochs: 7}\n")
    sign(model)
    assert ner.load(model).config == {"training": {"epochs": 7}}
    (model / "config.yaml").write_text("training: *none\n")
    sign(model)
    tagger = ner.load(model)
    assert tagger.predict([["Ada"]])
    with pytest.raises(ConfigError, match="aliases"):
        _ = tagger.config


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", WEIGHED)
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(
    good, model, tmp_path, name, value
):
    tagger = ner.load(good)
    with torch.no_grad():
        tagger.network.get_parameter(name).view(-1)[0] = float(value)
    with pytest.raises(ModelError, match=rf"{name} are not finite"):
        tagger.save(tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    weights = load_file(model / WEIGHTS)
    (place,) = [key for key in weights if key.endswith(name)]
    weights[place].view(-1)[0] = float(value)
    save_file(weights, model / WEIGHTS)
    sign(model)
    with pytest.raises(ModelError, match=rf"{name} are not finite"):
        ner.load(model)


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("name", WEIGHED[1:])
@pytest.mark.parametrize("engine", [FastEngine, PlainEngine])
def test_scores_of_the_crf_that_are_not_finite_are_reported_when_they_are_used(
    good, engine, name, value
):
    """As a program may have made them so that holds the network; a path need not meet them."""
    tagger = ner.load(good)
    with torch.no_grad():
        tagger.network.get_parameter(name).view(-1)[0] = float(value)
    expected = rf"CRF parameter '{name[4:].split('_')[0]}': NaN or \+inf in"
    for tokens in (("Ada", "Obi", "left"), ("Ada",)):
        with pytest.raises(ValueError, match=expected):
            engine(tagger.network).predict([Sentence(tokens)])


def test_a_description_of_an_older_format_is_brought_up_to_date(model):
    """Each step makes a description of one format one of the next."""
    steps = {1: lambda d: {**d, "said": 2}, 2: lambda d: {**d, "said": d["said"] + 1}}
    newer = replace(MANIFEST, version=3, needs=frozenset({"network", "said"}), migrations=steps)
    assert newer.read(model)["said"] == 3
    with pytest.raises(ModelError, match="is not a valid model description"):
        replace(newer, needs=frozenset({"odd"})).read(model)


def test_a_description_too_large_to_be_read_is_not_written(good, tmp_path, monkeypatch):
    tagger = ner.load(good)
    monkeypatch.setattr(manifest, "SPARE", -(10**9))
    with pytest.raises(ModelError, match="would exceed the"):
        tagger.save(tmp_path / "large")
    assert not list(tmp_path.iterdir())


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_mutated_models_are_refused_or_the_same(good, toy, tmp_path, data):
    """Bytes changed anywhere: only our own error, and never another model unnoticed."""
    model = tmp_path / "mutated"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(good, model)
    name = data.draw(st.sampled_from(sorted(file.name for file in good.iterdir())))
    content = bytearray((model / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (model / name).write_bytes(content)
    try:
        tagger = ner.load(model)
    except ModelError:
        return
    assert name == DESCRIPTION  # every other file is under the manifest
    assert tagger.predict(toy) == ner.load(good).predict(toy)
