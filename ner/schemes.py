"""Tagging schemes, which write the spans of a sentence as one tag per token.

A scheme is a table that says for each tag prefix whether its token opens or closes a span. Writing
and reading tags, and the legal tag sequences, all follow from that table, so a new scheme is a new
row in ``SCHEMES``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from unicodedata import category

from ner.sentence import Span

OUTSIDE = "O"
WRITABLE = ("BIO", "BIOES", "BILOU", "BMES")  # whose tags alone mark where a span begins
REMEMBERED = 10_000  # the number of cached tags, and of cached spans, per scheme
_PREFIXED = re.compile("[BIESMLU]-")
UNTYPED = "_"  # the label of entities in a file with tags B, I and O only


@dataclass(frozen=True, slots=True)
class Role:
    """The role of a prefix: whether it opens or closes a span (``None`` if it may do either)."""

    opens: bool | None
    closes: bool | None


EDGE = Role(opens=True, closes=True)  # outside any span, and beyond either end of the sentence


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to write spans as tags.

    Attributes:
        name: The name of the scheme.
        roles: The role of each prefix.
    """

    name: str
    roles: Mapping[str, Role]
    _read: dict[str, tuple[Role, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # cached tags: a corpus has few distinct ones
    _made: dict[tuple[int, int, str], Span] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # cached spans, which sentences share

    def tags(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Return all tags of the scheme for these labels, ``O`` first.

        Raises:
            TypeError: The labels are a string.
        """
        _refuse_text(labels, "a list of labels")
        return (OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in self.roles))

    def encode(self, spans: Iterable[Span], length: int) -> tuple[str, ...]:
        """Return the tags of a sentence of that length with these spans.

        Raises:
            ValueError: A span ends beyond the sentence, or two spans overlap.
        """
        tags = [OUTSIDE] * length
        for span in sorted(spans):
            if span.end > length:
                raise ValueError(f"{span} ends beyond its sentence, which has {length} tokens")
            for position in range(span.start, span.end):
                if tags[position] != OUTSIDE:
                    raise ValueError(f"{span} overlaps another span; {self.name} cannot write both")
                prefix = self.prefix(first=position == span.start, last=position == span.end - 1)
                tags[position] = f"{prefix}-{span.label}"
        return self._spell(tags)

    def decode(self, tags: Sequence[str]) -> tuple[Span, ...]:
        """Return the spans of tags, repairing ill-formed sequences as ``conlleval`` does.

        Raises:
            ValueError: A tag is not valid in the scheme.
            TypeError: The tags are a string.
        """
        _refuse_text(tags, "a tag for each token")
        inside = [position for position, tag in enumerate(tags) if tag != OUTSIDE]
        if not inside:
            return ()
        found: list[tuple[int, int, str]] = []
        known, made = self._read, self._made
        start, before, label = inside[0], EDGE, ""
        end = start  # of the span so far
        for position in inside:
            role, new_label = known.get(tags[position]) or self.read(tags[position])
            if position > end or (
                position > start and not _continues(before, label, role, new_label)
            ):
                found.append((start, end, label))
                start = position
            before, label, end = role, new_label, position + 1
        found.append((start, end, label))
        return tuple([made.get(span) or self._span(span) for span in found])

    def allows(self, before: str, after: str) -> bool:
        """Return whether one tag may follow another; ``O`` stands for both ends of a sentence."""
        (left, left_label), (right, right_label) = self.read(before), self.read(after)
        if right.opens is not True and _continues(left, left_label, right, right_label):
            return True
        return right.opens is not False and left.closes is not False

    def prefix(self, *, first: bool, last: bool) -> str:
        """Return the prefix of a token that is the first, the last, both or neither of its span."""
        for prefix, role in self.roles.items():
            if role.opens in (first, None) and role.closes in (last, None):
                return prefix
        raise ValueError(f"{self.name} has no prefix for first={first}, last={last}")

    def spelling(self, labels: Sequence[str]) -> dict[str, list[int]]:
        """Return the numbers of the tags that spell a span of each label, in the order of ``tags``.

        Returns:
            ``single``, the tag of a span of one token; ``first``, ``inside`` and ``last``, those
            of a longer one; ``prolonging``, the tag that would extend the span to the next token,
            or -1 if the scheme closes its spans itself.
        """
        numbers = {tag: number for number, tag in enumerate(self.tags(labels))}

        def column(*, first: bool, last: bool) -> list[int]:
            prefix = self.prefix(first=first, last=last)
            return [numbers[f"{prefix}-{label}"] for label in labels]

        closed = all(role.closes is not None for role in self.roles.values())
        inside = column(first=False, last=False)
        return {
            "single": column(first=True, last=True),
            "first": column(first=True, last=False),
            "inside": inside,
            "last": column(first=False, last=True),
            "prolonging": [-1] * len(labels) if closed else inside,
        }

    def read(self, tag: str) -> tuple[Role, str]:
        """Return the role of a tag, and its label.

        Raises:
            ValueError: The tag is not valid in the scheme.
        """
        found = self._read.get(tag)
        if found is None:
            found = self._meaning(tag)
            if len(self._read) >= REMEMBERED:
                self._read.clear()
            self._read[tag] = found
        return found

    def _span(self, span: tuple[int, int, str]) -> Span:
        if len(self._made) >= REMEMBERED:
            self._made.clear()
        self._made[span] = made = Span(*span)
        return made

    def _meaning(self, tag: str) -> tuple[Role, str]:
        if tag == OUTSIDE:
            return EDGE, ""
        if self.name == "IO" and tag and not _PREFIXED.match(tag):
            return self.roles["I"], tag
        prefix, hyphen, label = tag.partition("-")
        if prefix not in self.roles or (hyphen and not label):
            raise ValueError(
                f"{tag!r} is not a {self.name} tag; its prefixes are {', '.join(self.roles)}"
            )
        return self.roles[prefix], label or UNTYPED

    def _spell(self, tags: list[str]) -> tuple[str, ...]:
        """Return tags as written: IOB1 needs B- only after a span of the same label, IO never."""
        if self.name == "IO":
            return tuple([_unprefixed(tag) for tag in tags])
        if self.name != "IOB1":
            return tuple(tags)
        spelled = list(tags)
        for position, tag in enumerate(tags):
            before = tags[position - 1] if position else OUTSIDE
            if tag.startswith("B-") and before[2:] != tag[2:]:
                spelled[position] = "I" + tag[1:]
        return tuple(spelled)


def _unprefixed(tag: str) -> str:
    """Return a tag of IO as a bare label, unless that would be read as another tag."""
    label = tag[2:]
    return tag if tag == OUTSIDE or label == OUTSIDE or _PREFIXED.match(label) else label


def _refuse_text(given: Iterable[str], expected: str) -> None:
    """Refuse a string, which would be read as its characters."""
    if isinstance(given, str):
        raise TypeError(f"expected {expected}, got the string {given[:40]!r}")


def _continues(before: Role, label: str, after: Role, new_label: str) -> bool:
    """Return whether a token belongs to the span of the token before it."""
    return (
        before is not EDGE
        and after is not EDGE
        and label == new_label
        and before.closes is not True
        and after.opens is not True
    )


def _table(**roles: tuple[bool | None, bool | None]) -> dict[str, Role]:
    return {prefix: Role(*answers) for prefix, answers in roles.items()}


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("IOB1", _table(B=(True, None), I=(None, None))),
        Scheme("BIO", _table(B=(True, None), I=(False, None))),
        Scheme("BIOES", _table(B=(True, False), I=(False, False), E=(False, True), S=(True, True))),
        Scheme("BILOU", _table(B=(True, False), I=(False, False), L=(False, True), U=(True, True))),
        Scheme("BMES", _table(B=(True, False), M=(False, False), E=(False, True), S=(True, True))),
    )
}
# In files only: the tag is the bare label, so that adjacent spans of a label are read as one.
IO = Scheme("IO", _table(I=(None, None)))
ALIASES = {"IOB2": "BIO", "IOB": "BIO", "IOBES": "BIOES", "BILUO": "BILOU", "BMESO": "BMES"}


def outermost(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return spans without overlaps: of those that overlap, the first and longest.

    Nested annotation keeps its outer layer.
    """
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end, span.label)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return tuple(kept)


def distinct_labels(labels: Iterable[Any]) -> tuple[str, ...]:
    """Return labels after checking that there is at least one and that all are valid and distinct.

    Raises:
        ValueError: They are not.
    """
    found = tuple(labels)
    if not all(isinstance(label, str) and label for label in found):
        raise ValueError(f"labels must be non-empty strings, got {list(found[:50])}")
    if not 0 < len(found) == len(set(found)):
        raise ValueError(f"labels must be distinct, and at least one, got {list(found[:50])}")
    for label in found:
        if any(category(character) == "Cc" for character in label):
            raise ValueError(f"the label {label!r} contains a control character")
    return found


def file_scheme_named(name: str) -> Scheme:
    """Return the scheme of a file by name: as `scheme_named`, or ``IO``.

    Raises:
        ValueError: The name is unknown.
    """
    return IO if name.upper() == IO.name else scheme_named(name)


def scheme_named(name: str) -> Scheme:
    """Return a scheme by name or alias.

    Raises:
        ValueError: The name is unknown.
    """
    known = ALIASES.get(name.upper(), name.upper())
    if known not in SCHEMES:
        raise ValueError(f"no scheme is called {name!r}; there are {', '.join(SCHEMES)}")
    return SCHEMES[known]
