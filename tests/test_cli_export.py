"""``ner export`` writes a model that runs without torch, and says what that costs."""

import json

import pytest
from test_inference_fast import network_of

from ner import runtime
from ner.cli import main
from ner.errors import ModelError
from ner.formats import write
from ner.tagger import Tagger

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def model(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    Tagger(network_of(toy)).save(folder / "model")
    write(folder / "gold.conll", toy)
    return folder


def test_it_tells_what_differs(model, tmp_path, capsys):
    folder = tmp_path / "exported"
    gold = ["--gold", str(model / "gold.conll")]
    assert main(["export", str(model / "model"), str(folder), *gold, "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["spans_torch"] == result["spans_exported"] == result["spans_equal"] > 0
    assert result["largest_score_difference"] < 1e-4
    assert result["f1_torch"] == result["f1_exported"]
    assert main(["export", str(model / "model"), str(folder), *gold, "--int8"]) == 0
    assert "lost" in capsys.readouterr().out


def test_an_exported_model_tags_as_the_model_does(model, tmp_path, capsys):
    folder = str(tmp_path / "exported")
    assert main(["export", str(model / "model"), folder, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    found = []
    for path in (folder, str(model / "model")):
        assert main(["tag", path, str(model / "gold.conll"), "--to", "conll", "--quiet"]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["MODEL", "OUT", "--format", "tflite"], "unknown format 'tflite'; expected onnx"),
        (["nothing", "OUT"], "model directory 'nothing' does not exist"),
        (["MODEL", "MODEL"], "already exists and does not contain runtime.json"),
        (["MODEL", "OUT", "--gold", "nothing.conll"], "nothing.conll: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(model, tmp_path, capsys, arguments, told):
    places = {"MODEL": str(model / "model"), "OUT": str(tmp_path / "out")}
    assert main(["export", *(places.get(one, one) for one in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error
    assert not (tmp_path / "out").exists()


def test_a_missing_library_is_named_with_its_extra(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    for name in ("ner.export.network", "ner.export.parts", "ner.export.graph"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    assert main(["export", str(model / "model"), str(tmp_path / "out")]) == 2
    assert "pip install 'ner-crf[onnx]'" in capsys.readouterr().err


def test_verbs_that_change_a_model_say_what_an_exported_one_is(model, tmp_path, capsys):
    folder = str(tmp_path / "exported")
    assert main(["export", str(model / "model"), folder, "--quiet"]) == 0
    assert main(["evaluate", str(model / "gold.conll"), "--model", folder]) == 0
    capsys.readouterr()
    assert main(["calibrate", folder, str(model / "gold.conll")]) == 2
    assert "exported" in capsys.readouterr().err
    with pytest.raises(ModelError, match=r"not an exported model; load it with `ner\.load`"):
        runtime.load(model / "model")
