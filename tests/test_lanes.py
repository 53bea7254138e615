"""The lanes of docs/design.md are those that sentences take."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

import ner
from ner.inference import PlainEngine, plain
from ner.inference.fast import CPUNetwork
from ner.inference.span_decoder import Moves, SpanDecoder, SpanExtractor
from ner.scorer import Scorer, Stack
from ner.training import Run, read_settings
from ner.training.corpora import Corpora

DESIGN = Path(__file__).parents[1] / "docs" / "design.md"
PARTS = (Scorer, Stack, CPUNetwork, Moves, SpanDecoder, SpanExtractor)
OWNERS = {one.__name__: one for one in PARTS}
ROW = re.compile(r"\| (\w+) \| `([\w.]+)` \| `(\w+)` \| `(\w+)` \|")


def table(lane):
    """The step, what it takes and what it gives, of each row of a lane."""
    rows = ROW.findall(DESIGN.read_text(encoding="utf-8"))
    return [tuple(row[1:]) for row in rows if row[0] == lane]


def kind(value):
    """The name of the type of what is given, or of the first of several."""
    while type(value) in (list, tuple):
        value = next(iter(item for item in value if type(item) not in (list, tuple) or item))
    return type(value).__name__


@pytest.fixture
def walk(monkeypatch):
    """Walk a lane and give the steps that were taken, each once, with what they met."""

    def run(lane, drive):
        met = []

        def watched(step, function, owned):
            @functools.wraps(function)
            def call(*arguments, **settings):
                result = function(*arguments, **settings)
                row = step, kind(arguments[owned]), kind(result)
                if row not in met:
                    met.append(row)
                return result

            return call

        for step, _, _ in table(lane):
            owner, _, name = step.rpartition(".")
            home = OWNERS[owner] if owner else plain
            monkeypatch.setattr(home, name, watched(step, getattr(home, name), int(bool(owner))))
        drive()
        return met

    return run


def test_training_takes_its_lane(walk, toy):
    settings = read_settings(
        {
            "data": {"train": "unread"},
            "model": {"embeddings": {"words": {"width": 4}}, "encoder": {"width": 4}},
            "training": {"epochs": 1},
        }
    )
    rows = walk(
        "training", lambda: list(Run(settings, device="cpu", corpora=Corpora(toy, toy, ())))
    )
    assert rows == table("training")
    assert len(rows) == 5


def test_tagging_takes_its_lane(walk, small_model, toy):
    tagger = ner.load(small_model)
    rows = walk("tagging", lambda: tagger.predict(toy))
    assert rows == table("tagging")
    assert len(rows) == 5


def test_the_reference_takes_its_lane(walk, small_model, toy):
    engine = PlainEngine(ner.load(small_model).network)
    rows = walk("reference", lambda: engine.predict(toy))
    assert rows == table("reference")
    assert len(rows) == 5
