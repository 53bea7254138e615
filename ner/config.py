"""Settings from YAML, in a file or on the command line.

YAML is read by the rules of version 1.2, which are what people expect: ``1e-3`` is a number, ``NO``
and ``on`` are text, a repeated key is an error. No tag constructs an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ner.errors import ConfigError as ConfigError
from ner.options import kind_of

LARGEST = 1_000_000  # characters of a file of settings
DEEPEST = 20


class _Loader(yaml.SafeLoader):
    """Plain data only, with the scalars of YAML 1.2."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ConfigError("aliases (*name) are not supported; write out the value")
        depth = getattr(self, "_depth", 0)
        if depth > DEEPEST:
            raise ConfigError(f"settings are nested more than {DEEPEST} deep")
        self._depth = depth + 1
        node = super().compose_node(parent, index)
        self._depth = depth
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key, line = key_node.value, f"line {key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                raise ConfigError(f"{line}: a key must be text")
            if key in seen:
                raise ConfigError(f"{line}: {key!r} is repeated")
            if key_node.start_mark.column and _is_comment(value_node):
                raise ConfigError(
                    f"{line}: {key!r} has only a comment as value; put text with a # in quotes, or "
                    "write null"
                )
            seen.add(key)
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}


def _is_comment(node: Any) -> bool:
    """Return whether there is only a comment in place of a value, as in ``prefix: # ``."""
    mark = node.start_mark
    return node.value == "" and bool(re.match(r"[ \t]+#", mark.buffer[mark.pointer :]))


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
    """Read a configuration file.

    Raises:
        ConfigError: The file is not YAML, or contains anything but plain settings.
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
        hint = "; expected a configuration in YAML (--train gives a corpus)" if other else ""
        raise ConfigError(f"{path}: {error}{hint}") from None


def parse(text: str) -> dict[str, Any]:
    """Read settings from YAML text.

    Raises:
        ConfigError: As for ``load``.
    """
    settings = _parse_value(text)
    if settings is None:
        raise ConfigError("is empty; expected settings as `name: value`")
    if not isinstance(settings, dict):
        raise ConfigError(f"expected settings as `name: value`, found {kind_of(settings)}")
    return settings


def override(settings: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return settings after ``KEY=VALUE`` assignments, such as ``model.encoder.width=128``.

    Raises:
        ConfigError: An assignment has no ``=``, or its parent is not a section.
    """
    changed = _copied(settings)
    for key, value in read_assignments(assignments, option="--set"):
        try:
            changed = assign(changed, key, value)
        except ConfigError as error:
            raise ConfigError(f"--set {key}: {error}") from None
    return changed


def read_assignments(given: Iterable[str], *, option: str) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of ``KEY=VALUE`` arguments of a command line option.

    Values are YAML, except those of which YAML would drop something: ``-``, ``~``, nothing, or
    anything with a comment are text. To unset a setting, write ``null``.

    Raises:
        ConfigError: An argument is not of that form.
    """
    for one in given:
        key, equals, text = one.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{option} wants KEY=VALUE, got {one!r}")
        try:
            yield key.strip(), text if _is_swallowed(text) else _parse_value(text)
        except ConfigError as error:
            raise ConfigError(f"{option} {one}: {error}") from None


# Values that start a block, anchor, alias, tag or directive, which no argument needs.
_STRUCTURE = re.compile(r"\s*([-?:](\s|$)|[|>&!*%@`])")


def _is_swallowed(text: str) -> bool:
    """Return whether YAML would drop something of a value."""
    if text.strip() in ("", "~") or _STRUCTURE.match(text):
        return True
    if "#" not in text:
        return False
    try:
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError):
        return False  # the parser reports it better
    return node is None or bool(text[node.end_mark.index :].strip())


def assign(settings: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return settings with one changed, by its dotted key: ``model.encoder.width``.

    Raises:
        ConfigError: The parent of the key is not a section.
    """
    changed = _copied(settings)
    *path, last = key.split(".")
    inner = changed
    for name in path:
        if inner.get(name) is None:
            inner[name] = {}
        if not isinstance(inner[name], dict):
            raise ConfigError(f"{name} is not a section")
        inner = inner[name]
    inner[last] = value
    return changed


def dump(settings: Mapping[str, Any]) -> str:
    """Return settings as YAML text, which ``parse`` reads."""
    text: str = yaml.dump(
        dict(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Writes YAML for ``_Loader``."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_list(list(value)))


def _copied(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _copied(value) if isinstance(value, Mapping) else value
        for name, value in settings.items()
    }


def _parse_value(text: str) -> Any:
    if len(text) > LARGEST:
        raise ConfigError(f"settings have more than {LARGEST:,} characters")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{line}{error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not YAML: {error}".splitlines()[0]) from None
