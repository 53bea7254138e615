"""The layer is pytorch-crf 0.7.2 as documented, without its traps."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
import torchcrf
from crf_oracle import enumerated, legal, random_crf, table

from ner.crf import CRF, viterbi

LENGTHS = torch.tensor([7, 3, 1, 5])
MASK = torch.arange(7) < LENGTHS.unsqueeze(1)


def pair(tags: int = 5, *, batch_first: bool = True, dtype=torch.float32):
    """Ours and theirs with the same parameters."""
    torch.manual_seed(tags)
    ours = random_crf(tags, dtype=dtype)
    ours.batch_first = batch_first
    theirs = torchcrf.CRF(tags, batch_first=batch_first).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def scores(tags: int = 5, dtype=torch.float32):
    torch.manual_seed(1)
    return torch.randn(4, 7, tags, dtype=dtype), torch.randint(0, tags, (4, 7))


def quiet(call):
    """A call of pytorch-crf, whose own default mask draws a warning from torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return call()


class TestAsPytorchCrf:
    """What its documentation says, and what it gives for inputs that it takes."""

    def test_parameters_and_representation(self):
        crf, theirs = CRF(3), torchcrf.CRF(3)
        assert isinstance(crf, torchcrf.CRF)
        assert repr(crf) == repr(theirs) == "CRF(num_tags=3)"
        shapes = {name: tuple(p.shape) for name, p in crf.named_parameters()}
        assert shapes == {name: tuple(p.shape) for name, p in theirs.named_parameters()}
        assert all((p.abs() <= 0.1).all() for p in crf.parameters())
        assert crf.batch_first is False

    def test_reset_parameters_draws_anew(self):
        crf = CRF(3)
        before = crf.transitions.detach().clone()
        crf.reset_parameters()
        assert not torch.equal(before, crf.transitions)

    @pytest.mark.parametrize("tags", [0, -1])
    def test_invalid_number_of_tags(self, tags):
        with pytest.raises(ValueError, match=f"invalid number of tags: {tags}"):
            CRF(tags)

    @pytest.mark.parametrize("allowed", [True, False])
    def test_state_is_interchangeable_both_ways(self, allowed):
        ours = CRF(5, allowed=table("BIO", 2) if allowed else None)
        theirs = torchcrf.CRF(5)
        theirs.load_state_dict(ours.state_dict(), strict=True)
        CRF(5, allowed=table("BIO", 2)).load_state_dict(theirs.state_dict(), strict=True)
        assert torch.equal(theirs.transitions, ours.transitions)

    @pytest.mark.parametrize("batch_first", [True, False])
    @pytest.mark.parametrize("reduction", ["none", "sum", "mean", "token_mean"])
    @pytest.mark.parametrize("masked", [True, False])
    def test_log_likelihood_and_gradient(self, batch_first, reduction, masked):
        ours, theirs = pair(batch_first=batch_first, dtype=torch.float64)
        emissions, tags = scores(dtype=torch.float64)
        mask = MASK if masked else None
        if not batch_first:
            emissions, tags = emissions.transpose(0, 1), tags.t()
            mask = MASK.t() if masked else None
        values = []
        for crf in (ours, theirs):
            leaf = emissions.detach().clone().requires_grad_()
            value = quiet(lambda: crf(leaf, tags, mask=mask, reduction=reduction))  # noqa: B023
            weights = torch.linspace(1, 2, value.numel(), dtype=value.dtype).view(value.shape)
            (value * weights).sum().backward()
            values.append([value, leaf.grad, *(p.grad for p in crf.parameters())])
        assert values[0][0].shape == values[1][0].shape
        assert (values[0][0] < 0).all()
        for one, other in zip(*values, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("batch_first", [True, False])
    @pytest.mark.parametrize("masked", [True, False])
    def test_decode(self, batch_first, masked):
        ours, theirs = pair(batch_first=batch_first)
        emissions, _ = scores()
        mask = MASK if masked else None
        if not batch_first:
            emissions = emissions.transpose(0, 1)
            mask = MASK.t() if masked else None
        paths = ours.decode(emissions, mask=mask)
        assert paths == quiet(lambda: theirs.decode(emissions, mask=mask))
        assert isinstance(paths, list)
        assert all(type(tag) is int for path in paths for tag in path)

    def test_positional_arguments(self):
        ours, theirs = pair()
        emissions, tags = scores()
        theirs_value = theirs(emissions, tags, MASK, "mean")
        torch.testing.assert_close(ours(emissions, tags, MASK, "mean"), theirs_value)

    @pytest.mark.parametrize(
        ("emissions", "tags", "mask"),
        [
            ((4, 7), (4, 7), None),
            ((4, 7, 6), (4, 7), None),
            ((4, 7, 5), (4, 6), None),
            ((4, 7, 5), (4, 7), (4, 6)),
        ],
    )
    def test_shapes_that_do_not_fit_are_refused_in_the_same_words(self, emissions, tags, mask):
        ours, theirs = pair()
        inputs = [torch.zeros(emissions), torch.zeros(tags, dtype=torch.long)]
        inputs += [] if mask is None else [torch.ones(mask, dtype=torch.bool)]
        with pytest.raises(ValueError, match=r".") as expected:
            theirs(*inputs)
        with pytest.raises(ValueError, match=re.escape(str(expected.value))):
            ours(*inputs)
        if emissions != (4, 7, 5) or mask:
            with pytest.raises(ValueError, match=re.escape(str(expected.value))):
                ours.decode(inputs[0], *inputs[2:])

    def test_an_invalid_reduction_is_refused_in_the_same_words(self):
        with pytest.raises(ValueError, match="invalid reduction: foo"):
            CRF(5, batch_first=True)(*scores(), reduction="foo")

    def test_emissions_of_minus_infinity_forbid_a_tag(self):
        """pytorch-crf decodes these rightly; its gradients are NaN."""
        ours, theirs = pair()
        emissions, tags = scores()
        emissions[torch.rand(4, 7) < 0.5, 2] = -torch.inf
        tags[tags == 2] = 0
        assert ours.decode(emissions, MASK) == theirs.decode(emissions, MASK)
        leaf = emissions.requires_grad_()
        value = ours(leaf, tags, MASK)
        torch.testing.assert_close(value, theirs(emissions, tags, MASK))
        value.backward()
        assert torch.isfinite(leaf.grad).all()
        assert (leaf.grad[leaf == -torch.inf] == 0).all()

    def test_subclasses_and_copies_work(self):
        """A buffer of None, deep copies, `to`, `double` and training mode are as in any module."""
        import copy

        crf = copy.deepcopy(CRF(5, allowed=table("BIO", 2))).double().eval()
        assert crf.transitions.dtype == torch.float64
        assert crf.allowed is not None
        assert crf.allowed.dtype == torch.bool


class TestTraps:
    """Inputs of which pytorch-crf makes errors or wrong numbers (all were seen)."""

    @pytest.mark.parametrize("filler", [torch.nan, torch.inf, -torch.inf, 3e38])
    def test_what_stands_at_padding_does_not_matter(self, filler):
        ours, _ = pair()
        emissions, tags = scores()
        expected = ours(emissions, tags, MASK)
        dirty = emissions.masked_fill(~MASK.unsqueeze(2), filler).requires_grad_()
        value = ours(dirty, tags, MASK)
        value.backward()
        assert torch.equal(value, expected)
        assert torch.isfinite(dirty.grad).all()
        assert (dirty.grad[~MASK] == 0).all()
        assert ours.decode(dirty, MASK) == ours.decode(emissions, MASK)

    @pytest.mark.parametrize("filler", [-100, 5, -1, 2**40])
    def test_tags_at_padding_do_not_matter(self, filler):
        ours, _ = pair()
        emissions, tags = scores()
        expected = ours(emissions, tags, MASK)
        assert torch.equal(ours(emissions, tags.masked_fill(~MASK, filler), MASK), expected)

    @pytest.mark.parametrize("tag", [-1, -100, 5])
    def test_a_gold_tag_that_is_none_is_named(self, tag):
        ours, _ = pair()
        emissions, tags = scores()
        tags[1, 2] = tag
        with pytest.raises(
            ValueError, match=rf"tag {tag} is out of range \(sentence 1, token 2\); expected 0 to 4"
        ):
            ours(emissions, tags, MASK)
        with pytest.raises(ValueError, match="expected 0 to 4"):
            ours.chain(emissions, LENGTHS).log_prob(tags)

    def test_forbidden_transitions_of_minus_infinity_leave_numbers(self):
        """Also where the filler at padding makes a forbidden pair with the last tag."""
        ours, _ = pair()
        emissions, tags = scores()
        tags[tags == 2] = 1
        with torch.no_grad():
            ours.transitions[0, 2] = -torch.inf
            ours.start_transitions[2] = -torch.inf
            ours.end_transitions[4] = -torch.inf
        tags[:, 0] = 0
        tags[torch.arange(4), LENGTHS - 1] = 0
        tags[~MASK] = 2
        value = ours(emissions, tags, MASK)
        value.backward()
        assert torch.isfinite(value)
        assert all(torch.isfinite(p.grad).all() for p in ours.parameters())
        assert ours.transitions.grad[0, 2] == 0

    @pytest.mark.parametrize("scale", [1e2, 1e4, 1e6])
    def test_forbidding_by_a_penalty_is_exact_as_well(self, scale):
        """-1e4, as many programs write, in place of minus infinity; and gold that breaks it."""
        ours, theirs = pair(dtype=torch.float64)
        emissions, tags = scores(dtype=torch.float64)
        with torch.no_grad():
            for crf in (ours, theirs):
                crf.transitions[0, 2] = crf.transitions[3, 4] = -scale
        value, expected = (crf(emissions, tags, MASK) for crf in (ours, theirs))
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-9)
        tags[0, :2] = torch.tensor([0, 2])
        value, expected = (crf(emissions, tags, MASK) for crf in (ours, theirs))
        assert value < -scale / 2
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-9)

    @pytest.mark.parametrize(
        "row", [[1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1]], ids=str
    )
    def test_a_mask_with_a_hole_is_refused_and_named(self, row):
        ours, _ = pair()
        mask = torch.ones(3, 6, dtype=torch.bool)
        mask[1] = torch.tensor(row, dtype=torch.bool)
        emissions, tags = torch.randn(3, 6, 5), torch.zeros(3, 6, dtype=torch.long)
        for call in (lambda: ours(emissions, tags, mask), lambda: ours.decode(emissions, mask)):
            with pytest.raises(ValueError, match="mask of sentence 1 has a hole"):
                call()

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.bool])
    def test_masks_of_any_type_mean_the_same(self, dtype):
        ours, _ = pair()
        emissions, tags = scores()
        assert torch.equal(ours(emissions, tags, MASK.to(dtype)), ours(emissions, tags, MASK))
        assert ours.decode(emissions, MASK.to(dtype)) == ours.decode(emissions, MASK)

    def test_a_sentence_without_tokens_is_empty(self):
        """It kills the whole batch in pytorch-crf."""
        ours, _ = pair()
        emissions, tags = scores()
        mask = MASK.clone()
        mask[2] = False
        assert ours.decode(emissions, mask)[2] == []
        values = ours(emissions, tags, mask, reduction="none")
        assert values[2] == 0
        others = [0, 1, 3]
        expected = ours(emissions, tags, MASK, reduction="none")
        assert torch.equal(values[others], expected[others])

    @pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5), (0, 0, 5)])
    def test_a_batch_without_tokens_is_empty(self, shape):
        crf, emissions = CRF(5, batch_first=True), torch.zeros(shape, requires_grad=True)
        tags, lengths = torch.zeros(shape[:2], dtype=torch.long), torch.zeros(shape[0]).long()
        assert crf.decode(emissions, torch.zeros(shape[:2])) == [[] for _ in range(shape[0])]
        loss = crf.loss(emissions, lengths, tags)
        loss.backward()
        assert loss.item() == 0
        assert emissions.grad.shape == shape
        chain = crf.chain(emissions, lengths)
        assert chain.marginals().shape == shape
        assert chain.entropy().tolist() == chain.log_partition().tolist() == [0.0] * shape[0]
        assert chain.n_best(2).tags.shape == (shape[0], 2, shape[1])
        assert chain.sample(2).tags.shape == (shape[0], 2, shape[1])
        assert viterbi(chain).scores.tolist() == [0.0] * shape[0]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_computed_in_more(self, dtype):
        """pytorch-crf is minus infinity at 2,000 tokens in half precision."""
        torch.manual_seed(0)
        crf = CRF(9, batch_first=True)
        emissions = torch.randn(2, 2000, 9).to(dtype).requires_grad_()
        tags, lengths = torch.randint(0, 9, (2, 2000)), torch.tensor([2000, 1500])
        loss = crf.loss(emissions, lengths, tags)
        loss.backward()
        wide = emissions.detach().double().requires_grad_()
        expected = crf.double().loss(wide, lengths, tags)
        expected.backward()
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
        assert emissions.grad.dtype == dtype
        torch.testing.assert_close(emissions.grad.double(), wide.grad, rtol=1e-2, atol=1e-5)
        paths = crf.float().decode(emissions)
        assert [len(path) for path in paths] == [2000, 2000]

    def test_half_precision_parameters(self):
        crf = CRF(5, batch_first=True).half()
        emissions, tags = scores(dtype=torch.float16)
        loss = crf.loss(emissions, LENGTHS, tags)
        loss.backward()
        assert loss.dtype == torch.float32
        assert crf.transitions.grad.dtype == torch.float16

    def test_autocast_does_not_reach_inside(self):
        ours, _ = pair()
        emissions, tags = scores()
        expected = ours(emissions, tags, MASK)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(ours(emissions, tags, MASK), expected)

    def test_untrained_decoding_is_legal(self):
        """500 of 500 sentences were not, in pytorch-crf."""
        torch.manual_seed(0)
        allowed = table("BIO", 4)
        crf = CRF(9, batch_first=True, allowed=allowed)
        paths = crf.decode(torch.randn(500, 20, 9))
        assert all(legal(tuple(path), allowed.tolist()) for path in paths)
        assert {tag for path in paths for tag in path} <= set(range(9))

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_emissions_that_are_no_numbers_are_named(self, value):
        """pytorch-crf decodes NaN to all tag 0, which is all O."""
        ours, _ = pair()
        emissions, tags = scores()
        emissions[1, 2, 3] = value
        chain = ours.chain(emissions, LENGTHS)
        calls = [
            lambda: ours(emissions, tags, MASK),
            lambda: ours.decode(emissions, MASK),
            lambda: ours.loss(emissions, LENGTHS, tags),
            chain.log_partition,
            chain.marginals,
            chain.entropy,
            lambda: chain.n_best(2),
            lambda: viterbi(chain),
        ]
        for call in calls:
            with pytest.raises(
                ValueError, match=r"contain (nan|inf) \(sentence 1, token 2, tag 3\)"
            ):
                call()

    def test_a_token_without_a_tag_is_named(self):
        ours, _ = pair()
        emissions, tags = scores()
        emissions[3, 1] = -torch.inf
        for call in (lambda: ours(emissions, tags, MASK), lambda: ours.decode(emissions, MASK)):
            with pytest.raises(ValueError, match="sentence 3"):
                call()

    def test_a_forbidden_column_leaves_finite_gradients(self):
        """A tag that nothing may reach: finite loss and NaN gradients in pytorch-crf."""
        ours, _ = pair()
        emissions, tags = scores()
        tags[tags == 3] = 0
        with torch.no_grad():
            ours.transitions[:, 3] = -torch.inf
        ours(emissions, tags, MASK).backward()
        assert all(torch.isfinite(p.grad).all() for p in ours.parameters())

    def test_enormous_emissions_are_exact(self):
        ours, _ = pair(dtype=torch.float64)
        emissions = torch.full((1, 3, 5), -3e38, dtype=torch.float64)
        emissions[0, :, 1] = 3e38
        tags = torch.ones(1, 3, dtype=torch.long)
        assert ours(emissions, tags).item() == pytest.approx(0.0, abs=1e-6)


class TestLoss:
    """The house's own loss: batch first, lengths, and what is known of the gold tags."""

    def test_it_is_minus_the_log_likelihood(self):
        ours, _ = pair()
        emissions, tags = scores()
        for mean, sum_ in (("mean", "mean"), ("sum", "sum"), ("none", "none")):
            loss = ours.loss(emissions, LENGTHS, tags, reduction=mean)
            assert torch.equal(loss, -ours(emissions, tags, MASK, reduction=sum_))

    def test_it_is_never_negative_and_does_not_grow_with_the_batch(self):
        ours, _ = pair()
        emissions, tags = scores()
        one = ours.loss(emissions, LENGTHS, tags)
        twice = ours.loss(emissions.repeat(2, 1, 1), LENGTHS.repeat(2), tags.repeat(2, 1))
        assert (ours.loss(emissions, LENGTHS, tags, reduction="none") >= 0).all()
        torch.testing.assert_close(one, twice)

    @pytest.mark.parametrize("constrain_training", [True, False])
    def test_illegal_gold_is_named(self, constrain_training):
        allowed = table("BIO", 2)
        crf = CRF(5, True, allowed=allowed, constrain_training=constrain_training)
        tags = torch.tensor([[1, 2, 0], [0, 2, 0], [0, 0, 2]])
        emissions = torch.randn(3, 3, 5)
        with pytest.raises(ValueError, match="gold tags of sentence 1 are not legal"):
            crf.loss(emissions, torch.tensor([3, 3, 2]), tags)
        with pytest.raises(ValueError, match="gold tags of sentence 1 are not legal"):
            crf(emissions, tags)
        assert torch.isfinite(crf.loss(emissions[::2], torch.tensor([3, 2]), tags[::2]))

    def test_nothing_known_costs_nothing(self):
        """Loss and gradient are 0 to the last bit, also beside sentences that cost something."""
        crf = random_crf(5, allowed=table("BIO", 2), dtype=torch.float32)
        emissions = torch.randn(3, 6, 5, requires_grad=True)
        candidates = torch.ones(3, 6, 5, dtype=torch.bool)
        candidates[1, 0, 1:] = False
        candidates[2, 4:] = False  # padding
        losses = crf.loss(
            emissions, torch.tensor([6, 6, 4]), candidates=candidates, reduction="none"
        )
        losses.sum().backward()
        assert losses[0] == losses[2] == 0
        assert losses[1] > 0
        assert not emissions.grad[0].any()
        assert not emissions.grad[2].any()
        assert emissions.grad[1].any()

    def test_everything_known_is_the_loss_of_gold_tags(self):
        crf = random_crf(5, dtype=torch.float64)
        emissions, tags = scores(dtype=torch.float64)
        candidates = torch.nn.functional.one_hot(tags, 5).bool()
        torch.testing.assert_close(
            crf.loss(emissions, LENGTHS, candidates=candidates),
            crf.loss(emissions, LENGTHS, tags),
            rtol=1e-12,
            atol=1e-12,
        )

    def test_candidates_that_leave_no_legal_path_are_named(self):
        crf = CRF(5, True, allowed=table("BIO", 2))
        candidates = torch.ones(2, 3, 5, dtype=torch.bool)
        candidates[1, 0], candidates[1, 1] = False, False
        candidates[1, 0, 0] = candidates[1, 1, 2] = True  # O, then I
        emissions, lengths = torch.randn(2, 3, 5), torch.tensor([3, 3])
        with pytest.raises(ValueError, match="sentence 1 has no legal path"):
            crf.loss(emissions, lengths, candidates=candidates)
        with pytest.raises(ValueError, match="sentence 1 has no legal path"):
            viterbi(crf.chain(emissions, lengths, candidates=candidates))

    def test_given_spans_are_in_the_path_and_the_rest_adapts(self):
        crf = random_crf(5, allowed=table("BIO", 2))
        emissions = torch.randn(1, 6, 5, dtype=torch.float64)
        candidates = torch.ones(1, 6, 5, dtype=torch.bool)
        candidates[0, 2], candidates[0, 3] = False, False
        candidates[0, 2, 3] = candidates[0, 3, 4] = True  # tokens 2 and 3: B, I of label 1
        candidates[0, 4, 4] = False  # and no more
        candidates[0, 0, 1] = False  # no span of label 0 starts the sentence
        chain = crf.chain(emissions, torch.tensor([6]), candidates=candidates)
        best = enumerated(crf, emissions[0], 6, candidates[0])
        assert viterbi(chain).tags[0].tolist() == best.paths[0].tolist()
        assert chain.marginals()[0, 2:4].argmax(1).tolist() == [3, 4]

    def test_what_does_not_fit_is_refused(self):
        crf = CRF(5, batch_first=True)
        emissions, tags = scores()
        candidates = torch.ones(4, 7, 5, dtype=torch.bool)
        bad = {
            "either tags or candidates, got neither": lambda: crf.loss(emissions, LENGTHS),
            "not both": lambda: crf.loss(emissions, LENGTHS, tags, candidates=candidates),
            "invalid reduction: token": lambda: crf.loss(
                emissions, LENGTHS, tags, reduction="token"
            ),
            "tags must be": lambda: crf.loss(emissions, LENGTHS, tags[:, 1:]),
            "lengths must be": lambda: crf.loss(emissions, LENGTHS[1:], tags),
            "between 0 and 7": lambda: crf.loss(emissions, LENGTHS + 1, tags),
            "between 0 and 7, got": lambda: viterbi(crf.chain(emissions, LENGTHS - 2)),
            "integers": lambda: crf.chain(emissions, LENGTHS.float()),
            "candidates must be bool": lambda: crf.chain(
                emissions, LENGTHS, candidates=candidates.long()
            ),
            "candidates must be": lambda: crf.chain(
                emissions, LENGTHS, candidates=candidates[:, :, 1:]
            ),
            "transitions must be": lambda: crf.chain(emissions[:, :, 1:], LENGTHS),
            "emissions must be": lambda: crf.chain(emissions[0], LENGTHS),
            "allowed must be a bool tensor": lambda: CRF(5, allowed=torch.ones(5, 5)),
            "n must be at least 1": lambda: crf.chain(emissions, LENGTHS).n_best(0),
        }
        for message, call in bad.items():
            with pytest.raises(ValueError, match=message):
                call()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["tags", "candidates"])
def test_parameters_of_half_precision_have_a_loss_and_a_gradient(dtype, kind):
    """As pytorch-crf's have, and computed in float64 from what the parameters are."""
    torch.manual_seed(0)
    crf = CRF(4, batch_first=True).to(dtype)
    emissions = torch.randn(3, 5, 4).to(dtype).requires_grad_()
    lengths, gold = torch.tensor([5, 2, 0]), torch.randint(0, 4, (3, 5))
    candidates = torch.nn.functional.one_hot(gold, 4).bool()
    known = {"tags": gold} if kind == "tags" else {"candidates": candidates}
    loss = crf.loss(emissions, lengths, reduction="sum", **known)
    loss.backward()
    wide, leaf = CRF(4, batch_first=True).double(), emissions.detach().double().requires_grad_()
    wide.load_state_dict(crf.state_dict())
    truth = wide.loss(leaf, lengths, reduction="sum", **known)
    truth.backward()
    torch.testing.assert_close(loss, truth.float())
    pairs = [(emissions, leaf), *zip(crf.parameters(), wide.parameters(), strict=True)]
    for one, right in pairs:
        assert one.grad.dtype == dtype
        torch.testing.assert_close(one.grad.double(), right.grad, rtol=1e-2, atol=1e-2)
    mask = torch.arange(5) < lengths.clamp_min(1).unsqueeze(1)
    assert crf.decode(emissions, mask) == wide.decode(leaf, mask)
