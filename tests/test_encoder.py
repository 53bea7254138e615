"""The encoder: exact whatever the batch and the padding, one output per token."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ner.encoder import Encoder

LENGTHS = torch.tensor([7, 1, 4, 0])


def encoder_and_input(**settings):
    torch.manual_seed(0)
    encoder = Encoder(5, **{"width": 6, **settings}).eval()
    return encoder, torch.randn(4, 7, 5)


@pytest.mark.parametrize("layers", [1, 2])
def test_equal_to_a_packed_bidirectional_lstm(layers):
    """The oracle: torch's own stacked bidirectional LSTM on packed sequences."""
    encoder, vectors = encoder_and_input(layers=layers)
    oracle = nn.LSTM(5, 6, num_layers=layers, bidirectional=True, batch_first=True)
    state = {}
    for number in range(layers):
        for name, part in (("", encoder.forwards[number]), ("_reverse", encoder.backwards[number])):
            for key, weight in part.named_parameters():
                state[key.replace("_l0", f"_l{number}{name}")] = weight.detach()
    oracle.load_state_dict(state)
    packed = pack_padded_sequence(vectors[:3], LENGTHS[:3], batch_first=True, enforce_sorted=False)
    outputs, (hidden, _) = oracle(packed)
    expected, _ = pad_packed_sequence(outputs, batch_first=True)
    states = encoder(vectors, LENGTHS)
    for row, length in enumerate(LENGTHS[:3].tolist()):
        torch.testing.assert_close(states[row, :length], expected[row, :length])
    pooled = encoder.pool(states, LENGTHS)
    assert pooled.shape == (4, 2 * 6)
    torch.testing.assert_close(pooled[:3], torch.cat([hidden[-2], hidden[-1]], dim=1))
    assert not pooled[3].any()


@pytest.mark.parametrize(("bidirectional", "width"), [(True, 12), (False, 6)])
@pytest.mark.parametrize("layers", [1, 3])
def test_one_output_per_token_of_the_stated_width(bidirectional, width, layers):
    encoder, vectors = encoder_and_input(bidirectional=bidirectional, layers=layers)
    states = encoder(vectors, LENGTHS)
    assert states.shape == (4, 7, width)
    assert encoder.output_width == width
    assert encoder.pool(states, LENGTHS).shape == (4, width)


def test_one_direction_never_looks_ahead():
    encoder, vectors = encoder_and_input(bidirectional=False)
    changed = vectors.clone()
    changed[:, 4:] += 1.0
    before, after = encoder(vectors, LENGTHS), encoder(changed, LENGTHS)
    torch.testing.assert_close(before[:, :4], after[:, :4])


def test_padding_and_batch_never_change_a_state():
    encoder, vectors = encoder_and_input(layers=2)
    together = encoder(vectors, LENGTHS)
    for row, length in enumerate(LENGTHS[:3].tolist()):
        alone = encoder(vectors[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-6, rtol=0)
    garbage = vectors.clone()
    garbage[1, 1:] = 1e6
    torch.testing.assert_close(encoder(garbage, LENGTHS)[1, :1], together[1, :1])


def test_dropout_is_one_mask_for_all_tokens_of_a_sentence():
    encoder, _ = encoder_and_input(dropout=0.5)
    encoder.train()
    dropped = encoder.dropout(torch.ones(3, 9, 40))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped == dropped[:, :1]).all()
    assert not (dropped[0] == dropped[1]).all()


def test_its_settings_make_it_again():
    encoder, _ = encoder_and_input(layers=2, bidirectional=False, dropout=0.1)
    again = Encoder(5, **encoder.settings())
    assert {n: p.shape for n, p in again.named_parameters()} == {
        n: p.shape for n, p in encoder.named_parameters()
    }
