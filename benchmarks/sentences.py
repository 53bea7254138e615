"""Sentence boundaries in raw text: ours beside spaCy's sentencizer, on detokenised corpora.

    python benchmarks/sentences.py ../shared/data/gum/en_gum-ud-dev.conllu

The text of each paragraph is rebuilt from the file's own `# text` lines, one blank between
sentences; `--line` joins whole documents (or, where a file names none, ten sentences) into one
line, so that no line end helps. A boundary is the character at which a sentence begins.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

from ner.tokenizer import split_sentences, tokenize

TOGETHER = 10  # sentences of a file that names no documents


def texts_of(path: str, *, line: bool) -> Iterator[tuple[str, set[int]]]:
    """Yield each text and where its sentences begin."""
    parts: list[tuple[str, str]] = []  # what stands before a sentence, the sentence
    gap, documents = " ", False
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        for row in file:
            if row.startswith("# newdoc"):
                documents = True
                yield from _joined(parts)
                parts = []
            elif row.startswith("# newpar") and not line:
                gap = "\n\n"
            elif row.startswith("# text = "):
                if not documents and len(parts) == TOGETHER:
                    yield from _joined(parts)
                    parts = []
                parts.append((gap, row.removeprefix("# text = ").strip()))
                gap = " "
    yield from _joined(parts)


def _joined(parts: list[tuple[str, str]]) -> Iterator[tuple[str, set[int]]]:
    text, starts = "", set()
    for gap, sentence in parts:
        text += gap if text else ""
        starts.add(len(text))
        text += sentence
    if parts:
        yield text, starts


def ours(text: str) -> set[int]:
    """Return where our sentences begin."""
    tokens = tokenize(text)
    return {tokens[first][0] for first, _ in split_sentences(text, tokens)}


def sentencizer() -> Callable[[str], set[int]]:
    """Return the same of spaCy's sentencizer."""
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")

    def starts(text: str) -> set[int]:
        found = set()
        for sentence in nlp(text).sents:
            words = [token.idx for token in sentence if not token.is_space]
            found.update(words[:1])
        return found

    return starts


def main() -> None:
    """Print a row for each splitter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--line", action="store_true", help="join each document into one line")
    arguments = parser.parse_args()
    for path in arguments.files:
        texts = list(texts_of(path, line=arguments.line))
        print(f"{path}: {sum(len(starts) for _, starts in texts)} sentences, {len(texts)} texts")
        for name, split in (("ner", ours), ("spaCy sentencizer", sentencizer())):
            began = time.process_time()
            found = [split(text) for text, _ in texts]
            took = time.process_time() - began
            right = sum(len(f & g) for f, (_, g) in zip(found, texts, strict=True))
            precision = right / sum(map(len, found))
            recall = right / sum(len(g) for _, g in texts)
            f1 = 2 * precision * recall / (precision + recall)
            print(f"  {name:18} P {precision:.3f}  R {recall:.3f}  F1 {f1:.3f}  {took:.2f} s")


if __name__ == "__main__":
    main()
