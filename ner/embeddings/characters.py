"""A vector per token, read off its characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ner.embeddings.base import TypeEmbedding, check_shares, check_widths, spread, vectors_of
from ner.indexers.characters import CharacterIndexer
from ner.sentence import Sentence
from ner.vocabulary import PADDING, UNKNOWN, frequent


class CharacterEmbedding(TypeEmbedding):
    """What the character parts share: the characters they know, and their vectors.

    Args:
        characters: The characters it knows.
        width: The width of the vectors of tokens.
        character_width: The width of the vectors of characters.
        character_dropout: How often a character becomes the unknown one in training.

    Raises:
        ValueError: A width is below 1, or the dropout no share.
    """

    def __init__(
        self,
        characters: Sequence[str],
        *,
        width: int = 50,
        character_width: int = 25,
        character_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths(width=width, character_width=character_width)
        check_shares(character_dropout=character_dropout)
        self.indexer = CharacterIndexer(characters)
        self.width = width
        self.character_dropout = character_dropout
        self.vectors = spread(
            nn.Embedding(len(self.indexer.vocabulary), character_width, padding_idx=PADDING)
        )

    @classmethod
    def fit(cls, sentences: Iterable[Sentence], *args: Any, **settings: Any) -> Self:
        """Build it for the characters of these sentences."""
        tokens = (token for sentence in sentences for token in sentence.tokens)
        return cls(frequent(character for token in tokens for character in token), **settings)

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "width": self.width,
            "character_width": self.vectors.embedding_dim,
            "character_dropout": self.character_dropout,
        }

    def characters(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors of the characters and which are real, cut to the longest token.

        Returns:
            ``(tokens, longest, character_width)`` and ``(tokens, longest)``.
        """
        if not indices.is_cuda:  # on CUDA looking for the longest would wait for the device
            indices = indices[:, : max(1, int((indices != PADDING).sum(1).max()))]
        real = indices != PADDING
        if self.training and self.character_dropout > 0.0:
            lost = torch.rand(indices.shape, device=indices.device) < self.character_dropout
            indices = indices.masked_fill(lost & real, UNKNOWN)
        return vectors_of(self.vectors, indices), real


class CharacterCNN(CharacterEmbedding):
    """A convolution over the characters of each token, and its maximum (Ma and Hovy 2016).

    Args:
        characters: The characters it knows.
        width: The number of filters, which is the width of the vectors of tokens.
        character_width: The width of the vectors of characters.
        character_dropout: How often a character becomes the unknown one in training.
        window: How many characters a filter sees.

    Raises:
        ValueError: As of every character part, or the window has no middle.
    """

    def __init__(
        self,
        characters: Sequence[str],
        *,
        width: int = 50,
        character_width: int = 25,
        character_dropout: float = 0.0,
        window: int = 3,
    ) -> None:
        super().__init__(
            characters,
            width=width,
            character_width=character_width,
            character_dropout=character_dropout,
        )
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window must be odd and at least 1, got {window}")
        self.window = window
        self.filters = nn.Linear(window * self.vectors.embedding_dim, self.width)
        nn.init.xavier_uniform_(self.filters.weight)
        nn.init.zeros_(self.filters.bias)

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        width: int = 50,
        character_width: int = 25,
        character_dropout: float = 0.0,
        window: int = 3,
    ) -> Self:
        """Build it for the characters of these sentences."""
        return super().fit(
            sentences,
            width=width,
            character_width=character_width,
            character_dropout=character_dropout,
            window=window,
        )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "window": self.window}

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the tokens, ``(tokens, width)``."""
        characters, real = self.characters(indices)
        side = self.window // 2
        windows = F.pad(characters, (0, 0, side, side)).unfold(1, self.window, 1)
        filtered = self.filters(windows.flatten(2))  # (tokens, longest, width)
        maxima: Tensor = filtered.masked_fill(~real.unsqueeze(2), -1e4).amax(dim=1)
        return maxima


class CharacterLSTM(CharacterEmbedding):
    """The last states of an LSTM in either direction over the characters (Lample et al. 2016).

    Args:
        characters: The characters it knows.
        width: The width of the vectors of tokens, half of it from either direction.
        character_width: The width of the vectors of characters.
        character_dropout: How often a character becomes the unknown one in training.

    Raises:
        ValueError: As of every character part, or the width is odd.
    """

    def __init__(
        self,
        characters: Sequence[str],
        *,
        width: int = 50,
        character_width: int = 25,
        character_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            characters,
            width=width,
            character_width=character_width,
            character_dropout=character_dropout,
        )
        if self.width % 2:
            raise ValueError(f"width must be even, for two directions, got {self.width}")
        self.ahead = nn.LSTM(self.vectors.embedding_dim, self.width // 2, batch_first=True)
        self.back = nn.LSTM(self.vectors.embedding_dim, self.width // 2, batch_first=True)

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        width: int = 50,
        character_width: int = 25,
        character_dropout: float = 0.0,
    ) -> Self:
        """Build it for the characters of these sentences."""
        return super().fit(
            sentences,
            width=width,
            character_width=character_width,
            character_dropout=character_dropout,
        )

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the tokens, ``(tokens, width)``."""
        characters, real = self.characters(indices)
        lengths = real.sum(1)
        positions = torch.arange(real.shape[1], device=real.device)
        mirrored = (lengths.unsqueeze(1) - 1 - positions).clamp(min=0)
        backwards = characters.gather(1, mirrored.unsqueeze(2).expand_as(characters))
        last = (lengths - 1).clamp(min=0)
        tokens = torch.arange(len(last), device=last.device)
        return torch.cat(
            [self.ahead(characters)[0][tokens, last], self.back(backwards)[0][tokens, last]], dim=1
        )
