"""The writers of ``ner tag``: each sentence is written as soon as it is tagged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from ner.formats.columns import Lines
from ner.schemes import SCHEMES
from ner.sentence import Sentence, Span

if TYPE_CHECKING:
    from ner.inference.span_decoder import NBestParse

DIGITS = 6  # decimals of scores


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tagged sentence, or a part of one that is too long for memory.

    Attributes:
        sentence: The sentence or part.
        spans: The predicted spans.
        lines: The lines of the column file it was read from, one per token; may be empty.
        extra: Further fields of the record it was read from.
        readings: The most probable parses.
        ends: Whether the sentence ends here.
    """

    sentence: Sentence
    spans: tuple[Span, ...]
    lines: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    readings: tuple[NBestParse, ...] = ()
    ends: bool = True


def text_of(sentence: Sentence) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the text and the token offsets; tokens are joined by spaces if it is unknown."""
    if sentence.text is not None and sentence.offsets is not None:
        return sentence.text, sentence.offsets
    offsets, place = [], 0
    for token in sentence.tokens:
        offsets.append((place, place + len(token)))
        place += len(token) + 1
    return " ".join(sentence.tokens), tuple(offsets)


def as_record(tagged: Tagged) -> dict[str, Any]:
    """Return a tagged sentence in the form that ``ner tag --to jsonl`` writes."""
    text, offsets = text_of(tagged.sentence)

    def listed(spans: Sequence[Span]) -> list[dict[str, Any]]:
        return [_span(span, text, offsets) for span in spans]

    record = {
        **tagged.extra,
        "text": text,
        "tokens": list(tagged.sentence.tokens),
        "spans": listed(tagged.spans),
    }
    if tagged.readings:
        record["alternatives"] = [
            {"probability": round(reading.probability, DIGITS), "spans": listed(reading.spans)}
            for reading in tagged.readings
        ]
    return record


def _span(span: Span, text: str, offsets: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    start, end = offsets[span.start][0], offsets[span.end - 1][1]
    return {
        "start": start,
        "end": end,
        "label": span.label,
        "score": None if span.score is None else round(span.score, DIGITS),
        "text": text[start:end],
        "token_start": span.start,
        "token_end": span.end,
    }


class JsonlWriter:
    """Writes one JSON object per line."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def aside(self, line: str) -> None:
        """Handle an input line that is not a token: an empty line, a comment, a boundary."""

    def write(self, tagged: Tagged) -> None:
        """Write a sentence or a part of one."""
        self.file.write(json.dumps(as_record(tagged), ensure_ascii=False) + "\n")

    def end(self) -> None:
        """Write the end of the output."""


class ConllWriter(JsonlWriter):
    """Writes the lines of the input with the BIO tag as an additional column."""

    def aside(self, line: str) -> None:
        """Copy a line; a document boundary is padded to the number of columns of a token."""
        columns = line.startswith("-DOCSTART-") and len(line.split()) > 1
        self.file.write(f"{line}{_separator(line)}O\n" if columns else line + "\n")

    def write(self, tagged: Tagged) -> None:
        sentence = tagged.sentence
        tags = SCHEMES["BIO"].encode(tagged.spans, len(sentence))
        if tagged.lines:
            rows = zip(tagged.lines, tags, strict=True)
            self.file.writelines(f"{line}{_separator(line)}{tag}\n" for line, tag in rows)
            return
        blank = any(" " in token for token in sentence.tokens)
        line_of = Lines("\t" if blank else " ")
        rows = zip(sentence.tokens, tags, strict=True)
        self.file.writelines([line_of[row] + "\n" for row in rows])
        if tagged.ends:
            self.file.write("\n")


def _separator(line: str) -> str:
    return "\t" if "\t" in line else " "


class HtmlWriter(JsonlWriter):
    """Writes a standalone page with the entities highlighted and their probabilities."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(file)
        file.write(_HEAD)

    def write(self, tagged: Tagged) -> None:
        self.file.write(f"<p>{marked(as_record(tagged))}</p>\n")

    def end(self) -> None:
        self.file.write("</body>\n</html>\n")


def marked(record: Mapping[str, Any]) -> str:
    """Return the text of a record as HTML with its spans highlighted."""
    from html import escape

    parts, place, text = [], 0, record["text"]
    for span in record["spans"]:
        score = "" if span["score"] is None else f' title="{100 * span["score"]:.1f} %"'
        parts.append(escape(text[place : span["start"]]))
        inner = f"{escape(text[span['start'] : span['end']])} <b>{escape(span['label'])}</b>"
        parts.append(f'<mark style="{_colour(span["label"])}"{score}>{inner}</mark>')
        place = span["end"]
    return "".join([*parts, escape(text[place:])])


def _colour(label: str) -> str:
    """Return a light colour for a label, the same on every page."""
    hue = sum(place * ord(sign) for place, sign in enumerate(label, 1)) * 47 % 360
    return f"background:hsl({hue} 80% 85%)"


_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Entities</title>
<style>
body { font: 1rem/1.7 system-ui, sans-serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem }
mark { border-radius: .3em; padding: .1em .3em }
mark b { font-size: .7em; letter-spacing: .03em }
</style>
</head>
<body>
"""

WRITERS: dict[str, type[JsonlWriter]] = {
    "jsonl": JsonlWriter,
    "conll": ConllWriter,
    "html": HtmlWriter,
}
