"""The errors and warnings of ner: values whose text is made only when they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

UNREADABLE, BAD_LINE, BAD_TAG = "unreadable", "bad-line", "bad-tag"  # kinds of faults


class ConfigError(ValueError):
    """An invalid setting; the message says which, and what is valid.

    Attributes:
        message: What is wrong, without the key.
        key: The name of the setting, if it is not part of the message.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(f"{key} {message}" if key else message)
        self.message, self.key = message, key


class ModelError(ValueError):
    """An invalid model directory; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at one place of a file.

    Attributes:
        path: The name of the file; empty without a file, as when sentences are written.
        line: The line, from 1; 0 for the whole file.
        kind: The kind of fault: a key of ``ner.checks.KINDS``.
        message: What is wrong and what to do, without the place.
    """

    path: str
    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message}" if place else self.message


class DataError(ValueError):
    """The content of a file is invalid.

    Args:
        faults: The faults, in order; a string is a fault without a place.
        more: The number of further malformed lines of each file, which are not listed.

    Attributes:
        faults: As above.
        more: As above.
    """

    def __init__(self, *faults: Fault | str, more: Mapping[str, int] | None = None) -> None:
        super().__init__(*faults)
        self.faults = tuple(
            one if isinstance(one, Fault) else Fault("", 0, UNREADABLE, one) for one in faults
        )
        self.more = dict(more or {})

    @classmethod
    def of(cls, path: str, message: str) -> DataError:
        """Return an error about a whole file."""
        return cls(Fault(path, 0, UNREADABLE, message))

    @classmethod
    def merged(cls, errors: Iterable[DataError]) -> DataError:
        """Return one error for several files."""
        faults: list[Fault] = []
        more: dict[str, int] = {}
        for error in errors:
            faults += error.faults
            more |= error.more
        return cls(*faults, more=more)

    def renamed(self, before: str, after: str) -> DataError:
        """Return the same error with another name of the file."""

        def name(path: str) -> str:
            return after if path == before else path

        faults = [replace(one, path=name(one.path)) for one in self.faults]
        return DataError(*faults, more={name(path): count for path, count in self.more.items()})

    def __str__(self) -> str:
        return "\n".join(_lines(self.faults, self.more))


class DataWarning(UserWarning):
    """Something in a file was repaired or skipped.

    Args:
        message: The message, without the name of the file.
        path: The name of the file; empty without a file.
        kind: The kind of remark: a key of ``ner.checks.KINDS``.
        line: The line, from 1; 0 for the whole file.
        count: The number of places in the file.
        faults: The first of these places, each on its own line of the text.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str = "",
        kind: str = "reader",
        line: int = 0,
        count: int = 1,
        faults: Iterable[Fault] = (),
    ) -> None:
        super().__init__(message)
        self.message, self.path, self.kind = message, path, kind
        self.line, self.count, self.faults = line, count, tuple(faults)

    def __str__(self) -> str:
        told = [str(Fault(self.path, self.line, self.kind, self.message))]
        if self.faults:
            more = {self.path: self.count - len(self.faults)}
            told += _lines(self.faults, more, "")
        return "\n".join(told)


def _lines(
    faults: Iterable[Fault], more: Mapping[str, int], what: str = " bad line"
) -> Iterator[str]:
    """Yield the lines of a message, with the number of further ones after those of a file."""
    for path, group in groupby(faults, lambda one: one.path):
        yield from map(str, group)
        if left := more.get(path, 0):
            yield f"{path}: and {left} more{what}{'s' * (left > 1 and bool(what))}"
