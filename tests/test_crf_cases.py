"""The shared cases of the CRF: exact numbers by brute force, and inputs that break pytorch-crf.

Each is looked up by its name where the folder of cases is present. The first is carried over.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from crf_oracle import legal, random_crf, span_tags, table

from ner.crf import CRF, viterbi

TINY = {
    "start": [0.2, 0.1, -0.3],
    "end": [0.1, -0.2, 0.3],
    "transitions": [[0.5, 0.3, -0.4], [-0.1, -0.6, 0.9], [0.2, 0.0, 0.4]],
    "emissions": [[1.0, 0.5, -1.0], [-0.2, 0.1, 0.7], [0.3, 0.6, 0.2], [0.9, -0.5, 0.4]],
    "expect_logZ": 6.552682,
    "expect_viterbi": [1, 2, 1, 2],
    "expect_p_viterbi": 0.116172,
    "expect_entity_prob": {"0,1": 0.112801, "1,3": 0.099075, "2,4": 0.260297},
    "expect_top3": [[[1, 2, 1, 2], 0.116172], [[1, 2, 0, 0], 0.095114], [[0, 0, 1, 2], 0.077873]],
}


def cases(shared: Path) -> dict[str, dict]:
    path = shared / "cases" / "crf.jsonl"
    if not path.is_file():
        pytest.skip(f"no cases at {path}")
    lines = path.read_text(encoding="utf-8").splitlines()
    return {case["name"]: case for case in map(json.loads, lines)}


def check_numbers(case: dict) -> None:
    crf = CRF(3, batch_first=True, allowed=table("BIO", 1)).double()
    with torch.no_grad():
        crf.start_transitions.copy_(torch.tensor(case["start"]))
        crf.end_transitions.copy_(torch.tensor(case["end"]))
        crf.transitions.copy_(torch.tensor(case["transitions"]))
        emissions = torch.tensor([case["emissions"]], dtype=torch.float64)
        chain = crf.chain(emissions, torch.tensor([4]))
        assert chain.log_partition().item() == pytest.approx(case["expect_logZ"], abs=1e-6)
        best = viterbi(chain)
        assert best.tags.tolist() == [case["expect_viterbi"]] == crf.decode(emissions)
        assert chain.log_prob(best.tags).exp().item() == pytest.approx(
            case["expect_p_viterbi"], abs=1e-6
        )
        if "expect_token_marginals" in case:
            expected = torch.tensor([case["expect_token_marginals"]], dtype=torch.float64)
            torch.testing.assert_close(chain.marginals(), expected, atol=1e-6, rtol=0)
        spans = [[0, *map(int, span.split(",")), 0] for span in case["expect_entity_prob"]]
        found = chain.span_probability(*torch.tensor(spans).t(), span_tags("BIO", 1))
        assert found.tolist() == pytest.approx(list(case["expect_entity_prob"].values()), abs=1e-6)
        paths = chain.n_best(3)
        assert paths.tags[0].tolist() == [path for path, _ in case["expect_top3"]]
        assert (paths.scores[0] - chain.log_partition()).exp().tolist() == pytest.approx(
            [p for _, p in case["expect_top3"]], abs=1e-6
        )


def test_tiny_constrained_bio():
    check_numbers(TINY)


def test_exact_numbers_of_the_shared_cases(shared):
    numeric = [case for case in cases(shared).values() if "expect_logZ" in case]
    assert numeric
    for case in numeric:
        check_numbers(case)


def pad_tags_minus_100():
    emissions, tags = torch.randn(2, 4, 5), torch.randint(0, 5, (2, 4))
    crf, mask = CRF(5, batch_first=True), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    values = {crf(emissions, tags.where(mask > 0, f), mask).item() for f in (-100, 5, 0)}
    assert len(values) == 1


def neg_inf_constraint():
    crf = CRF(3, batch_first=True)
    with torch.no_grad():
        crf.transitions[0, 2] = -torch.inf
    tags, mask = torch.tensor([[0, 1, 2], [1, 0, 2]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    value = crf(torch.randn(2, 3, 3), tags, mask)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(crf.transitions.grad).all()


def gold_violates_constraint():
    crf = CRF(3, batch_first=True, allowed=table("BIO", 1))
    with pytest.raises(ValueError, match="gold tags of sentence 0"):
        crf.loss(torch.randn(1, 2, 3), torch.tensor([2]), torch.tensor([[0, 2]]))


def refuse_mask(mask):
    crf = CRF(3, batch_first=True)
    emissions, tags = torch.randn(1, len(mask), 3), torch.zeros(1, len(mask), dtype=torch.long)
    with pytest.raises(ValueError, match="sentence 0 has a hole"):
        crf(emissions, tags, torch.tensor([mask]))
    with pytest.raises(ValueError, match="sentence 0 has a hole"):
        crf.decode(emissions, torch.tensor([mask]))


def batch_invariance():
    crf, lengths = random_crf(9, allowed=table("BIO", 4)), torch.randint(1, 30, (200,))
    emissions = torch.randn(200, 29, 9)
    whole = viterbi(crf.chain(emissions, lengths))
    for rows in (*torch.arange(200).split(32), torch.arange(199, -1, -1), torch.tensor([7])):
        part = viterbi(crf.chain(emissions[rows], lengths[rows]))
        assert torch.equal(part.tags, whole.tags[rows])
        torch.testing.assert_close(part.scores, whole.scores[rows], atol=1e-5, rtol=0)


def length_1():
    crf = random_crf(5, allowed=table("BIO", 2))
    chain = crf.chain(torch.randn(1, 1, 5), torch.tensor([1]))
    assert viterbi(chain).tags.shape == (1, 1)
    assert int(torch.isfinite(chain.n_best(9).scores).sum()) == 3


def legal_paths_only():
    allowed = table("BIO", 4)
    paths = CRF(9, batch_first=True, allowed=allowed).decode(torch.randn(500, 15, 9))
    assert all(legal(tuple(path), allowed.tolist()) for path in paths)


def half_precision():
    crf, tags = CRF(9, batch_first=True), torch.randint(0, 9, (1, 2000))
    for dtype in (torch.float16, torch.bfloat16):
        emissions = torch.randn(1, 2000, 9, dtype=dtype)
        assert torch.isfinite(crf.loss(emissions, torch.tensor([2000]), tags))
        assert torch.isfinite(crf(emissions, tags))


def no_pad_or_unk_tag():
    crf = CRF(9, batch_first=True)
    optimiser = torch.optim.SGD(crf.parameters(), lr=0.1)
    emissions, tags = torch.randn(4, 6, 9), torch.randint(0, 3, (4, 6))
    crf.loss(emissions, torch.full((4,), 6), tags).backward()
    optimiser.step()
    assert {tag for path in crf.decode(emissions) for tag in path} <= set(range(9))


def reduction_invariance():
    crf, lengths = random_crf(5), torch.randint(1, 9, (32,))
    emissions, tags = torch.randn(32, 8, 5).double(), torch.randint(0, 5, (32, 8))

    def gradient(rows):
        crf.zero_grad()
        loss = crf.loss(emissions[rows], lengths[rows], tags[rows])
        assert loss >= 0
        loss.backward()
        return crf.transitions.grad.clone()

    alone = torch.stack([gradient(torch.tensor([row])) for row in range(32)])
    torch.testing.assert_close(gradient(torch.arange(32)), alone.mean(0))


BEHAVIOUR = {
    "pad_tags_minus_100": pad_tags_minus_100,
    "neg_inf_constraint": neg_inf_constraint,
    "gold_violates_constraint": gold_violates_constraint,
    "mask_with_holes": lambda: refuse_mask([1, 0, 1, 1, 0, 1]),
    "first_step_masked": lambda: refuse_mask([0, 1, 1]),
    "batch_invariance": batch_invariance,
    "length_1": length_1,
    "legal_paths_only": legal_paths_only,
    "half_precision": half_precision,
    "no_pad_or_unk_tag": no_pad_or_unk_tag,
    "reduction_invariance": reduction_invariance,
}


@pytest.mark.parametrize("name", BEHAVIOUR)
def test_behaviour(name):
    torch.manual_seed(0)
    BEHAVIOUR[name]()


def test_no_shared_case_is_left_out(shared):
    behaviour = {name for name, case in cases(shared).items() if "steps" in case}
    assert behaviour <= set(BEHAVIOUR)


def test_every_label_and_length_of_the_tiny_case_by_sum():
    """The probabilities of all spans that hold a token, and of O there, make 1."""
    crf = CRF(3, batch_first=True, allowed=table("BIO", 1)).double()
    with torch.no_grad():
        chain = crf.chain(torch.randn(1, 4, 3).double(), torch.tensor([4]))
        spans = [(0, s, e, 0) for s, e in itertools.combinations(range(5), 2)]
        found = chain.span_probability(*torch.tensor(spans).t(), span_tags("BIO", 1))
        for token in range(4):
            total = sum(
                float(p) for (_, s, e, _), p in zip(spans, found, strict=True) if s <= token < e
            )
            assert total + chain.marginals()[0, token, 0].item() == pytest.approx(1, abs=1e-12)
