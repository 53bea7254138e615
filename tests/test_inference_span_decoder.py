"""Spans chosen and scored on numpy arrays alone are those that torch chooses."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference_fast import assert_same, network_of, texts

from ner.crf import DECODERS, LinearChain, SpanTags, greedy, posterior
from ner.crf.arrays import ArrayChain, ArrayMessages, Found, SpanTable, _Moves, span_probability
from ner.crf.decoding_numpy import greedy_numpy, posterior_numpy
from ner.crf.nbest_numpy import n_best_numpy
from ner.crf.viterbi_numpy import viterbi_numpy
from ner.inference import Decoding, FastEngine, PlainEngine
from ner.inference.decoding import WAYS
from ner.inference.n_best import alternatives
from ner.inference.span_decoder import Moves, SpanDecoder
from ner.inference.windows import DecodingChunk
from ner.schemes import SCHEMES

LABELS = ["A", "B"]
NAMES = ["BIO", "BIOES", "BILOU", "BMES"]


def chains(name, seed, scale):
    """The same random distribution over legal tags for numpy and for torch, and its spans' tags."""
    scheme = SCHEMES[name]
    ends = (*scheme.tags(LABELS), "O")
    allowed = np.array([[scheme.allows(a, b) for b in ends] for a in ends])
    random = np.random.default_rng(seed)
    scores = np.where(allowed, random.normal(0.0, scale, allowed.shape), -np.inf)
    lengths = random.integers(1, 9, 5)
    emissions = random.normal(0.0, scale, (5, 8, len(ends) - 1)).astype(np.float32)
    parts = [p.astype(np.float32) for p in (scores[:-1, :-1], scores[-1, :-1], scores[:-1, -1])]
    spelling = scheme.spelling(LABELS)
    return (
        ArrayChain(emissions, *parts, lengths),
        LinearChain(*map(torch.from_numpy, (emissions, *parts, lengths))),
        SpanTable(**{name: np.array(tags) for name, tags in spelling.items()}),
        SpanTags(**{name: torch.tensor(tags) for name, tags in spelling.items()}),
    )


cases = given(st.sampled_from(NAMES), st.integers(0, 99), st.sampled_from([0.3, 2.0, 2000.0]))


@settings(max_examples=40)
@cases
def test_the_sums_are_those_of_torch(name, seed, scale):
    chain, linear, table, tags = chains(name, seed, scale)
    spans = [(row, start, end, label) for row, length in enumerate(chain.lengths.tolist())
             for start in range(length) for end in range(start + 1, length + 1)
             for label in range(2)]  # fmt: skip
    columns = np.array(spans).T
    found = span_probability(chain, ArrayMessages.of(chain), Found(*columns), table)
    expected = linear.span_probability(*map(torch.from_numpy, columns), tags)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-9)
    marginals = ArrayMessages.of(chain).marginals()[chain.mask]
    np.testing.assert_allclose(marginals, linear.marginals().numpy()[chain.mask], atol=1e-5)


@settings(max_examples=100)
@given(st.integers(0, 999), st.sampled_from([1.0, 80.0, 150.0, 300.0, 5000.0]))
def test_a_step_loses_nothing_below_the_range_of_float64(seed, scale):
    random = np.random.default_rng(seed)
    moves, before = random.normal(0.0, scale, (6, 6)), random.normal(0.0, scale, (4, 6))
    moves[random.random(moves.shape) < 0.4] = before[random.random(before.shape) < 0.4] = -np.inf
    with np.errstate(divide="ignore"):
        expected = np.logaddexp.reduce(before[:, :, None] + moves, 1)
    np.testing.assert_allclose(_Moves.of(moves).summed(before), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=40)
@cases
def test_every_way_to_choose_is_that_of_torch(name, seed, scale):
    chain, linear, table, tags = chains(name, seed, scale)
    inside = chain.mask
    for threshold in (0.1, 0.35, 0.8):
        found = posterior_numpy(chain, table, threshold=threshold)
        expected = posterior(linear, tags, threshold=threshold).tags.numpy()
        np.testing.assert_array_equal(found[inside], expected[inside])
    np.testing.assert_array_equal(greedy_numpy(chain), greedy(linear).tags.numpy())


@pytest.mark.parametrize("threshold", [0.01, 0.03, 0.1, 0.2])
def test_spans_that_compete_are_chosen_as_torch_does(threshold):
    """A gain is a probability less the threshold, so that one span may outweigh two."""
    for seed in range(60):
        chain, linear, table, tags = chains("BIO", seed, 0.7)
        found = posterior_numpy(chain, table, threshold=threshold)
        expected = posterior(linear, tags, threshold=threshold).tags.numpy()
        np.testing.assert_array_equal(found[chain.mask], expected[chain.mask])


def test_a_span_just_as_probable_as_the_threshold_is_kept():
    table = SpanTable(*(np.array([tag]) for tag in (1, 1, 2, 2, 2)))  # BIO: O, B, I
    moves, ends = np.zeros((3, 3), np.float32), np.array([0.0, 0.0, -np.inf], np.float32)
    chain = ArrayChain(np.zeros((1, 1, 3), np.float32), moves, ends, ends, np.array([1]))
    assert posterior_numpy(chain, table, threshold=0.5).tolist() == [[1]]
    assert posterior_numpy(chain, table, threshold=0.51).tolist() == [[0]]


@settings(max_examples=100)
@given(st.integers(0, 9999))
def test_the_greedy_way_sees_dead_ends_from_afar(seed):
    """Where few moves are allowed, what can still end is not told by the next tag alone."""
    random = np.random.default_rng(seed)
    moves = np.where(random.random((6, 6)) < 0.2, 0.0, -np.inf).astype(np.float32)
    moves[0, 0] = 0.0  # there is a way to the end
    end = np.full(6, -np.inf, np.float32)
    end[0] = 0.0
    emissions = random.normal(size=(4, 7, 6)).astype(np.float32)
    chain = ArrayChain(emissions, moves, np.zeros(6, np.float32), end, np.array([7, 5, 4, 1]))
    parts = (chain.emissions, chain.transitions, chain.start, chain.end, chain.lengths)
    right = greedy(LinearChain(*map(torch.from_numpy, parts))).tags.numpy()
    np.testing.assert_array_equal(greedy_numpy(chain), right)


def test_the_ways_are_those_of_the_crf():
    assert list(DECODERS) == list(WAYS)


@pytest.mark.parametrize("decode", WAYS)
def test_the_span_decoder_finds_what_the_plain_road_finds(toy, decode):
    network, decoding = network_of(toy), Decoding(decode, threshold=0.3, temperature=1.5)
    engine = FastEngine(network, decoding)
    engine.decoder = SpanDecoder(network.scheme, network.labels, decoding)
    sentences = texts(toy)
    assert_same(engine.predict(sentences), PlainEngine(network, decoding).predict(sentences))
    engine.decoder.any_probabilities = None  # they were summed step by step
    engine.predict(sentences)


def test_spans_below_the_least_score_are_dropped_and_no_others(toy):
    """One just as probable stays."""
    network, sentences = network_of(toy), texts(toy)
    every = FastEngine(network).predict(sentences)
    scores = sorted(span.score for spans in every for span in spans)
    least = scores[len(scores) // 2]
    found = FastEngine(network, Decoding(min_score=least)).predict(sentences)
    assert found == [tuple(span for span in spans if span.score >= least) for spans in every]
    assert min(span.score for spans in found for span in spans) == least


@settings(max_examples=30)
@given(st.sampled_from(NAMES), st.integers(0, 99), st.sampled_from([1, 3, 40]))
def test_the_best_paths_are_those_of_torch(name, seed, count):
    chain, linear, _, _ = chains(name, seed, 2.0)
    tags, scores = n_best_numpy(chain, count)
    expected = linear.n_best(count)
    np.testing.assert_allclose(scores, expected.scores.numpy(), atol=1e-9)
    np.testing.assert_array_equal(tags, expected.tags.numpy())


def test_other_readings_are_those_of_the_network(toy):
    network, sentences = network_of(toy), texts(toy, 24)
    engine = FastEngine(network, Decoding(temperature=1.5))
    found = engine.alternatives(sentences, 4)
    right = alternatives(network, sentences, 4, temperature=1.5)
    for own, expected in zip(found, right, strict=True):
        assert [reading.spans for reading in own] == [reading.spans for reading in expected]
        given_ = [reading.probability for reading in own]
        assert given_ == pytest.approx([reading.probability for reading in expected], abs=1e-5)
    with pytest.raises(ValueError, match="at least 1"):
        engine.alternatives(sentences, 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("last", [True, False])
def test_a_piece_begins_and_ends_as_its_place_says(name, before, last):
    """The scores of the sentence's start and end count where they are, and nowhere else."""
    chain, _, table, _ = chains(name, 4, 2.0)
    moves = Moves(chain.transitions, chain.start, chain.end)
    emissions = chain.emissions.reshape(-1, chain.emissions.shape[2])[:30]
    decoder = SpanDecoder(SCHEMES[name], LABELS)
    tag = None if before == 0 else 0
    tags, spans = decoder.piece(moves, emissions, DecodingChunk(before, 20, tag, last))
    nothing = np.zeros_like(chain.start)
    start = chain.start if tag is None else chain.transitions[tag]
    end = chain.end if last else nothing
    own = emissions[None, before:]
    best = viterbi_numpy(own, np.array([30 - before]), chain.transitions, start, end)[0]
    np.testing.assert_array_equal(tags, best[: len(tags)])
    assert len(tags) == 30 - before if last else 0 < len(tags) <= 20
    whole = ArrayChain(
        emissions[None],
        chain.transitions,
        nothing if before else chain.start,
        end,
        np.array([30]),
    )
    assert spans
    columns = [(0, s.start + before, s.end + before, LABELS.index(s.label)) for s in spans]
    found = Found(*np.array(columns).T)
    expected = span_probability(whole, ArrayMessages.of(whole), found, table)
    assert [span.score for span in spans] == pytest.approx(expected.tolist(), rel=1e-5)
    decoded = SCHEMES[name].decode([decoder.tags[number] for number in tags])
    assert [(s.start, s.end, s.label) for s in spans] == [
        (s.start, s.end, s.label) for s in decoded
    ]


@pytest.mark.parametrize("decode", WAYS)
def test_a_sentence_alone_has_the_spans_it_has_beside_others(decode):
    chain, _, _, _ = chains("BIO", 5, 2.0)
    moves = Moves(chain.transitions, chain.start, chain.end)
    decoder = SpanDecoder(SCHEMES["BIO"], LABELS, Decoding(decode))
    order = np.argsort(-chain.lengths, kind="stable")
    lengths = chain.lengths[order]
    rows = [chain.emissions[row, :length] for row, length in zip(order, lengths, strict=True)]
    together = decoder.spans(moves, np.concatenate(rows), lengths)
    assert any(together)
    for row, length, expected in zip(rows, lengths, together, strict=True):
        (alone,) = decoder.spans(moves, row, np.array([length]))
        assert alone == expected
        assert [one.score for one in alone] == pytest.approx([one.score for one in expected])


@pytest.mark.parametrize("sentences", [1, 2])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("way", ["viterbi", "posterior", "greedy", "readings"])
def test_emissions_that_are_no_numbers_are_never_read_as_no_entity(way, wrong, sentences):
    decoding = Decoding("viterbi" if way == "readings" else way)
    decoder = SpanDecoder(SCHEMES["BIO"], LABELS, decoding)
    count = len(decoder.tags)
    moves = Moves(*(np.zeros(shape, np.float32) for shape in ((count, count), count, count)))
    emissions = np.zeros((5 * sentences, count), np.float32)
    emissions[-2, 1] = wrong
    ask = partial(decoder.readings, count=2) if way == "readings" else decoder.spans
    place = f"sentence {sentences - 1} hold {wrong} at token 3, tag 1"
    with pytest.raises(ValueError, match=place):
        ask(moves, emissions, np.full(sentences, 5))
