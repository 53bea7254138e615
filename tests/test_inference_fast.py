"""The fast road gives what the plain one gives, for any network, text, length and thread."""

import gc
import random
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ner import native
from ner.inference import Decoding, FastEngine, PlainEngine, batch_engine, engine_for, span_decoder
from ner.inference.cpu_network import FusedLSTM
from ner.inference.fast import TorchRecurrence
from ner.inference.gates import PackedSequence
from ner.inference.span_decoder import SpanExtractor
from ner.network import Ensemble, build
from ner.schemes import SCHEMES
from ner.sentence import Sentence, Span, in_document

pytestmark = pytest.mark.usefixtures("each_kernel")

SMALL = {"words": {"width": 12}, "characters": {"width": 8}, "document": {"width": 6}}


def network_of(sentences, *, seed=0, **settings):
    """A network of random weights that sees spans all over."""
    torch.manual_seed(seed)
    settings = {"embeddings": SMALL, "encoder": {"width": 10}, **settings}
    network = build(sentences, **settings).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_(torch.randn_like(weights) * 0.5)
        for part in network.modules():
            if getattr(part, "padding_idx", None) is not None:
                part.weight[part.padding_idx] = 0.0  # as training leaves it
    return network


def texts(toy, count=60, seed=0):
    """Sentences in documents, some of words nobody knows, some empty, of many lengths."""
    random = np.random.default_rng(seed)
    words = sorted({word for sentence in toy for word in sentence.tokens})
    words += ["Zzyzx", "ACCRA", "3.14", "ünï", "", "x" * 300]
    documents = []
    for _ in range(count // 4):
        lengths = random.choice([0, 1, 2, 3, 7, 12, 40], 4)
        documents.append([Sentence(tuple(random.choice(words, n).tolist())) for n in lengths])
    return [sentence for document in documents for sentence in in_document(document)]


def assert_same(found, expected):
    assert found == expected
    scores = [(a.score, b.score) for x, y in zip(found, expected, strict=True)
              for a, b in zip(x, y, strict=True)]  # fmt: skip
    assert sum(map(len, found)) == len(scores) > 0
    assert max(abs(a - b) for a, b in scores) < 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scheme": "BIO"},
        {"scheme": "BMES"},
        {"encoder": {"width": 9, "layers": 3}},
        {"encoder": {"width": 9, "bidirectional": False}},
        {"encoder": {"width": 9, "layers": 2, "bidirectional": False}},
        {"embeddings": {"document": False}},
        {"embeddings": {"topic": {}, "pairs": {"min_count": 1}, "character_lstm": {}}},
    ],
)
def test_it_finds_what_the_plain_road_finds(toy, settings):
    network = network_of(toy, **settings)
    sentences = texts(toy)
    assert_same(FastEngine(network).predict(sentences), PlainEngine(network).predict(sentences))


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding("posterior", threshold=0.3),
        Decoding("posterior", threshold=0.2, temperature=0.5),
        Decoding("greedy"),
        Decoding(temperature=0.5),
        Decoding(min_score=0.3),
    ],
)
def test_every_way_to_decode_is_that_of_the_plain_road(toy, decoding):
    network, sentences = network_of(toy), texts(toy)
    plain = PlainEngine(network, decoding).predict(sentences)
    engine = FastEngine(network, decoding)
    assert_same(engine.predict(sentences), plain)
    assert_same([engine.predict([sentence])[0] for sentence in sentences], plain)


@pytest.mark.parametrize(
    "wrong", [{"decode": "guess"}, {"threshold": 0}, {"temperature": "hot"}, {"min_score": 2}]
)
def test_impossible_decodings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Decoding.read(wrong)
    with pytest.raises(ValueError, match="decoding"):
        Decoding.read({"heat": 1.0})


def test_an_ensemble_is_tagged_with_as_a_whole(toy):
    network = Ensemble([network_of(toy, seed=1), network_of(toy, seed=2)]).eval()
    sentences = texts(toy)
    assert_same(FastEngine(network).predict(sentences), PlainEngine(network).predict(sentences))


def test_members_of_different_parts_are_tagged_with_as_a_whole(toy):
    others = {"embeddings": {"topic": {}, "affixes": False, "document": False}}
    own = [{}, {"encoder": {"width": 7, "layers": 2}}, others, {"embeddings": {"words": False}}]
    network = Ensemble([network_of(toy, seed=n, **one) for n, one in enumerate(own)]).eval()
    sentences = texts(toy)
    assert_same(FastEngine(network).predict(sentences), PlainEngine(network).predict(sentences))


def test_a_full_cache_begins_anew_and_changes_nothing(toy, monkeypatch):
    monkeypatch.setattr("ner.inference.gates.FEWEST", 64)
    network = network_of(toy)
    sentences = [
        Sentence(tuple(f"Word{number + place}" for place in range(20)))
        for number in range(0, 400, 20)
    ]
    engine = FastEngine(network, cache=0)
    found = engine.predict(sentences)
    assert_same(found, PlainEngine(network).predict(sentences))
    assert len(engine.emitter()._members[0].types) <= 64


def test_tokens_too_long_to_be_remembered_are_forgotten(toy, monkeypatch):
    monkeypatch.setattr("ner.inference.gates.CHARACTERS", 1000)
    engine = FastEngine(network_of(toy))
    for number in range(10):
        engine.predict([Sentence((str(number) * 600,))])
    assert len(engine.emitter()._members[0].types) == 1


def test_a_change_of_weights_is_seen(toy):
    network, sentences = network_of(toy), texts(toy)
    engine = FastEngine(network)
    before = engine.predict(sentences)
    with torch.no_grad():
        network.embeddings["words"].vectors.weight.mul_(-1.0)
    after = engine.predict(sentences)
    assert after != before
    assert_same(after, PlainEngine(network).predict(sentences))
    network.load_state_dict(network_of(toy, seed=5).state_dict())
    assert_same(engine.predict(sentences), PlainEngine(network).predict(sentences))


def test_an_engine_that_is_no_longer_used_leaves_nothing_behind(toy):
    """An engine for each epoch's scores, freed only by the garbage collector, filled the memory."""
    engine = FastEngine(network_of(toy))
    engine.predict(toy)
    rows = weakref.ref(engine.emitter()._members[0].types)
    gc.disable()
    try:
        del engine
        assert rows() is None
    finally:
        gc.enable()


def test_threads_share_an_engine(toy, monkeypatch):
    monkeypatch.setattr("ner.inference.gates.FEWEST", 600)
    network = network_of(toy)
    work = [texts(toy, seed=seed) for seed in range(8)]
    plain = PlainEngine(network)
    expected = [plain.predict(sentences) for sentences in work]
    engine = FastEngine(network, cache=0)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for found, right in zip(pool.map(engine.predict, work), expected, strict=True):
                assert_same(found, right)


def test_annotation_is_not_looked_at(toy):
    network = network_of(toy)
    bare = [replace(sentence, spans=None) for sentence in toy]
    odd = [replace(sentence, spans=(Span(0, 1, "NEW"),)) for sentence in toy]
    assert FastEngine(network).predict(odd) == FastEngine(network).predict(bare)


def test_the_engine_fits_the_network(toy):
    network = network_of(toy)
    assert isinstance(engine_for(network), FastEngine)
    assert isinstance(engine_for(network.double()), PlainEngine)


@pytest.mark.parametrize("length", [1, 127, 128, 1025, 3600])
def test_windows_keep_every_token_once(length):
    windows = span_decoder.windows(length)
    kept = [place for window in windows for place in range(window.first, window.last)]
    assert kept == list(range(length))
    for window in span_decoder.windows(length):
        assert window.first - window.start == min(span_decoder.OVERLAP, window.first)
        assert window.end - window.last == min(span_decoder.OVERLAP, length - window.last)


def test_a_long_sentence_in_windows_is_the_sentence_as_a_whole(toy, monkeypatch):
    network = network_of(toy, embeddings={**SMALL, "document": False})
    random = np.random.default_rng(0)
    words = sorted({word for sentence in toy for word in sentence.tokens})
    sentence = Sentence(tuple(random.choice(words, 3000).tolist()))
    whole = PlainEngine(network).predict([sentence])
    assert_same(FastEngine(network).predict([sentence, *toy])[:1], whole)
    monkeypatch.setattr(batch_engine, "SLICE", 1300)
    assert_same(FastEngine(network).predict([sentence]), whole)
    monkeypatch.setattr(batch_engine, "WHOLE", 1000)
    monkeypatch.setattr(batch_engine, "PIECE", 700)
    assert_same(FastEngine(network).predict([sentence]), whole)


@pytest.mark.parametrize("whole", [5000, 1000])
def test_a_long_sentence_keeps_its_columns_and_vectors(toy, monkeypatch, whole):
    monkeypatch.setattr(batch_engine, "WHOLE", whole)
    monkeypatch.setattr(batch_engine, "PIECE", 700)
    random = np.random.default_rng(1)

    def known(tokens, spans=()):
        columns = {"pos": tuple(random.choice(["A", "B", "C"], len(tokens)).tolist())}
        vectors = random.normal(size=(len(tokens), 4)).astype(np.float32)
        return Sentence(tuple(tokens), spans, columns=columns, vectors=vectors)

    parts = {"words": {"width": 6}, "columns": {"columns": ["pos"], "width": 6}, "given": {}}
    network = network_of([known(one.tokens, one.spans) for one in toy], embeddings=parts)
    words = sorted({word for sentence in toy for word in sentence.tokens})
    sentence = known(random.choice(words, 3000).tolist())
    found = FastEngine(network).predict([sentence])
    assert_same(found, PlainEngine(network).predict([sentence]))
    assert found != FastEngine(network).predict(
        [Sentence(sentence.tokens, vectors=sentence.vectors)]
    )


def test_a_long_sentence_keeps_its_document(toy):
    network = network_of(toy)
    words = [f"Word{number % 50}" for number in range(2500)]
    sentences = in_document([Sentence(tuple(words)), *toy])
    found, plain = FastEngine(network).predict(sentences), PlainEngine(network).predict(sentences)
    assert_same(found, plain)


@pytest.mark.parametrize("length", [0, 1, 700, 955, 956, 957, 1700])
def test_a_stream_gives_every_token_once_in_order(toy, monkeypatch, length):
    monkeypatch.setattr(batch_engine, "PIECE", 700)
    monkeypatch.setattr(batch_engine, "WHOLE", 500)
    tokens = [f"Word{number % 7}" for number in range(length)]
    pieces = list(FastEngine(network_of(toy)).stream(tokens))
    assert [token for kept, _ in pieces for token in kept] == tokens
    assert all(span.end <= len(kept) for kept, spans in pieces for span in spans)


@pytest.mark.parametrize("whole", [500, 100_000])
def test_a_stream_is_tagged_as_predict_tags_it(toy, monkeypatch, whole):
    """What a part knows of documents is the same on both ways."""
    monkeypatch.setattr(batch_engine, "PIECE", 600)
    monkeypatch.setattr(batch_engine, "WHOLE", whole)
    engine, found, place = FastEngine(network_of(toy)), [], 0
    assert {"document", "topic"} <= engine.network.named_embeddings().keys()
    words = random.Random(1).choices([token for s in toy for token in s.tokens], k=2500)
    for kept, spans in engine.stream(iter(words)):
        found += [(s.start + place, s.end + place, s.label, s.score) for s in spans]
        place += len(kept)
    (wanted,) = engine.predict([Sentence(tuple(words))])
    assert found == [(s.start, s.end, s.label, s.score) for s in wanted]


@given(st.data(), st.sampled_from(["BIO", "BIOES", "BILOU", "BMES"]))
def test_spans_are_read_as_the_scheme_reads_them(data, name):
    scheme, labels = SCHEMES[name], ["A", "B-x"]
    tags = scheme.tags(labels)
    rows = data.draw(
        st.lists(st.lists(st.integers(0, len(tags) - 1), min_size=1, max_size=9), min_size=1)
    )
    extractor = SpanExtractor(scheme, tags, labels)
    found = extractor.find(np.concatenate(rows), np.array(list(map(len, rows))))
    spans = [[] for _ in rows]
    for row, start, end, label in zip(
        found.rows, found.starts, found.ends, found.labels, strict=True
    ):
        spans[row].append(Span(start, end, labels[label]))
    assert [tuple(own) for own in spans] == [scheme.decode([tags[n] for n in row]) for row in rows]


def halved(lstms, vectors, lengths, kind):
    """What a recurrence makes of vectors of sentences, longest first."""
    weights = [[weight.detach().numpy() for weight in lstm.parameters()] for lstm in lstms]
    layer, packed = FusedLSTM(weights), PackedSequence.of(lengths)
    places = np.stack(packed.orders[: len(lstms)])
    recurrence = kind(layer.recurrent)
    return recurrence.run(layer.gates(vectors), places, places, np.array(packed.counts))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(0, 99), st.integers(1, 2))
def test_the_recurrence_is_an_lstm(lengths, seed, directions):
    torch.manual_seed(seed)
    lengths = np.array(sorted(lengths, reverse=True))
    lstms = [torch.nn.LSTM(5, 4, batch_first=True) for _ in range(directions)]
    vectors = torch.randn(int(lengths.sum()), 5)
    kind = native.Recurrence if native.kernels else TorchRecurrence
    outputs = torch.from_numpy(2.0 * halved(lstms, vectors.numpy(), lengths, kind))
    sizes = lengths.tolist()
    for flat, wanted in zip(outputs.split(sizes), vectors.split(sizes), strict=True):
        for direction, own in enumerate(flat.split(4, 1)):
            with torch.inference_mode():
                right = lstms[direction]((wanted.flip(0) if direction else wanted)[None])[0][0]
            right = right.flip(0) if direction else right
            torch.testing.assert_close(own, right, atol=1e-5, rtol=0.0)


def test_conll2003_is_tagged_as_on_the_plain_road(toy, shared):
    import ner

    path = shared / "data" / "conll2003" / "test.txt"
    sentences = [s for s, _ in zip(ner.read(path), range(400), strict=False)]
    network = network_of(sentences)
    assert_same(FastEngine(network).predict(sentences), PlainEngine(network).predict(sentences))
