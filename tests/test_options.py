"""Options: checked against the signature of what takes them."""

import pickle

import pytest

from ner.encoder import Encoder
from ner.errors import ConfigError
from ner.options import UnknownOptionError, check, instantiate, lookup, nearest


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"widht": 3}, "model.encoder has no setting 'widht'; did you mean 'width'"),
        ({"width": "x"}, "model.encoder.width wants a whole number, got text 'x'"),
        ({"width": 1.5}, "a whole number, got a number"),
        ({"width": True}, "a whole number"),
        ({"bidirectional": 1}, "true or false"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"width": 10**29}, "width must fit in 64 bits"),
        ({"dropout": 1}, "dropout"),
        ([1], "found a list"),
    ],
)
def test_settings_are_checked_against_the_part_they_make(settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        instantiate(Encoder, settings, 10, of="model.encoder")


def test_a_part_that_is_not_on_the_shelf_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="no embedding is called 'word'; did you mean 'words'"):
        lookup({"words": 1}, "word", of="embedding")


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("widht", ["width", "layers"], "width"),
        ("dev", ["train", "development"], "development"),
        ("x", ["width", "layers"], None),
        ("", ["width"], None),
    ],
)
def test_the_nearest_name_is_spelt_alike_or_abbreviated(name, known, near):
    assert nearest(name, known) == near


def test_a_number_where_text_is_wanted_is_told_to_be_quoted():
    with pytest.raises(
        ConfigError, match='wants text or null, got a whole number 5; quote it to make it text: "5"'
    ):
        check(5, str | None, "data.reader.comment_prefix")


def test_an_unknown_option_survives_the_way_from_another_process():
    error = pickle.loads(pickle.dumps(UnknownOptionError("model", "x", ["y"])))
    assert str(error) == "model has no setting 'x'; there are y"
    assert (error.of, error.name, error.known) == ("model", "x", ("y",))
