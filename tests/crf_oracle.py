"""A CRF by enumeration: every path of a short sentence, its score, and sums over them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from ner.crf import CRF, SpanTags

Path = tuple[int, ...]


@dataclass(frozen=True)
class Enumeration:
    """All legal paths of one sentence.

    paths: ``(n, length)``. scores: ``(n,)``, greatest first.
    """

    paths: np.ndarray
    scores: np.ndarray

    @staticmethod
    def of(emissions, transitions, start, end, allowed=None, candidates=None) -> Enumeration:
        length, tags = emissions.shape
        paths = np.array(list(itertools.product(range(tags), repeat=length)), dtype=int)
        scores = emissions[np.arange(length), paths].sum(1)
        scores += transitions[paths[:, :-1], paths[:, 1:]].sum(1)
        legal = np.ones(len(paths), dtype=bool)
        if length:
            scores += start[paths[:, 0]] + end[paths[:, -1]]
        if length and allowed is not None:
            legal &= allowed[-1, paths[:, 0]] & allowed[paths[:, -1], -1]
            legal &= allowed[paths[:, :-1], paths[:, 1:]].all(1)
        if candidates is not None:
            legal &= candidates[np.arange(length), paths].all(1)
        order = np.argsort(-scores[legal], kind="stable")
        return Enumeration(paths[legal][order], scores[legal][order])

    @property
    def log_partition(self) -> float:
        return float(self.scores[0] + np.log(np.exp(self.scores - self.scores[0]).sum()))

    @property
    def probabilities(self) -> np.ndarray:
        return np.exp(self.scores - self.log_partition)

    def probability(self, holds) -> float:
        """The probability that something holds, given which paths it holds of."""
        return float(self.probabilities[holds].sum())

    def entropy(self) -> float:
        return float(-(self.probabilities * (self.scores - self.log_partition)).sum())


def legal(path: Path, allowed) -> bool:
    """Whether a path keeps to a table whose last row and column are the sentence's ends."""
    if not path:
        return True
    steps = [(-1, path[0]), *itertools.pairwise(path), (path[-1], -1)]
    return all(bool(allowed[a][b]) for a, b in steps)


def table(scheme: str, labels: int) -> torch.Tensor:
    """Which tag may follow which, built by hand: tags are O, then each label's in order."""
    opens = {"BIO": "B", "BIOES": "BS", "BILOU": "BU", "BMES": "BS", "IOB1": "BI"}[scheme]
    prefixes = {"BIO": "BI", "BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES", "IOB1": "BI"}[scheme]
    names = ["O", *(f"{p}{k}" for k in range(labels) for p in prefixes)]
    goes_on = {"BIO": "BI", "BIOES": "BI", "BILOU": "BI", "BMES": "BM", "IOB1": "BI"}[scheme]
    must_go_on = scheme not in ("BIO", "IOB1")
    allowed = torch.zeros(len(names) + 1, len(names) + 1, dtype=torch.bool)
    for i, before in enumerate([*names, "$"]):
        for j, after in enumerate([*names, "$"]):
            inside = before[0] in goes_on and before not in "O$"
            same = before[1:] == after[1:]
            if after in "O$":
                allowed[i, j] = not (inside and must_go_on)
            elif scheme == "IOB1":
                allowed[i, j] = after[0] == "I" or (inside and same)
            elif after[0] in opens:
                allowed[i, j] = not (inside and must_go_on)
            else:
                allowed[i, j] = inside and same
    return allowed


def span_tags(scheme: str, labels: int) -> SpanTags:
    """The tags of spans of each label, of a table made by `table`."""
    width = 2 if scheme == "BIO" else 4
    first = 1 + width * torch.arange(labels)
    if scheme == "BIO":
        return SpanTags(first, first, first + 1, first + 1, first + 1)
    return SpanTags(first + 3, first, first + 1, first + 2, torch.full_like(first, -1))


def random_crf(tags: int, *, scale: float = 1.0, dtype=torch.float64, **settings) -> CRF:
    """A CRF with normally distributed parameters."""
    crf = CRF(tags, batch_first=True, **settings).to(dtype)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_(0, scale)
    return crf


def enumerated(crf: CRF, emissions, length: int, candidates=None) -> Enumeration:
    """All legal paths of one sentence of a CRF's batch."""
    parts = (crf.transitions, crf.start_transitions, crf.end_transitions)
    return Enumeration.of(
        emissions[:length].detach().numpy(),
        *(part.detach().numpy() for part in parts),
        None if crf.allowed is None else crf.allowed.numpy(),
        None if candidates is None else candidates[:length].numpy(),
    )
