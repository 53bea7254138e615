"""The kernels in C give what the numpy code gives, with every instruction set of this processor."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from ner import loading, native
from ner.crf.core import decoding
from ner.crf.core import viterbi as reference
from ner.crf.core.scores import ChainScores
from ner.embeddings.characters import CharacterCNN
from ner.inference.decoding import Decoding
from ner.inference.gates import PackedSequence
from ner.inference.span_decoder import SpanDecoder
from ner.schemes import SCHEMES

if native.kernels is None:
    pytest.skip("ner._native was not built", allow_module_level=True)


@pytest.fixture(autouse=True, params=native.kernels.instruction_sets())
def instruction_set(request):
    before = native.kernels.in_use()
    native.kernels.use(request.param)
    yield
    native.kernels.use(before)


def test_a_module_of_other_sources_is_not_used(monkeypatch):
    assert loading.built() is native.kernels
    monkeypatch.setattr(native.kernels, "interface", loading.INTERFACE + 1)
    assert loading.built() is None


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def recurrence(gates, recurrent, lengths):
    """Halved outputs sentence by sentence in float64; gates are in flat order."""
    directions, width, _ = recurrent.shape
    outputs = np.zeros((gates.shape[1], directions, width))
    for direction, weights in enumerate(recurrent.astype(np.float64)):
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            tokens = range(end - length, end)
            state, cell = np.zeros(width), np.zeros(width)
            for token in tokens if direction == 0 else reversed(tokens):
                enter, keep, leave, new = np.split(gates[direction, token] + state @ weights, 4)
                cell = sigmoid(keep) * cell + sigmoid(enter) * np.tanh(new / 2.0)
                state = 0.5 * sigmoid(leave) * np.tanh(cell)
                outputs[token, direction] = state
    return outputs.reshape(len(outputs), -1)


def run(gates, recurrent, lengths):
    packed = PackedSequence.of(np.array(lengths))
    places = np.stack(packed.orders[: len(recurrent)])
    counts = np.array(packed.counts)
    return native.Recurrence(recurrent).run(gates, places, places, counts)


def weights(width, directions=2, scale=1.0, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(0.0, scale, (directions, width, 4 * width)).astype(np.float32)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 25, 33, 100])
@pytest.mark.parametrize(
    "lengths", [[1], [5], [3, 1], [4, 4, 4], [9, 7, 7, 5, 2, 1, 1], [2] * 49 + [1] * 50]
)
def test_the_recurrence_is_that_of_float64(width, lengths):
    random = np.random.default_rng(width)
    gates = random.normal(0.0, 2.0, (2, sum(lengths), 4 * width)).astype(np.float32)
    recurrent = weights(width, scale=width**-0.5)
    found = run(gates, recurrent, lengths)
    np.testing.assert_allclose(found, recurrence(gates, recurrent, lengths), atol=2e-6, rtol=0.0)


def test_gates_may_be_a_table_or_side_by_side():
    random = np.random.default_rng(0)
    table = random.normal(size=(2, 30, 4 * 5)).astype(np.float32)
    rows, lengths, recurrent = random.integers(0, 30, 9), [4, 3, 2], weights(5)
    packed = PackedSequence.of(np.array(lengths))
    places, counts = np.stack(packed.orders), np.array(packed.counts)
    expected = run(np.ascontiguousarray(table[:, rows]), recurrent, lengths)
    kernel = native.Recurrence(recurrent)
    assert np.array_equal(kernel.run(table, rows[places], places, counts), expected)
    beside = np.concatenate(list(table[:, rows]), axis=1)
    assert np.array_equal(kernel.run(beside, places, places, counts), expected)


def test_gates_far_out_of_range_saturate():
    random = np.random.default_rng(0)
    gates = random.choice(
        [-np.inf, -1e30, -45.0, -20.0, 0.0, 20.0, 45.0, 1e30, np.inf], (1, 400, 12)
    )
    gates, recurrent = gates.astype(np.float32), weights(3, 1, scale=0.1)
    with np.errstate(over="ignore"):
        expected = recurrence(gates, recurrent, [400])
    np.testing.assert_allclose(run(gates, recurrent, [400]), expected, atol=2e-6, rtol=0.0)


@pytest.mark.parametrize("pattern", [0x7FC00000, 0xFFC00000, 0x7FC000FF, 0x7F800001])
@pytest.mark.parametrize("gate", range(4))
def test_nan_stays_in_its_sentence_and_reaches_all_that_follows(pattern, gate):
    gates = np.zeros((1, 6, 20), np.float32)
    gates[0, 1, 5 * gate] = np.array(pattern, np.uint32).view(np.float32)
    found = run(gates, weights(5, 1), [3, 3])
    bad = np.isnan(found)
    assert bad[1, 0]
    assert not bad[1, 1:].any()
    assert bad[2].all()
    assert not bad[[0, 3, 4, 5]].any()


def test_no_token_gives_no_output():
    nothing = np.zeros((2, 0), np.int64)
    counts = np.zeros(0, np.int64)
    gates = np.zeros((2, 1, 12), np.float32)
    assert native.Recurrence(weights(3)).run(gates, nothing, nothing, counts).shape == (0, 6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("index", [[0, 1, 3]]),
        ("index", [[0, 1, -1]]),
        ("places", [[0, 1, 3]]),
        ("counts", [2, 2]),
        ("counts", [1, 2]),
        ("counts", [3, 0]),
    ],
)
def test_what_would_leave_the_arrays_is_refused(name, value):
    given = {"index": [[0, 1, 2]], "places": [[0, 1, 2]], "counts": [2, 1], name: value}
    given = {key: np.array(numbers) for key, numbers in given.items()}
    kernel = native.Recurrence(weights(2, 1))
    with pytest.raises(ValueError, match=r"no such|counts"):
        kernel.run(np.zeros((1, 3, 8), np.float32), **given)


def test_arrays_of_another_size_are_refused():
    scores = [np.zeros(n, np.float32) for n in (6, 4, 2, 2)]
    emissions, moves, start, end = scores
    lengths, paths = np.array([3]), np.zeros(3, np.int64)
    assert native.kernels.viterbi(1, 3, 2, emissions, lengths, moves, start, end, paths)
    for batch, length, tags in ((2, 3, 2), (1, 4, 2), (1, 3, 3), (-1, 3, 2), (1 << 60, 1 << 60, 2)):
        with pytest.raises(ValueError, match="do not hold"):
            native.kernels.viterbi(
                batch, length, tags, emissions, lengths, moves, start, end, paths
            )
    with pytest.raises(ValueError, match="length"):
        native.kernels.viterbi(1, 3, 2, emissions, lengths + 1, moves, start, end, paths)


def scores(tags, lengths, seed=0):
    random = np.random.default_rng(seed)
    shapes = ((len(lengths), max(lengths, default=0), tags), (tags, tags), tags, tags)
    emissions, *moves = (random.normal(0.0, 2.0, shape).astype(np.float32) for shape in shapes)
    return ChainScores(emissions, *moves, np.array(lengths, dtype=np.int64))


def natively(chain):
    scores = (chain.transitions, chain.start, chain.end)
    return native.viterbi(chain.emissions, chain.lengths, *scores)


def by_numpy(chain, monkeypatch):
    monkeypatch.setattr(native, "kernels", None)
    found = reference.viterbi(chain)
    monkeypatch.undo()
    return found


@pytest.mark.parametrize("tags", [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 33, 130, 801])
@pytest.mark.parametrize("lengths", [[1], [7], [3, 0, 5, 1], [70, 2]])
def test_paths_are_those_of_numpy(tags, lengths, monkeypatch):
    chain = scores(tags, lengths)
    assert np.array_equal(natively(chain), by_numpy(chain, monkeypatch))


def test_forbidden_moves_and_tags_are_not_taken(monkeypatch):
    random = np.random.default_rng(0)
    for seed in range(50):
        chain = scores(6, [9, 4, 4, 1], seed)
        for part in (chain.transitions, chain.start, chain.end, chain.emissions):
            part[random.random(part.shape) < 0.3] = -np.inf
        try:
            expected = by_numpy(chain, monkeypatch)
        except ValueError:
            monkeypatch.undo()
            assert natively(chain) is None
        else:
            assert np.array_equal(natively(chain), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 2e30, -2e30])
@pytest.mark.parametrize("part", ["emissions", "transitions", "start", "end"])
def test_scores_that_are_not_ordinary_are_left_to_numpy(part, bad):
    chain = scores(5, [3, 3])
    getattr(chain, part).reshape(-1)[-1] = bad
    assert natively(chain) is None


def test_padding_may_hold_anything(monkeypatch):
    chain = scores(5, [6, 3])
    chain.emissions[1, 3:] = np.nan
    assert np.array_equal(natively(chain), by_numpy(chain, monkeypatch))


def test_a_long_sentence_does_not_lose_digits(monkeypatch):
    chain = scores(9, [5000])
    chain.emissions[...] += 1000.0
    assert np.array_equal(natively(chain), by_numpy(chain, monkeypatch))


def test_nothing_gives_nothing():
    assert natively(scores(3, [])).shape == (0, 0)
    assert natively(scores(3, [0, 0])).shape == (2, 0)


def labelled(scheme, labels, lengths, seed=0, spread=2.0):
    """Random scores of a scheme's tags, legal moves only, and its table."""
    random = np.random.default_rng(seed)
    names = [f"L{number}" for number in range(labels)]
    tags = len(SCHEMES[scheme].tags(names))
    chain = scores(tags, lengths, seed)
    outside = ("O", *SCHEMES[scheme].tags(names))
    legal = np.array([[SCHEMES[scheme].allows(a, b) for b in outside] for a in outside])
    chain.transitions[~legal[1:, 1:]] = -np.inf
    chain.start[~legal[0, 1:]], chain.end[~legal[1:, 0]] = -np.inf, -np.inf
    chain.emissions[...] = random.normal(0.0, spread, chain.emissions.shape)
    decoder = SpanDecoder(SCHEMES[scheme], names)
    return chain, decoder.table, decoder._spelling


def potentials_of(chain, temperature=1.0):
    return native.KernelFactors.of(chain.transitions, chain.start, chain.end, temperature)


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "BMES", "IOB1"])
@pytest.mark.parametrize(
    ("labels", "lengths"),
    [
        (1, [1]),
        (2, [6, 0, 3]),
        (4, [14]),
        (9, [30, 2]),
        (9, [5, 4, 4, 1, 7]),
        (20, [3, 8, 8, 2, 1]),
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_probable_spans_are_those_of_numpy(scheme, labels, lengths, temperature):
    chain, table, spelling = labelled(scheme, labels, lengths)
    found = native.probable_spans(
        chain.emissions, chain.lengths, potentials_of(chain, temperature), spelling, 1e-3
    )
    tempered = Decoding(temperature=temperature).tempered(chain)
    spans, probabilities = decoding.probable_spans(tempered, table, 1e-3)
    expected = dict(
        zip(zip(*(f.tolist() for f in fields(spans)), strict=True), probabilities, strict=True)
    )
    own = {tuple(span)[:4]: span["score"] for span in found}
    assert own.keys() == expected.keys()
    assert all(abs(own[span] - p) < 1e-6 for span, p in expected.items())
    if temperature == 1.0:  # else the numpy code divides in float32
        assert all(abs(own[span] - p) < 1e-12 for span, p in expected.items())
    assert [tuple(span)[:2] for span in found] == sorted(tuple(span)[:2] for span in found)
    again = native.span_probabilities(
        chain.emissions,
        chain.lengths,
        potentials_of(chain, temperature),
        np.stack([found[name] for name in ("row", "start", "end", "label")]),
        spelling,
    )
    np.testing.assert_allclose(again, found["score"], rtol=1e-12)


def fields(spans):
    return spans.rows, spans.starts, spans.ends, spans.labels


def test_a_long_sentence_and_many_tags_keep_their_sums():
    chain, table, spelling = labelled("BIOES", 25, [3000])
    found = native.probable_spans(
        chain.emissions, chain.lengths, potentials_of(chain), spelling, 0.2
    )
    spans, probabilities = decoding.probable_spans(chain, table, 0.2)
    assert len(found) == len(spans) > 100
    np.testing.assert_allclose(np.sort(found["score"]), np.sort(probabilities), atol=1e-9)


@pytest.mark.parametrize("part", ["emissions", "transitions", "start", "end"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -400.0])
def test_sums_that_float64_does_not_hold_are_left_to_numpy(part, bad):
    chain, _, spelling = labelled("BIO", 2, [4, 4])
    getattr(chain, part).reshape(-1)[0] = bad
    given = (chain.emissions, chain.lengths, potentials_of(chain))
    assert native.probable_spans(*given, spelling, 0.5) is None
    one = np.array([[0], [0], [1], [0]])
    assert native.span_probabilities(*given, one, spelling) is None


def test_a_sentence_without_a_legal_path_is_left_to_numpy():
    chain, _, spelling = labelled("BIO", 2, [4])
    chain.emissions[0, 2] = -np.inf
    given = (chain.emissions, chain.lengths, potentials_of(chain))
    assert native.probable_spans(*given, spelling, 0.5) is None


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "IOB1"])
@pytest.mark.parametrize("labels", [9, 40, 200])
def test_tables_with_forbidden_moves_give_the_paths_of_numpy(scheme, labels, monkeypatch):
    if labels == 200 and scheme != "BIOES":
        pytest.skip("as with 40")
    chain, _, _ = labelled(scheme, labels, [9, 5, 5, 4, 1, 36])
    assert np.array_equal(natively(chain), by_numpy(chain, monkeypatch))


def test_a_move_within_a_label_that_is_forbidden_too_is_not_taken(monkeypatch):
    chain, table, spelling = labelled("BIOES", 12, [9, 9, 7, 6])
    chain.transitions[table.first, table.last] = -np.inf
    chain.transitions[table.last[:3], 0] = -np.inf
    assert np.array_equal(natively(chain), by_numpy(chain, monkeypatch))
    found = native.probable_spans(
        chain.emissions, chain.lengths, potentials_of(chain), spelling, 1e-2
    )
    _, probabilities = decoding.probable_spans(chain, table, 1e-2)
    np.testing.assert_allclose(np.sort(found["score"]), np.sort(probabilities), atol=1e-12)


def test_a_penalty_in_place_of_a_ban_weighs_nothing():
    chain, table, spelling = labelled("BIOES", 3, [9])
    chain.transitions[chain.transitions == -np.inf] = -1e4
    found = native.probable_spans(
        chain.emissions, chain.lengths, potentials_of(chain), spelling, 1e-3
    )
    _, probabilities = decoding.probable_spans(chain, table, 1e-3)
    np.testing.assert_allclose(np.sort(found["score"]), np.sort(probabilities), atol=1e-12)


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ([1, 0, 1, 0], "span"),
        ([0, -1, 1, 0], "span"),
        ([0, 2, 2, 0], "span"),
        ([0, 2, 5, 0], "span"),
        ([0, 0, 1, 2], "label"),
    ],
)
def test_spans_outside_their_sentence_are_refused(span, message):
    chain, _, spelling = labelled("BIO", 2, [4])
    given = (chain.emissions, chain.lengths, potentials_of(chain))
    with pytest.raises(ValueError, match=f"no such {message}"):
        native.span_probabilities(*given, np.array(span)[:, None], spelling)
    with pytest.raises(ValueError, match="no such tag"):
        native.probable_spans(*given, spelling + 3, 0.5)


def test_they_are_named_and_can_be_switched_off():
    code = "from ner.native import described; print(described())"
    for value, expected in (("0", "numpy"), ("1", native.described().rsplit(" ", 1)[0])):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"NER_NATIVE": value, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(expected)
    with pytest.raises(ValueError, match="does not have MMX"):
        native.kernels.use("MMX")


def values_and_gradients(part, indices):
    part.zero_grad()
    values = part(torch.from_numpy(indices))
    (values * torch.sin(torch.arange(values.numel())).view_as(values)).sum().backward()
    return [values.detach(), *(weight.grad.clone() for weight in part.parameters())]


@pytest.mark.parametrize(("width", "window"), [(1, 1), (7, 3), (30, 3), (50, 5), (8, 9)])
def test_filters_over_characters_by_a_table_are_the_convolution(monkeypatch, width, window):
    part = CharacterCNN("abcdef", width=width, character_width=5, window=window)
    random = np.random.default_rng(width)
    lengths = random.integers(1, 12, 40)
    indices = random.integers(1, 8, (40, 12)) * (np.arange(12) < lengths[:, None])
    found = values_and_gradients(part, indices)
    monkeypatch.setattr(native, "kernels", None)
    for ours, expected in zip(found, values_and_gradients(part, indices), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=4e-6)
    assert not part.vectors.weight.grad[0].any(), "padding has no vector to learn"


def test_words_without_characters_and_nan_are_as_without_kernels():
    products = np.ones((3, 4, 5), np.float32)
    products[1, 2] = np.nan
    maxima, places = native.character_maxima(products, np.array([[0, 0], [1, 1], [3, 2]]))
    assert (maxima[0] == -1e4).all()
    assert (places[0] == -1).all()
    assert (maxima[1] == 2.0).all()
    assert np.isnan(maxima[2]).all()


def test_characters_and_places_outside_are_refused():
    products = np.ones((3, 4, 5), np.float32)
    with pytest.raises(ValueError, match="no such character"):
        native.character_maxima(products, np.array([[4]]))
    with pytest.raises(ValueError, match="values"):
        native.kernels.character_maxima(
            1, 1, 4, 5, 3, np.array([1]), products, bytearray(4), bytearray(20)
        )
