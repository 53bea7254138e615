"""Embeddings of the spelling of a token: characters, token pairs, affixes and shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ner import native
from ner.embeddings.base import (
    ContextEmbedding,
    TypeEmbedding,
    check_shares,
    check_widths,
    spread,
    vectors_of,
)
from ner.indexers.base import PADDING, UNKNOWN, Vocabulary, form_counts, frequent, token_counts
from ner.indexers.characters import (
    FEATURES,
    AffixIndexer,
    CharacterIndexer,
    PairIndexer,
    form,
    pairs_of,
)
from ner.sentence import Sentence


class CharacterEmbedding(TypeEmbedding):
    """The base of the character embeddings: known characters and their vectors.

    Args:
        characters: The known characters.
        width: The width of the vectors of tokens.
        character_width: The width of the vectors of characters.
        character_dropout: The probability that a character becomes the unknown one in training.

    Raises:
        ValueError: A width is below 1, or the dropout is not between 0 and 1.
    """

    indexer: CharacterIndexer

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
        """Build the embedding for the characters of these sentences."""
        characters: Counter[str] = Counter()
        for token, number in token_counts(sentences).items():
            for character in token:
                characters[character] += number
        return cls(frequent(characters), **settings)

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "width": self.width,
            "character_width": self.vectors.embedding_dim,
            "character_dropout": self.character_dropout,
        }

    def tables(self) -> Mapping[str, tuple[Vocabulary, nn.Embedding]]:
        return {"characters": (self.indexer.vocabulary, self.vectors)}

    def extended(self, items: Mapping[str, Sequence[str]]) -> Self:
        characters = [*self.indexer.vocabulary.items, *items["characters"]]
        return type(self)(**{**self.settings(), "characters": characters})

    def characters(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the characters, some dropped in training, and their mask, to the longest token.

        Returns:
            ``(tokens, longest)`` each.
        """
        if not indices.is_cuda:  # on CUDA, finding the longest would synchronise with the device
            indices = indices[:, : max(1, int((indices != PADDING).sum(1).max()))]
        real = indices != PADDING
        if self.training and self.character_dropout > 0.0:
            lost = torch.rand(indices.shape, device=indices.device) < self.character_dropout
            indices = indices.masked_fill(lost & real, UNKNOWN)
        return indices, real


class _Maxima(torch.autograd.Function):
    """The greatest value of each filter over the windows of each token, by the native kernels."""

    @staticmethod
    def forward(ctx: Any, products: Tensor, indices: Tensor) -> Tensor:
        """Return ``(tokens, width)`` for products ``(window, characters, width)``."""
        characters = indices.contiguous().numpy()
        maxima, places = native.character_maxima(products.numpy(), characters)
        ctx.found = places, characters, products.shape
        return torch.from_numpy(maxima)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the products."""
        places, characters, (window, known, _) = ctx.found
        given = gradients[0].numpy()
        found = native.character_gradients(given, places, characters, known, window)
        return torch.from_numpy(found), None


class CharacterCNN(CharacterEmbedding):
    """A convolution over the characters of each token, with max pooling (Ma and Hovy 2016).

    Args:
        characters: The known characters.
        width: The number of filters, which is the width of the vectors of tokens.
        character_width: The width of the vectors of characters.
        character_dropout: The probability that a character becomes the unknown one in training.
        window: The number of characters a filter sees; odd.

    Raises:
        ValueError: As for every character embedding, or the window is even.
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
        """Build the embedding for the characters of these sentences."""
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
        """Return the vectors of the tokens, ``(tokens, width)``."""
        indices, real = self.characters(indices)
        if self._by_table(indices):
            return self._table_maxima(indices)
        characters = vectors_of(self.vectors, indices)
        side = self.window // 2
        windows = F.pad(characters, (0, 0, side, side)).unfold(1, self.window, 1)
        filtered = self.filters(windows.flatten(2))  # (tokens, longest, width)
        # -1e4 excludes padding from the maximum
        maxima: Tensor = filtered.masked_fill(~real.unsqueeze(2), -1e4).amax(dim=1)
        return maxima

    def _by_table(self, indices: Tensor) -> bool:
        """Return whether a product for each known character is cheaper than each window."""
        weight = self.filters.weight
        usable = native.kernels is not None and weight.dtype == torch.float32 and weight.is_cpu
        return usable and len(self.indexer.vocabulary) < indices.numel()

    def _table_maxima(self, indices: Tensor) -> Tensor:
        """Return what ``forward`` returns.

        A filter is linear in its window, so its value is a sum of products of its weights at each
        place of the window with the character there; and the bias may follow the maximum.
        """
        known = vectors_of(self.vectors, torch.arange(len(self.indexer.vocabulary)))
        filters = self.filters.weight.view(self.width, -1, self.window)
        # (window, known, width), also under autocast in float32
        products = torch.matmul(known, filters.permute(2, 1, 0)).float()
        found: Tensor = _Maxima.apply(products, indices)  # type: ignore[no-untyped-call]
        return found + self.filters.bias


class CharacterLSTM(CharacterEmbedding):
    """The final states of a bidirectional LSTM over the characters (Lample et al. 2016).

    Args:
        characters: The known characters.
        width: The width of the vectors of tokens, half of it for each direction.
        character_width: The width of the vectors of characters.
        character_dropout: The probability that a character becomes the unknown one in training.

    Raises:
        ValueError: As for every character embedding, or the width is odd.
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
            raise ValueError(f"width must be even (half for each direction), got {self.width}")
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
        """Build the embedding for the characters of these sentences."""
        return super().fit(
            sentences,
            width=width,
            character_width=character_width,
            character_dropout=character_dropout,
        )

    def forward(self, indices: Tensor) -> Tensor:
        """Return the vectors of the tokens, ``(tokens, width)``."""
        indices, real = self.characters(indices)
        characters = vectors_of(self.vectors, indices)
        # reverse each token within its length, so that both LSTMs end at a real character
        lengths = real.sum(1)
        positions = torch.arange(real.shape[1], device=real.device)
        mirrored = (lengths.unsqueeze(1) - 1 - positions).clamp(min=0)
        backwards = characters.gather(1, mirrored.unsqueeze(2).expand_as(characters))
        last = (lengths - 1).clamp(min=0)
        tokens = torch.arange(len(last), device=last.device)
        return torch.cat(
            [self.ahead(characters)[0][tokens, last], self.back(backwards)[0][tokens, last]], dim=1
        )


class PairEmbedding(ContextEmbedding):
    """The vectors of two pairs: the token with its predecessor, and with its successor.

    If tokens are characters, as in Chinese, a pair is often a word: bigram embeddings improve
    character-based models (Zhang and Yang 2018).

    Args:
        pairs: The known pairs, each as two normalised tokens separated by a tab.
        width: The width of either vector.
        pair_dropout: The probability that a pair becomes the unknown pair in training.

    Raises:
        ValueError: The width is below 1, or the dropout is not between 0 and 1.
    """

    tokenwise = True

    def __init__(self, pairs: Sequence[str], *, width: int = 50, pair_dropout: float = 0.1) -> None:
        super().__init__()
        check_widths(width=width)
        check_shares(pair_dropout=pair_dropout)
        self.indexer = PairIndexer(pairs)
        self.pair_width = width
        self.pair_dropout = pair_dropout
        self.width = 2 * width
        self.vectors = spread(nn.Embedding(len(self.indexer.vocabulary), width))

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        min_count: int = 2,
        width: int = 50,
        pair_dropout: float = 0.1,
    ) -> Self:
        """Build the embedding for the pairs seen at least ``min_count`` times."""
        pairs = (pair for sentence in sentences for pair in pairs_of(sentence.tokens))
        return cls(frequent(pairs, min_count=min_count), width=width, pair_dropout=pair_dropout)

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "width": self.pair_width,
            "pair_dropout": self.pair_dropout,
        }

    def forward(self, indices: Tensor) -> Tensor:
        """Return the vectors of the tokens, ``(batch, length, width)``."""
        if self.training and self.pair_dropout > 0.0:
            lost = torch.rand(indices.shape, device=indices.device) < self.pair_dropout
            indices = indices.masked_fill(lost, UNKNOWN)
        return vectors_of(self.vectors, indices).flatten(2)


DEFAULT = ("prefix3", "suffix3", "shape", "case", "form")


class AffixEmbedding(TypeEmbedding):
    """A learned vector for each value of each feature of a token's spelling.

    Args:
        values: The known values of each feature.
        width: The width of the vectors of one feature.

    Raises:
        ValueError: There is no feature, or the width is below 1.
    """

    indexer: AffixIndexer

    def __init__(self, values: Mapping[str, Sequence[str]], *, width: int = 20) -> None:
        super().__init__()
        check_widths(width=width)
        if not values:
            raise ValueError(f"features must name at least one of {', '.join(FEATURES)}")
        self.indexer = AffixIndexer(values)
        self.feature_width = width
        self.width = width * len(values)
        self._tables = {
            name: spread(nn.Embedding(len(known), width))
            for name, known in self.indexer.vocabularies.items()
        }
        self.vectors = nn.ModuleDict(self._tables)

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        features: Sequence[str] = DEFAULT,
        min_count: int = 2,
        width: int = 20,
    ) -> Self:
        """Build the embedding for the values that at least ``min_count`` distinct tokens have.

        For ``form``, whose values are nearly the tokens themselves, occurrences are counted.
        """
        for name in features:
            if name not in FEATURES:
                raise ValueError(f"unknown feature {name!r}; expected {', '.join(FEATURES)}")
        held = sentences if isinstance(sentences, Sequence) else list(sentences)
        values = {
            name: frequent(
                form_counts(held, partial(map, form))
                if name == "form"
                else map(FEATURES[name], token_counts(held)),
                min_count=min_count,
            )
            for name in features
        }
        return cls(values, width=width)

    def settings(self) -> dict[str, Any]:
        return {**self.indexer.settings(), "width": self.feature_width}

    def tables(self) -> Mapping[str, tuple[Vocabulary, nn.Embedding]]:
        return {name: (own, self._tables[name]) for name, own in self.indexer.vocabularies.items()}

    def extended(self, items: Mapping[str, Sequence[str]]) -> Self:
        known = self.indexer.vocabularies
        values = {name: [*own.items, *items.get(name, ())] for name, own in known.items()}
        return type(self)(values, width=self.feature_width)

    def forward(self, indices: Tensor) -> Tensor:
        """Return the vectors of the tokens, ``(tokens, width)``."""
        columns = indices.unbind(1)
        tables = self.vectors.values()
        return torch.cat(
            [vectors_of(table, column) for table, column in zip(tables, columns, strict=True)],
            dim=1,
        )
