"""spaCy's DocBin: the documents that ``spacy train`` reads.

A sentence here is one of spaCy's where a document has them, else the whole document. spaCy
reads such a file as a whole, so unlike other formats it is held in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ner.errors import DataError
from ner.formats.lines import BLOCK, opened, title
from ner.sentence import Sentence, Span, in_document

if TYPE_CHECKING:
    from spacy.tokens import Doc

MAX_SIZE = 1 << 27  # bytes of a DocBin unpacked, some three million tokens
_NAME = "document"  # the key of a document's name in `Doc.user_data`
_ATTRIBUTES = ("ORTH", "SPACY", "SENT_START", "ENT_IOB", "ENT_TYPE")


@dataclass(frozen=True, kw_only=True)
class DocBinOptions:
    """Options of the DocBin reader.

    Attributes:
        language: Language whose vocabulary the documents are read into.
        spans_key: Group of ``doc.spans`` to read in place of ``doc.ents``; of nested spans the
            outermost are read.
        max_size: Bytes of the largest file to read, decompressed.
    """

    language: str = "xx"
    spans_key: str | None = None
    max_size: int = MAX_SIZE


OPTIONS = DocBinOptions


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file.

    For the options see `DocBinOptions`.

    Raises:
        DataError: The file is not a DocBin, damaged, or unpacks to too much; or its
            documents have spans only in ``doc.spans`` and none is chosen.
    """
    from spacy.tokens import DocBin  # a second, and only this format needs it

    given = DocBinOptions(**options)
    vocab, most = _vocabulary(given.language), given.max_size
    with opened(source) as file:
        raw = file.read(most + 1)
    if len(raw) > most or _is_larger(raw, most):
        told = f"the file unpacks to more than {most:,} bytes; raise max_size if that is right"
        raise DataError.of(title(source), told)
    try:
        for doc in DocBin(store_user_data=True).from_bytes(raw).get_docs(vocab):
            _settle(doc, given.spans_key, title(source))
            yield from _sentences(doc)
    except DataError:
        raise
    except Exception as error:  # msgpack, zlib and numpy each raise their own
        reason = str(error).splitlines()[0] if str(error) else ""
        raise DataError.of(
            title(source),
            f"this is not a spaCy DocBin, or it is damaged ({type(error).__name__}: {reason})",
        ) from error


def _is_larger(packed: bytes, size: int) -> bool:
    """Return whether bytes unpack to more than that, without holding them all."""
    unpacker, total = zlib.decompressobj(), 0
    try:
        while packed and total <= size:
            total += len(unpacker.decompress(packed, BLOCK))
            packed = unpacker.unconsumed_tail
    except zlib.error:
        return False  # whoever reads it says what is wrong
    return total > size


def _vocabulary(language: str) -> Any:
    """An empty vocabulary of a language.

    Raises:
        ValueError: spaCy does not know the language.
    """
    import spacy

    try:
        return spacy.blank(language).vocab
    except ImportError as error:
        raise ValueError(f"spaCy has no language {language!r}; use xx for any") from error


def write(file: IO[bytes], sentences: Iterable[Sentence], *, language: str = "xx") -> None:
    """Write a spaCy document for each document, and for each sentence that is in none.

    Args:
        file: Open file to write to.
        sentences: Sentences to write.
        language: The language whose vocabulary the documents have.

    Raises:
        ValueError: Spans overlap, or a token is empty, which spaCy cannot hold.
    """
    from spacy.tokens import DocBin

    vocab = _vocabulary(language)
    found = DocBin(attrs=_ATTRIBUTES, store_user_data=True)
    for document, group in groupby(sentences, lambda one: one.document):
        together = list(group)
        for part in [together] if document is not None else [[one] for one in together]:
            doc = _doc(vocab, part)
            if document is not None:
                doc.user_data[_NAME] = document.id
            found.add(doc)
    file.write(found.to_bytes())


def _settle(doc: Doc, key: str | None, name: str) -> None:
    """Make the entities of a document those of a group of its spans.

    Raises:
        DataError: The group does not exist, or there are only spans in groups and none is chosen.
    """
    from spacy.util import filter_spans

    groups = {group: spans for group, spans in doc.spans.items() if len(spans)}
    if key is not None:
        if key not in doc.spans:
            there = ", ".join(map(repr, doc.spans)) or "none"
            raise DataError.of(name, f"doc.spans has no group {key!r}; its groups: {there}")
        doc.set_ents(filter_spans(doc.spans[key]), default="outside")
    elif groups and not doc.has_annotation("ENT_IOB"):
        named = ", ".join(map(repr, groups))
        told = f"the spans are only in doc.spans, in {named}; set spans_key to one of these"
        raise DataError.of(name, told)


def _sentences(doc: Doc) -> tuple[Sentence, ...]:
    if not len(doc):
        return ()
    parts = list(doc.sents) if doc.has_annotation("SENT_START") else [doc[:]]
    found = [_sentence(part, annotated=doc.has_annotation("ENT_IOB")) for part in parts]
    name = doc.user_data.get(_NAME)
    if len(found) == 1 and name is None:
        return tuple(found)
    return in_document(found, str(name or ""))


def _sentence(part: Any, *, annotated: bool) -> Sentence:
    """A stretch of a document as a sentence; spans do not reach over its ends."""
    base = part.start_char
    offsets = tuple((token.idx - base, token.idx - base + len(token)) for token in part)
    tokens = tuple(token.text for token in part)
    spans = tuple(
        Span(ent.start - part.start, ent.end - part.start, ent.label_) for ent in part.ents
    )
    unknown = frozenset(place for place, token in enumerate(part) if not token.ent_iob)
    if not annotated or len(unknown) == len(tokens):
        return Sentence(tokens, text=part.text, offsets=offsets)
    return Sentence(tokens, spans, unknown=unknown, text=part.text, offsets=offsets)


def _doc(vocab: Any, sentences: Sequence[Sentence]) -> Doc:
    """A spaCy document of the sentences.

    Raises:
        ValueError: Spans overlap, or a token is empty.
    """
    from spacy.tokens import Doc
    from spacy.tokens import Span as SpacySpan

    words = [token for one in sentences for token in one.tokens]
    if "" in words:
        raise ValueError("a token is empty, which spaCy cannot represent")
    spaces = [space for one in sentences for space in _spaces(one)]
    spaces[-1:] = [False] * bool(spaces)
    starts: list[bool | int | None] = [not n for one in sentences for n in range(len(one))]
    doc = Doc(vocab, words, spaces, sent_starts=starts)
    entities, missing = [], []
    base = 0
    for one in sentences:
        unknown = range(len(one)) if one.spans is None else sorted(one.unknown)
        missing += [doc[base + place : base + place + 1] for place in unknown]
        entities += [
            SpacySpan(doc, base + span.start, base + span.end, span.label)
            for span in one.spans or ()
        ]
        base += len(one)
    try:
        doc.set_ents(entities, missing=missing, default="outside")
    except ValueError as error:  # E1010
        where = f" of line {sentences[0].line}" if sentences[0].line else ""
        raise ValueError(
            f"spans of the document{where} overlap, which spaCy cannot represent"
        ) from error
    return doc


def _spaces(sentence: Sentence) -> list[bool]:
    """Return whether a blank follows each token, where the text tells; else one does."""
    if sentence.text is None or sentence.offsets is None:
        return [True] * len(sentence)
    return [sentence.text[end : end + 1] == " " for _, end in sentence.offsets[:-1]] + [True]
