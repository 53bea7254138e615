"""What is said before a run, and what it leaves behind."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

from training_runs import config

from ner.evaluation import Score
from ner.sentence import Sentence, Span
from ner.training import Epoch, Run, read_settings
from ner.training.corpora import Corpora, inspect
from ner.training.results import plot

SVG = "{http://www.w3.org/2000/svg}"


def test_an_inspection_counts_labels_and_what_both_splits_share():
    one = Sentence(("Ada", "left"), (Span(0, 1, "PER"),))
    two = Sentence(("to", "Peru", "Peru"), (Span(1, 2, "LOC"), Span(2, 3, "LOC")))
    new = Sentence(("Ada", "fell"), (Span(0, 1, "PER"),))
    odd = Sentence(("Ada",), (Span(0, 1, "LOC"),))
    found = inspect(Corpora((one, two) * 6, (one, new, odd, two), ()))
    assert found.labels == {"LOC": 12, "PER": 6}
    assert (found.tokens, found.rare) == (30, ("PER",))
    assert found.repeated == 2 / 4
    assert found.seen == 4 / 5
    assert found.lines() == [
        "entities LOC 12, PER 6; 600.0 in 1,000 tokens",
        "development: 50.0 % of the sentences and 80.0 % of the entities also occur in training",
        "warning: labels with fewer than 10 training entities: PER (6)",
    ]


def test_development_data_without_an_entity_is_remarked_upon():
    ada = Sentence(("Ada",), (Span(0, 1, "PER"),))
    assert not any("no entities" in line for line in inspect(Corpora((ada,), (), ())).lines())
    empty = Sentence(("nobody",), ())
    assert any("no entities" in line for line in inspect(Corpora((ada,), (empty,), ())).lines())


def epochs(count):
    first = Epoch(1, 9.0, Score(1, 2, 4), 1.0, 100.0, True, {"A<B": Score(1, 2, 4)}, 0.1)
    return [
        replace(first, number=n, best=n in (1, 3), loss=9.0 / n, score=Score(min(n, 4), 4, 4))
        for n in range(1, count + 1)
    ]


def test_the_plot_is_an_image_with_a_point_for_each_epoch():
    image = ElementTree.fromstring(plot(epochs(7)))
    lines = image.findall(f".//{SVG}polyline")
    assert [len(line.get("points").split()) for line in lines] == [7, 7, 7]
    texts = [text.text for text in image.iter(f"{SVG}text")]
    assert {"loss", "all", "A<B", "epoch", "best: epoch 3"} <= set(texts)
    assert {"1", "2", "4", "6"} <= set(texts), "ticks are round"
    heights = [float(point.split(",")[1]) for point in lines[1].get("points").split()]
    assert heights == sorted(heights, reverse=True)  # F1 rises, so the line climbs


def test_a_plot_of_one_epoch_without_scores_can_be_drawn():
    image = ElementTree.fromstring(plot([replace(epochs(1)[0], score=None, labels={})]))
    assert len(image.findall(f".//{SVG}polyline")) == 1


def test_an_epoch_passes_through_json():
    for epoch in epochs(3):
        assert Epoch.from_json(epoch.as_json()) == epoch


def test_the_model_directory_tells_how_it_was_trained(toy, tmp_path):
    settings = read_settings(config(epochs=2), output=str(tmp_path / "model"))
    run = Run(settings, device="cpu", corpora=Corpora(toy, toy, toy))
    list(run)
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"Trained on {len(toy)} sentences" in card
    assert "2 epochs, seed 1" in card
    assert all(f"| {label} |" in card for label in run.network.labels)
    assert (tmp_path / "model" / "training.svg").read_text().startswith("<svg")
