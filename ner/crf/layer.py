"""The parameters of a CRF, in the clothes of pytorch-crf."""

from __future__ import annotations

import torch
import torchcrf
from torch import Tensor

from ner.crf.chain import LinearChain
from ner.crf.decoding import viterbi


class CRF(torchcrf.CRF):  # type: ignore[misc]
    """A linear-chain CRF with the parameters and the interface of ``torchcrf.CRF``.

    Args:
        num_tags: The number of tags.
        batch_first: Whether `forward` and `decode` take ``(batch, length, ...)``.
        allowed: ``(num_tags + 1, num_tags + 1)``, bool: which tag may follow which; the last
            row and column stand for the ends of the sentence.
        constrain_training: Whether the loss sums over legal sequences alone.
    """

    allowed: Tensor | None

    def __init__(
        self,
        num_tags: int,
        batch_first: bool = False,
        *,
        allowed: Tensor | None = None,
        constrain_training: bool = True,
    ) -> None:
        super().__init__(num_tags, batch_first)
        if allowed is not None and allowed.shape != (num_tags + 1, num_tags + 1):
            raise ValueError(
                f"allowed must be {(num_tags + 1, num_tags + 1)}, got {tuple(allowed.shape)}"
            )
        self.constrain_training = constrain_training
        allowed = None if allowed is None else allowed.bool().clone()
        self.register_buffer("allowed", allowed, persistent=False)

    def chain(
        self, emissions: Tensor, lengths: Tensor, *, candidates: Tensor | None = None
    ) -> LinearChain:
        """The distribution over legal tag sequences that these emissions give; batch first."""
        parts = (self.transitions, self.start_transitions, self.end_transitions)
        if self.allowed is not None:
            no = ~self.allowed
            masks = (no[:-1, :-1], no[-1, :-1], no[:-1, -1])
            parts = tuple(p.masked_fill(m, -torch.inf) for p, m in zip(parts, masks, strict=True))
        return LinearChain(emissions, *parts, lengths, candidates)

    def loss(
        self,
        emissions: Tensor,
        lengths: Tensor,
        tags: Tensor | None = None,
        *,
        candidates: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """The negative log likelihood; batch first.

        Args:
            emissions: ``(batch, length, tags)``.
            lengths: ``(batch,)``.
            tags: the gold tags, ``(batch, length)``; anything at padding.
            candidates: instead of `tags`, the tags each token may carry,
                ``(batch, length, tags)``.
            reduction: ``mean`` over sentences, ``sum`` or ``none``.

        Raises:
            ValueError: for a gold path that is not legal, naming the sentence.
        """
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"invalid reduction: {reduction}; expected mean, sum or none")
        if (tags is None) == (candidates is None):
            raise ValueError("loss takes either tags or candidates")
        legal = self.chain(emissions, lengths)
        gold = (
            legal.score(tags)
            if tags is not None
            else self.chain(emissions, lengths, candidates=candidates).log_partition()
        )
        illegal = ~torch.isfinite(gold)
        if illegal.any():
            raise ValueError(f"sentence {int(illegal.nonzero()[0])}: the gold tags are not legal")
        if not self.constrain_training:
            legal = LinearChain(
                emissions, self.transitions, self.start_transitions, self.end_transitions, lengths
            )
        losses = (legal.log_partition() - gold).to(
            torch.promote_types(emissions.dtype, torch.float32)
        )
        return {"mean": losses.mean, "sum": losses.sum, "none": losses.clone}[reduction]()

    def forward(
        self,
        emissions: Tensor,
        tags: Tensor,
        mask: Tensor | None = None,
        reduction: str = "sum",
    ) -> Tensor:
        """The log likelihood, as in ``torchcrf.CRF.forward``."""
        if reduction not in ("none", "sum", "mean", "token_mean"):
            raise ValueError(f"invalid reduction: {reduction}")
        self._validate(emissions, tags=tags, mask=mask)
        emissions, lengths = self._batch_first(emissions, mask)
        tags = tags if self.batch_first else tags.transpose(0, 1)
        likelihoods = -self.loss(emissions, lengths, tags, reduction="none")
        if reduction == "token_mean":
            return likelihoods.sum() / lengths.sum()
        return {"none": likelihoods.clone, "sum": likelihoods.sum, "mean": likelihoods.mean}[
            reduction
        ]()

    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """The best tag sequence of each sentence, as in ``torchcrf.CRF.decode``."""
        self._validate(emissions, mask=mask)
        emissions, lengths = self._batch_first(emissions, mask)
        return viterbi(self.chain(emissions, lengths)).tolist(lengths)

    def _batch_first(self, emissions: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The emissions ``(batch, length, tags)`` and the lengths that the mask means."""
        if not self.batch_first:
            emissions = emissions.transpose(0, 1)
            mask = None if mask is None else mask.transpose(0, 1)
        batch, length, _ = emissions.shape
        if mask is None:
            return emissions, torch.full((batch,), length, device=emissions.device)
        mask = mask.bool()
        lengths = mask.sum(1)
        if not torch.equal(mask, torch.arange(length, device=mask.device) < lengths[:, None]):
            raise ValueError("the mask has a hole")
        return emissions, lengths
