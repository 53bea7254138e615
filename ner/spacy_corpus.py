"""Files of sentences as spaCy's training examples."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from ner.formats import docbin, read


class Corpus:
    """Reads a file into examples, a document each, with the file's tokens and sentences.

    spaCy's own reader makes tokens and sentences anew, from the text.

    Args:
        path: A file that ``ner.read`` can read.
        format: Of the file, where its name does not tell.
        limit: The most documents; 0 for all.

    Raises:
        ValueError: There is no path.
    """

    def __init__(self, path: str | None, *, format: str | None = None, limit: int = 0) -> None:  # noqa: A002 - as in `ner.read`
        if not path:
            raise ValueError(
                "ner_crf.Corpus.v1 needs the path of a file; give --paths.train and --paths.dev"
            )
        self.path = str(path)
        self.format = format
        self.limit = limit

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """The examples, in the order of the file."""
        raw = io.BytesIO()
        docbin.write(raw, read(self.path, format=self.format))
        docs = DocBin().from_bytes(raw.getvalue()).get_docs(nlp.vocab)
        for reference in islice(docs, self.limit or None):
            yield Example(_bare(reference), reference)


def _bare(doc: Doc) -> Doc:
    """The tokens and sentences of a document, and nothing else of it."""
    words = [token.text for token in doc]
    spaces = [bool(token.whitespace_) for token in doc]
    return Doc(doc.vocab, words, spaces, sent_starts=[token.is_sent_start for token in doc])
