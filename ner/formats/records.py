"""The JSON objects annotation tools write, made into sentences.

A table of keys for each thing an object may say covers our own lines, those of Doccano,
Prodigy, Label Studio and Hugging Face, and their relatives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ner.formats.alignment import (
    Characters,
    Misfits,
    Places,
    TextOptions,
    align,
    apart,
    cut,
    joined,
    locate,
)
from ner.formats.annotations import (
    PREDICTED,
    SPANS,
    bounds,
    characters,
    first,
    kind,
    predicted,
    says_tokens,
    score,
    span_items,
)
from ner.formats.conventions import LOST, canonical
from ner.formats.detection import MISSING, is_any_tag, spans_of
from ner.formats.json_values import Object, ValueOptions
from ner.formats.offsets import CHARACTERS, Counting, Evidence, counting_named, tokenizer_named
from ner.schemes import Scheme, file_scheme_named
from ner.sentence import Document, Sentence, Span, in_document

_LATER = 1  # where a record does not say its place, it goes on with the document before it

TOKENS = ("tokens", "words")
TAGS = dict.fromkeys(
    ("tags", "ner_tags", "ner", "labels", "label", "tag", "bio_tags", "ner_labels")
)
_NESTED = frozenset((list, dict))
_CHOOSE = "choose the key to read, for example annotation: tags"
ACCEPTED = (None, "accept")  # what Prodigy's "answer" says of annotation to be trusted


class _Words(NamedTuple):
    """The tokens of an object as they stand in it, as words, and in its text if there is one."""

    items: list[Any]
    tokens: tuple[str, ...]
    text: str | None
    offsets: Places | None


_CONLL = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
_WNUT = ("corporation", "creative-work", "group", "location", "person", "product")
PRESETS: dict[str, dict[str, Any]] = {  # of well-known datasets of Hugging Face
    "conll2003": {"names": (*_CONLL, "B-MISC", "I-MISC")},
    "few-nerd": {
        "names": [
            "O",
            "art",
            "building",
            "event",
            "location",
            "organization",
            "other",
            "person",
            "product",
        ],
        "scheme": "IO",
    },
    "wikiann": {"names": _CONLL},
    "wnut17": {"names": ("O", *(f"{role}-{label}" for label in _WNUT for role in "BI"))},
}


@dataclass(frozen=True, kw_only=True)
class JsonOptions(TextOptions, ValueOptions):
    """Options of the JSON reader.

    Attributes:
        scheme: Tagging scheme; detected by default.
        annotation: Key of the annotation, where another would be read or there are several.
        names: Tags in the order of their numbers, where numbers stand for them.
        preset: A well-known dataset, whose options are set unless they are given.
    """

    scheme: str | None = None
    annotation: str | None = None
    names: Sequence[str] | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scheme is not None:
            file_scheme_named(self.scheme)


@dataclass
class RecordReader:
    """Turns the objects of one file into sentences.

    Attributes:
        options: Options of the reader.
        misfits: Collects spans that do not fit the tokens.
        scheme: Scheme of the tags.
        remarks: What else was not read as it stands, and how often.
    """

    options: JsonOptions
    misfits: Misfits
    scheme: Scheme
    remarks: Counter[str] = field(default_factory=Counter)
    _evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        self._evidence = Evidence(self.options.offsets)

    def told(self) -> list[str]:
        """Return the remarks on the file as a whole."""
        told = [
            f"{count} record{'s' * (count > 1)} {reason}" for reason, count in self.remarks.items()
        ]
        remark = self._evidence.remark()
        return [*told, remark] if remark else told

    def sentences(self, value: Any) -> tuple[Sentence, ...]:
        """The sentences of one object: one where it has tokens, one a line where it is text.

        Raises:
            ValueError: The object is of an unknown kind, or contradictory.
        """
        given = unwrapped(value)
        if given.get("answer") not in ACCEPTED:
            self.remarks[f"with the answer {given['answer']!r}, read as unannotated"] += 1
        if LOST in given:
            self.remarks["with entities that are not in its text, left out"] += 1
        tokens = first(given, TOKENS)
        found: tuple[Sentence, ...]
        if isinstance(tokens, list):
            found = (self._of_tokens(given, tokens),) if tokens else ()
        else:
            found = self._of_text(given)
        if not found:
            self.remarks["without tokens, left out"] += 1
        return found

    def _of_text(self, given: Object) -> tuple[Sentence, ...]:
        text = given.get("text")
        if not isinstance(text, str):
            raise ValueError(
                "expected an object with 'tokens' or 'text', found "
                + (f"the keys {', '.join(map(repr, given))}" if given else "an empty object")
                + "; write the text under 'text', and its entities under 'spans'"
            )
        tags = self._words_of_tags(given, text)
        if tags is not None:
            return (self._of_tokens({**given, "tokens": text.split()}, text.split()),)
        items = span_items(given, self.options.annotation)
        spans = None if items is None else self._characters(given, items, text)
        tokenize = tokenizer_named(self.options.tokenizer)
        found = cut(text, spans, tokenize, self.options.align, self.misfits)
        return in_document(found, _name(given.get("id")))

    def _of_tokens(self, given: Object, items: list[Any]) -> Sentence:
        tokens = _words(items)
        text = given.get("text") if isinstance(given.get("text"), str) else None
        offsets = None if text is None else offsets_of(text, items)
        words = _Words(items, tokens, text, offsets)
        tags = _tags(given, len(tokens), self.options.annotation)
        spans = self._spans(given, words, tagged=tags is not None)
        if tags is None:
            unknown = _unknown(given, len(tokens))
        else:
            found, unknown = spans_of(tags, self.scheme, MISSING)
            if spans and spans != found:
                raise ValueError("tags and spans disagree: " + _CHOOSE)
            spans = found
        return Sentence(
            tokens,
            spans,
            columns=columns_in(given, len(tokens)),
            unknown=unknown,
            document=Document((tokens,), _name(given["document"])) if "document" in given else None,
            position=given["position"] if type(given.get("position")) is int else _LATER,
            line=self.misfits.line,
            text=text if offsets else None,
            offsets=offsets,
            tags=None if tags is None else tuple(tags),
        )

    def _spans(self, given: Object, words: _Words, *, tagged: bool) -> tuple[Span, ...] | None:
        """The spans of an object that has tokens."""
        text = words.text
        if tagged and (
            self.options.annotation or not any(_filled(given, key) for key in given if key in SPANS)
        ):
            return None
        found = span_items(given, self.options.annotation)
        if found is None:
            return None
        if text is None or all(map(says_tokens, found)):
            last = (
                any(isinstance(one, dict) for one in words.items) or self._counting(given).inclusive
            )
            return align_tokens(words.tokens, found, self.misfits, inclusive=last)
        if words.offsets is None:
            raise ValueError("spans count characters of the text, but the tokens do not match it")
        placed = self._characters(given, found, text)
        return align(text, words.offsets, placed, self.options.align, self.misfits)

    def _characters(self, given: Object, items: list[Any], text: str) -> list[Characters]:
        if self.options.annotation is None and predicted(given):
            self.remarks["with only predictions, which were read"] += 1
        counting = self._counting(given)
        return characters(items, text, counting, self._evidence, trusted=self.options.trust_offsets)

    def _counting(self, given: Object) -> Counting:
        """Return the unit of an object's offsets: as it says, unless given as an option."""
        return counting_named(self.options.offsets or given.get("offsets") or CHARACTERS)

    def _words_of_tags(self, given: Object, text: str) -> list[str] | None:
        """The tags of a text without tokens, one for each word between blanks.

        Raises:
            ValueError: There are tags, but not as many as words.
        """
        for key in (self.options.annotation,) if self.options.annotation else TAGS:
            tags = given.get(key)
            if not isinstance(tags, list) or not tags or not isinstance(tags[0], str):
                continue
            if len(tags) == len(text.split()) and all(map(is_any_tag, tags)):
                return tags
            if any(map(is_any_tag, tags)):
                raise ValueError(
                    f"{key!r} holds {len(tags)} tags for a text of {len(text.split())} words "
                    "between blanks; put the tokens that are tagged beside them, under 'tokens'"
                )
            if key == "tags":
                self.remarks["whose 'tags' are not tags of tokens, ignored"] += 1
        return None


def unwrapped(value: Any) -> Object:
    """The object that holds the tokens or the text, with the spans beside them.

    Raises:
        ValueError: It is not an object.
    """
    value = canonical(value)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {kind(value)}")
    if value.get("answer") not in ACCEPTED:
        return {key: one for key, one in value.items() if key not in (*SPANS, *PREDICTED)}
    return value


def given_tags(value: Any) -> list[str] | None:
    """The tags of an object that has tokens and tags, without looking further."""
    if not isinstance(value, dict):
        return None
    if not isinstance(first(value, TOKENS), list):
        return None
    for tags in _tag_lists(value).values():
        return tags if set(map(type, tags)) <= {str} else [one for one in tags if type(one) is str]
    return None


def align_tokens(
    tokens: Sequence[str], items: Iterable[Any], misfits: Misfits, *, inclusive: bool = False
) -> tuple[Span, ...]:
    """Spans given by tokens; of those that overlap the longer is kept and the other noted.

    Args:
        tokens: The tokens.
        items: The spans.
        misfits: Where spans are noted that overlap a longer one.
        inclusive: Whether the end of a span is its last token, as Prodigy has it.

    Raises:
        ValueError: A span is malformed, or exceeds the sentence.
    """
    text, offsets = joined(tokens)
    found: list[tuple[Span, Characters]] = []
    for item in items:
        start, last, label = bounds(item, by_tokens=True)
        end = last + inclusive
        if not 0 <= start < end <= len(tokens):
            hint = "; if ends include the last token, set offsets: inclusive" * (start == end)
            raise ValueError(
                f"the span {start} to {last} ({label}) exceeds the sentence, "
                f"which has {len(tokens)} tokens{hint}"
            )
        misfits.spans += 1
        place = Characters(offsets[start][0], offsets[end - 1][1], label)
        found.append((Span(start, end, label, score(item)), place))
    return apart(text, offsets, found, misfits)


def _words(items: Sequence[Any]) -> tuple[str, ...]:
    """Tokens given as words, or as objects with a ``text``."""
    if set(map(type, items)) == {str} and "" not in items:
        return tuple(items)
    words: list[str] = []
    for place, item in enumerate(items):
        word = item.get("text") if isinstance(item, dict) else item
        if not isinstance(word, str) or not word:
            several = "; write one object per sentence" * isinstance(item, list)
            raise ValueError(f"token {place} should be a word, found {kind(item)}{several}")
        words.append(word)
    return tuple(words)


def offsets_of(text: str, items: Sequence[Any]) -> Places | None:
    """Return the offsets of tokens in their text, as given or as found in it."""
    told = _told(text, items)
    if told is not None:
        return told
    words = _words(items)
    plain, offsets = joined(words)
    return offsets if plain == text else locate(text, words)


def _told(text: str, items: Sequence[Any]) -> Places | None:
    """Return the offsets that tokens give; ``None`` if they give none or are not objects."""
    offsets: list[tuple[int, int]] = []
    end = 0
    for item in items:
        start, stop = (item.get("start"), item.get("end")) if isinstance(item, dict) else (0, None)
        if type(start) is not int or type(stop) is not int or start < end:
            return None
        if text[start:stop] != item["text"]:
            return None
        offsets.append((start, stop))
        end = stop
    return tuple(offsets)


def _filled(given: Object, key: str) -> bool:
    """Return whether there are spans under a key, and not tags."""
    value = given.get(key)
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], list | dict)
    )


def _tag_lists(given: Object, chosen: str | None = None) -> dict[str, list[Any]]:
    """Return lists that may hold tags, by key: those without spans, preferably not empty."""
    found = {
        key: tags
        for key, tags in given.items()
        if (key == chosen if chosen else key in TAGS)
        and isinstance(tags, list)
        and _NESTED.isdisjoint(map(type, tags))
    }
    return {key: tags for key, tags in found.items() if tags} or found


def _tags(given: Object, length: int, chosen: str | None) -> list[str] | None:
    lists = _tag_lists(given, chosen)
    if not lists:
        return None
    (name, tags), *others = lists.items()
    for other, more in others:
        if more != tags and len(more) == length == len(tags):
            raise ValueError(f"{name!r} and {other!r} both hold tags, and disagree: {_CHOOSE}")
    others_too = (given.get(key) for key in SPANS if key != "tags")
    if not tags and length and any(isinstance(one, list | dict) for one in others_too):
        return None  # an empty list of spans under a name that tags have elsewhere
    if len(tags) != length:
        raise ValueError(f"expected {length} tags, one per token, found {len(tags)}")
    for tag in () if set(map(type, tags)) <= {str} else tags:
        if not isinstance(tag, str):
            raise ValueError(
                f"expected tags such as 'B-PER', found {kind(tag)}; set the names of the numbers "
                "in order, for example names: [O, B-PER, I-PER]"
            )
    return tags


def columns_in(given: Object, length: int) -> dict[str, tuple[str, ...]]:
    """Return the other columns of an object, each with ``length`` words.

    Raises:
        ValueError: They are not such.
    """
    columns = given.get("columns") or {}
    if not isinstance(columns, dict):
        raise ValueError(f"'columns' should be an object of lists, found {kind(columns)}")
    for name, column in columns.items():
        if not isinstance(column, list) or set(map(type, column)) - {str}:
            raise ValueError(f"the column {name!r} should be a list of words, found {kind(column)}")
        if len(column) != length:
            raise ValueError(
                f"column {name!r} needs a value per token ({length}), got {len(column)}"
            )
    return {name: tuple(column) for name, column in columns.items()}


def _name(value: Any) -> str:
    """Return the document name of a record: a string or a number."""
    return str(value) if isinstance(value, str | int) else ""


def _unknown(given: Object, length: int) -> frozenset[int]:
    places = given.get("unknown", [])
    if not isinstance(places, list) or not all(_is_place(one, length) for one in places):
        raise ValueError(f"'unknown' should list tokens from 0 to {length - 1}, found {places!r}")
    return frozenset(places)


def _is_place(value: Any, length: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < length
