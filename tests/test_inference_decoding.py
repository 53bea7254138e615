"""How spans are chosen: settings in their ranges, and the temperature."""

import math

import pytest
import torch

from ner.crf import LinearChain
from ner.errors import ConfigError
from ner.inference.decoding import VITERBI, WAYS, Decoding


@pytest.mark.parametrize("decode", WAYS)
@pytest.mark.parametrize("name", ["threshold", "min_score"])
@pytest.mark.parametrize("value", [0.25, 1, 1.0, 1e-9])
def test_what_is_in_its_range_is_taken(decode, name, value):
    decoding = Decoding(decode=decode, **{name: value})
    assert (decoding.decode, getattr(decoding, name)) == (decode, value)
    assert Decoding(temperature=1e9).temperature == 1e9
    assert Decoding(min_score=0.0).min_score == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"decode": "best"},
        {"decode": None},
        *({"threshold": value} for value in (0.0, -0.1, 1.1, math.nan, "0.5", None)),
        *(
            {"temperature": value}
            for value in (0.0, -1.0, 1e308, 1e-300, math.inf, math.nan, "1", [])
        ),
        *({"min_score": value} for value in (-0.1, 1.01, math.nan, None)),
    ],
)
def test_what_is_out_of_its_range_is_named(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"^{name} must be "):
        Decoding(**wrong)


def test_what_a_model_directory_holds_is_read_and_nothing_else():
    assert Decoding.read({}) == Decoding() == VITERBI
    assert Decoding("viterbi", 0.5, 1.0, 0.0) == VITERBI
    read = Decoding.read({"decode": "posterior", "threshold": 0.25})
    assert (read.decode, read.threshold, read.temperature) == ("posterior", 0.25, 1.0)
    whole = Decoding("posterior", 0.25, 2.0, 0.1)
    assert Decoding.read({name: getattr(whole, name) for name in Decoding.__slots__}) == whole
    with pytest.raises(ConfigError, match="decoding: unknown setting odd; expected decode, "):
        Decoding.read({"odd": 1})


def test_a_temperature_divides_every_score_and_1_none():
    parts = [torch.randn(2, 3, 4), torch.randn(4, 4), torch.randn(4), torch.randn(4)]
    chain = LinearChain(*parts, torch.tensor([3, 2]))
    assert Decoding().tempered(chain) is chain
    hot = Decoding(temperature=2.0).tempered(chain)
    for name, part in zip(("emissions", "transitions", "start", "end"), parts, strict=True):
        torch.testing.assert_close(getattr(hot, name), part / 2.0)
    assert hot.lengths.tolist() == [3, 2]
