"""The tagger of an exported model: sentences in, spans out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ner.crf.core.scores import ChainScores
from ner.indexers.columns import columns_of
from ner.inference.batch_engine import BatchEngine
from ner.inference.decoding import Decoding
from ner.inference.span_decoder import NBestParse, SpanDecoder
from ner.runtime.directory import Exported, read
from ner.runtime.emitter import Floats, OnnxEmitter
from ner.sentence import Sentence, Span, as_sentences, refuse_text
from ner.texts import TagsTexts


class ExportedTagger(TagsTexts):
    """Finds entities as ``ner.Tagger`` does, without torch. Threads may share it.

    Args:
        exported: The model.
        threads: How many threads a graph is run by.
        decoding: The decoding; by default that of the model.

    Raises:
        ConfigError: onnxruntime is not installed.
        ModelError: The model cannot be run.
    """

    def __init__(
        self, exported: Exported, *, threads: int = 1, decoding: Decoding | None = None
    ) -> None:
        self.labels = exported.labels
        self.columns = columns_of(exported.contexts)
        self.scheme = exported.scheme
        self.tokenizer = exported.tokenizer
        self.metrics = dict(exported.metrics)
        self.embeddings = exported.embeddings
        self._emitter = OnnxEmitter(exported, threads=threads)
        self.decoding = decoding or exported.decoding

    def __repr__(self) -> str:
        return (
            f"<ExportedTagger of {', '.join(self.labels)}: {self.scheme.name}, "
            f"{self.decoding.decode} decoding, {self.tokenizer} tokenizer>"
        )

    @property
    def decoding(self) -> Decoding:
        """The decoding by which spans are chosen."""
        return self._engine.decoder.decoding

    @decoding.setter
    def decoding(self, decoding: Decoding) -> None:
        self._engine = _Engine(self._emitter, SpanDecoder(self.scheme, self.labels, decoding))

    def predict(self, sentences: Iterable[Sentence | Sequence[str]]) -> list[tuple[Span, ...]]:
        """The spans of each sentence, each with its probability as ``score``.

        Args:
            sentences: Sentences, or lists of tokens. Existing annotation is ignored.

        Raises:
            TypeError: A string is given instead of a list of tokens.
        """
        return self._engine.predict(as_sentences(sentences))

    def alternatives(
        self, sentences: Iterable[Sentence | Sequence[str]], count: int
    ) -> list[tuple[NBestParse, ...]]:
        """The most probable readings of each sentence, the best first.

        Args:
            sentences: Sentences, or lists of tokens.
            count: The most readings of a sentence.

        Raises:
            TypeError: A string is given instead of a list of tokens.
            ValueError: ``count`` is below 1.
        """
        return self._engine.alternatives(as_sentences(sentences), count)

    def chains(self, sentences: Sequence[Sentence]) -> Iterator[tuple[list[int], ChainScores]]:
        """Yield the distributions over the tags of some sentences, and which sentences those are.

        Empty sentences have none.
        """
        return self._engine.chains(sentences)

    def stream(self, tokens: Iterable[str]) -> Iterator[tuple[tuple[str, ...], tuple[Span, ...]]]:
        """Tag one sentence of any length in bounded memory.

        Yields:
            Some next tokens of the sentence, and the spans among them, counted from the first of
            these.

        Raises:
            TypeError: The tokens are a string.
        """
        refuse_text(tokens)
        yield from self._engine.stream(tokens)


class _Engine(BatchEngine[Floats]):
    """The batch engine on onnxruntime."""

    def __init__(self, emitter: OnnxEmitter, decoder: SpanDecoder) -> None:
        super().__init__(decoder)
        self._emitter = emitter

    def emitter(self) -> OnnxEmitter:
        return self._emitter


def load(path: Path | str, *, threads: int = 1) -> ExportedTagger:
    """Load an exported model: offline, without pickle.

    Args:
        path: The directory that ``ner export`` wrote.
        threads: How many threads a graph is run by.

    Raises:
        ConfigError: onnxruntime is not installed.
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner.
    """
    return ExportedTagger(read(Path(path)), threads=threads)
