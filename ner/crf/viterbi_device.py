"""The best tag sequences of a batch whose scores live on an accelerator.

The walks of `ner.crf.viterbi_numpy` are taken there, with three kernels a step and nothing that
waits for them; what they found is copied to the host once, and followed back there.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.crf.lattice import Lattice
from ner.crf.viterbi_numpy import Halves, Scores, Walk, complaint, search

_LEVEL = 32  # as in `viterbi_numpy`


def viterbi_device(lattice: Lattice) -> NDArray[np.int64]:
    """The tags of the path of greatest score, ``(batch, length)``, 0 at padding.

    Raises:
        ValueError: where emissions or moves are no numbers, or a sentence has no legal path.
    """
    emissions = lattice.emissions.detach()
    wide = emissions.dtype == torch.float64
    emissions = emissions.to(torch.float64 if wide else torch.float32)
    if lattice.candidates is not None:
        emissions = emissions.masked_fill(~lattice.candidates, -torch.inf)
    moves, start, end = (
        part.detach().to(emissions.dtype)
        for part in (lattice.transitions, lattice.start, lattice.end)
    )
    both = torch.stack((moves, moves.t()), dim=1).unsqueeze(1)  # (from, 1, walk, to)
    ends = torch.stack((start, end))
    lengths = lattice.lengths.cpu().numpy()

    def walk(halves: Halves) -> Walk:
        return _walk(emissions.flatten(0, 1), both, ends, halves)

    host = [part.cpu().numpy() for part in (moves, start, end)]
    scores = Scores.of(host[0], host[1], host[2], np.float64 if wide else np.float32)
    paths, lost = search(lengths, emissions.shape[1], scores, walk)
    if lost is not None:
        raise ValueError(complaint(emissions.cpu().numpy(), lengths, lost, *host))
    return paths


def _walk(flat: Tensor, both: Tensor, ends: Tensor, halves: Halves) -> Walk:
    """Walk over all sentences of a layout from both their ends.

    Args:
        flat: The emissions of all tokens, ``(batch * length, tags)``.
        both: The scores of moves of both walks, ``(tags, 1, 2, tags)``.
        ends: The scores of first and of last tags, ``(2, tags)``.
        halves: The layout.
    """
    steps, rows = halves.tokens.shape
    tokens = torch.from_numpy(halves.tokens).to(flat.device)
    nodes = flat[tokens].view(steps, rows // 2, 2, -1)  # (steps, sentences, walk, tags)
    odd = np.flatnonzero(halves.odd)
    middle = torch.from_numpy(halves.reach[odd] - 1).to(flat.device)
    nodes[middle, torch.from_numpy(odd).to(flat.device), 1] = 0.0  # a shared token counts once
    best = torch.empty_like(nodes)
    torch.add(nodes[0], ends, out=best[0])
    for step in range(1, steps):
        room = best[step - 1].permute(2, 0, 1).unsqueeze(3) + both  # (from, sentences, walk, to)
        torch.amax(room, 0, out=best[step])
        best[step] += nodes[step]
        if step % _LEVEL == 0:
            best[step] -= best[step].amax(2, keepdim=True)
    return Walk(list(best.flatten(1, 2).transpose(1, 2).cpu().numpy()))
