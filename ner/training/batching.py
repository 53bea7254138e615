"""Training data by chunk, batch and epoch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ner.batch import batched, group_by_length
from ner.scorer import Indexed
from ner.sentence import Sentence
from ner.training.results import Step
from ner.training.settings import TrainingSettings

EPOCHS, STEPS = (
    8,
    1000,
)  # where the settings do not say: the number of epochs, and the least number of steps
SMALLEST, LARGEST = 4, 32  # sentences of a batch, where the settings do not say,
STEPS_OF_EPOCH = 400  # the batch size is chosen so that an epoch has about this many steps

Group = list[list[int]]  # the numbers of the pieces of each batch of one step


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """The training data of a run.

    Attributes:
        sentences: The training sentences.
        pieces: The pieces they are trained on in.
        origins: The number of the sentence each piece comes from.
        training: How to train, with batch size and number of epochs chosen.
    """

    sentences: Sequence[Sentence]
    pieces: Sequence[Indexed]
    origins: Sequence[int]
    training: TrainingSettings

    @property
    def tokens(self) -> int:
        """The number of tokens an epoch trains on."""
        return sum(map(len, self.pieces))

    def groups(self, epoch: int) -> list[Group]:
        """Return the batches of each step of an epoch, from seed and epoch alone.

        Args:
            epoch: Which, counted from 0.
        """
        training = self.training
        batches = group_by_length(
            list(map(len, self.pieces)),
            sentences=training.batch_size or 1,
            tokens=training.batch_tokens,
            noise=training.length_noise,
            seed=training.seed * 1_000_003 + epoch,
        )
        return list(batched(batches, training.accumulate))

    def batches(self, group: Group) -> list[list[Indexed]]:
        """Return the pieces of each batch of a step."""
        return [[self.pieces[number] for number in numbers] for numbers in group]

    def step(self, groups: Sequence[Group], loss: float) -> Step:
        """Return what steps with this summed loss trained on."""
        numbers = [number for group in groups for batch in group for number in batch]
        return Step(len(numbers), sum(len(self.pieces[number]) for number in numbers), loss)

    def lines(self, group: Group) -> str:
        """Return the lines of the first sentences of a step, to be named in an error."""
        numbers = [self.origins[number] for batch in group for number in batch]
        lines = [str(self.sentences[n].line or n + 1) for n in numbers]
        return ", ".join(lines[:8]) + (", ..." if len(lines) > 8 else "")


def training_set(
    sentences: Sequence[Sentence],
    indexed: Sequence[Indexed],
    training: TrainingSettings,
    processes: int,
) -> TrainingSet:
    """Cut sentences, given also as numbers, in pieces, and choose what the settings leave open.

    Raises:
        ValueError: There is nothing to train on.
    """
    cut, origins = pieces(sentences, indexed, training.longest)
    size, epochs = automatic_sizes(training, [len(piece) for piece in cut], processes)
    return TrainingSet(sentences, cut, origins, replace(training, batch_size=size, epochs=epochs))


def pieces(
    sentences: Sequence[Sentence], indexed: Sequence[Indexed], longest: int
) -> tuple[list[Indexed], list[int]]:
    """Long sentences in pieces, so that a text without sentences is no single step.

    Sentences that nobody has annotated, and those without a token, teach nothing and have none.

    Args:
        sentences: The training sentences.
        indexed: The same as numbers.
        longest: The most tokens of a piece. Only an entity that is longer stays whole.

    Returns:
        The pieces in order, and the number of the sentence each comes from.

    Raises:
        ValueError: There is no piece.
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
        raise ValueError("no training sentence is annotated, nothing to learn")
    return cut, origins


def describe(sentences: Sequence[Sentence], origins: Sequence[int], longest: int) -> list[str]:
    """Yield remarks on training sentences that are left out or split.

    Args:
        sentences: The training sentences.
        origins: The number of the sentence each piece comes from.
        longest: The most tokens of a piece.
    """
    cut = [count for count in Counter(origins).values() if count > 1]
    bare = sum(sentence.spans is None for sentence in sentences)
    lines = []
    if bare:
        lines.append(
            f"{bare:,} of {len(sentences):,} training sentences are not annotated and are not "
            "trained on"
        )
    if cut:
        lines.append(
            f"{len(cut):,} of {len(sentences):,} training sentences have more than {longest} "
            f"tokens and are trained on in {sum(cut):,} pieces, cut between entities "
            "(training.longest)"
        )
    return lines


def automatic_sizes(
    training: TrainingSettings, lengths: Sequence[int], processes: int = 1
) -> tuple[int, int]:
    """The batch size and the number of epochs: those of the settings, or what suits the corpus.

    A network learns little from few steps: the fewer pieces there are, whose ``lengths`` are
    given, the smaller the batches and the more often each is seen. Of what suits a large corpus
    each of the processes that train together has its own: shared out, it would be too little.
    """
    size = training.batch_size
    if size is None:
        wanted = max(processes * len(lengths) // STEPS_OF_EPOCH, SMALLEST)
        size = min(1 << (wanted.bit_length() - 1), processes * LARGEST)
    batches = group_by_length(lengths, sentences=size, tokens=training.batch_tokens)
    steps = math.ceil(len(batches) / training.accumulate)
    return size, training.epochs or max(EPOCHS, math.ceil(STEPS / steps))


def _ends(sentence: Sentence, longest: int) -> list[int]:
    """Yield the ends of the chunks of a long sentence: as late as possible, outside entities."""
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
