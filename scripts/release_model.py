"""Make the tiny model that stays in the tests for ever: ``release_model.py``, once a release.

It is trained on the bundled corpus and lies, with what it finds in some sentences, in
``tests/data/releases/VERSION``. Every later version must load it and find the same
(``tests/test_releases.py``); where the format of models changes, it is what the migration is
tried on. Those of released versions are never made again.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import ner
from ner.sample import path as sample_path
from ner.sentence import Sentence, in_document

SENTENCES = 25  # whose spans are kept
RELEASES = Path(__file__).parents[1] / "tests" / "data" / "releases"
SMALL = {
    "words": {"width": 8, "min_count": 2},
    "characters": {"width": 8, "character_width": 6},
    "character_lstm": {"width": 6, "character_width": 4},
    "affixes": {"width": 3, "min_count": 3},
    "pairs": {"width": 2, "min_count": 3},
    "document": {"width": 3, "flag_width": 2},
    "topic": {"width": 3, "position_width": 2},
}


def main() -> int:
    """Train, save, and write down what is found."""
    folder = RELEASES / ner.__version__
    if folder.exists():
        shutil.rmtree(folder)
    config = {
        "data": {"train": "sample:development", "development": "sample:test"},
        "model": {"embeddings": SMALL, "encoder": {"width": 16, "dropout": 0.2}},
        "training": {"epochs": 12, "threads": 1, "seed": 1},
    }
    run = ner.train(config, device="cpu")
    for epoch in run:
        print(f"epoch {epoch.number}: F1 {epoch.score.f1:.4f}")
    run.tagger.save(folder / "model")
    some = list(ner.read(sample_path("test")))[:SENTENCES]
    sentences = in_document([Sentence(sentence.tokens) for sentence in some])
    found = ner.load(folder / "model").predict(sentences)
    expected = [
        {
            "tokens": sentence.tokens,
            "spans": [[span.start, span.end, span.label, round(span.score, 4)] for span in spans],
        }
        for sentence, spans in zip(sentences, found, strict=True)
    ]
    text = "\n".join(json.dumps(one, ensure_ascii=False) for one in expected)
    (folder / "expected.jsonl").write_text(text + "\n", encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size >> 10} KiB, {sum(len(one['spans']) for one in expected)} spans")
    return 0


if __name__ == "__main__":
    sys.exit(main())
