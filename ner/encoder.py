"""The BiLSTM, which encodes each token in the context of its sentence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

DEEPEST = 32  # a limit on layers, so that a model file cannot request a billion


class Encoder(nn.Module):
    """Stacked LSTMs over the full sequence, one output per token.

    Each direction is an LSTM of its own over sequences that begin at position 0: the backward
    one reads every sentence reversed *within its length*, so padding never enters a state,
    whatever else is in the batch, and no packing is needed (the fast kernels of the CPU and of
    CUDA want plain tensors).

    Args:
        input_width: The width of the vectors it reads.
        width: The width of each direction.
        layers: How many LSTMs are stacked; with 0 each token is its own vector, dropout aside.
        bidirectional: Whether a second direction reads from the end to the beginning; both
            are concatenated at each step.
        dropout: The share of the input, of every layer's output set to 0 in training; the same
            for all tokens of a sentence ("locked", Gal and Ghahramani 2016).
    """

    def __init__(
        self,
        input_width: int,
        *,
        width: int = 128,
        layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        if not 0 <= layers <= DEEPEST:
            raise ValueError(f"layers must be from 0 to {DEEPEST}, got {layers}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        self.input_width = input_width
        self.width = width
        self.bidirectional = bidirectional
        self.dropout = LockedDropout(dropout)
        directions = 2 if bidirectional else 1
        self.output_width = directions * width if layers else input_width
        widths = ([input_width] + [self.output_width] * layers)[:layers]
        self.forwards = nn.ModuleList(_lstm(read, width) for read in widths)
        self.backwards = nn.ModuleList(_lstm(read, width) for read in widths if bidirectional)

    def settings(self) -> dict[str, Any]:
        """Return the settings that rebuild this encoder."""
        return {
            "width": self.width,
            "layers": len(self.forwards),
            "bidirectional": self.bidirectional,
            "dropout": self.dropout.share,
        }

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Encode each token in the context of its sentence.

        Args:
            vectors: ``(batch, length, input_width)``.
            lengths: ``(batch,)``.

        Returns:
            ``(batch, length, output_width)``: forward states, then backward states; meaningless at
            padding.
        """
        states: Tensor = self.dropout(vectors)
        reverse = reversal(lengths, vectors.shape[1]) if self.bidirectional else None
        for number, forwards in enumerate(self.forwards):
            outputs = [forwards(states)[0]]
            if reverse is not None:
                backwards = self.backwards[number](_reorder(states, reverse))[0]
                outputs.append(_reorder(backwards, reverse))
            states = self.dropout(torch.cat(outputs, dim=2) if reverse is not None else outputs[0])
        return states

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Return the final states of each sentence, for many-to-one uses of the encoder.

        Args:
            states: The output of ``forward``, ``(batch, length, output_width)``.
            lengths: ``(batch,)``.

        Returns:
            ``(batch, output_width)``: the forward state at the last token and the backward
            state at the first, each having read the whole sentence; 0 for an empty sentence.
        """
        sentences = torch.arange(len(lengths), device=lengths.device)
        last = states[sentences, (lengths - 1).clamp(min=0), : self.width]
        first = states[:, 0, self.width :]
        return torch.cat([last, first], dim=1) * (lengths > 0).unsqueeze(1)


class LockedDropout(nn.Module):
    """Dropout with one mask for all tokens of a sentence."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, vectors: Tensor) -> Tensor:
        """Return vectors ``(batch, length, width)``, in training with some columns set to 0."""
        if not self.training or self.share == 0.0:
            return vectors
        mask = vectors.new_empty(vectors.shape[0], 1, vectors.shape[2])
        mask.bernoulli_(1.0 - self.share).div_(1.0 - self.share)
        return vectors * mask


def reversal(lengths: Tensor, length: int) -> Tensor:
    """Return the index of each position after reversing sentences within their lengths.

    Returns:
        ``(batch, length)``: ``lengths - 1 - position`` at tokens, the position itself at padding.
    """
    positions = torch.arange(length, device=lengths.device).unsqueeze(0)
    mirrored = lengths.unsqueeze(1) - 1 - positions
    return torch.where(mirrored >= 0, mirrored, positions)


def _reorder(vectors: Tensor, order: Tensor) -> Tensor:
    """Reorder the positions of each sentence, ``(batch, length, width)``."""
    batch, length, width = vectors.shape
    first = torch.arange(batch, device=order.device).unsqueeze(1) * length
    flat = vectors.reshape(batch * length, width).index_select(0, (order + first).view(-1))
    return flat.view(batch, length, width)


def _lstm(input_width: int, width: int) -> nn.LSTM:
    """Return one direction of a layer, its forget gates initially open (Jozefowicz et al. 2015)."""
    lstm = nn.LSTM(input_width, width, batch_first=True)
    weights = dict(lstm.named_parameters())
    nn.init.xavier_uniform_(weights["weight_ih_l0"])
    with torch.no_grad():
        for gate in weights["weight_hh_l0"].chunk(4):
            nn.init.orthogonal_(gate)
        for bias in (weights["bias_ih_l0"], weights["bias_hh_l0"]):
            bias.zero_()
        weights["bias_ih_l0"][width : 2 * width] = 1.0
    return lstm
