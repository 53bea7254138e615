"""Settings from YAML, checked against the signatures of what they make.

YAML is read by the rules of its version 1.2, which are what people expect: ``1e-3`` is a number,
``NO`` and ``on`` are text, a key that stands twice is an error; no tag constructs an object.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from ner.errors import ConfigError as ConfigError

Part = TypeVar("Part")
LARGEST = 1_000_000  # characters of a file of settings
DEEPEST = 20
MOST = (1 << 63) - 1  # as a whole number, which torch and numpy keep in 64 bits
SHOWN = 100  # characters of a value in a message


class _Loader(yaml.SafeLoader):
    """Plain data only, with the scalars of YAML 1.2."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ConfigError("aliases (*name) are not read; write the value out")
        depth = getattr(self, "_depth", 0)
        if depth > DEEPEST:
            raise ConfigError(f"settings are nested more than {DEEPEST} deep")
        self._depth = depth + 1
        node = super().compose_node(parent, index)
        self._depth = depth
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key, str):
                raise ConfigError(f"line {key_node.start_mark.line + 1}: a name must be text")
            if key in seen:
                raise ConfigError(f"line {key_node.start_mark.line + 1}: {key!r} is there twice")
            seen.add(key)
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    for _letter in [*_first.replace("\0", ""), *([""] if "\0" in _first else [])]:
        _Loader.yaml_implicit_resolvers.setdefault(_letter, []).append(
            (f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"))
        )


def load(path: Path) -> dict[str, Any]:
    """Read a file of settings.

    Raises:
        ConfigError: It is not YAML, or holds anything but plain settings.
        OSError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error})") from None
    try:
        return parse(text)
    except ConfigError as error:
        other = path.suffix.lower() not in (".yaml", ".yml")  # a corpus, most likely
        hint = "; expected a file of settings in YAML" if other else ""
        raise ConfigError(f"{path}: {error}{hint}") from None


def parse(text: str) -> dict[str, Any]:
    """Settings from YAML text.

    Raises:
        ConfigError: As for ``load``.
    """
    settings = _parse_value(text)
    if not isinstance(settings, dict):
        raise ConfigError(f"expected settings as `name: value`, found {_kind(settings)}")
    return settings


def override(settings: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Settings with ``KEY=VALUE`` assignments made, keys dotted: ``model.encoder.width=128``.

    Raises:
        ConfigError: An assignment has no ``=``, or goes into something that holds no settings.
    """
    changed = _copied(settings)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set wants KEY=VALUE, got {assignment!r}")
        try:
            changed = assign(changed, key.strip(), _parse_value(text))
        except ConfigError as error:
            raise ConfigError(f"--set {assignment}: {error}") from None
    return changed


def assign(settings: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Settings with one changed, its key dotted: ``model.encoder.width``.

    Raises:
        ConfigError: The key goes into something that holds no settings.
    """
    changed = _copied(settings)
    *path, last = key.split(".")
    inner = changed
    for name in path:
        if inner.get(name) is None:
            inner[name] = {}
        if not isinstance(inner[name], dict):
            raise ConfigError(f"{name} holds no settings")
        inner = inner[name]
    inner[last] = value
    return changed


def dump(settings: Mapping[str, Any]) -> str:
    """Settings as YAML text that ``parse`` reads back."""
    text: str = yaml.dump(
        dict(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Writes what ``_Loader`` reads."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_list(list(value)))


def choose(shelf: Mapping[str, Part], name: str, *, of: str) -> Part:
    """Take a part off its shelf by name.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in shelf:
        raise ConfigError(f"no {of} is called {name!r}{_hint(name, shelf)}")
    return shelf[name]


def call(make: Callable[..., Part], settings: Any, *arguments: Any, of: str) -> Part:
    """Call what makes a part with settings, having checked them against its signature.

    Args:
        make: A class or function; its keyword arguments are the settings it takes.
        settings: A mapping of names to values, or ``None`` for none.
        *arguments: What it is given before them.
        of: What the settings belong to, for messages: ``model.encoder``.

    Raises:
        ConfigError: A setting is unknown, of the wrong type, missing, or of an impossible value.
    """
    given = {} if settings is None else settings
    if not isinstance(given, Mapping):
        raise ConfigError(f"{of}: expected settings as `name: value`, found {_kind(given)}")
    known = _settings_of(make, len(arguments))
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{of} has no setting {name!r}{_hint(name, known)}")
        check(value, known[name][0], f"{of}.{name}")
    missing = [name for name, (_, needed) in known.items() if needed and name not in given]
    if missing:
        raise ConfigError(f"{of} needs the setting {missing[0]!r}")
    try:
        return make(*arguments, **given)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{of}: {error}") from error


def check(value: Any, wanted: Any, name: str) -> None:
    """Refuse a value that is not of the wanted type.

    Raises:
        ConfigError: It is not; the message names the setting, what it wants and what it got.
    """
    if not _fits(value, wanted):
        got = repr(value)
        shown = got if len(got) <= SHOWN else f"{got[:SHOWN]}..."
        raise ConfigError(f"{name} wants {_describe(wanted)}, got {_kind(value)} {shown}")
    if isinstance(value, int) and abs(value) > MOST:
        raise ConfigError(f"{name} must be a number that 64 bits hold, got one far larger")


def _settings_of(make: Callable[..., Any], skipped: int) -> dict[str, tuple[Any, bool]]:
    """The keyword arguments of a part: their types, and whether they must be given."""
    function = make.__init__ if inspect.isclass(make) else make
    hints = get_type_hints(function)
    parameters = list(inspect.signature(make).parameters.values())[skipped:]
    return {
        parameter.name: (hints.get(parameter.name, Any), parameter.default is parameter.empty)
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


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
        return isinstance(value, dict) and all(
            _fits(item, inner[1]) for item in value.values() if inner
        )
    if kind in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(
            _fits(item, inner[0]) for item in _tellers(value, inner) if inner
        )
    return inspect.isclass(kind) and isinstance(value, kind)


def _tellers(value: Sequence[Any], inner: tuple[Any, ...]) -> Iterable[Any]:
    """The items that tell whether all fit: of scalars one of each type, for lists may be long."""
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
_KINDS: dict[Any, str] = {**_NAMES, list: "a list", tuple: "a list", dict: "settings"}


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


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return _KINDS.get(type(value), type(value).__name__)


def _hint(name: str, known: Iterable[str]) -> str:
    choices = list(known)
    near = get_close_matches(name, choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(choices)}"


def _copied(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _copied(value) if isinstance(value, Mapping) else value
        for name, value in settings.items()
    }


def _parse_value(text: str) -> Any:
    if len(text) > LARGEST:
        raise ConfigError(f"settings of more than {LARGEST:,} characters are not read")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{line}{error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not YAML: {error}".splitlines()[0]) from None
