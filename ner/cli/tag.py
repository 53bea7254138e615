"""``ner tag``: find the entities in a stream of text, sentence by sentence."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ner.cli.console import Progress
from ner.config import ConfigError
from ner.sentence import Sentence, Span

if TYPE_CHECKING:
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  echo "Angela Merkel met Tim Cook in Berlin." | ner tag models/conll2003 --to jsonl
  ner tag models/conll2003 news.conll --to conll --output tagged.conll
"""
CHUNK = 20_000  # tokens tagged at a time, and at least one sentence or document
STREAM = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``ner tag`` takes."""
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL", help="a model directory")
    parser.add_argument(
        "input", metavar="INPUT", nargs="?", default=STREAM, help="a file; - is standard input"
    )
    parser.add_argument(
        "--from",
        dest="source",
        choices=["text", "conll", "jsonl"],
        help="what the input is; by its ending, else text",
    )
    parser.add_argument("--to", choices=["conll", "jsonl", "html"], default="jsonl")
    parser.add_argument("--output", metavar="PATH", default=STREAM, help="where to write")
    parser.add_argument(
        "--min-score", type=float, default=0.0, metavar="P", help="keep spans at least so probable"
    )
    parser.add_argument("--language", default="en", help="of spaCy's tokenizer, for text")
    parser.add_argument("--device", default="cpu", help="cpu (the default), cuda or auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> int:
    """Tag a stream."""
    if not 0.0 <= arguments.min_score <= 1.0:
        raise ConfigError(f"--min-score is a probability, got {arguments.min_score}")
    from ner.tagger import load

    source = arguments.source or _guess(arguments.input)
    sentences = _READERS[source](arguments)
    tagger = load(arguments.model, device=arguments.device)
    progress = Progress(quiet=arguments.quiet)
    with _opened(arguments.output) as file, progress.bar(None, "tagging", "tokens") as done:
        write = _WRITERS[arguments.to](file)
        for chunk in chunks(sentences):
            for tagged in _tag(tagger, chunk, arguments.min_score):
                write.sentence(tagged)
            done(sum(map(len, chunk)))
        write.end()
    return 0


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sentence and the spans found in it."""

    sentence: Sentence
    spans: tuple[Span, ...]


def chunks(sentences: Iterable[Sentence]) -> Iterator[list[Sentence]]:
    """The sentences, some thousand tokens at a time."""
    rest = iter(sentences)
    while some := list(islice(rest, 1)):
        tokens = len(some[0])
        while tokens < CHUNK and (more := next(rest, None)) is not None:
            some.append(more)
            tokens += len(more)
        yield some


def text_of(sentence: Sentence) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The text of a sentence and its tokens' characters in it; joined by blanks if unknown."""
    if sentence.text is not None and sentence.offsets is not None:
        return sentence.text, sentence.offsets
    offsets, place = [], 0
    for token in sentence.tokens:
        offsets.append((place, place + len(token)))
        place += len(token) + 1
    return " ".join(sentence.tokens), tuple(offsets)


def as_record(tagged: Tagged) -> dict[str, Any]:
    """A tagged sentence as ``ner tag --to jsonl`` writes it."""
    text, offsets = text_of(tagged.sentence)
    spans = []
    for span in tagged.spans:
        start, end = offsets[span.start][0], offsets[span.end - 1][1]
        spans.append(
            {
                "start": start,
                "end": end,
                "label": span.label,
                "score": None if span.score is None else round(span.score, 6),
                "text": text[start:end],
                "token_start": span.start,
                "token_end": span.end,
            }
        )
    return {"text": text, "tokens": list(tagged.sentence.tokens), "spans": spans}


class JsonlWriter:
    """One JSON object a line."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def sentence(self, tagged: Tagged) -> None:
        """Write a sentence."""
        self.file.write(json.dumps(as_record(tagged), ensure_ascii=False) + "\n")

    def end(self) -> None:
        """Nothing is left to write."""


class ConllWriter(JsonlWriter):
    """The input's columns and the predicted tag in BIO as the last one."""

    document: object = None

    def sentence(self, tagged: Tagged) -> None:
        from ner.schemes import SCHEMES

        sentence = tagged.sentence
        if sentence.document is not None and sentence.document is not self.document:
            self.document = sentence.document
            self.file.write("-DOCSTART-\n\n")
        tags = SCHEMES["BIO"].encode(tagged.spans, len(sentence))
        columns = [sentence.tokens, *sentence.columns.values(), tags]
        separator = "\t" if any(" " in token for token in sentence.tokens) else " "
        for row in zip(*columns, strict=True):
            self.file.write(separator.join(row) + "\n")
        self.file.write("\n")


class HtmlWriter(JsonlWriter):
    """A page on its own with the entities highlighted (spaCy's displaCy)."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(file)
        self.records: list[dict[str, Any]] = []

    def sentence(self, tagged: Tagged) -> None:
        record = as_record(tagged)
        ents = [{key: span[key] for key in ("start", "end", "label")} for span in record["spans"]]
        self.records.append({"text": record["text"], "ents": ents, "title": None})

    def end(self) -> None:
        """Write the page."""
        from spacy import displacy

        self.file.write(displacy.render(self.records, style="ent", manual=True, page=True))


_WRITERS = {"jsonl": JsonlWriter, "conll": ConllWriter, "html": HtmlWriter}


def _tag(tagger: Tagger, sentences: list[Sentence], min_score: float) -> Iterator[Tagged]:
    for sentence, spans in zip(sentences, tagger.predict(sentences), strict=True):
        yield Tagged(sentence, tuple(span for span in spans if (span.score or 0.0) >= min_score))


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    if path == STREAM:
        yield sys.stdout
        return
    from ner.storage import replacing

    with replacing(Path(path)) as file:
        yield file


def _guess(name: str) -> str:
    from ner.formats import format_of

    if name == STREAM or Path(name).suffix in ("", ".txt"):
        return "text"
    return "jsonl" if format_of(name).name == "jsonl" else "conll"


def _read_text(arguments: argparse.Namespace) -> Iterator[Sentence]:
    """Each line of a text, cut into sentences and tokens by spaCy; a line is a document."""
    from ner.formats.lines import read_blocks
    from ner.sentence import Document

    nlp = _tokenizer(arguments.language)
    for line in chain.from_iterable(read_blocks(arguments.input)):
        doc = nlp(line)
        tokens = [token for token in doc if not token.is_space]
        if not tokens:
            yield Sentence((), text=line, offsets=())
            continue
        words = tuple(token.text for token in tokens)
        offsets = tuple((token.idx, token.idx + len(token.text)) for token in tokens)
        yield Sentence(words, document=Document((words,)), text=line, offsets=offsets)


def _tokenizer(language: str) -> Any:
    import spacy

    try:
        nlp = spacy.blank(language)
    except ImportError:
        raise ConfigError(f"spaCy has no language {language!r}; xx knows no language") from None
    nlp.max_length = sys.maxsize
    return nlp.make_doc


def _read_conll(arguments: argparse.Namespace) -> Iterator[Sentence]:
    from ner.formats import read

    return read(arguments.input, format="conll", tagged=False)


def _read_jsonl(arguments: argparse.Namespace) -> Iterator[Sentence]:
    from ner.formats import read

    return read(arguments.input, format="jsonl")


_READERS = {"text": _read_text, "conll": _read_conll, "jsonl": _read_jsonl}
