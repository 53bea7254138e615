"""Training data by chunk, batch and epoch."""

from __future__ import annotations

import logging
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.batch import batched, group_by_length
from ner.scorer import Indexed, Scorer, TypeTable
from ner.sentence import Sentence
from ner.training.corpora import Sentences, like, recased
from ner.training.on_disk import CHUNK, ChunkFile, Lazy, PackedPieces, same
from ner.training.results import Step
from ner.training.settings import TrainingSettings

log = logging.getLogger(__name__)

# Used where the settings leave the choice open:
EPOCHS, STEPS = 8, 1000  # the number of epochs, and the least number of steps
SMALLEST, LARGEST = 4, 32  # the sentences of a batch
SHUFFLED = 1 << 17  # pieces that are shuffled together
STEPS_OF_EPOCH = 400  # the batch size is chosen so that an epoch has about this many steps

Integers = NDArray[np.integer[Any]]
Group = Sequence[Sequence[int] | Integers]  # the numbers of the pieces of each batch of one step


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """The training data of a run.

    Attributes:
        sentences: The training sentences.
        pieces: The pieces of sentences to train on.
        lengths: The number of tokens of each piece.
        origins: The number of the sentence each piece comes from.
        training: The training settings, with batch size and number of epochs chosen.
        blocks: The numbers of the pieces that stay together in a batch; ``None``: any may be apart.
    """

    sentences: Sentences
    pieces: Sequence[Indexed]
    lengths: Integers
    origins: Integers
    training: TrainingSettings
    blocks: Sequence[Sequence[int]] | None

    @property
    def tokens(self) -> int:
        """The number of tokens an epoch trains on."""
        return int(self.lengths.sum())

    def groups(self, epoch: int) -> list[Group]:
        """Return the batches of each step of an epoch (from 0), which depend on the seed only."""
        training, blocks, lengths = self.training, self.blocks, self.lengths
        if blocks is not None:
            lengths = np.array([self.lengths[block].sum() for block in blocks])
        size = len(self.pieces) / len(lengths)  # pieces of a block
        batches: list[Sequence[int] | Integers] = []
        for number, some in enumerate(shuffled(len(lengths), training.seed, epoch)):
            found = group_by_length(
                lengths[some],
                sentences=max(round((training.batch_size or 1) / size), 1),
                tokens=training.batch_tokens,
                noise=training.length_noise * size,
                seed=(training.seed * 1_000_003 + epoch) + (number << 64),
            )
            batches += [some[batch] for batch in found]
        if blocks is not None:
            batches = [[number for block in batch for number in blocks[block]] for batch in batches]
        return list(batched(batches, training.accumulate))

    def batches(self, group: Group) -> list[list[Indexed]]:
        """Return the pieces of each batch of a step."""
        return [[self.pieces[int(number)] for number in numbers] for numbers in group]

    def step(self, groups: Sequence[Group], loss: float) -> Step:
        """Return the sentences and tokens of steps with this summed loss."""
        numbers = [number for group in groups for batch in group for number in batch]
        return Step(len(numbers), int(self.lengths[numbers].sum()), loss)

    def lines(self, group: Group) -> str:
        """Return the lines of the first sentences of a step, for an error."""
        numbers = [int(self.origins[number]) for batch in group for number in batch]
        lines = [str(self.sentences[n].line or n + 1) for n in numbers[:9]]
        return ", ".join(lines[:8]) + (", ..." if len(lines) > 8 else "")


def shuffled(count: int, seed: int, epoch: int) -> Iterator[NDArray[np.int32]]:
    """Yield the numbers of the pieces that are shuffled together, so that not all need be loaded.

    Up to ``SHUFFLED`` pieces are all shuffled together. Of more, each time some stretches of
    ``CHUNK`` pieces are, which are drawn from the whole corpus.
    """
    numbers = np.arange(count, dtype=np.int32)
    if count <= SHUFFLED:
        yield numbers
        return
    stretches = np.split(numbers, range(CHUNK, count, CHUNK))
    order = np.random.default_rng([seed, epoch]).permutation(len(stretches)).tolist()
    for some in batched(order, SHUFFLED // CHUNK):
        yield np.concatenate([stretches[number] for number in sorted(some)])


def training_set(
    network: Scorer,
    table: TypeTable,
    train: Sentences,
    training: TrainingSettings,
    processes: int,
) -> TrainingSet:
    """Index sentences, split them into pieces, and choose what the settings leave open.

    The pieces of sentences on disk are kept on disk, too.

    Raises:
        ValueError: No sentence is annotated.
        OSError: The pieces cannot be written.
    """
    copies = recased(train, training.lower_cased, training.upper_cased, training.seed)
    sentences = like(train, *((some, range(len(some)), same) for some in (train, copies)))
    log.info("indexing %s sentences", f"{len(sentences):,}")
    if isinstance(sentences, Lazy):
        tokens, folder = list(sentences.token_counts), sentences.folder
    else:
        tokens, folder = list({token for s in sentences for token in s.tokens}), None
    table.index([tokens])  # the rows that all sentences at once would get
    origins = array("i")
    stream = _pieces_of_chunks(network, table, sentences, training.longest, origins)
    cut = _kept(stream, folder)
    lengths = cut.lengths if isinstance(cut, PackedPieces) else np.fromiter(map(len, cut), np.int32)
    if not cut:
        raise ValueError("no training sentence is annotated")
    size, epochs = automatic_sizes(training, lengths, processes)
    chosen = replace(training, batch_size=size, epochs=epochs)
    numbers = network.blocks(cut)
    blocks: dict[int, list[int]] = {}
    for number, block in enumerate(numbers or ()):
        blocks.setdefault(block, []).append(number)
    together = None if numbers is None else list(blocks.values())
    return TrainingSet(sentences, cut, lengths, np.frombuffer(origins, np.int32), chosen, together)


def _kept(pieces: Iterator[Indexed], folder: Path | None) -> Sequence[Indexed]:
    """Return pieces to train on: packed, on disk if a folder is given, unless they have vectors.

    Vectors are not copied: they may be mapped from a file.
    """
    if folder is not None:
        return PackedPieces(pieces, ChunkFile(folder, loaded=SHUFFLED // CHUNK + 1))
    first = list(islice(pieces, 1))
    all_of_them = chain(first, pieces)
    if any(array.dtype.kind == "f" for piece in first for array in chain(*piece.contexts)):
        return list(all_of_them)
    return PackedPieces(all_of_them, [])


def _pieces_of_chunks(
    network: Scorer, table: TypeTable, sentences: Sentences, longest: int, origins: array[int]
) -> Iterator[Indexed]:
    """Yield the pieces of sentences, and note the number of the sentence each comes from."""
    first = 0
    for some in batched(sentences, CHUNK):
        cut, own = pieces(some, network.index(some, table), longest)
        origins.extend(first + number for number in own)
        first += len(some)
        yield from cut


def pieces(
    sentences: Sequence[Sentence], indexed: Sequence[Indexed], longest: int
) -> tuple[list[Indexed], list[int]]:
    """Split long sentences into pieces, so that an unsplit text does not become a single step.

    Sentences that are empty or not annotated are omitted.

    Args:
        sentences: The training sentences.
        indexed: The same sentences, indexed.
        longest: The maximum number of tokens of a piece. Only a longer entity exceeds it.

    Returns:
        The pieces in order, and the number of the sentence each comes from.
    """
    cut, origins = [], []
    for number, (sentence, whole) in enumerate(zip(sentences, indexed, strict=True)):
        if whole.tags is None or not len(whole):
            continue
        ends = [len(sentence)] if len(sentence) <= longest else _ends(sentence, longest)
        starts = [0, *ends[:-1]]
        cut += [
            whole if len(ends) == 1 else whole.part(start, end)
            for start, end in zip(starts, ends, strict=True)
        ]
        origins += [number] * len(ends)
    return cut, origins


def describe(
    sentences: Sequence[Sentence], origins: Sequence[int] | Integers, longest: int
) -> list[str]:
    """Return remarks on training sentences that are omitted or split; arguments as in `pieces`."""
    parts = np.bincount(np.asarray(origins), minlength=len(sentences))
    bare = sum(sentences[place].spans is None for place in np.flatnonzero(parts == 0).tolist())
    cut = parts[parts > 1]
    lines = []
    if bare:
        lines.append(
            f"{bare:,} of {len(sentences):,} training sentences are not annotated and are ignored"
        )
    if len(cut):
        lines.append(
            f"{len(cut):,} of {len(sentences):,} training sentences have more than {longest} "
            f"tokens and are split into {cut.sum():,} pieces between entities (training.longest)"
        )
    return lines


def automatic_sizes(
    training: TrainingSettings, lengths: Sequence[int] | Integers, processes: int = 1
) -> tuple[int, int]:
    """Return the batch size and the number of epochs: those of the settings, or suitable ones.

    A network learns little from few steps: the fewer pieces (of these ``lengths``) there are, the
    smaller the batches and the more epochs. For large corpora the batch size is that of each
    process, since shares of it would be too small.
    """
    size = training.batch_size
    if size is None:
        wanted = max(processes * len(lengths) // STEPS_OF_EPOCH, SMALLEST)
        size = min(1 << (wanted.bit_length() - 1), processes * LARGEST)
    batches = sum(
        len(group_by_length(some, sentences=size, tokens=training.batch_tokens))
        for some in np.split(np.asarray(lengths), range(SHUFFLED, len(lengths), SHUFFLED))
    )
    steps = math.ceil(batches / training.accumulate)
    return size, training.epochs or max(EPOCHS, math.ceil(STEPS / steps))


def _ends(sentence: Sentence, longest: int) -> list[int]:
    """Return the ends of the pieces of a long sentence: as late as possible, outside entities."""
    inside = bytearray(len(sentence) + 1)
    for span in sentence.spans or ():
        inside[span.start + 1 : span.end] = b"\1" * (span.end - span.start - 1)
    ends, start = [], 0
    while len(sentence) - start > longest:
        end = inside.rfind(b"\0", start + 1, start + longest + 1)
        end = end if end > 0 else inside.index(b"\0", start + longest)
        ends.append(end)
        start = end
    return [*ends, len(sentence)] if start < len(sentence) else ends
