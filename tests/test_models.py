"""Models of either kind: the verbs that do not train take both, and say the same."""

import json

import pytest

import ner
from ner.cli import main
from ner.runtime import ExportedTagger
from ner.tagger import Tagger


@pytest.fixture(scope="module")
def gold(toy, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("gold") / "gold.conll"
    ner.write(path, toy)
    return str(path)


def test_load_opens_both_kinds(small_model, exported_model, toy):
    torch, exported = ner.load(small_model), ner.load(exported_model)
    assert isinstance(torch, Tagger)
    assert isinstance(exported, ExportedTagger)
    assert torch.predict(toy) == exported.predict(toy)
    assert (torch.scheme, torch.labels) == (exported.scheme, exported.labels)
    assert set(torch.embeddings) == set(exported.embeddings)
    with pytest.raises(ner.errors.ConfigError, match="exported models run on the CPU"):
        ner.load(exported_model, device="cuda")


@pytest.mark.parametrize(
    "verb",
    [
        ["evaluate", "{gold}", "--model", "{model}", "--json", "-", "--resamples", "20"],
        ["compare", "{gold}", "{model}", "{gold}", "--json", "-"],
        ["suspects", "{model}", "{gold}", "--json", "-"],
        ["select", "{model}", "{gold}", "--budget", "5", "--json", "-"],
    ],
    ids=lambda verb: verb[0],
)
def test_a_verb_says_the_same_of_both(verb, small_model, exported_model, gold, capsys):
    said = []
    for model in (small_model, exported_model):
        assert main([part.format(gold=gold, model=model) for part in verb]) == 0
        said.append(_rounded(json.loads(capsys.readouterr().out)))
    assert said[0] == said[1]


def _rounded(value):
    if isinstance(value, float):
        return pytest.approx(value, abs=1e-3)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def test_bench_measures_an_exported_model(exported_model, gold, capsys):
    assert main(["bench", exported_model, gold, "--rounds", "1", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] > 20
    assert main(["bench", exported_model, gold, "--rounds", "1", "--against", "plain"]) == 2
    assert "needs the original model" in capsys.readouterr().err


def test_an_exported_model_is_served(exported_model):
    client = pytest.importorskip("fastapi.testclient")
    from ner.serving import application

    with client.TestClient(application(ner.load(exported_model))) as served:
        about = served.get("/model").json()
        assert about["labels"] == ["LOC", "MISC", "ORG", "PER"]
        asked = {"text": "Ada Obi joined Kestrel Foods in Accra."}
        all_of_them = served.post("/tag", json=asked).json()["spans"]
        least = sorted(span["score"] for span in all_of_them)[len(all_of_them) // 2]
        kept = served.post("/tag", json={**asked, "min_score": least}).json()["spans"]
        assert kept == [span for span in all_of_them if span["score"] >= least - 1e-6]
        for wrong in (-0.1, 1.5, "much", None):
            assert served.post("/tag", json={**asked, "min_score": wrong}).status_code == 422
        docs = served.get("/docs")
        assert "POST /tag" in docs.text
        assert "min_score" in docs.text
        assert "http" not in docs.text.replace("HTTP", "").lower().replace("http reference", "")


def test_the_model_says_which_tokenizer_cuts_its_texts(small_model, tmp_path, capsys):
    tagger = ner.load(small_model)
    tagger.tokenizer = "spacy:de"
    tagger.save(tmp_path / "german")
    (tmp_path / "in.txt").write_text("I don't know.\n", encoding="utf-8")
    for given, used in ([], "spacy:de"), (["--tokenizer", "builtin"], "builtin"):
        assert main(["tag", str(tmp_path / "german"), str(tmp_path / "in.txt"), *given]) == 0
        out, err = capsys.readouterr()
        assert err.rstrip().endswith(f"tokenizer: {used}")
        assert ("don't" in json.loads(out)["tokens"]) == (used != "builtin")
