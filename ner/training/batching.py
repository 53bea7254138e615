"""Training data by chunk, batch and epoch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ner.batch import batched, group_by_length
from ner.scorer import Indexed
from ner.sentence import Sentence
from ner.training.results import Step
from ner.training.settings import TrainingSettings

# Used where the settings leave the choice open:
EPOCHS, STEPS = 8, 1000  # the number of epochs, and the least number of steps
SMALLEST, LARGEST = 4, 32  # the sentences of a batch
STEPS_OF_EPOCH = 400  # the batch size is chosen so that an epoch has about this many steps

Group = list[list[int]]  # the numbers of the pieces of each batch of one step


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """The training data of a run.

    Attributes:
        sentences: The training sentences.
        pieces: The pieces of sentences to train on.
        origins: The number of the sentence each piece comes from.
        training: The training settings, with batch size and number of epochs chosen.
        blocks: The numbers of the pieces that stay together in a batch.
    """

    sentences: Sequence[Sentence]
    pieces: Sequence[Indexed]
    origins: Sequence[int]
    training: TrainingSettings
    blocks: Sequence[Sequence[int]]

    @property
    def tokens(self) -> int:
        """The number of tokens an epoch trains on."""
        return sum(map(len, self.pieces))

    def groups(self, epoch: int) -> list[Group]:
        """Return the batches of each step of an epoch (from 0), which depend on the seed only."""
        training, blocks = self.training, self.blocks
        size = len(self.pieces) / len(blocks)  # pieces of a block
        batches = group_by_length(
            [sum(len(self.pieces[number]) for number in block) for block in blocks],
            sentences=max(round((training.batch_size or 1) / size), 1),
            tokens=training.batch_tokens,
            noise=training.length_noise * size,
            seed=training.seed * 1_000_003 + epoch,
        )
        flat = [[number for block in batch for number in blocks[block]] for batch in batches]
        return list(batched(flat, training.accumulate))

    def batches(self, group: Group) -> list[list[Indexed]]:
        """Return the pieces of each batch of a step."""
        return [[self.pieces[number] for number in numbers] for numbers in group]

    def step(self, groups: Sequence[Group], loss: float) -> Step:
        """Return the sentences and tokens of steps with this summed loss."""
        numbers = [number for group in groups for batch in group for number in batch]
        return Step(len(numbers), sum(len(self.pieces[number]) for number in numbers), loss)

    def lines(self, group: Group) -> str:
        """Return the lines of the first sentences of a step, for an error."""
        numbers = [self.origins[number] for batch in group for number in batch]
        lines = [str(self.sentences[n].line or n + 1) for n in numbers]
        return ", ".join(lines[:8]) + (", ..." if len(lines) > 8 else "")


def training_set(
    sentences: Sequence[Sentence],
    indexed: Sequence[Indexed],
    training: TrainingSettings,
    processes: int,
    blocks_of: Callable[[Sequence[Indexed]], Sequence[int] | None],
) -> TrainingSet:
    """Split indexed sentences into pieces, and choose what the settings leave open.

    ``blocks_of`` returns the block of each piece, if batches consist of blocks.

    Raises:
        ValueError: No sentence is annotated.
    """
    cut, origins = pieces(sentences, indexed, training.longest)
    size, epochs = automatic_sizes(training, [len(piece) for piece in cut], processes)
    chosen = replace(training, batch_size=size, epochs=epochs)
    blocks: dict[int, list[int]] = {}
    for number, block in enumerate(blocks_of(cut) or range(len(cut))):
        blocks.setdefault(block, []).append(number)
    return TrainingSet(sentences, cut, origins, chosen, list(blocks.values()))


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

    Raises:
        ValueError: No sentence is annotated.
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
    if not cut:
        raise ValueError("no training sentence is annotated")
    return cut, origins


def describe(sentences: Sequence[Sentence], origins: Sequence[int], longest: int) -> list[str]:
    """Return remarks on training sentences that are omitted or split; arguments as in `pieces`."""
    cut = [count for count in Counter(origins).values() if count > 1]
    bare = sum(sentence.spans is None for sentence in sentences)
    lines = []
    if bare:
        lines.append(
            f"{bare:,} of {len(sentences):,} training sentences are not annotated and are ignored"
        )
    if cut:
        lines.append(
            f"{len(cut):,} of {len(sentences):,} training sentences have more than {longest} "
            f"tokens and are split into {sum(cut):,} pieces between entities (training.longest)"
        )
    return lines


def automatic_sizes(
    training: TrainingSettings, lengths: Sequence[int], processes: int = 1
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
    batches = group_by_length(lengths, sentences=size, tokens=training.batch_tokens)
    steps = math.ceil(len(batches) / training.accumulate)
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
