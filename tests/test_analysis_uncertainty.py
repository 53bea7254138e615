"""How sure a network is: probabilities and entropies are the chain's own."""

from dataclasses import replace

import pytest
import torch

from ner.analysis.uncertainty import Doubts
from ner.inference.plain import PlainEngine
from ner.network import build
from ner.sentence import Sentence, Span

GOLD = [
    Sentence(("Ada", "Obi", "spoke", "."), (Span(0, 2, "PER"),)),
    Sentence((), ()),
    Sentence(("Kestrel", "Foods", "of", "Accra"), (Span(0, 2, "ORG"), Span(3, 4, "PER"))),
    Sentence(("nobody",)),
]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    small = {"words": {"width": 8}}
    return build(GOLD[:3], embeddings=small, encoder={"width": 8}).eval()


def test_predicted_spans_are_those_of_the_plain_engine(network):
    plain = PlainEngine(network).predict(GOLD)
    for opinion, spans in zip(Doubts(network).opinions(GOLD), plain, strict=True):
        assert opinion.predicted == spans
        for one, other in zip(opinion.predicted, spans, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-9)


def test_gold_spans_have_the_probability_of_all_paths_through_them(network):
    opinions = Doubts(network).opinions(GOLD)
    table = network.type_table()
    for number in (0, 2):
        bare = network.index([Sentence(GOLD[number].tokens)], table)
        with torch.inference_mode():
            chain = network(network.collate(bare, table))
            for span, sure in zip(GOLD[number].spans, opinions[number].gold, strict=True):
                place = [torch.tensor([n]) for n in (0, span.start, span.end)]
                label = torch.tensor([network.labels.index(span.label)])
                said = chain.span_probability(*place, label, network.span_tags).item()
                assert sure == pytest.approx(said, abs=1e-6)
                assert 0.0 < sure < 1.0


def test_no_entity_has_the_probability_of_all_paths_outside(network):
    """Of tokens [start, end), by the sum over the paths that have O at each of them."""
    opinions = Doubts(network).opinions(GOLD)
    table = network.type_table()
    outside = network.tags.index("O")
    for number in (0, 2):
        bare = network.index([Sentence(GOLD[number].tokens)], table)
        with torch.inference_mode():
            chain = network(network.collate(bare, table))
            for span, sure in zip(GOLD[number].spans, opinions[number].outside, strict=True):
                allowed = torch.ones_like(chain.emissions, dtype=torch.bool)
                allowed[0, span.start : span.end] = False
                allowed[0, span.start : span.end, outside] = True
                some = replace(chain, candidates=allowed).log_partition()
                said = (some - chain.log_partition()).exp().item()
                assert sure == pytest.approx(said, abs=1e-6)


def test_a_label_the_network_does_not_know_is_impossible(network):
    odd = Sentence(("Ada",), (Span(0, 1, "DEITY"),))
    assert Doubts(network).opinions([odd])[0].gold == (0.0,)


def test_entropies_are_those_of_the_chain(network):
    found = Doubts(network).uncertainties(GOLD)
    table = network.type_table()
    for sentence, one in zip(GOLD, found, strict=True):
        if not sentence.tokens:
            assert (one.entropy, one.tokens) == (0.0, ())
            continue
        bare = network.index([Sentence(sentence.tokens)], table)
        with torch.inference_mode():
            chain = network(network.collate(bare, table))
        assert one.entropy == pytest.approx(chain.entropy().item(), rel=1e-5)
        assert len(one.tokens) == len(sentence)
        assert sum(one.shares()) == pytest.approx(one.entropy)
        # the whole is no less sure than its parts taken one by one
        assert sum(one.tokens) >= one.entropy - 1e-5
