"""Numbers for words, and for anything else that is looked up by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

PADDING = 0
UNKNOWN = 1


class Vocabulary:
    """A fixed list of items, numbered from 2; 0 pads and 1 stands for whatever is not listed."""

    def __init__(self, items: Sequence[str]) -> None:
        self.items = tuple(items)
        self._index = {item: number for number, item in enumerate(self.items, start=2)}
        if len(self._index) != len(self.items):
            twice = [item for item, count in Counter(self.items).items() if count > 1]
            raise ValueError(f"a vocabulary lists each item once; {twice[0]!r} is there twice")

    def __len__(self) -> int:
        return len(self.items) + 2

    def __contains__(self, item: str) -> bool:
        return item in self._index

    def __getitem__(self, item: str) -> int:
        return self._index.get(item, UNKNOWN)


def frequent(items: Iterable[str], *, min_count: int = 1) -> list[str]:
    """The items seen at least that often, the most frequent first, then in order of sight."""
    return [item for item, count in Counter(items).most_common() if count >= min_count]
