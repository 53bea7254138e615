"""Options checked against the signature of the part that takes them.

Configuration files, ``--set``, ``--reader``, ``--writer`` and keyword arguments in Python are all
checked here, so that the same mistake gives the same message.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import partial
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ner.errors import ConfigError

Part = TypeVar("Part")
MOST = (1 << 63) - 1  # the largest whole number, since torch and numpy use 64 bits
SHOWN = 100  # characters of a value in a message


class UnknownOptionError(ConfigError):
    """An unknown option.

    Attributes:
        of: The part it was given to: ``model.encoder``.
        name: The name of the option.
        known: The names of the options of that part.
    """

    def __init__(self, of: str, name: str, known: Iterable[str], *, kind: str = "setting") -> None:
        self.of, self.name, self.known = of, name, tuple(known)
        self._kind = kind
        super().__init__(f"{of} has no {kind} {name!r}{suggestion(name, self.known)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), kind=self._kind), (self.of, self.name, self.known)


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known one, or else all."""
    choices = list(known)
    near = nearest(str(name), choices)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f"; there are {', '.join(choices)}" if choices else ""


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name with the most similar spelling, or that it abbreviates, if any."""
    from difflib import get_close_matches

    choices = list(known)
    near = get_close_matches(name, choices, n=1, cutoff=cutoff)
    longer = [one for one in choices if len(name) > 2 and one.startswith(name)]
    return next(iter((*near, *longer)), None)


def lookup(shelf: Mapping[str, Part], name: object, *, of: str) -> Part:
    """Return a part of a shelf by name.

    Raises:
        ConfigError: The name is unknown.
    """
    if not isinstance(name, str) or name not in shelf:
        raise ConfigError(f"no {of} is called {name!r}{suggestion(name, shelf)}")
    return shelf[name]


def with_preset(
    presets: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return options, those of a preset among them unless others are given.

    Raises:
        ConfigError: The preset is unknown.
    """
    preset = options.get("preset")
    known = {} if preset is None else lookup(presets, preset, of="preset")
    return {**known, **options}


def instantiate(make: Callable[..., Part], settings: Any, *arguments: Any, of: str) -> Part:
    """Create a part from settings, which are checked against its signature.

    Args:
        make: A class or function; its keyword arguments are the settings.
        settings: A mapping of names to values, or ``None``.
        *arguments: The positional arguments before the settings.
        of: The name of the part in messages: ``model.encoder``.

    Raises:
        ConfigError: A setting is unknown or missing, or has the wrong type or an invalid value.
    """
    given = check_all(settings, parameters_of(make, len(arguments)), of=of)
    try:
        return make(*arguments, **given)
    except ConfigError as error:
        if error.key:
            raise ConfigError(error.message, key=f"{of}.{error.key}") from error
        raise
    except ValueError as error:
        raise ConfigError(f"{of}: {error}") from error


def parameters_of(make: Callable[..., Any], skipped: int = 0) -> dict[str, tuple[Any, bool]]:
    """Return the settings of a part: their types, and whether they are required."""
    plain = inspect.isclass(make) and not is_dataclass(make)  # whose fields may be inherited
    hints = get_type_hints(make.__init__ if plain else make)
    parameters = list(inspect.signature(make).parameters.values())[skipped:]
    return {
        parameter.name: (hints.get(parameter.name, Any), parameter.default is parameter.empty)
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def check_all(
    settings: Any, known: Mapping[str, tuple[Any, bool]], *, of: str
) -> Mapping[str, Any]:
    """Return settings after checking their names and types, and that none is missing.

    Raises:
        ConfigError: A setting is unknown or missing, or has the wrong type.
    """
    given = {} if settings is None else settings
    if not isinstance(given, Mapping):
        raise ConfigError(f"{of}: expected settings as `name: value`, found {kind_of(given)}")
    for name, value in given.items():
        if name not in known:
            raise UnknownOptionError(of, name, known)
        check(value, known[name][0], f"{of}.{name}")
    missing = [name for name, (_, needed) in known.items() if needed and name not in given]
    if missing:
        raise ConfigError(f"{of} needs the setting {missing[0]!r}")
    return given


def check_options(given: Mapping[str, Any], known: Mapping[str, tuple[Any, bool]], of: str) -> None:
    """Check the names and types of the options of a reader or writer.

    Raises:
        ConfigError: An option is unknown or has the wrong type.
    """
    for option, value in given.items():
        if option not in known:
            raise UnknownOptionError(of, option, known, kind="option")
        check(value, known[option][0], f"option {option} of {of}")


def check(value: Any, wanted: Any, name: str) -> None:
    """Check the type of a value.

    Raises:
        ConfigError: The type is wrong; the message names the setting, its type and the value.
    """
    if not _fits(value, wanted):
        got = repr(value)
        shown = "" if value is None else f" {got if len(got) <= SHOWN else got[:SHOWN] + '...'}"
        message = f"{name} wants {_describe(wanted)}, got {kind_of(value)}{shown}"
        if isinstance(value, int | float) and _fits("", wanted):
            message += f'; quote it to make it text: "{str(value).lower()}"'
        raise ConfigError(message)
    if isinstance(value, int) and abs(value) > MOST:
        raise ConfigError(f"{name} must fit in 64 bits")


def _fits(value: Any, wanted: Any) -> bool:
    origin, inner = get_origin(wanted), get_args(wanted)
    if wanted is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if wanted in (int, float, bool, str, None, type(None)):
        return _fits_scalar(value, wanted)
    kind = origin or wanted
    if kind in (dict, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(item, inner[1]) for item in value.values() if inner
        )
    if kind in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(
            _fits(item, inner[0]) for item in _tellers(value, inner) if inner
        )
    return inspect.isclass(kind) and isinstance(value, kind)


def _tellers(value: Sequence[Any], inner: tuple[Any, ...]) -> Iterable[Any]:
    """Return the items to check: of scalars one of each type, since lists may be long."""
    if inner and inner[0] in (int, float, bool, str):
        return {type(item): item for item in value}.values()
    return value


def _fits_scalar(value: Any, wanted: Any) -> bool:
    if wanted in (None, type(None)):
        return value is None
    if wanted is bool or isinstance(value, bool):
        return wanted is bool and isinstance(value, bool)
    if wanted is float:
        return isinstance(value, int | float)
    return isinstance(value, wanted)


_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}
_KINDS: dict[Any, str] = {
    **_NAMES,
    list: "a list",
    tuple: "a list",
    dict: "settings",
    type(None): "no value",
}


def _describe(wanted: Any) -> str:
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(one) for one in inner)
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if wanted in (None, type(None)):
        return "null"
    kind = origin or wanted
    if kind in (list, tuple, Sequence):
        return f"a list of {_describe(inner[0])}" if inner else "a list"
    if kind in (dict, Mapping):
        plain = len(inner) != 2 or inner[1] is Any
        return "settings" if plain else f"settings, each {_describe(inner[1])}"
    return _NAMES.get(wanted, str(getattr(wanted, "__name__", wanted)))


def kind_of(value: Any) -> str:
    """Describe a value in words."""
    return _KINDS.get(type(value), type(value).__name__)
