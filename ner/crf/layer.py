"""A drop-in replacement for ``torchcrf.CRF``."""

from __future__ import annotations

import torch
import torchcrf
from torch import Tensor

from ner.crf.autograd import LossSpec, likelihood
from ner.crf.chain import LinearChain, best_tags
from ner.crf.core.scores import illegal_gold
from ner.crf.lattice import Lattice


class CRF(torchcrf.CRF):  # type: ignore[misc]
    """A linear-chain CRF with the parameters and the interface of ``torchcrf.CRF``.

    `forward` and `decode` behave as in pytorch-crf 0.7.2: they take a mask and tensors
    ``(length, batch, ...)`` unless `batch_first`, and `forward` returns the log likelihood, not the
    loss. `chain` and `loss` are batch first and take lengths. Everything is computed in float64;
    results have the type of the emissions, at least float32.

    Args:
        num_tags: The number of tags.
        batch_first: Whether `forward` and `decode` take ``(batch, length, ...)``.
        allowed: The allowed transitions, bool ``(num_tags + 1, num_tags + 1)``; the last row and
            column stand for the start and the end of the sentence. None allows all. It is not part
            of the state, which stays interchangeable with that of ``torchcrf.CRF``.
        constrain_training: Whether the likelihood is normalised over legal paths only. Decoding
            and probabilities always are.

    Raises:
        ValueError: `num_tags` is less than 1, or `allowed` has the wrong shape or type.
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
        self.constrain_training = constrain_training
        if allowed is not None:
            size = num_tags + 1
            if allowed.shape != (size, size) or allowed.dtype != torch.bool:
                raise ValueError(
                    f"allowed must be a bool tensor of shape {(size, size)} (the tags, then the "
                    f"sentence boundary), got {allowed.dtype} of shape {tuple(allowed.shape)}"
                )
            allowed = allowed.detach().clone()
        self.register_buffer("allowed", allowed, persistent=False)

    def chain(
        self, emissions: Tensor, lengths: Tensor, *, candidates: Tensor | None = None
    ) -> LinearChain:
        """Return the distribution over legal paths.

        Args:
            emissions: ``(batch, length, tags)``; anything at padding.
            lengths: ``(batch,)``; 0 is allowed.
            candidates: The tags that each token may have, bool ``(batch, length, tags)``: only the
                tag of a span that is given, all but those of a span that is excluded, and all tags
                for a token about which nothing is known.
        """
        lengths = lengths.to(emissions.device)
        return LinearChain(emissions, *self._scores(legal=True), lengths, candidates)

    def loss(
        self,
        emissions: Tensor,
        lengths: Tensor,
        tags: Tensor | None = None,
        *,
        candidates: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the negative log likelihood of gold tags, or of partial annotation.

        With `candidates` it is log Z - log Z(candidates), the log partition less that of the paths
        that use only candidates (Bellare and McCallum 2007; Tsuboi et al. 2008): 0, without a
        gradient, for a sentence about which nothing is known.

        Args:
            emissions: ``(batch, length, tags)``; anything at padding.
            lengths: ``(batch,)``; an empty sentence has loss 0.
            tags: ``(batch, length)``; anything at padding. Pass either these or `candidates`.
            candidates: The tags that each token may have, bool ``(batch, length, tags)``.
            reduction: ``mean`` over sentences, ``sum`` or ``none``: ``(batch,)``.

        Raises:
            ValueError: Shapes do not match, gold tags are not legal, no legal path uses only
                candidates, or scores are NaN or infinite. The message names the sentence.
        """
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"invalid reduction: {reduction}; expected mean, sum or none")
        if tags is not None and candidates is not None:
            raise ValueError("loss takes either tags or candidates, not both")
        lengths = lengths.to(emissions.device)
        factor = 1.0 / max(len(lengths), 1) if reduction == "mean" else 1.0
        summed = reduction != "none"
        if tags is not None:
            return self._likelihood(emissions, lengths, tags, factor, summed)
        return self._partial(emissions, lengths, candidates, factor, summed)

    def forward(
        self,
        emissions: Tensor,
        tags: Tensor,
        mask: Tensor | None = None,
        reduction: str = "sum",
    ) -> Tensor:
        """Return the log likelihood of gold tags, as ``torchcrf.CRF.forward`` does.

        Args:
            emissions: ``(length, batch, tags)``, or ``(batch, length, tags)`` if `batch_first`.
            tags: ``(length, batch)``, or ``(batch, length)``; anything at padding.
            mask: True at tokens, with the shape of `tags`; no token may follow padding.
            reduction: ``none``: ``(batch,)``; ``sum`` or ``mean`` over sentences;
                ``token_mean``: the sum divided by the number of tokens.

        Raises:
            ValueError: Shapes do not match (as in pytorch-crf), or a token follows padding.
        """
        self._validate(emissions, tags=tags, mask=mask)
        if reduction not in ("none", "sum", "mean", "token_mean"):
            raise ValueError(f"invalid reduction: {reduction}")
        emissions, lengths = self._batch_first(emissions, mask)
        tags = tags if self.batch_first else tags.transpose(0, 1)
        count = len(lengths) if reduction == "mean" else 1
        if reduction == "token_mean":
            count = int(lengths.sum())
        return self._likelihood(emissions, lengths, tags, -1.0 / max(count, 1), reduction != "none")

    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """Return the best tags of each sentence, as ``torchcrf.CRF.decode`` does.

        Args:
            emissions: ``(length, batch, tags)``, or ``(batch, length, tags)`` if `batch_first`.
            mask: True at tokens, ``(length, batch)`` or ``(batch, length)``.

        Raises:
            ValueError: Shapes do not match (as in pytorch-crf), a token follows padding, or
                emissions are NaN or infinite.
        """
        self._validate(emissions, mask=mask)
        emissions, lengths = self._batch_first(emissions, mask)
        lattice = Lattice(emissions.detach(), *self._scores(legal=True), lengths)
        rows = best_tags(lattice).tolist()
        return [row[:n] for row, n in zip(rows, lengths.tolist(), strict=True)]

    def _scores(self, *, legal: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the transitions, start and end, minus infinity where not allowed."""
        scores = (self.transitions, self.start_transitions, self.end_transitions)
        if self.allowed is None or not legal:
            return scores
        no = ~self.allowed
        masks = (no[:-1, :-1], no[-1, :-1], no[:-1, -1])
        moves, start, end = (
            score.masked_fill(mask, -torch.inf) for score, mask in zip(scores, masks, strict=True)
        )
        return moves, start, end

    def _likelihood(
        self, emissions: Tensor, lengths: Tensor, tags: Tensor, factor: float, summed: bool
    ) -> Tensor:
        """Return the negative log likelihoods times a factor, summed or not."""
        if tags.shape != emissions.shape[:2]:
            raise ValueError(
                f"tags must be (batch, length) = {tuple(emissions.shape[:2])}, "
                f"got {tuple(tags.shape)}"
            )
        dtype, tags = torch.promote_types(emissions.dtype, torch.float32), tags.long()
        spec = LossSpec(lengths, None, tags, factor, summed, dtype)
        if self.allowed is not None and not self.constrain_training:
            legal = torch.isfinite(self.chain(emissions.detach(), lengths).score(tags))
            if not legal.all():
                raise illegal_gold(int(legal.int().argmin()))
        return likelihood(emissions, *self._scores(legal=self.constrain_training), spec)

    def _partial(
        self,
        emissions: Tensor,
        lengths: Tensor,
        candidates: Tensor | None,
        factor: float,
        summed: bool,
    ) -> Tensor:
        """Return the loss of partial annotation, times a factor, summed or not."""
        if candidates is None:
            raise ValueError("loss takes either tags or candidates, got neither")
        dtype = torch.promote_types(emissions.dtype, torch.float32)
        scores = self._scores(legal=self.constrain_training)
        among = likelihood(emissions, *scores, LossSpec(lengths, candidates))
        total = likelihood(emissions, *scores, LossSpec(lengths))
        inside = torch.arange(emissions.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        known = (inside.unsqueeze(2) & ~candidates).flatten(1).any(1)
        losses = torch.where(known, total - among, 0.0) * factor
        return (losses.sum() if summed else losses).to(dtype)

    def _validate(
        self, emissions: Tensor, tags: Tensor | None = None, mask: Tensor | None = None
    ) -> None:
        """Check as pytorch-crf does, except that empty sentences are allowed."""
        super()._validate(emissions, tags=tags)
        if mask is not None and emissions.shape[:2] != mask.shape:
            raise ValueError(
                "the first two dimensions of emissions and mask must match, "
                f"got {tuple(emissions.shape[:2])} and {tuple(mask.shape)}"
            )

    def _batch_first(self, emissions: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the emissions ``(batch, length, tags)``, and the lengths of the mask."""
        if not self.batch_first:
            emissions = emissions.transpose(0, 1)
            mask = None if mask is None else mask.transpose(0, 1)
        batch, length, _ = emissions.shape
        if mask is None:
            return emissions, torch.full((batch,), length, device=emissions.device)
        inside = mask.bool().cpu().numpy()
        falling = inside[:, 1:] <= inside[:, :-1]
        if not falling.all():
            raise ValueError(
                f"the mask of sentence {int(falling.all(1).argmin())} has a hole: a token follows "
                "padding; make its tokens contiguous"
            )
        return emissions, torch.from_numpy(inside.sum(1)).to(emissions.device)
