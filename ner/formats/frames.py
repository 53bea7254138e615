"""To and from tables in memory: pandas and Hugging Face ``datasets``, both of them extras."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ner.errors import DataError, DataWarning
from ner.formats.detection import MISSING, TagCounts, complaint, spans_of, tags_of
from ner.schemes import OUTSIDE, Scheme, file_scheme_named
from ner.sentence import Sentence, in_document

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

_OURS = ("sentence", "document", "token")
_UNTOLD = (-100, -1)  # numbers that stand for a tag nobody has given


def to_dataframe(sentences: Iterable[Sentence], *, scheme: str = "BIO") -> DataFrame:
    """A row for each token.

    Args:
        sentences: What the rows are made of.
        scheme: Of the tags; ``_`` is the tag of tokens nobody has annotated.

    Returns:
        The columns ``sentence`` and ``document`` (numbers from 0; -1 for no document), ``token``,
        the sentences' other columns by name, and ``tag``.
    """
    pandas = _extra("pandas")
    chosen = file_scheme_named(scheme)
    rows: list[dict[str, Any]] = []
    document, before = -1, None
    for number, sentence in enumerate(sentences):
        new = sentence.document is not None and sentence.document is not before
        document, before = document + new, sentence.document
        place = document if before is not None else -1
        tags = tags_of(sentence, chosen)
        for token in range(len(sentence)):
            others = {name: column[token] for name, column in sentence.columns.items()}
            head = {"sentence": number, "document": place, "token": sentence.tokens[token]}
            rows.append({**head, **others, "tag": tags[token]})
    frame: DataFrame = pandas.DataFrame(rows, columns=None if rows else [*_OURS, "tag"])
    return frame


def from_dataframe(
    frame: DataFrame,
    *,
    sentence: str = "sentence",
    token: str = "token",
    tag: str = "tag",
    scheme: str | None = None,
) -> list[Sentence]:
    """The sentences of a table with a row for each token.

    Args:
        frame: The table, whatever its index; with a column ``document``, whose numbers from 0 or
            names say which it is, sentences are put into documents.
        sentence: The column whose value changes where a sentence begins; where it is empty, the
            sentence goes on.
        token: The column of tokens.
        tag: The column of tags.
        scheme: Of the tags; without it, they tell.

    Raises:
        DataError: A column is missing, or a tag is invalid; with the number of the row, from 0.
    """
    for name in (sentence, token, tag):
        if name not in frame.columns:
            known = ", ".join(map(str, frame.columns))
            raise DataError(f"the table has no column {name!r}; it has {known}")
    frame = frame.reset_index(drop=True)  # rows are identified by position, since labels may repeat
    others = [name for name in frame.columns if name not in (*_OURS, sentence, token, tag)]
    starts = frame[sentence].where(frame[sentence].notna()).ffill()
    first = (starts != starts.shift()).cumsum()
    _check_words(frame, token)
    groups = [group for _, group in frame.groupby(first, sort=False)]
    _warn_of_turns(frame, starts, first)
    tags = [[str(one) for one in group[tag]] for group in groups]
    chosen = _detect(tags, scheme)
    found: list[Sentence] = []
    for group, given in zip(groups, tags, strict=True):
        words = tuple(str(one) for one in group[token])
        columns = {str(name): tuple(map(str, group[name])) for name in others}
        found.append(_sentence(words, given, chosen, columns, int(group.index[0])))
    if "document" not in frame.columns:
        return found
    return _in_documents(found, [_document(group["document"].iloc[0]) for group in groups])


def _check_words(frame: DataFrame, token: str) -> None:
    """Refuse tokens that are missing.

    Raises:
        DataError: One is.
    """
    missing = frame.index[frame[token].isna()]
    if len(missing):
        raise DataError(
            f"row {missing[0]}: the token is missing ({len(missing)} in all); pandas takes words "
            "such as NA and null for missing values: read the file with keep_default_na=False"
        )


def _warn_of_turns(frame: DataFrame, starts: Any, first: Any) -> None:
    """Warn of sentences whose rows do not stand together."""
    names = (
        starts
        if "document" not in frame.columns
        else list(zip(frame["document"], starts, strict=True))
    )
    pandas = _extra("pandas")
    seen = pandas.DataFrame({"name": pandas.Series(names, index=frame.index), "run": first})
    turns = seen.drop_duplicates().groupby("name", dropna=False).size()
    again = int((turns > 1).sum())
    if again:
        told = (
            f"{again} value{'s' * (again > 1)} of the sentence column recur after others; "
            "each time a new sentence begins. If their rows belong together, sort the table first "
            '(sort_values(..., kind="stable"))'
        )
        warnings.warn(DataWarning(told), stacklevel=3)


def to_dataset(sentences: Iterable[Sentence], *, scheme: str = "BIO") -> Dataset:
    """A row for each sentence: ``id``, ``tokens``, and ``ner_tags`` as numbers with names.

    Args:
        sentences: What the rows are made of.
        scheme: Of the tags; ``_`` is the tag of tokens nobody has annotated.
    """
    datasets = _extra("datasets")
    chosen = file_scheme_named(scheme)
    tokens, tags = [], []
    for sentence in sentences:
        tokens.append(list(sentence.tokens))
        tags.append(list(tags_of(sentence, chosen)))
    labels = sorted({tag[2:] for row in tags for tag in row if tag not in (OUTSIDE, MISSING)})
    names = [*chosen.tags(labels), *([MISSING] if any(MISSING in row for row in tags) else [])]
    numbers = {name: number for number, name in enumerate(names)}
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.Sequence(datasets.Value("string")),
            "ner_tags": datasets.Sequence(datasets.ClassLabel(names=names)),
        }
    )
    rows = {
        "id": [str(number) for number in range(len(tokens))],
        "tokens": tokens,
        "ner_tags": [[numbers[tag] for tag in row] for row in tags],
    }
    dataset: Dataset = datasets.Dataset.from_dict(rows, features=features)
    return dataset


def from_dataset(
    rows: Iterable[Mapping[str, Any]],
    *,
    tokens: str = "tokens",
    tags: str = "ner_tags",
    names: Sequence[str] | None = None,
    scheme: str | None = None,
) -> list[Sentence]:
    """The sentences of a Hugging Face dataset, or of any rows like its own.

    Args:
        rows: A dataset (one split of it), or mappings that hold a list of tokens and one of tags.
        tokens: The column of tokens.
        tags: The column of tags, which are names, or numbers with names; -100 stands for none.
        names: The names of numbers, where the dataset does not know them.
        scheme: Of the tags; without it, they tell.

    Raises:
        DataError: A column or the names are missing, or a tag is invalid; with the number of the
            row, from 0.
    """
    if isinstance(rows, Mapping):
        splits = ", ".join(map(repr, rows))
        raise DataError(f"expected one split of a dataset, got {splits}; choose one")
    known = _names(rows, tags) if names is None else names
    read: list[tuple[tuple[str, ...], list[str]]] = []
    for number, row in enumerate(rows):
        for column in (tokens, tags):
            if column not in row:
                there = ", ".join(map(str, row))
                raise DataError(f"row {number}: no column {column!r}; the columns are {there}")
        words = tuple(map(str, row[tokens]))
        given = [_tag_name(tag, known, number) for tag in row[tags]]
        if len(given) != len(words):
            raise DataError(f"row {number}: expected {len(words)} tags, found {len(given)}")
        read.append((words, given))
    chosen = _detect([given for _, given in read], scheme)
    return [
        _sentence(words, given, chosen, {}, number) for number, (words, given) in enumerate(read)
    ]


def _extra(name: str) -> Any:
    """A package that only these functions need.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        told = f"this needs {name}: pip install 'ner-crf[tables]'"
        raise ImportError(told, name=name) from error


def _names(rows: Any, tags: str) -> Sequence[str] | None:
    """The names of a dataset's tags, as its features know them."""
    feature = (getattr(rows, "features", None) or {}).get(tags)
    names = getattr(getattr(feature, "feature", feature), "names", None)
    return None if names is None else [str(name) for name in names]


def _tag_name(tag: Any, names: Sequence[str] | None, row: int) -> str:
    if isinstance(tag, str):
        return tag
    if tag is None or tag != tag or int(tag) in _UNTOLD:
        return MISSING
    if names is None:
        raise DataError(f"row {row}: the tag {tag} is a number; pass the names of the tags")
    if not 0 <= int(tag) < len(names):
        raise DataError(f"row {row}: the tag {tag} has no name; there are {len(names)} names")
    return names[int(tag)]


def _detect(rows: Iterable[Sequence[str]], scheme: str | None) -> Scheme:
    counts = TagCounts(MISSING)
    for tags in rows:
        counts.add(tags)
    return counts.detect(None if scheme is None else file_scheme_named(scheme)).scheme


def _sentence(
    tokens: tuple[str, ...],
    tags: Sequence[str],
    scheme: Scheme,
    columns: Mapping[str, tuple[str, ...]],
    row: int,
) -> Sentence:
    for tag in tags:
        if tag != MISSING and (wrong := complaint(tag, scheme)):
            raise DataError(f"row {row}: {wrong}")
    spans, unknown = spans_of(tags, scheme, MISSING)
    return Sentence(tokens, spans, columns, unknown)


def _document(value: Any) -> str | None:
    """Return the document ID of a table row; ``None`` if empty or below 0."""
    if isinstance(value, str):
        return value
    if _extra("pandas").isna(value) or value < 0:
        return None
    return str(int(value))


def _in_documents(sentences: Sequence[Sentence], names: Sequence[str | None]) -> list[Sentence]:
    """Sentences next to each other whose document is called the same, put together."""
    found: list[Sentence] = []
    for name, group in groupby(zip(names, sentences, strict=True), lambda pair: pair[0]):
        together = [sentence for _, sentence in group]
        found += together if name is None else in_document(together, name)
    return found
