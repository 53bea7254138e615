"""An LSTM for use alone, not for training: the same numbers as ``nn.LSTM``, faster on a CPU.

What the input contributes to the gates is computed elsewhere, so that it can be remembered. What
remains is a loop over the steps of a batch laid out without padding, both directions at once.
torch's tanh is several times slower than its sigmoid, so only sigmoids are used: ``tanh(x) =
2 sigmoid(2x) - 1``. The factors of 2 are folded into the weights; cell states are kept doubled
and outputs halved.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Layer:
    """One layer of an encoder, in one or two directions.

    Args:
        lstms: The LSTM of each direction; the second reads sentences from their ends.
        scale: What the input must be multiplied with: 2 where it is another layer's output.

    Attributes:
        inputs: From vectors to gates, ``(input_width, directions * 4 * width)``.
        bias: Of the gates, ``(directions * 4 * width,)``.
    """

    def __init__(self, lstms: Sequence[nn.LSTM], scale: float = 1.0) -> None:
        self.width = lstms[0].hidden_size
        self.directions = len(lstms)
        weights = [self._arranged([p.detach() for p in lstm.parameters()], scale) for lstm in lstms]
        self.inputs = torch.cat([part[0] for part in weights]).t().contiguous()
        self.bias = torch.cat([part[2] for part in weights])
        self._recurrent = torch.stack([part[1].t() for part in weights]).contiguous()

    def _arranged(self, parameters: Sequence[Tensor], scale: float) -> tuple[Tensor, ...]:
        """Input weights, recurrent weights and bias, the gates in the order i, f, o, g."""
        width = self.width
        inputs, recurrent, bias, second_bias = parameters
        order = torch.arange(4 * width).view(4, width)[[0, 1, 3, 2]].reshape(-1)
        gates = [scale * inputs[order], 2.0 * recurrent[order], (bias + second_bias)[order]]
        for part in gates:
            part[3 * width :] *= 2.0
        return tuple(gates)

    def gates(self, vectors: Tensor) -> Tensor:
        """What inputs ``(tokens, input_width)`` give to the gates, for all directions."""
        return torch.addmm(self.bias, vectors, self.inputs)

    def run(self, gates: Tensor, counts: list[int]) -> Tensor:
        """Half the outputs of each token.

        Args:
            gates: What the input gives, in packed order, ``(directions, tokens, 4 * width)``;
                overwritten.
            counts: The rows at each step, descending.

        Returns:
            ``(directions, tokens, width)``, in packed order.
        """
        width, rows = self.width, counts[0]
        outputs = gates.new_empty(self.directions, gates.shape[1], width)
        cells = gates.new_zeros(self.directions, rows, width)  # doubled
        squashed = torch.empty_like(cells)
        steps = zip(
            torch.split(gates, counts, 1),
            *(torch.split(gate, counts, 1) for gate in torch.split(gates, width, 2)),
            torch.split(outputs, counts, 1),
            strict=True,
        )
        before: Tensor | None = None
        for gate, enter, keep, leave, new, output in steps:
            n = gate.shape[1]
            if n != rows:
                rows, cells, squashed = n, cells[:, :n], squashed[:, :n]
            if before is not None:
                gate.baddbmm_(before[:, :n], self._recurrent)
            gate.sigmoid_()
            new.sub_(0.5)
            cells.mul_(keep).addcmul_(enter, new, value=4.0)
            torch.sigmoid(cells, out=squashed).sub_(0.5)
            torch.mul(leave, squashed, out=output)
            before = output
        return outputs
