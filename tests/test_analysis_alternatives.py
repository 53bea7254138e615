"""The other spans that overlap a span, and how probable they are."""

import pytest
import torch

from ner.analysis.alternatives import LEAST, with_alternatives
from ner.network import build
from ner.sentence import Sentence, Span, SpanWithAlternatives


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_alternatives_are_the_most_probable_overlapping_spans_with_exact_probabilities(scheme):
    """The oracle sums over all sequences of tags."""
    torch.manual_seed(2)
    words = ("Bank", "of", "York")
    spans = (Span(0, 3, "ORG"), Span(0, 1, "LOC"))
    network = build([Sentence(words, spans[:1]), Sentence(words, spans[1:])], scheme=scheme).eval()
    chain = network(network.batch([Sentence(("It",)), Sentence(words)])).arrays()
    spelling = network.span_tags.table(), network.labels
    paths = torch.cartesian_prod(*[torch.arange(len(network.tags))] * 3)
    whole = network(network.batch([Sentence(words)]))
    weight = whole.log_prob(paths.unsqueeze(0))[0].exp().tolist()
    exact: dict[Span, float] = {}
    for path, own in zip(paths.tolist(), weight, strict=True):
        for span in network.scheme.decode([network.tags[tag] for tag in path]) if own else ():
            exact[span] = exact.get(span, 0.0) + own
    given = Span(1, 2, "ORG", 0.5)
    alike = {s: p for s, p in exact.items() if s.start < 2 and s.end > 1 and s != given}
    best = sorted(alike, key=alike.__getitem__, reverse=True)
    (_, (found,)) = with_alternatives(chain, *spelling, [(), (given,)], 4)
    assert isinstance(found, SpanWithAlternatives)
    assert (found.start, found.end, found.label, found.score) == (1, 2, "ORG", 0.5)
    assert list(found.alternatives) == best[:4]
    for other in found.alternatives:
        assert other.score == pytest.approx(alike[other], abs=1e-6)
    (_, (every,)) = with_alternatives(chain, *spelling, [(), (given,)], 10_000)
    assert list(every.alternatives) == [s for s in best if alike[s] >= LEAST]


def test_no_span_has_no_alternatives():
    network = build([Sentence(("a",), (Span(0, 1, "X"),))]).eval()
    chain = network(network.batch([Sentence(("a",))])).arrays()
    table = network.span_tags.table()
    assert with_alternatives(chain, table, network.labels, [()], 3) == [()]
