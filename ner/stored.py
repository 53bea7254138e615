"""A network as its directory stores it, which numpy can tag with: settings and arrays, no torch.

`plan` reads the settings of networks whose every part numpy can compute, and only settings that
are certainly valid. For all others torch builds the network, and reports what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner import native
from ner.errors import ConfigError
from ner.indexers import (
    AffixIndexer,
    CharacterIndexer,
    ColumnIndexer,
    ContextIndexer,
    DocumentIndexer,
    GazetteerIndexer,
    Indexer,
    PairIndexer,
    PretrainedIndexer,
    ReferencedIndexer,
    TopicIndexer,
    TypeIndexer,
    VectorIndexer,
    WordIndexer,
)
from ner.indexers.base import PADDING
from ner.indexers.columns import SINGLE, columns_of
from ner.indexers.document import FLAGS, HEADLINE, POSITIONS
from ner.options import check_all
from ner.schemes import OUTSIDE, WRITABLE, Scheme, distinct_labels, scheme_named

LARGEST = 100  # members of an ensemble
DEEPEST = 8  # layers of an LSTM; torch builds deeper ones
LSTM = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")  # as torch names them

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Weights = Mapping[str, Floats]
Shapes = Mapping[str, tuple[int, ...]]
Vectors = Callable[..., Floats]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingPlan:
    """An embedding without its weights.

    Attributes:
        indexer: Its indexer.
        width: The width of its vectors.
        shapes: The shapes of its weights by name.
        vectors: Returns, for weights, the function from arrays of indices to vectors.
        sentencewise: As for ``ner.embeddings.ContextEmbedding``.
    """

    indexer: Indexer
    width: int
    shapes: Shapes
    vectors: Callable[[Weights], Vectors]
    sentencewise: bool = False


def _table(indexer: Indexer, rows: int, width: int) -> EmbeddingPlan:
    """Plan one row per token."""
    shapes = {"vectors.weight": (rows, width)}
    return EmbeddingPlan(indexer, width, shapes, lambda w: _rows(w["vectors.weight"]))


def _words(given: Mapping[str, Any]) -> EmbeddingPlan:
    if given["rare_dropout"] < 0.0:
        raise ValueError("rare_dropout must be at least 0")
    indexer = WordIndexer(given["words"])
    return _table(indexer, len(indexer.vocabulary), given["width"])


def _vectors(given: Mapping[str, Any]) -> EmbeddingPlan:
    count = given["count"]
    return _table(
        VectorIndexer(given["words"], given["rows"], count=count), count + 1, given["width"]
    )


def _pretrained(given: Mapping[str, Any]) -> EmbeddingPlan:
    indexer = PretrainedIndexer(given["words"], rows=given.get("rows", ()))
    return _projected(_table(indexer, indexer.count, given["vector_width"]), given["projection"])


def _referenced(given: Mapping[str, Any]) -> EmbeddingPlan:
    own = {name: value for name, value in given.items() if name != "projection"}
    indexer = ReferencedIndexer(**own)
    plan = EmbeddingPlan(indexer, indexer.width, {}, lambda weights: lambda vectors: vectors)
    return _projected(plan, given["projection"])


def _projected(plan: EmbeddingPlan, projection: int | None) -> EmbeddingPlan:
    """Plan vectors that a learned matrix projects, unless ``projection`` is ``None``."""
    if projection is None:
        return plan
    if projection < 1:
        raise ValueError("projection must be at least 1")
    shapes = {**plan.shapes, "projection.weight": (projection, plan.width)}

    def vectors(weights: Weights) -> Vectors:
        table, down = plan.vectors(weights), weights["projection.weight"].T
        return lambda indices: table(indices) @ down

    return EmbeddingPlan(plan.indexer, projection, shapes, vectors)


def _characters(given: Mapping[str, Any]) -> EmbeddingPlan:
    indexer, window = CharacterIndexer(given["characters"]), given["window"]
    if window < 1 or window % 2 == 0:
        raise ValueError("window must be odd and at least 1")
    width, inner = given["width"], given["character_width"]
    shapes = {
        "vectors.weight": (len(indexer.vocabulary), inner),
        "filters.weight": (width, window * inner),
        "filters.bias": (width,),
    }
    return EmbeddingPlan(indexer, width, shapes, lambda weights: _convolution(weights, window))


def _convolution(weights: Weights, window: int) -> Vectors:
    """Return a convolution with max pooling, by the kernel that training uses, too."""
    table, bias = weights["vectors.weight"], weights["filters.bias"]
    kernel = weights["filters.weight"].reshape(len(bias), table.shape[1], window)
    products = np.ascontiguousarray(table @ kernel.transpose(2, 1, 0))  # (window, known, width)

    def vectors(indices: Integers) -> Floats:
        maxima, _ = native.character_maxima(products, np.ascontiguousarray(indices))
        maxima += bias
        return maxima

    return vectors


def _affixes(given: Mapping[str, Any]) -> EmbeddingPlan:
    indexer, width = AffixIndexer(given["values"]), given["width"]
    sizes = {f"vectors.{name}": len(known) for name, known in indexer.vocabularies.items()}
    if not sizes:
        raise ValueError("expected at least one feature")
    return _tables(indexer, sizes, width)


def _columns(given: Mapping[str, Any]) -> EmbeddingPlan:
    indexer = ColumnIndexer(given["values"])
    sizes = {f"tables.{n}": len(v) for n, v in enumerate(indexer.vocabularies.values())}
    return _tables(indexer, sizes, given["width"])


def _gazetteers(given: Mapping[str, Any]) -> EmbeddingPlan:
    indexer = GazetteerIndexer(given["lists"])
    sizes = {f"tables.{n}": SINGLE + 1 for n in range(len(indexer))}
    return _tables(indexer, sizes, given["width"])


def _tables(indexer: Indexer, sizes: Mapping[str, int], width: int) -> EmbeddingPlan:
    """Plan one table for each column of indices."""
    shapes = {f"{name}.weight": (size, width) for name, size in sizes.items()}
    return EmbeddingPlan(
        indexer, width * len(sizes), shapes, lambda w: _side_by_side([w[n] for n in shapes])
    )


def _pairs(given: Mapping[str, Any]) -> EmbeddingPlan:
    indexer, width = PairIndexer(given["pairs"]), given["width"]
    shapes = {"vectors.weight": (len(indexer.vocabulary), width)}
    return EmbeddingPlan(
        indexer, 2 * width, shapes, lambda w: _side_by_side([w["vectors.weight"]] * 2)
    )


def _document(given: Mapping[str, Any]) -> EmbeddingPlan:
    indexer, width, narrow = DocumentIndexer(given["words"]), given["width"], given["flag_width"]
    flags = {f"flags.{n}.weight": (size, narrow) for n, size in enumerate(FLAGS)}
    bags = {f"{side}.weight": (len(indexer), width) for side in ("before", "after")}

    def vectors(weights: Weights) -> Vectors:
        columns = _side_by_side([weights[name] for name in flags])
        left, right = (_mean(weights[name]) for name in bags)
        return lambda own, before, after: np.concatenate(
            [columns(own), left(before), right(after)], 1
        )

    return EmbeddingPlan(indexer, 2 * width + narrow * len(FLAGS), flags | bags, vectors)


def _topic(given: Mapping[str, Any]) -> EmbeddingPlan:
    indexer, width, narrow = TopicIndexer(given["words"]), given["width"], given["position_width"]
    size = (len(indexer.vocabulary), width)
    shapes = {"position.weight": (POSITIONS, narrow), "headline.weight": size, "topic.weight": size}

    def vectors(weights: Weights) -> Vectors:
        position = _rows(weights["position.weight"])
        headline, topic = (_mean(weights[f"{name}.weight"]) for name in ("headline", "topic"))
        first = 1 + HEADLINE
        return lambda rows: np.concatenate(
            [position(rows[:, 0]), headline(rows[:, 1:first]), topic(rows[:, first:])], 1
        )

    return EmbeddingPlan(indexer, 2 * width + narrow, shapes, vectors, sentencewise=True)


def _rows(table: Floats) -> Vectors:
    return partial(np.take, table, axis=0)


def _side_by_side(tables: Sequence[Floats]) -> Vectors:
    """Look up one column of indices in each table, ``(tokens, width)``."""
    return lambda indices: np.concatenate(
        [table.take(column, 0) for table, column in zip(tables, indices.T, strict=True)], 1
    )


def _mean(table: Floats) -> Vectors:
    """Return the mean vector of each token's words, ``(tokens, width)``; 0 without words."""

    def mean(words: Integers) -> Floats:
        real = words != PADDING
        found = np.zeros((len(words), table.shape[1]), np.float32)
        some = np.flatnonzero(real.any(1))
        vectors = table.take(words[some], 0)
        vectors[~real[some]] = 0.0
        found[some] = vectors.sum(1) / real[some].sum(1, dtype=np.float32)[:, None]
        return found

    return mean


KINDS: Mapping[str, tuple[Callable[[Mapping[str, Any]], EmbeddingPlan], str]] = {
    "words": (_words, "words singletons width singleton_dropout word_dropout rare rare_dropout"),
    "characters": (_characters, "characters width character_width character_dropout window"),
    "affixes": (_affixes, "values width"),
    "document": (_document, "words width flag_width context_dropout"),
    "topic": (_topic, "words width position_width context_dropout"),
    "pairs": (_pairs, "pairs width pair_dropout"),
    "vectors": (_vectors, "words rows count width"),
    "pretrained": (_pretrained, "words rows? vector_width tuned projection"),
    "referenced": (_referenced, "file format sha256 vector_width projection"),
    "columns": (_columns, "values width value_dropout"),
    "gazetteers": (_gazetteers, "lists width match_dropout"),
}
NETWORK = "embeddings labels scheme encoder constrain_training? transitions?"
ENCODER = "width layers bidirectional dropout"
TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("words", "characters", "pairs", "labels", "sha256"), Sequence[str]),
    **dict.fromkeys(("values", "lists"), Mapping[str, Sequence[str]]),
    **dict.fromkeys(("rows", "rare"), Sequence[int]),
    **dict.fromkeys(("singletons", "count", "window", "layers"), int),
    **dict.fromkeys(("tuned", "bidirectional", "constrain_training", "transitions"), bool),
    **dict.fromkeys(("embeddings", "encoder"), Mapping[str, Any]),
    "projection": int | None,
    **dict.fromkeys(("scheme", "file", "format"), str),
}


def _checked(given: Any, names: str) -> Mapping[str, Any]:
    """Return settings that have these names and no others; with a question mark one is optional.

    Raises:
        ValueError: A setting is missing or unknown, of the wrong type, or out of its range.
    """
    known = {}
    for name in names.split():
        own = name.rstrip("?")
        kind = float if own.endswith("dropout") else int
        known[own] = (TYPES.get(own, kind), name == own)
    for name, value in check_all(given, known, of="").items():
        if name.endswith("width") and value < 1:
            raise ValueError(f"{name} must be at least 1")
        if name.endswith("dropout") and name != "rare_dropout" and not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} must be from 0 to 1")
    return dict(given)


class NetworkPlan:
    """A network without its weights.

    Args:
        settings: Those of ``ner.network.Network.settings``.

    Raises:
        ValueError: Numpy cannot compute it, or a setting may be invalid.
        LookupError: The same.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        given = _checked(settings, NETWORK)
        self.scheme: Scheme = scheme_named(given["scheme"])
        self.labels = distinct_labels(given["labels"])
        self.tags = self.scheme.tags(self.labels)
        self.embeddings = {n: _embedding(n, own) for n, own in given["embeddings"].items()}
        encoder = _checked(given["encoder"], ENCODER)
        self._layers, self._width = encoder["layers"], encoder["width"]
        self._ways = ("forwards", "backwards") if encoder["bidirectional"] else ("forwards",)
        valid = 1 <= self._layers <= DEEPEST and encoder["dropout"] < 1.0
        typed = any(isinstance(p.indexer, TypeIndexer) for p in self.embeddings.values())
        if not (valid and typed and self.scheme.name in WRITABLE):
            raise ValueError("settings that numpy does not read")

    def shapes(self) -> Shapes:
        """Return the shapes of all weights by name, in the order of torch."""
        shapes: dict[str, tuple[int, ...]] = {
            f"embeddings.{name}.{weight}": shape
            for name, part in self.embeddings.items()
            for weight, shape in part.shapes.items()
        }
        width, outputs = self._width, len(self._ways) * self._width
        read = sum(part.width for part in self.embeddings.values())
        for way in self._ways:
            for layer in range(self._layers):
                inputs = outputs if layer else read
                own = ((4 * width, inputs), (4 * width, width), (4 * width,), (4 * width,))
                shapes |= {
                    f"encoder.{way}.{layer}.{weight}": shape
                    for weight, shape in zip(LSTM, own, strict=True)
                }
        tags = len(self.tags)
        shapes |= {"projection.weight": (tags, outputs), "projection.bias": (tags,)}
        crf = {"crf.start_transitions": (tags,), "crf.end_transitions": (tags,)}
        return shapes | crf | {"crf.transitions": (tags, tags)}

    @property
    def contexts(self) -> list[ContextIndexer]:
        """The indexers of contexts."""
        each = (part.indexer for part in self.embeddings.values())
        return [indexer for indexer in each if isinstance(indexer, ContextIndexer)]

    def lstms(self, weights: Weights) -> list[list[list[Floats]]]:
        """Return the weights of each layer and direction of the LSTM, in the order of `LSTM`."""
        return [
            [[weights[f"encoder.{way}.{layer}.{name}"] for name in LSTM] for way in self._ways]
            for layer in range(self._layers)
        ]


def _embedding(name: str, settings: Mapping[str, Any]) -> EmbeddingPlan:
    """Plan an embedding, whose name contains some kind: torch reserves some other names."""
    rest = dict(settings)
    make, names = KINDS[rest.pop("kind")]
    if not any(known in name for known in KINDS) or not (name.isascii() and name.isidentifier()):
        raise ValueError(f"{name} may be a name that torch reserves")
    return make(_checked(rest, names))


def below(weights: Weights, start: str) -> Weights:
    """Return the weights whose names begin so, without this beginning."""
    return {n.removeprefix(start): own for n, own in weights.items() if n.startswith(start)}


def plan(settings: Mapping[str, Any]) -> list[NetworkPlan] | None:
    """Return the plan of each member of a network, or None if torch has to build them.

    Equal members share one plan, and with it their indexers.
    """
    known: list[tuple[Mapping[str, Any], NetworkPlan]] = []
    plans = []
    try:
        for own in each_member(settings):
            found = next((made for other, made in known if other == own), None)
            if found is None:
                known.append((own, found := NetworkPlan(own)))
            plans.append(found)
    except (ConfigError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        return None
    alike = len({(one.scheme.name, one.labels) for one in plans}) == 1
    return plans if alike else None


def each_member(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the settings of each member; those of a single network as they are.

    Raises:
        ValueError: The number of members is out of range.
    """
    if "members" not in settings:
        return [settings]
    shared = {name: value for name, value in settings.items() if name != "members"}
    return [{**shared, **own} for own in listed_members(settings["members"])]


def listed_members(members: Any) -> list[Mapping[str, Any]]:
    """Return the settings of each member that are not shared.

    Raises:
        ValueError: It is neither a number of members nor a list of settings, or too many.
    """
    if type(members) is int and 1 <= members <= LARGEST:
        return [{}] * members
    listed = isinstance(members, list) and all(isinstance(own, dict) for own in members)
    if listed and 1 <= len(members) <= LARGEST:
        return list(members)
    raise ValueError(
        f"members must be a whole number from 1 to {LARGEST}, or a list with the settings of each, "
        f"got {members!r:.80}"
    )


def allowed_moves(scheme: Scheme, tags: Sequence[str]) -> NDArray[np.bool_]:
    """Return which tag may follow which, ``(tags + 1, tags + 1)``; the last are sentence ends.

    Only whether two labels are equal matters: a table of two labels covers all.
    """
    kinds = (OUTSIDE, *(f"{prefix}-{label}" for label in "ab" for prefix in scheme.roles))
    table = np.array([[scheme.allows(left, right) for right in kinds] for left in kinds])
    prefixes, place = len(scheme.roles), np.arange(len(tags) - 1)
    kind = np.pad(1 + place % prefixes, 1)  # O, and the ends, which count as O
    label = np.pad(place // prefixes, 1, constant_values=-1)
    other = (label[:, None] != label) & (label >= 0)  # whether the right tag has another label
    allowed: NDArray[np.bool_] = table[kind[:, None], kind + prefixes * other]
    return allowed


class StoredNetwork:
    """A network that was read from a directory.

    Args:
        settings: Its settings.
        weights: Its weights by name.
        plans: The plan of each member.
    """

    def __init__(
        self, settings: Mapping[str, Any], weights: Weights, plans: Sequence[NetworkPlan]
    ) -> None:
        self.settings, self.weights, self.plans = settings, weights, plans
        self.scheme, self.labels = plans[0].scheme, plans[0].labels

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.settings, self.weights)

    def named_embeddings(self) -> dict[str, EmbeddingPlan]:
        """Return an embedding of each name in any member."""
        return {n: part for one in reversed(self.plans) for n, part in one.embeddings.items()}

    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns that it reads."""
        return tuple(dict.fromkeys(columns_of(i for one in self.plans for i in one.contexts)))

    def each(self) -> list[Weights]:
        """Return the weights of each member by name."""
        if "members" not in self.settings:
            return [self.weights]
        return [below(self.weights, f"members.{n}.") for n in range(len(self.plans))]

    def moves(self) -> tuple[Floats, Floats, Floats]:
        """Return the scores of the CRF: transitions, start and end."""
        names = ("crf.transitions", "crf.start_transitions", "crf.end_transitions")
        means = [sum(own[name] for own in self.each()) / len(self.plans) for name in names]
        no = ~allowed_moves(self.scheme, self.plans[0].tags)
        masks = (no[:-1, :-1], no[-1, :-1], no[:-1, -1])
        moves, start, end = (
            np.where(mask, -np.inf, mean).astype(np.float32)
            for mask, mean in zip(masks, means, strict=True)
        )
        return moves, start, end


def shapes_of(settings: Mapping[str, Any], plans: Sequence[NetworkPlan]) -> Iterator[Any]:
    """Yield the name and shape of each weight of a network, in the order of torch."""
    shapes = {id(one): one.shapes() for one in plans}
    for number, one in enumerate(plans):
        start = f"members.{number}." if "members" in settings else ""
        yield from ((start + name, shape) for name, shape in shapes[id(one)].items())


def _again(settings: Mapping[str, Any], weights: Weights) -> StoredNetwork:
    plans = plan(settings)
    assert plans is not None, "these settings have been read before"
    return StoredNetwork(settings, weights, plans)
