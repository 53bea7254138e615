"""The bundled corpus: short English news, reports and letters, written for this project.

It is in the public domain (CC0). ``inline/`` holds what was written, one file a genre, in the
format ``brackets``; ``scripts/build_sample.py`` makes the CoNLL files of the three splits.
"""

from __future__ import annotations

from pathlib import Path

SPLITS = ("train", "development", "test")


def path(split: str) -> Path:
    """The CoNLL file of a split: ``train``, ``development`` or ``test``.

    Raises:
        ValueError: The corpus has no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"the bundled corpus has no split {split!r}; it has {', '.join(SPLITS)}")
    return Path(__file__).with_name(f"{split}.conll")
