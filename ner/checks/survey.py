"""The walk through all files that gathers what there is to know, and what is wrong."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice, pairwise

from ner.checks.characters import oddities
from ner.checks.sources import CorpusFile, Item
from ner.checks.tables import FORMS, Findings, Form, Known, Mentions, Place, Seekers, Sentences, Use
from ner.formats.detection import Detection, complaint
from ner.formats.offsets import is_unspaced
from ner.formats.table import comment_hint
from ner.schemes import OUTSIDE, Scheme
from ner.sentence import Span

LONG_SENTENCE = 200  # tokens
CERTAIN = 9  # a word outside entities is suspicious if so often, for once outside, it is one
SHOWN = 8  # words of a sentence that a message repeats

_CLOSING = {
    "(": ")",
    "[": "]",
    "{": "}",
    "«": "»",
    "“": "”",
    "‘": "’",
    "'": "'",
    '"': '"',
    "``": "''",
}
_OPENING = {closing: opening for opening, closing in _CLOSING.items()}


@dataclass
class Facts:
    """The statistics of a file.

    Attributes:
        path: The file.
        format: What it was read as.
        columns: The names of its columns, where it has columns.
        detection: The scheme of its tags, where it has tags.
        documents: How many documents; 0 where the file knows none.
        sentences: How many sentences.
        tokens: How many tokens.
        unannotated: How many tokens nobody has annotated.
        unannotated_sentences: How many sentences nobody has annotated.
        spans: How many entities of each label.
        longest: The tokens of the longest sentence.
        duplicates: How many sentences stood in the file before, word for word.
        overlaps: What it shares with each earlier file.
    """

    path: str
    format: str
    columns: tuple[str, ...] = ()
    detection: Detection | None = None
    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    unannotated: int = 0
    unannotated_sentences: int = 0
    spans: Counter[str] = field(default_factory=Counter)
    longest: int = 0
    duplicates: int = 0
    overlaps: list[Overlap] = field(default_factory=list)


@dataclass
class Overlap:
    """The sentences a file shares with an earlier one.

    Attributes:
        against: The earlier file.
        sentences: How many of its sentences stand in that one too, word for word.
        unseen: The number of its entities that are not entities there.
        out_of_vocabulary: How many of its entities hold a token that does not occur there.
    """

    against: str
    sentences: int = 0
    unseen: int = 0
    out_of_vocabulary: int = 0


class Survey:
    """The statistics of all files together.

    Args:
        ignore: Kinds of findings that do not count.

    Attributes:
        findings: What is wrong with them.
        files: What each is like.
        labels: The uses of each label.
        mentions: The labels of each mention.
    """

    def __init__(self, ignore: Iterable[str] = ()) -> None:
        self.findings = Findings(ignore)
        self.files: list[Facts] = []
        self.labels: dict[str, Use] = {}
        self.mentions = Mentions()
        self._sentences = Sentences()
        self._forms: Known[str] = Known(FORMS)
        self._odd: dict[str, list[tuple[str, str]]] = {}
        self._names: dict[str, int] = {}
        # Mentions of the file being read of which nothing is left to tell but how often they come.
        self._again: dict[tuple[Form, str], int] = {}

    @property
    def full(self) -> list[str]:
        """The tables that had no room for all there was."""
        tables = {
            "sentences": self._sentences.full,
            "words": self._forms.full,
            "mentions": self.mentions.known.full,
        }
        return [name for name, full in tables.items() if full]

    def add(self, source: CorpusFile) -> Iterator[Item]:
        """Read a file; its sentences are given to whoever wants to count them."""
        facts = Facts(source.name, source.format)
        facts.overlaps = [Overlap(earlier.path) for earlier in self.files]
        self.files.append(facts)
        try:
            for item in source.items():
                self._add(facts, item)
                yield item
            self._check_whole(facts)
        finally:  # of a file that breaks off, what could be read
            self._count_again(facts)
            facts.columns = source.layout.names if source.layout else ()
            facts.detection = source.detection()
            facts.documents = source.documents

    def _add(self, facts: Facts, item: Item) -> None:
        length = len(item.tokens)
        facts.sentences += 1
        facts.tokens += length
        facts.unannotated += item.unknown
        facts.unannotated_sentences += item.spans is None
        facts.longest = max(facts.longest, length)
        if length > LONG_SENTENCE:
            told = f"the sentence has {length} tokens: {_shown(item.tokens)}"
            self.findings.add("long-sentence", item.path, item.lines[0], told)
        file = len(self.files) - 1
        self._add_forms(item, 1 << file)
        self._add_sentence(facts, item, file)
        for span in item.spans or ():
            mention = item.tokens[span.start : span.end], span.label
            if mention in self._again:
                self._again[mention] += 1
            else:
                self._add_span(facts, item, span, file)

    def _add_forms(self, item: Item, bit: int) -> None:
        for token in self._forms.add(item.tokens, bit):
            found = self._odd.get(token) or list(oddities(token))
            if found and len(self._odd) < FORMS:
                self._odd[token] = found
        if self._odd and not self._odd.keys().isdisjoint(item.tokens):
            for place, token in enumerate(item.tokens):
                for kind, message in self._odd.get(token, ()):
                    self.findings.add(kind, item.path, item.line(place), message)

    def _add_sentence(self, facts: Facts, item: Item, file: int) -> None:
        line = item.lines[0]
        name = self._names.setdefault(item.path, len(self._names))
        seen = self._sentences.add(item.tokens, item.mark, file, name, line)
        if seen is None:
            return
        for earlier, overlap in enumerate(facts.overlaps):
            overlap.sentences += seen.files >> earlier & 1
        first = f"{self._name(seen.name)}:{seen.line}"
        told = f"{_shown(item.tokens)}, as in {first}"
        if seen.files >> file & 1:
            facts.duplicates += 1
            self.findings.add("duplicate", item.path, line, told)
        else:
            self.findings.add("leak", item.path, line, told)
        if not seen.same:
            told = f"{_shown(item.tokens)} is annotated differently in {first}"
            self.findings.add("annotation-conflict", item.path, line, told)

    def _name(self, number: int) -> str:
        """Return the name of the file of that number; there are as many as brat has texts."""
        return next(islice(self._names, number, None), "")

    def _add_span(self, facts: Facts, item: Item, span: Span, file: int) -> None:
        form = item.tokens[span.start : span.end]
        place = Place(item.path, item.line(span.start))
        facts.spans[span.label] += 1
        self.labels.setdefault(span.label, Use()).add(*place)
        self._compare(facts, form)
        use = self.mentions.add(form, span.label, place)
        self.mentions.known.add((form,), 1 << file)
        odd = list(edges(form))
        for message, kind in odd:
            told = f"{written(form)!r} ({span.label}) {message}"
            self.findings.add(kind, *place, told)
        if use is not None and use.full and not odd:
            self._again[form, span.label] = 0

    def _count_again(self, facts: Facts) -> None:
        """Count the mentions that only had to be counted."""
        for (form, label), times in self._again.items():
            facts.spans[label] += times
            self.labels[label].count += times
            self.mentions.count(form, label, times)
            self._compare(facts, form, times)
        self._again.clear()

    def _compare(self, facts: Facts, form: Form, times: int = 1) -> None:
        """Count a mention that an earlier file does not hold, or not the words of."""
        if not facts.overlaps:
            return
        known = self.mentions.known.files(form)
        words = -1
        for token in form:
            words &= self._forms.files(token)
        for earlier, overlap in enumerate(facts.overlaps):
            overlap.unseen += times * (not known >> earlier & 1)
            overlap.out_of_vocabulary += times * (not words >> earlier & 1)

    def _check_whole(self, facts: Facts) -> None:
        if not facts.sentences:
            self.findings.add("unreadable", facts.path, 0, "the file has no sentences")
        elif not facts.spans:
            told = "the file is not annotated" if facts.unannotated else "the file has no entities"
            self.findings.add("no-entity", facts.path, 0, told)
        left = facts.unannotated_sentences
        if 0 < left < facts.sentences:
            told = f"{left:,} of {facts.sentences:,} sentences are not annotated"
            self.findings.add("unannotated", facts.path, 0, told)


class Review:
    """The second look at a file, when its scheme and all mentions are known.

    Args:
        survey: What is known.
    """

    def __init__(self, survey: Survey) -> None:
        self._findings = survey.findings
        self._counts = dict(survey.mentions.counted(CERTAIN))
        self._seekers = Seekers(self._counts)
        self._outside: dict[Form, list[Place]] = {}

    def add(self, source: CorpusFile, detection: Detection | None) -> Iterator[Item]:
        """Look at a file once more."""
        illegal = source.counts.illegal_pairs(detection.scheme) if detection else frozenset()
        met = {tag for _, tag in source.counts.pairs} - {source.missing}
        scheme = detection.scheme if detection else None
        wrong = {tag: told for tag in met if (told := complaint(tag, scheme))}
        for item in source.again():
            if detection and item.tags and (illegal or wrong):
                self._check_tags(item, detection.scheme, illegal, wrong)
            if item.spans is not None:
                self._seek(item)
            yield item

    def close(self) -> None:
        """Report words outside entities that are nearly always an entity."""
        for form, places in self._outside.items():
            count = self._counts[form]
            if count < CERTAIN * len(places):
                continue
            for place in places:
                told = f"{written(form)!r} is outside entities here, but {count} times an entity"
                self._findings.add("suspicious-o", *place, told)

    def _seek(self, item: Item) -> None:
        """Note the mentions among the tokens outside entities."""
        for start, form in self._seekers.among(item.tokens):
            end = start + len(form)
            if not any(span.start < end and start < span.end for span in item.spans or ()):
                places = self._outside.setdefault(form, [])
                if CERTAIN * len(places) <= self._counts[form]:  # one more settles it
                    places.append(Place(item.path, item.line(start)))

    def _check_tags(
        self,
        item: Item,
        scheme: Scheme,
        illegal: frozenset[tuple[str, str]],
        wrong: dict[str, str],
    ) -> None:
        tags = list(item.tags or ())
        for place, tag in enumerate(tags):
            if tag in wrong:
                told = wrong[tag] + comment_hint(f"{item.tokens[place]} {tag}")
                self._findings.add("bad-tag", item.path, item.line(place), told)
                tags[place] = OUTSIDE
        pairs = list(pairwise(chain((OUTSIDE,), tags, (OUTSIDE,))))
        if illegal.isdisjoint(pairs):
            return
        repaired = scheme.encode(item.spans or (), len(tags))
        for place, pair in enumerate(pairs):
            if pair in illegal:
                told, at = _repair(tags, repaired, place)
                self._findings.add("illegal-tag", item.path, item.line(at), told)


def _repair(tags: Sequence[str], repaired: Sequence[str], place: int) -> tuple[str, int]:
    """Return the tags on either side of a place after repair, and the token they differ at."""
    end = place == len(tags)
    at = place - 1 if end or (place and tags[place] == repaired[place]) else place
    after = "at the end of the sentence" if end else f"before {tags[place]!r}"
    before = "at the start of the sentence" if not place else f"after {tags[place - 1]!r}"
    where = before if at == place else after
    return f"{tags[at]!r} {where} is read as {repaired[at]!r}", at


def edges(form: Form) -> Iterator[tuple[str, str]]:
    """Return a message on odd characters at the ends of a mention, and the kind of finding."""
    if not form[0].strip() or not form[-1].strip():
        yield "begins or ends with white space", "blank-edge"
        return
    if len(form) == 1:
        if _punctuation(form[0]):
            yield "is only punctuation", "punctuation-edge"
        return
    first, last = _punctuation(form[0]), _punctuation(form[-1])
    if first and last and _CLOSING.get(form[0]) == form[-1]:
        yield "begins and ends with punctuation", "punctuation-edge"
        return
    if first and _CLOSING.get(form[0]) not in form[1:]:
        yield "begins with punctuation", "punctuation-edge"
    if last and _OPENING.get(form[-1]) not in form[:-1]:
        yield "ends with punctuation", "punctuation-edge"


@lru_cache(1 << 16)
def _punctuation(token: str) -> bool:
    return all(unicodedata.category(one)[0] == "P" for one in token)


def _shown(tokens: Sequence[str]) -> str:
    more = " ..." if len(tokens) > SHOWN else ""
    return repr(written(tokens[:SHOWN]) + more)


def written(tokens: Sequence[str]) -> str:
    """Tokens as a text: a blank between two of them, but none in scripts without blanks."""
    text = ""
    for token in tokens:
        between = "" if is_unspaced(text[-1:]) and is_unspaced(token[:1]) else " "
        text += between + token if text else token
    return text
