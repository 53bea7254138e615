"""Models of every release load, and find what they found then."""

import json
import shutil
from pathlib import Path

import pytest

import ner
from ner.errors import ModelError
from ner.sentence import Sentence, in_document
from ner.storage.manifest import checksum

RELEASES = sorted((Path(__file__).parent / "data" / "releases").iterdir())


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_model_of_a_release_finds_what_it_found_then(release):
    tagger = ner.load(release / "model")
    lines = (release / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    expected = [json.loads(line) for line in lines]
    found = tagger.predict(in_document([Sentence(tuple(one["tokens"])) for one in expected]))
    assert sum(map(len, found)) > 20
    for spans, one in zip(found, expected, strict=True):
        assert [[span.start, span.end, span.label] for span in spans] == [
            span[:3] for span in one["spans"]
        ]
        assert [span.score for span in spans] == pytest.approx(
            [span[3] for span in one["spans"]], abs=2e-4
        )


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_it_is_saved_again_in_the_newest_format(release, tmp_path):
    tagger = ner.load(release / "model")
    tagger.save(tmp_path / "again")
    sentences = [["Mira", "Castellanos", "visited", "Lisbon", "."]]
    assert ner.load(tmp_path / "again").predict(sentences) == tagger.predict(sentences)


def test_this_release_has_its_model():
    """scripts/release_model.py makes it, when the version is raised."""
    assert ner.__version__ in [path.name for path in RELEASES]


def test_a_newer_format_is_a_clear_error(tmp_path):
    model = shutil.copytree(RELEASES[-1] / "model", tmp_path / "model")
    description = json.loads((model / "tagger.json").read_text(encoding="utf-8"))
    description["format"] += 1
    description["checksum"] = checksum(description)
    (model / "tagger.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ModelError, match=r"newer version of ner \(format 2; .* to 1\); upgrade"):
        ner.load(model)
