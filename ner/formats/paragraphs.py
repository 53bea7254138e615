"""Paragraphs of lines, and the columns of those that are plain, each cut in one go.

What stands between two empty lines is a paragraph: in files of columns, nearly always a sentence
whose lines have all the same number of fields, one TAB or one blank between any two. Such a
paragraph is cut at once, many times faster than line by line; any other is left to whoever
looks at each line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from ner.formats.columns import BOUNDARY, CACHED, Fields

REMEMBERED = 1 << 25  # characters of text whose fields are remembered

_HOLLOW = re.compile(r"^[ \t]+$", re.MULTILINE)


def paragraphs(
    texts: Iterable[str],
    *,
    hollow: bool = True,
    check: Callable[[int, int], None] = lambda lines, characters: None,
) -> Iterator[list[str]]:
    """The paragraphs of a file, as many as each text completes.

    A paragraph has no line end at its end, and one empty line follows it. Where there are more,
    the others are the beginning of the next paragraph, or one that is empty.

    Args:
        texts: What the file holds, each text whole lines.
        hollow: Whether lines of nothing but blanks and TABs are empty.
        check: Is given the lines and characters of a paragraph whose end has not come yet.
    """
    begun: list[str] = []  # of a paragraph whose end is still to come
    lines = characters = 0
    for text in texts:
        if hollow and ("\n " in text or "\n\t" in text or text.startswith((" ", "\t"))):
            text = _HOLLOW.sub("", text)
        if "\n\n" not in text and not (begun and text.startswith("\n")):
            begun.append(text)
            lines, characters = lines + text.count("\n"), characters + len(text)
            check(lines, characters)
            continue
        lines = characters = 0
        whole = "".join((*begun, text)).split("\n\n")
        begun = [whole.pop()]
        yield whole
    rest = "".join(begun).removesuffix("\n")
    if rest:
        yield [rest]


def telling(lines: list[str]) -> list[str]:
    """The lines that say how many columns there are: few, where all say the same."""
    text = "\n".join(("", *lines, ""))
    separator = "\t" if "\t" in text else " "
    plain = (separator == " " or " " not in text) and not any(
        twice in text for twice in (separator * 2, f"\n{separator}", f"{separator}\n")
    )
    if plain and len({line.count(separator) for line in lines if line}) == 1:
        for place, line in enumerate(lines, 1):
            if line and not line.startswith(BOUNDARY):
                return lines[:place]
    return lines


class Cutter:
    """Cuts plain paragraphs; equal fields are one string.

    Args:
        width: How many columns there are.
        token: Which of them holds the tokens.
        tag: Which of them holds the tags; ``None`` where none does.
        special: What may not stand in a plain paragraph.
    """

    def __init__(self, width: int, token: int, tag: int | None, special: Iterable[str]) -> None:
        self._width = width
        self._token = token
        self._tag = tag
        self._special = tuple(special)
        self._shared: dict[str, str] = {}
        self._characters = 0

    def cut(self, text: str) -> tuple[Fields, Fields] | None:
        """The tokens and the tags of a paragraph; ``None`` of one that is not plain."""
        width, step, lines = self._width, self._width + 1, text.count("\n") + 1
        if "\t" not in text:
            cells = text.replace("\n", " \n ").split(" ")
        elif " " not in text:
            cells = text.replace("\n", "\t\n\t").split("\t")
        else:
            return None
        # every line has as many fields as it should if the line ends stand where they should
        if len(cells) != lines * step - 1 or cells[width::step].count("\n") != lines - 1:
            return None
        if not all(cells):  # two blanks in a row, or one at an end of a line
            return None
        for special in self._special:
            if special in text:
                return None
        share = self._room(len(text)).setdefault
        tokens = cells[self._token :: step]
        tags = [] if self._tag is None else cells[self._tag :: step]
        return tuple(map(share, tokens, tokens)), tuple(map(share, tags, tags))

    def _room(self, characters: int) -> dict[str, str]:
        """The fields that are remembered, of which there may not be too many."""
        self._characters += characters
        if len(self._shared) > CACHED or self._characters > REMEMBERED:
            self._shared.clear()
            self._characters = characters
        return self._shared
