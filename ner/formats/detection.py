"""Which tagging scheme a file is written in, inferred from tag sequences."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

from ner.errors import DataWarning
from ner.schemes import IO, OUTSIDE, SCHEMES, Scheme
from ner.sentence import Sentence, Span

PREFIXES = frozenset(prefix for scheme in SCHEMES.values() for prefix in scheme.roles)

MISSING = "_"  # tag of an unannotated token
NONE: frozenset[int] = frozenset()  # of tokens whose tag is missing
FIRST = 3  # repaired tags that a warning shows
TOGETHER = 100_000  # tags counted at a time
STRAY = 10  # a scheme needs one tag in its favour for ten against it

# Hyphens and dashes that word processors write, and Cyrillic and Greek letters that look Latin.
_LOOK_ALIKE: dict[int, int | str] = {
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"), "-"),
    **str.maketrans(
        "\u0412\u0406\u0415\u0405\u041c\u041e\u0392\u0399\u0395\u039c\u039f", "BIESMOBIEMO"
    ),
}
LABEL = re.compile(r"-?[^\W\d_][\w&/.+'\u2019-]*")
_MEANS_OUTSIDE = frozenset(
    ("o", "0", "\u039f", "\u041e", "OUT", *("Other", "OTHER", "other", "None", "NONE", "none"))
)  # a Greek and a Cyrillic O among them
_INNER = frozenset("IMEL")  # prefixes of tags that go on with a span


@dataclass(frozen=True, slots=True)
class Detection:
    """The scheme of a file, and what speaks for it.

    Attributes:
        scheme: The scheme.
        support: The share of the telling tags that agree with it, 0 to 1: of the tags that open
            a span for IOB1 and BIO, of all tags but ``O`` otherwise; 1 where no tag tells.
        tags: How often each tag stands in the file.
        illegal: The number of tags that are illegal in that scheme.
    """

    scheme: Scheme
    support: float
    tags: Mapping[str, int] = field(repr=False)
    illegal: int


class TagCounts:
    """Counts which tag follows which; ``O`` stands for the ends of a sentence.

    Args:
        missing: The tag of a token nobody has annotated, which tells nothing of the scheme.

    Attributes:
        sentences: How many sentences have been counted.
    """

    def __init__(self, missing: str | None = None) -> None:
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._waiting = [OUTSIDE]  # tags still to be counted, after what stands before them
        self._missing = missing
        self.sentences = 0

    @property
    def pairs(self) -> Counter[tuple[str, str]]:
        """The number of times each tag follows each."""
        self._count()
        return self._pairs

    def add(self, tags: Sequence[str], sentences: int = 1) -> None:
        """Count the tags of a sentence, or of several with ``O`` between two."""
        self.sentences += sentences
        self._waiting += tags
        self._waiting.append(OUTSIDE)
        if len(self._waiting) > TOGETHER:
            self._count()

    def _count(self) -> None:
        tags, pairs = self._waiting, self._pairs
        inside = [place for place, tag in enumerate(tags) if tag != OUTSIDE]  # never at an end
        first = [place for place in inside if tags[place - 1] == OUTSIDE]
        pairs.update((tags[place], tags[place + 1]) for place in inside)
        pairs.update((OUTSIDE, tags[place]) for place in first)
        pairs[OUTSIDE, OUTSIDE] += len(tags) - 1 - len(inside) - len(first)
        self._waiting = [OUTSIDE]

    def detect(self, scheme: Scheme | None = None) -> Detection:
        """The scheme of all tags counted, or how they agree with the one that is given."""
        tags: Counter[str] = Counter()
        for (_, tag), number in self.pairs.items():
            tags[tag] += number
        tags[OUTSIDE] -= self.sentences  # of which each has one at its end
        tags = +tags  # without what is not there
        counts: Counter[str] = Counter()
        for tag, number in tags.items():
            counts[tag.partition("-")[0]] += number
        if scheme is None:
            scheme = self._scheme(counts)
        illegal = sum(self.pairs[pair] for pair in self.illegal_pairs(scheme))
        return Detection(scheme, self._support(scheme, counts), tags, illegal)

    def _scheme(self, counts: Mapping[str, int]) -> Scheme:
        by_i, by_b = self._openings()
        end, single = "LU" if counts["L"] + counts["U"] > counts["E"] + counts["S"] else "ES"
        closed_by_i, closed_by_b = self._closed("I"), self._closed("B")
        plain = closed_by_b + by_i  # what no scheme with ends has, whether or not it marks all ends
        if counts["M"] >= counts["I"] and _counts_against(counts["M"], plain):
            return SCHEMES["BMES"]
        ends = _counts_against(counts[end], plain + closed_by_i)
        if ends or _counts_against(counts[single], plain):
            return SCHEMES["BILOU" if end == "L" else "BIOES"]
        return SCHEMES["IOB1"] if by_i > by_b else SCHEMES["BIO"]

    def _closed(self, prefix: str) -> int:
        """Return the number of spans that end at a tag of that prefix."""
        closed = 0
        for (before, after), number in self.pairs.items():
            opening, _, label = before.partition("-")
            role, _, new_label = after.partition("-")
            if opening == prefix and self._missing not in (before, after):
                closed += number * (label != new_label or role not in _INNER)
        return closed

    def _openings(self) -> tuple[int, int]:
        """Return the number of spans opened by I- and by B- that could be opened by either.

        A span right after another of its label needs B- in IOB1 as in BIO, and tells nothing.
        """
        openings: Counter[str] = Counter()
        for (before, after), number in self.pairs.items():
            prefix, _, label = after.partition("-")
            if self._missing in (before, after):
                continue
            if after != OUTSIDE and (before == OUTSIDE or before.partition("-")[2] != label):
                openings[prefix] += number
        return openings["I"], openings["B"]

    def _support(self, scheme: Scheme, counts: Mapping[str, int]) -> float:
        if scheme.name in ("IOB1", "BIO"):
            by_i, by_b = self._openings()
            agree, telling = (by_i if scheme.name == "IOB1" else by_b), by_i + by_b
        else:
            agree = sum(counts[prefix] for prefix in scheme.roles)
            telling = sum(counts[prefix] for prefix in PREFIXES)
        return agree / telling if telling else 1.0

    def illegal_pairs(self, scheme: Scheme) -> frozenset[tuple[str, str]]:
        """The tags that follow each other somewhere although the scheme does not allow it."""
        return frozenset(
            (before, after)
            for before, after in self.pairs
            if self._missing not in (before, after)
            and is_tag(before, scheme)
            and is_tag(after, scheme)
            and not scheme.allows(before, after)
        )


def _counts_against(tags: int, others: int) -> bool:
    """Return whether some tags tell the scheme of a file, or are strays among the others."""
    return tags > 0 and STRAY * tags >= others


class Repairs:
    """Counts illegal tag sequences.

    Args:
        path: What the file is called.
        detection: Its scheme; ``None`` in a file without tags.
        illegal: The pairs of tags that are an illegal sequence.
    """

    def __init__(
        self, path: str, detection: Detection | None, illegal: frozenset[tuple[str, str]]
    ) -> None:
        self.scheme = detection.scheme if detection else None
        self._path = path
        self._illegal = illegal
        self._number = 0
        self._first: list[str] = []

    def note(self, lines: Sequence[int], tags: Sequence[str]) -> None:
        """Look for tags of a sentence that need repair, on these lines of the file."""
        if not self._illegal:
            return
        for place, (before, after) in enumerate(pairwise(chain((OUTSIDE,), tags, (OUTSIDE,)))):
            if (before, after) in self._illegal:
                self._number += 1
                if len(self._first) < FIRST:
                    line = lines[min(place, len(tags) - 1)]
                    end = "the end" if place == len(tags) else repr(after)
                    start = "the start" if place == 0 else repr(before)
                    self._first.append(f"line {line} ({end} after {start})")

    def warn(self) -> None:
        """Issue one warning of what was repaired."""
        if not self._number or self.scheme is None:
            return
        more = ", ..." if self._number > len(self._first) else ""
        message = (
            f"repaired {self._number} tag{'s' * (self._number > 1)} that "
            f"{self.scheme.name} does not allow there, as conlleval does: "
            f"{', '.join(self._first)}{more}"
        )
        warnings.warn(
            DataWarning(message, path=self._path, kind="illegal-tag", count=self._number),
            stacklevel=2,
        )


def spans_of(
    tags: Sequence[str], scheme: Scheme, missing: str
) -> tuple[tuple[Span, ...] | None, frozenset[int]]:
    """Return the spans of tags, and the tokens whose tag is missing.

    Where all tags are missing, the sentence is unannotated: ``None``, and no token.
    """
    if missing not in tags:
        return scheme.decode(tags), NONE
    unknown = frozenset(place for place, tag in enumerate(tags) if tag == missing)
    if len(unknown) == len(tags):
        return None, NONE
    return scheme.decode([OUTSIDE if tag == missing else tag for tag in tags]), unknown


def tags_of(sentence: Sentence, scheme: Scheme, missing: str = MISSING) -> list[str]:
    """Return the tags of a sentence, the given one where nobody has annotated."""
    if sentence.spans is None:
        return [missing] * len(sentence)
    tags = list(scheme.encode(sentence.spans, len(sentence)))
    for place in sentence.unknown:
        tags[place] = missing
    return tags


def is_tag(tag: str, scheme: Scheme) -> bool:
    """Return whether a scheme has such a tag."""
    prefix, hyphen, label = tag.partition("-")
    if scheme.name == IO.name:
        bare = prefix not in PREFIXES or not hyphen
        return bool(tag) and (bare or (prefix in scheme.roles and bool(label)))
    return tag == OUTSIDE or (prefix in scheme.roles and (bool(label) or not hyphen))


def complaint(tag: str, scheme: Scheme | None = None) -> str | None:
    """Return the error in a tag with a suggestion; ``None`` for a valid tag.

    Args:
        tag: As the file has it.
        scheme: The scheme it should be of; without it, any.
    """
    if scheme is not None and is_tag(tag, scheme):
        return None
    prefixes = sorted(PREFIXES) if scheme is None else list(scheme.roles)
    prefix, hyphen, label = tag.partition("-")
    if tag == OUTSIDE or (prefix in prefixes and (label or not hyphen)):
        return None
    of = f"{'an' if scheme.name[0] == 'I' else 'a'} {scheme.name} tag" if scheme else "a tag"
    listed = f"expected O or {', '.join(f'{one}-' for one in prefixes)}"
    if scheme is not None and prefix in PREFIXES and (label or not hyphen):
        own = _translated(prefix, scheme) + hyphen + label
        return f"{tag!r} is not {of}; {listed}; {_question(tag, own)}"
    meant = meant_by(tag, prefixes)
    if meant is None:
        return f"{tag!r} is not {of}; {listed}{_unless(tag)}"
    also = f"; or 'I-{tag}', which reads adjacent ones as one entity" * (meant == f"B-{tag}")
    return f"{tag!r} is not {of}; {_question(tag, meant)}{also}"


def _unless(tag: str) -> str:
    """Return what to set if a value is what else may stand where a tag should."""
    if LABEL.fullmatch(tag) and not (tag[0].isupper() and tag[1:2] == "-"):
        return "; if it is a label without a prefix, set scheme: IO"
    if any(map(str.isalnum, tag)):
        return ""
    outside = f"if it means O, tag_map: {{{tag!r}: 'O'}}"
    return f" ({outside}; if it marks unannotated tokens, set missing: {tag!r})"


def _question(tag: str, meant: str) -> str:
    return f"did you mean {meant!r}? tag_map: {{{tag!r}: {meant!r}}}"


def _translated(prefix: str, scheme: Scheme) -> str:
    """Return the prefix of the scheme that corresponds to one of another scheme."""
    role = next(one.roles[prefix] for one in SCHEMES.values() if prefix in one.roles)
    return scheme.prefix(first=role.opens is True, last=role.closes is True)


def meant_by(tag: str, prefixes: Sequence[str]) -> str | None:
    """The tag somebody who wrote this one had in mind, if it can be guessed."""
    if tag in _MEANS_OUTSIDE:
        return OUTSIDE
    plain = tag.translate(_LOOK_ALIKE)
    if plain != tag and complaint(plain) is None:
        return plain
    if tag[:1].upper() in prefixes and tag[1:2] in ("-", "_", ".", ":", "=") and tag[2:]:
        return f"{tag[0].upper()}-{tag[2:]}"
    if tag[-2:-1] in ("-", "_") and tag[-1] in prefixes and tag[:-2]:
        return f"{tag[-1]}-{tag[:-2]}"  # PER-B, as some tools write it
    if len(tag) > 1 and tag.isalpha() and tag.isupper():
        return f"B-{tag}"
    return None


def is_any_tag(tag: str) -> bool:
    """Return whether any scheme has such a tag."""
    return complaint(tag) is None
