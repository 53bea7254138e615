"""The JSON objects annotation tools write, made into sentences.

A table of keys for each thing an object may say covers our own lines, those of Doccano,
Prodigy, Label Studio and Hugging Face, and their relatives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ner.formats.alignment import Characters, Misfits, align, apart, cut, locate
from ner.formats.annotations import (
    SPANS,
    Object,
    bounds,
    characters,
    first,
    kind,
    says_tokens,
    score,
    span_items,
)
from ner.formats.tokenization import tokenizer_named
from ner.schemes import Scheme
from ner.sentence import Document, Sentence, Span, in_document

Offsets = tuple[tuple[int, int], ...]

_LATER = 1  # where a record does not say its place, it goes on with the document before it
MISSING = "_"  # the tag of a token nobody has annotated

TOKENS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "ner", "labels")
ACCEPTED = (None, "accept")  # what Prodigy's "answer" says of annotation to be trusted


class Columns(dict[str, tuple[str, ...]]):
    """The other columns of a record that has tags.

    Attributes:
        tags: The tags as the record spells them.
    """

    __slots__ = ("tags",)

    def __init__(self, columns: Mapping[str, tuple[str, ...]], tags: tuple[str, ...]) -> None:
        super().__init__(columns)
        self.tags = tags

    def __reduce__(self) -> tuple[type[Columns], tuple[object, ...]]:
        return Columns, (dict(self), self.tags)


@dataclass
class Reading:
    """How the objects of one file become sentences.

    Attributes:
        tokenizer: The name of what cuts raw text into tokens.
        how: How spans that do not fall on token boundaries are aligned.
        scheme: Of the tags.
        misfits: Where spans that do not fit are noted.
        remarks: What else was not read as it stands, and how often.
    """

    tokenizer: str
    how: str
    scheme: Scheme
    misfits: Misfits
    remarks: Counter[str] = field(default_factory=Counter)

    def sentences(self, value: Any) -> tuple[Sentence, ...]:
        """The sentences of one object: one where it has tokens, one a line where it is text.

        Raises:
            ValueError: The object is none that is known, or contradicts itself.
        """
        given = unwrapped(value)
        if given.get("answer") not in ACCEPTED:
            self.remarks[f"records whose answer is {given['answer']!r}; read as unannotated"] += 1
        tokens = first(given, TOKENS)
        found: tuple[Sentence, ...]
        if isinstance(tokens, list):
            found = (self._of_tokens(given, tokens),) if tokens else ()
        else:
            found = self._of_text(given)
        if not found:
            self.remarks["records without a token; left out"] += 1
        return found

    def _of_text(self, given: Object) -> tuple[Sentence, ...]:
        text = given.get("text")
        if not isinstance(text, str):
            raise ValueError(
                "expected an object with 'tokens' or 'text', found "
                + (f"the keys {', '.join(map(repr, given))}" if given else "an empty object")
            )
        spans = characters(given, text)
        tokenize = tokenizer_named(self.tokenizer)
        found = cut(text, spans, tokenize, self.how, self.misfits)
        return in_document(found, _name(given.get("id")))

    def _of_tokens(self, given: Object, items: list[Any]) -> Sentence:
        tokens = _words(items)
        text = given.get("text") if isinstance(given.get("text"), str) else None
        offsets = None if text is None else offsets_of(text, items)
        sentence = Sentence(
            tokens,
            columns=columns_in(given, len(tokens)),
            document=Document((tokens,), _name(given["document"])) if "document" in given else None,
            position=given["position"] if type(given.get("position")) is int else _LATER,
            text=text if offsets else None,
            offsets=offsets,
        )
        tags = _tags(given, len(tokens))
        if tags is not None:
            return self._tagged(sentence, tags)
        sentence = replace(sentence, unknown=_unknown(given, len(tokens)))
        found = span_items(given)
        if found is None:
            return sentence
        if text is None or all(map(says_tokens, found)):
            spans = align_tokens(tokens, found, self.misfits)
        elif offsets is None:
            raise ValueError("the tokens are not those of the text, whose characters spans count")
        else:
            spans = align(text, offsets, characters(given, text) or (), self.how, self.misfits)
        return replace(sentence, spans=spans)

    def _tagged(self, sentence: Sentence, tags: list[str]) -> Sentence:
        unknown = frozenset(place for place, tag in enumerate(tags) if tag == MISSING)
        sentence = replace(sentence, columns=Columns(sentence.columns, tuple(tags)))
        if len(unknown) == len(tags):
            return sentence
        spans = self.scheme.decode(["O" if tag == MISSING else tag for tag in tags])
        return replace(sentence, spans=spans, unknown=unknown)


def unwrapped(value: Any) -> Object:
    """The object that holds the tokens or the text, with the spans beside them.

    Raises:
        ValueError: It is no object.
    """
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict):
        value = {"text": value[0], **value[1]}  # ["text", {"entities": ...}], as spaCy 2 wrote
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {kind(value)}")
    if isinstance(value.get("data"), dict):
        return _label_studio(value)
    if value.get("answer") not in ACCEPTED:
        return {key: one for key, one in value.items() if key not in SPANS}
    return value


def given_tags(value: Any) -> list[str] | None:
    """The tags of an object that has tokens and tags, without looking further."""
    if not isinstance(value, dict):
        return None
    tags = first(value, TAGS)
    if not isinstance(tags, list) or not isinstance(first(value, TOKENS), list):
        return None
    return [one for one in tags if isinstance(one, str)]


def align_tokens(tokens: Sequence[str], items: Iterable[Any], misfits: Misfits) -> tuple[Span, ...]:
    """Spans given by tokens; of those that overlap the longer is kept and the other noted.

    Raises:
        ValueError: A span is none, or leaves the sentence.
    """
    text, offsets = joined(tokens)
    found: list[tuple[Span, Characters]] = []
    for item in items:
        start, end, label = bounds(item, by_tokens=True)
        if not 0 <= start < end <= len(tokens):
            raise ValueError(
                f"the span {start} to {end} ({label}) is not within the sentence, "
                f"which has {len(tokens)} tokens"
            )
        misfits.spans += 1
        place = Characters(offsets[start][0], offsets[end - 1][1], label)
        found.append((Span(start, end, label, score(item)), place))
    return apart(text, offsets, found, misfits)


def joined(tokens: Sequence[str]) -> tuple[str, Offsets]:
    """A text of the tokens with one blank between, and where each of them stands in it."""
    offsets, end = [], 0
    for token in tokens:
        offsets.append((end, end + len(token)))
        end += len(token) + 1
    return " ".join(tokens), tuple(offsets)


def _label_studio(task: Object) -> Object:
    """A task of Label Studio: its text, and the regions of the first annotation that counts."""
    data = task["data"]
    texts = [one for one in data.values() if isinstance(one, str)]
    if "text" not in data and len(texts) != 1:
        raise ValueError(
            "expected a task with one text, or one of them called 'text', found the data "
            + (", ".join(map(repr, data)) or "nothing")
        )
    text = data.get("text", texts[0] if texts else None)
    done = task.get("annotations", task.get("completions")) or []
    counted = [one for one in done if isinstance(one, dict) and not one.get("was_cancelled")]
    if not counted:
        return {"text": text, "id": task.get("id", "")}
    regions = [
        {**region["value"], "label": label}
        for region in counted[0].get("result", ())
        if isinstance(region, dict) and isinstance(region.get("value"), dict)
        for label in region["value"].get("labels", ())
    ]
    return {"text": text, "id": task.get("id", ""), "spans": regions}


def _words(items: Sequence[Any]) -> tuple[str, ...]:
    """Tokens given as words, or as objects with a ``text``."""
    words: list[str] = []
    for place, item in enumerate(items):
        word = item.get("text") if isinstance(item, dict) else item
        if not isinstance(word, str) or not word:
            raise ValueError(f"token {place} should be a word, found {kind(item)}")
        words.append(word)
    return tuple(words)


def offsets_of(text: str, items: Sequence[Any]) -> Offsets | None:
    """Where tokens stand in their text: where they say, or where they can be found in it."""
    told = _told(text, items)
    if told is not None:
        return told
    words = _words(items)
    plain, offsets = joined(words)
    return offsets if plain == text else locate(text, words)


def _told(text: str, items: Sequence[Any]) -> Offsets | None:
    """Where tokens say that they stand; ``None`` where they do not, or are not there."""
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


def _tags(given: Object, length: int) -> list[str] | None:
    tags = first(given, TAGS)
    if not isinstance(tags, list) or any(isinstance(one, list | dict) for one in tags):
        return None
    if not tags and length and span_items(given) is not None:
        return None  # an empty list of spans under a name that tags have elsewhere
    if len(tags) != length:
        raise ValueError(f"expected {length} tags, one a token, found {len(tags)}")
    for tag in tags:
        if not isinstance(tag, str):
            raise ValueError(
                f"expected tags such as 'B-PER', found {kind(tag)}; numbers need the names of "
                "the tags, which ner.formats.frames.from_dataset takes from a dataset"
            )
    return tags


def columns_in(given: Object, length: int) -> dict[str, tuple[str, ...]]:
    """The other columns of an object, each of so many words.

    Raises:
        ValueError: They are not such.
    """
    columns = given.get("columns") or {}
    if not isinstance(columns, dict):
        raise ValueError(f"'columns' should be an object of lists, found {kind(columns)}")
    for name, column in columns.items():
        if not isinstance(column, list) or not all(isinstance(one, str) for one in column):
            raise ValueError(f"the column {name!r} should be a list of words, found {kind(column)}")
        if len(column) != length:
            raise ValueError(f"the column {name!r} should hold {length} words, holds {len(column)}")
    return {name: tuple(column) for name, column in columns.items()}


def _name(value: Any) -> str:
    """What a record calls its document: a word or a number."""
    return str(value) if isinstance(value, str | int) else ""


def _unknown(given: Object, length: int) -> frozenset[int]:
    places = given.get("unknown", [])
    if not isinstance(places, list) or not all(_is_place(one, length) for one in places):
        raise ValueError(f"'unknown' should list tokens from 0 to {length - 1}, found {places!r}")
    return frozenset(places)


def _is_place(value: Any, length: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < length
