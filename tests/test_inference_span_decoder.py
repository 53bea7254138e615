"""Spans chosen and scored on numpy arrays alone: the choice, the sums, and their place."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference_fast import assert_same, network_of, texts

from ner.crf import DECODERS
from ner.crf.core.decoding import greedy, posterior_spans
from ner.crf.core.forward_backward import LogSpace, _Transitions, forward_backward
from ner.crf.core.scores import ChainScores
from ner.crf.core.spans import SpanBatch, SpanTable, span_probability
from ner.crf.core.viterbi import viterbi
from ner.inference import Decoding, FastEngine, PlainEngine
from ner.inference.decoding import WAYS
from ner.inference.span_decoder import DecodingChunk, Moves, SpanDecoder, SpanExtractor
from ner.schemes import SCHEMES

LABELS = ["A", "B"]
NAMES = ["BIO", "BIOES", "BILOU", "BMES"]


def chains(name, seed, scale):
    """A random distribution over legal tags, and its spans' tags."""
    scheme = SCHEMES[name]
    ends = (*scheme.tags(LABELS), "O")
    allowed = np.array([[scheme.allows(a, b) for b in ends] for a in ends])
    random = np.random.default_rng(seed)
    scores = np.where(allowed, random.normal(0.0, scale, allowed.shape), -np.inf)
    lengths = random.integers(1, 9, 5)
    emissions = random.normal(0.0, scale, (5, 8, len(ends) - 1)).astype(np.float32)
    parts = [p.astype(np.float32) for p in (scores[:-1, :-1], scores[-1, :-1], scores[:-1, -1])]
    spelling = scheme.spelling(LABELS)
    table = SpanTable(**{name: np.array(tags) for name, tags in spelling.items()})
    return ChainScores(emissions, *parts, lengths), table


def every_span(chain):
    """All spans that can be, of either label."""
    spans = [(row, start, end, label) for row, length in enumerate(chain.lengths.tolist())
             for start in range(length) for end in range(start + 1, length + 1)
             for label in range(2)]  # fmt: skip
    return SpanBatch(*np.array(spans).T)


cases = given(st.sampled_from(NAMES), st.integers(0, 99), st.sampled_from([0.3, 2.0, 2000.0]))


@settings(max_examples=40)
@cases
def test_the_fast_sums_are_the_exact_ones(name, seed, scale):
    chain, table = chains(name, seed, scale)
    spans = every_span(chain)
    fast, exact = forward_backward(chain).messages(), LogSpace.of(chain).messages()
    found = span_probability(chain, fast, spans, table)
    np.testing.assert_allclose(found, span_probability(chain, exact, spans, table), atol=1e-9)
    inside = chain.mask
    np.testing.assert_allclose(fast.marginals()[inside], exact.marginals()[inside], atol=1e-9)


@settings(max_examples=100)
@given(st.integers(0, 999), st.sampled_from([1.0, 80.0, 150.0, 300.0, 5000.0]))
def test_a_step_loses_nothing_below_the_range_of_float64(seed, scale):
    random = np.random.default_rng(seed)
    moves, before = random.normal(0.0, scale, (6, 6)), random.normal(0.0, scale, (4, 6))
    moves[random.random(moves.shape) < 0.4] = before[random.random(before.shape) < 0.4] = -np.inf
    with np.errstate(divide="ignore"):
        expected = np.logaddexp.reduce(before[:, :, None] + moves, 1)
    found = _Transitions.of(moves).advance(before)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def heaviest(gains, length):
    """The greatest sum of gains of disjoint spans (start, end)."""
    best = [0.0] * (length + 1)
    for position in range(length - 1, -1, -1):
        here = [gain + best[end] for (start, end), gain in gains.items() if start == position]
        best[position] = max([best[position + 1], *here])
    return best[0]


@pytest.mark.parametrize(("name", "scale"), [("BIO", 0.7), ("BIO", 2.0), ("BIOES", 0.7)])
@pytest.mark.parametrize("threshold", [0.01, 0.03, 0.1, 0.2, 0.35, 0.8])
def test_no_other_choice_of_spans_has_a_greater_gain(name, scale, threshold):
    """A gain is a probability less the threshold, so that one span may outweigh two."""
    for seed in range(10):
        chain, table = chains(name, seed, scale)
        tags = posterior_spans(chain, table, threshold=threshold)
        spans = every_span(chain)
        probabilities = span_probability(chain, LogSpace.of(chain).messages(), spans, table)
        extractor = SpanExtractor(SCHEMES[name], SCHEMES[name].tags(LABELS), LABELS)
        for row, length in enumerate(chain.lengths.tolist()):
            own = np.flatnonzero(spans.rows == row)
            places = zip(spans.starts[own].tolist(), spans.ends[own].tolist(), strict=True)
            known = zip(places, spans.labels[own].tolist(), probabilities[own], strict=True)
            all_gains = {(*place, label): p - threshold for place, label, p in known}
            gains = {}
            for (start, end, _), gain in all_gains.items():
                if gain > 0.0:
                    gains[start, end] = max(gain, gains.get((start, end), 0.0))
            found = extractor.find(tags[row, :length], np.array([length]))
            fields = (found.starts, found.ends, found.labels)
            kept_gains = [all_gains[tuple(span)] for span in np.stack(fields, 1).tolist()]
            assert min(kept_gains, default=0.0) >= 0.0
            assert sum(kept_gains) == pytest.approx(heaviest(gains, length), abs=1e-9)


def test_a_span_just_as_probable_as_the_threshold_is_kept():
    table = SpanTable(*(np.array([tag]) for tag in (1, 1, 2, 2, 2)))  # BIO: O, B, I
    moves, ends = np.zeros((3, 3), np.float32), np.array([0.0, 0.0, -np.inf], np.float32)
    chain = ChainScores(np.zeros((1, 1, 3), np.float32), moves, ends, ends, np.array([1]))
    assert posterior_spans(chain, table, threshold=0.5).tolist() == [[1]]
    assert posterior_spans(chain, table, threshold=0.51).tolist() == [[0]]


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
    chain = ChainScores(emissions, moves, np.zeros(6, np.float32), end, np.array([7, 5, 4, 1]))
    tags = greedy(chain)
    for row, length in enumerate(chain.lengths.tolist()):
        before = np.zeros(6)
        for t in range(length):
            steps = np.linalg.matrix_power(moves == 0.0, length - 1 - t)  # ways to each last tag
            open_ = steps[:, 0] > 0
            assert tags[row, t] == np.where(open_, before + emissions[row, t], -np.inf).argmax()
            before = moves[tags[row, t]]
    assert not tags[~chain.mask].any()


def test_the_ways_are_those_of_the_crf():
    assert list(DECODERS) == list(WAYS)


@pytest.mark.parametrize("decode", WAYS)
def test_the_span_decoder_finds_what_the_plain_road_finds(toy, decode):
    network, decoding = network_of(toy), Decoding(decode, threshold=0.3, temperature=1.5)
    engine = FastEngine(network, decoding)
    engine.decoder = SpanDecoder(network.scheme, network.labels, decoding)
    sentences = texts(toy)
    assert_same(engine.predict(sentences), PlainEngine(network, decoding).predict(sentences))


def test_spans_below_the_least_score_are_dropped_and_no_others(toy):
    """One just as probable stays."""
    network, sentences = network_of(toy), texts(toy)
    every = FastEngine(network).predict(sentences)
    scores = sorted(span.score for spans in every for span in spans)
    least = scores[len(scores) // 2]
    found = FastEngine(network, Decoding(min_score=least)).predict(sentences)
    assert found == [tuple(span for span in spans if span.score >= least) for spans in every]
    assert min(span.score for spans in found for span in spans) == least


def test_other_readings_are_those_of_the_network(toy):
    network, sentences = network_of(toy), texts(toy, 24)
    engine = FastEngine(network, Decoding(temperature=1.5))
    found = engine.alternatives(sentences, 4)
    right = PlainEngine(network, engine.decoding).alternatives(sentences, 4)
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
    chain, table = chains(name, 4, 2.0)
    moves = Moves(chain.transitions, chain.start, chain.end)
    emissions = chain.emissions.reshape(-1, chain.emissions.shape[2])[:30]
    decoder = SpanDecoder(SCHEMES[name], LABELS)
    tag = None if before == 0 else 0
    tags, spans = decoder.piece(moves, emissions, DecodingChunk(before, 20, tag, last))
    nothing = np.zeros_like(chain.start)
    start = chain.start if tag is None else chain.transitions[tag]
    end = chain.end if last else nothing
    own = emissions[None, before:]
    rest = ChainScores(own, chain.transitions, start, end, np.array([30 - before]))
    best = viterbi(rest)[0]
    np.testing.assert_array_equal(tags, best[: len(tags)])
    assert len(tags) == 30 - before if last else 0 < len(tags) <= 20
    whole = ChainScores(
        emissions[None],
        chain.transitions,
        nothing if before else chain.start,
        end,
        np.array([30]),
    )
    assert spans
    columns = [(0, s.start + before, s.end + before, LABELS.index(s.label)) for s in spans]
    found = SpanBatch(*np.array(columns).T)
    expected = span_probability(whole, LogSpace.of(whole).messages(), found, table)
    assert [span.score for span in spans] == pytest.approx(expected.tolist(), rel=1e-5)
    decoded = SCHEMES[name].decode([decoder.tags[number] for number in tags])
    assert [(s.start, s.end, s.label) for s in spans] == [
        (s.start, s.end, s.label) for s in decoded
    ]


@pytest.mark.parametrize("decode", WAYS)
def test_a_sentence_alone_has_the_spans_it_has_beside_others(decode):
    chain, _ = chains("BIO", 5, 2.0)
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
    place = rf"contain {wrong} \(sentence {sentences - 1}, token 3, tag 1\)"
    with pytest.raises(ValueError, match=place):
        ask(moves, emissions, np.full(sentences, 5))
