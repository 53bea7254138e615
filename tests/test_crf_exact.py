"""Everything a chain says equals enumeration of all paths, in float64 to 1e-9."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from crf_oracle import Enumeration, enumerated, legal, random_crf, span_tags, table

import ner.crf.autograd
import ner.crf.gpu
from ner.crf import CRF, LinearChain, greedy, posterior, viterbi
from ner.crf.core.linear_space import LinearSpace

TAGS = 5  # O, and two labels of BIO or one of BIOES
TABLES = {"none": None, "BIO": table("BIO", 2), "BIOES": table("BIOES", 1)}
LENGTHS = torch.tensor([6, 1, 3, 0, 5, 2, 4])
EXACT = {"rtol": 1e-9, "atol": 1e-9}


class Case:
    """A ragged batch over all lengths up to 6, with each sentence's paths enumerated."""

    def __init__(self, name: str, kind: str) -> None:
        torch.manual_seed(len(name) * 10 + len(kind))
        self.crf = random_crf(TAGS, allowed=TABLES[name])
        self.emissions = 2 * torch.randn(len(LENGTHS), 6, TAGS, dtype=torch.float64)
        self.candidates = None if kind == "free" else self._candidates()
        self.chain = self.crf.chain(self.emissions, LENGTHS, candidates=self.candidates)
        self.oracles: list[Enumeration] = [
            enumerated(self.crf, self.emissions[i], n, self._of(i))
            for i, n in enumerate(LENGTHS.tolist())
        ]

    def _candidates(self) -> torch.Tensor:
        """Random sets of tags that leave every sentence a legal path."""
        candidates = torch.rand(len(LENGTHS), 6, TAGS) < 0.5
        for i, n in enumerate(LENGTHS.tolist()):
            paths = enumerated(self.crf, self.emissions[i], n).paths
            path = paths[int(torch.randint(len(paths), ()))]
            for t, tag in enumerate(path):
                candidates[i, t, tag] = True
        return candidates

    def _of(self, sentence: int) -> torch.Tensor | None:
        return None if self.candidates is None else self.candidates[sentence]

    def each(self):
        return enumerate(zip(LENGTHS.tolist(), self.oracles, strict=True))


CASES = {(name, kind): Case(name, kind) for name in TABLES for kind in ("free", "candidates")}


@pytest.fixture(params=CASES, ids="-".join)
def case(request) -> Case:
    return CASES[request.param]


WAYS = ("linear space", "log space", "gpu", "gpu in pieces")


@pytest.fixture(params=WAYS)
def way(request, monkeypatch) -> str:
    """Each way to sum over paths; what is for accelerators runs on the CPU here."""
    if request.param == "log space":
        monkeypatch.setattr(LinearSpace, "of", lambda scores, gold=None: None)
    monkeypatch.setattr(ner.crf.autograd, "on_gpu", lambda lattice: "gpu" in request.param)
    if request.param == "gpu in pieces":
        monkeypatch.setattr(ner.crf.gpu, "_cut", lambda batch, length, tags: (2, 4))
    return request.param


def test_log_partition(way, case):
    expected = [oracle.log_partition for oracle in case.oracles]
    assert case.chain.log_partition().tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_log_prob_of_every_path(case):
    for i, (length, oracle) in case.each():
        paths = torch.from_numpy(oracle.paths[:500])
        tags = torch.zeros(len(LENGTHS), len(paths), 6, dtype=torch.long)
        tags[i, :, :length] = paths
        found = case.chain.log_prob(tags)[i].detach().numpy() + oracle.log_partition
        np.testing.assert_allclose(found, oracle.scores[:500], rtol=1e-9, atol=1e-9)


def test_an_illegal_path_has_probability_0():
    chain = random_crf(TAGS, allowed=TABLES["BIO"]).chain(
        torch.randn(1, 2, TAGS), torch.tensor([2])
    )
    assert chain.log_prob(torch.tensor([[0, 2]])).item() == -torch.inf


def test_marginals(way, case):
    marginals = case.chain.marginals()
    for i, (length, oracle) in case.each():
        for t, tag in itertools.product(range(6), range(TAGS)):
            expected = oracle.probability(oracle.paths[:, t] == tag) if t < length else 0.0
            assert marginals[i, t, tag].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_pairwise_marginals(way, case):
    pairs = case.chain.pairwise_marginals()
    assert pairs.shape == (len(LENGTHS), 5, TAGS, TAGS)
    for i, (length, oracle) in case.each():
        expected = np.zeros((5, TAGS, TAGS))
        for t in range(length - 1):
            here = (t, oracle.paths[:, t], oracle.paths[:, t + 1])
            np.add.at(expected, here, oracle.probabilities)
        np.testing.assert_allclose(pairs[i].numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_span_probability(way, scheme, case):
    """Of every span of every length and label, also where paths may be illegal in the scheme."""
    spans_of = span_tags(scheme, 2 if scheme == "BIO" else 1)
    spans, expected = [], []
    for i, (length, oracle) in case.each():
        for start, end in itertools.combinations(range(length + 1), 2):
            for label in range(len(spans_of.single)):
                spans.append((i, start, end, label))
                expected.append(oracle.probability(holds(oracle, start, end, label, spans_of)))
    found = case.chain.span_probability(*torch.tensor(spans).t(), spans_of)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), **EXACT)


def holds(oracle, start, end, label, spans_of):
    """Which paths hold that span, and none that prolongs it."""
    single, first, inside, last, prolonging = (
        int(getattr(spans_of, name)[label])
        for name in ("single", "first", "inside", "last", "prolonging")
    )
    middle = (inside,) * (end - start - 2)
    wanted = (single,) if end - start == 1 else (first, *middle, last)
    spelt = (oracle.paths[:, start:end] == wanted).all(1)
    if end < oracle.paths.shape[1]:
        spelt &= oracle.paths[:, end] != prolonging
    return spelt


def test_entropy(way, case):
    expected = [oracle.entropy() for oracle in case.oracles]
    assert case.chain.entropy().tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_viterbi(case):
    paths = viterbi(case.chain)
    for i, (length, oracle) in case.each():
        assert paths.scores[i].item() == pytest.approx(oracle.scores[0], rel=1e-9, abs=1e-9)
        assert paths.tags[i].tolist() == [*oracle.paths[0], *[0] * (6 - length)]


@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_n_best(n, case):
    paths = case.chain.n_best(n)
    assert paths.tags.shape == (len(LENGTHS), n, 6)
    for i, (length, oracle) in case.each():
        there = min(n, len(oracle.scores))
        found = paths.scores[i, :there].numpy()
        np.testing.assert_allclose(found, oracle.scores[:there], rtol=1e-9, atol=1e-9)
        assert (paths.scores[i, there:] == -torch.inf).all()
        assert (paths.tags[i, :there, :length].numpy() == oracle.paths[:there]).all()


def test_samples_follow_the_distribution(case):
    n = 4000
    drawn = case.chain.sample(n, torch.Generator().manual_seed(1))
    for i, (length, oracle) in case.each():
        paths = [tuple(path[:length]) for path in drawn.tags[i].tolist()]
        assert set(paths) <= {tuple(path) for path in oracle.paths.tolist()}
        best, probability = tuple(oracle.paths[0].tolist()), oracle.probabilities[0]
        error = 4 * (probability * (1 - probability) / n) ** 0.5
        assert paths.count(best) / n == pytest.approx(probability, abs=error + 1e-9)
        score = drawn.scores[i, paths.index(best)].item()
        assert score == pytest.approx(oracle.scores[0], abs=1e-9)


def test_posterior_without_spans_has_the_most_right_tags(case):
    paths = posterior(case.chain)
    marginals = case.chain.marginals().detach().numpy()
    for i, (length, oracle) in case.each():
        right = marginals[i, np.arange(length), oracle.paths].sum(1)
        found = marginals[i, np.arange(length), paths.tags[i, :length].numpy()].sum()
        assert found == pytest.approx(right.max(), abs=1e-9)
        assert paths.scores[i] > -torch.inf


@pytest.mark.parametrize("threshold", [0.02, 0.2, 0.5, 0.9])
def test_posterior_keeps_the_spans_of_greatest_weight(threshold):
    torch.manual_seed(3)
    crf, spans_of = random_crf(TAGS, allowed=TABLES["BIO"]), span_tags("BIO", 2)
    emissions = 2 * torch.randn(len(LENGTHS), 6, TAGS, dtype=torch.float64)
    chain = crf.chain(emissions, LENGTHS)
    paths = posterior(chain, spans_of, threshold=threshold)
    for i, length in enumerate(LENGTHS.tolist()):
        oracle = enumerated(crf, emissions[i], length)
        weights = {
            (start, end, label): oracle.probability(holds(oracle, start, end, label, spans_of))
            - threshold
            for start, end in itertools.combinations(range(length + 1), 2)
            for label in range(2)
        }
        kept = spans_in(paths.tags[i, :length].tolist())
        assert all(weights[span] >= -1e-9 for span in kept)
        assert sum(weights[span] for span in kept) == pytest.approx(heaviest(weights), abs=1e-9)


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.01, float("nan")])
def test_posterior_wants_a_threshold_that_is_a_probability(threshold):
    chain = random_crf(TAGS).chain(torch.zeros(1, 2, TAGS), torch.tensor([2]))
    with pytest.raises(ValueError, match=f"greater than 0 and at most 1, got {threshold}"):
        posterior(chain, span_tags("BIO", 2), threshold=threshold)


def spans_in(path) -> list[tuple[int, int, int]]:
    """The spans of a legal BIO path, each label having its B and I from tag 1 on."""
    spans = []
    for t, tag in enumerate(path):
        if tag % 2 == 1:
            end = t + 1
            while end < len(path) and path[end] == tag + 1:
                end += 1
            spans.append((t, end, tag // 2))
    return spans


def heaviest(weights) -> float:
    """The greatest weight of disjoint spans, by trying every choice from left to right."""

    def rest(position: int) -> float:
        following = [s for s in weights if s[0] >= position and weights[s] >= 0]
        return max((weights[s] + rest(s[1]) for s in following), default=0.0)

    return rest(0)


def test_posterior_fills_a_token_that_cannot_be_outside():
    """Candidates without O and no span over the threshold: the most probable path is left."""
    crf = random_crf(TAGS, allowed=TABLES["BIO"])
    candidates = torch.ones(1, 3, TAGS, dtype=torch.bool)
    candidates[0, 1, 0] = False
    chain = crf.chain(torch.zeros(1, 3, TAGS), torch.tensor([3]), candidates=candidates)
    paths = posterior(chain, span_tags("BIO", 2), threshold=1.0)
    assert paths.tags.tolist() == viterbi(chain).tags.tolist()


def test_greedy_takes_the_best_next_tag_that_can_still_end(case):
    paths = greedy(case.chain)
    for i, (length, oracle) in case.each():
        path = ()
        for t in range(length):
            going = oracle.paths[(oracle.paths[:, :t] == path).all(1), : t + 1]
            path = max(map(tuple, going.tolist()), key=lambda p: partial_score(case, i, p))
        assert tuple(paths.tags[i, :length].tolist()) == path


def partial_score(case: Case, sentence: int, path) -> float:
    last = case.emissions[sentence, len(path) - 1, path[-1]]
    crf: CRF = case.crf
    before = crf.start_transitions if len(path) == 1 else crf.transitions[path[-2]]
    return float(last + before[path[-1]].detach())


def test_loss_and_gradient(way, case):
    """Of gold tags, or of candidates, against derivatives of the enumerated sums."""
    gold, known = None, {"candidates": case.candidates}
    if case.candidates is None:
        gold = torch.full((len(LENGTHS), 6), -100)
        for i, (length, oracle) in case.each():
            gold[i, :length] = torch.from_numpy(oracle.paths[-1])
        known = {"tags": gold}
    weights = torch.randn(len(LENGTHS), dtype=torch.float64)
    found = gradients(case, lambda e: case.crf.loss(e, LENGTHS, reduction="none", **known), weights)
    wanted = gradients(case, lambda e: enumerated_loss(case, e, gold), weights)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def gradients(case: Case, loss, weights) -> list[torch.Tensor]:
    emissions = case.emissions.clone().requires_grad_()
    values = loss(emissions)
    inputs = [emissions, *case.crf.parameters()]
    return [values.detach(), *torch.autograd.grad(values @ weights, inputs)]


def enumerated_loss(case: Case, emissions, gold) -> torch.Tensor:
    losses = []
    for i, length in enumerate(LENGTHS.tolist()):
        free = enumerated(case.crf, case.emissions[i], length)
        kept = case.oracles[i].paths if gold is None else gold[i : i + 1, :length].numpy()
        total = path_scores(case.crf, emissions[i], free.paths).logsumexp(0)
        losses.append(total - path_scores(case.crf, emissions[i], kept).logsumexp(0))
    return torch.stack(losses)


def path_scores(crf: CRF, emissions, paths) -> torch.Tensor:
    paths = torch.as_tensor(paths)
    length = paths.shape[1]
    scores = emissions[torch.arange(length), paths].sum(1)
    scores = scores + crf.transitions[paths[:, :-1], paths[:, 1:]].sum(1)
    if not length:
        return scores
    return scores + crf.start_transitions[paths[:, 0]] + crf.end_transitions[paths[:, -1]]


def test_unconstrained_training_sums_over_all_paths():
    crf = random_crf(TAGS, allowed=TABLES["BIO"], constrain_training=False)
    emissions, gold = torch.randn(1, 3, TAGS, dtype=torch.float64), torch.tensor([[1, 2, 0]])
    free = CRF(TAGS, batch_first=True).double()
    free.load_state_dict(crf.state_dict())
    expected = free.loss(emissions, torch.tensor([3]), gold)
    torch.testing.assert_close(crf.loss(emissions, torch.tensor([3]), gold), expected)
    with pytest.raises(ValueError, match="sentence 0 are not legal"):
        crf.loss(emissions, torch.tensor([3]), torch.tensor([[0, 2, 0]]))


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "BILOU", "BMES", "IOB1"])
def test_no_illegal_path_in_10000_decodes(scheme):
    torch.manual_seed(0)
    allowed = table(scheme, 4)
    tags = len(allowed) - 1
    crf = CRF(tags, batch_first=True, allowed=allowed)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_(0, 3)
    lengths = torch.randint(1, 13, (10_000,))
    mask = torch.arange(12) < lengths.unsqueeze(1)
    paths = crf.decode(3 * torch.randn(10_000, 12, tags), mask)
    table_of = allowed.tolist()
    assert [len(path) for path in paths] == lengths.tolist()
    assert sum(not legal(tuple(path), table_of) for path in paths) == 0


def test_linear_chain_can_be_built_by_hand():
    """All of it needs no CRF: scores are a value."""
    zeros = torch.zeros(2, 2)
    chain = LinearChain(torch.zeros(1, 3, 2), zeros, zeros[0], zeros[0], torch.tensor([3]))
    assert chain.log_partition().item() == pytest.approx(math.log(8))
    assert chain.mask.tolist() == [[True, True, True]]
