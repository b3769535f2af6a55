"""Configuration files in YAML or TOML: their values, the place of each, and overrides from the command line."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.input_files import LARGEST_SETTINGS, parse_toml, read_config_text
from chattmpl.source import Place, Source

SUFFIXES = (".yaml", ".yml", ".toml")

Keys = tuple[str | int, ...]
"""Path of a value: keys of mappings and indices of items."""

_FLOAT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
"""Includes `1e-4`, which is a string in YAML 1.1."""


_DEEPEST = 64
_MOST_NODES = 100_000
_LONGEST_NUMBER = 100
"""Bounds of a YAML file: its depth, its values with aliases replaced, and the characters of a number or date."""


@dataclass
class ConfigFile:
    """The contents of a configuration file.

    Attributes:
        name: path of the file.
        places: the place of each value, where known.
        overrides: the values from the command line.
    """

    name: str
    values: dict[str, Any]
    places: dict[Keys, Place] = field(default_factory=dict)
    overrides: list[Keys] = field(default_factory=list)

    def place(self, keys: Iterable[Any]) -> Place | None:
        """Return the place of a value or of the innermost value around it; None if it is unknown."""
        wanted = path = tuple(keys)
        while path and path not in self.places:
            path = path[:-1]
        if not path:
            path = next((override for override in self.overrides if override[: len(wanted)] == wanted), ())
        return self.places.get(path)

    def from_command_line(self, *keys: str | int) -> bool:
        """Return true if a value came from the command line."""
        return any(keys[: len(override)] == override for override in self.overrides)


def read_config(
    path: Path,
    settings: Iterable[str] = (),
    *,
    usage: str = "chattmpl train CONFIG.yaml",
    example: str = "data: conversations.jsonl",
    package: str = "chattmpl[train]",
) -> ConfigFile:
    """Read a configuration file.

    Args:
        path: a .yaml, .yml or .toml file.
        settings: overrides as ``KEY.KEY=VALUE``; the value is parsed as YAML.
        usage: hint if there is no such file.
        example: an example of a file's contents, for a hint.
        package: the package to install for YAML.

    Raises:
        UsageError: it cannot be read, or its format is not that of its suffix.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} is not a configuration file", hint=f"the suffix must be {', '.join(SUFFIXES)}")
    if not path.exists():
        raise UsageError(f"cannot read {path}: no such file or directory", hint=usage)
    source = Source(read_config_text(path, limit=LARGEST_SETTINGS), str(path))
    read = _toml(source) if path.suffix.lower() == ".toml" else _yaml(source, example, package)
    for setting in settings:
        _set(read, setting)
    return read


# -- TOML


def _toml(source: Source) -> ConfigFile:
    try:
        values = parse_toml(source.text, source.name)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = Place.of_line(source, int(found[1])) if found else None
        raise UsageError(f"this is not TOML: {str(error).partition(' (at ')[0].lower()}", place=place) from None
    read = ConfigFile(source.name, values)
    _find_keys(source, read)
    return read


def _find_keys(source: Source, read: ConfigFile) -> None:
    """Find the places of keys in a TOML file by the lines that begin with them, since tomllib gives no places."""
    table: Keys = ()
    counts: Counter[Keys] = Counter()
    for number, line in enumerate(source.text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?([\w.\-\" ]+)\]\]?\s*(?:#.*)?$", line):
            table = tuple(part.strip().strip('"') for part in header[1].split("."))
            read.places.setdefault(table, Place.of_line(source, number))
            if line.lstrip().startswith("[["):
                counts[table] += 1
                table = (*table, counts[table] - 1)
                read.places.setdefault(table, Place.of_line(source, number))
        elif pair := re.match(r"\s*([\w.\-\"]+)\s*=", line):
            keys = (*table, *(part.strip('"') for part in pair[1].split(".")))
            start = source.line_offset(number) + pair.start(1)
            read.places.setdefault(keys, Place(source, start, start + len(pair[1])))


# -- YAML


def _yaml(source: Source, example: str, package: str) -> ConfigFile:
    yaml = _library(source.name, package)
    try:
        node, values = _load(yaml, source.text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = None if mark is None else Place(source, mark.index, mark.index + 1)
        reason = " ".join(filter(None, (error.context, error.problem)))
        raise UsageError(f"this is not YAML: {reason}", place=place) from None
    except yaml.YAMLError as error:
        raise UsageError(f"{source.name} is not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, TypeError, OverflowError) as error:  # of a date or number that Python does not have
        raise UsageError(f"{source.name} is not YAML: {error}", hint="put the value in quotes") from None
    values = {} if node is None else values
    if not isinstance(values, dict):
        raise UsageError(f"{source.name} is not a mapping", hint=f"as in '{example}'")
    read = ConfigFile(source.name, values)
    if node is not None:
        _find_nodes(source, node, (), read)
    return read


def _library(name: str, package: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise UsageError(f"{name} needs PyYAML", hint=f"pip install '{package}', or use TOML") from None
    return yaml


def _loader(yaml: Any) -> Any:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":float")]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    # After the resolver of integers.
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"{_FLOAT.pattern}$|[-+]?\\.inf$"), None)
    return Loader


def _load(yaml: Any, text: str) -> tuple[Any, Any]:
    """Return the node of a YAML text, None if it is empty, and its value.

    Raises:
        YAMLError: it is not YAML, or an alias or its depth would make it too large.
        ValueError, TypeError, OverflowError: it has a date or number that Python does not have.
    """
    loader = _loader(yaml)
    try:
        node = yaml.compose(text, Loader=loader)
        if node is None:
            return None, None
        _check_size(yaml, node)
        return node, loader("").construct_document(node)
    except RecursionError:
        raise yaml.YAMLError(f"it is nested more than {_DEEPEST} levels deep") from None


def _check_size(yaml: Any, node: Any) -> None:
    """Check that a node is small and shallow with each alias replaced by its value, and has no endless one."""
    stack = [(node, 0)]
    visited = 0
    while stack:
        current, depth = stack.pop()
        visited += 1
        problem = None
        if depth > _DEEPEST:
            problem = f"it is nested more than {_DEEPEST} levels deep, or contains itself"
        elif visited > _MOST_NODES:
            problem = f"it has more than {_MOST_NODES:,} values with its aliases replaced"
        elif current.id == "scalar":
            if len(current.value) > _LONGEST_NUMBER and not current.tag.endswith(("str", "binary")):
                problem = "a number is too long; put it in quotes"
        elif current.id == "sequence":
            stack += [(item, depth + 1) for item in current.value]
        else:
            stack += [(item, depth + 1) for pair in current.value for item in pair]
        if problem is not None:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=current.start_mark)


def _find_nodes(source: Source, node: Any, keys: Keys, read: ConfigFile) -> None:
    """Find the places of values: a value of a mapping is at its key."""
    if node.id == "sequence":
        for number, item in enumerate(node.value):
            read.places[*keys, number] = _place(source, item)
            _find_nodes(source, item, (*keys, number), read)
    elif node.id == "mapping":
        for key, value in node.value:
            path = (*keys, str(key.value))
            if path in read.places:
                raise UsageError(f"duplicate key {path[-1]}", place=_place(source, key), hint="keep one of the two")
            read.places[path] = _place(source, key)
            _find_nodes(source, value, path, read)


def _place(source: Source, node: Any) -> Place:
    start, end = node.start_mark.index, node.end_mark.index
    line_end = source.line_offset(node.start_mark.line + 1) + len(source.line_text(node.start_mark.line + 1))
    return Place(source, start, max(start + 1, min(end, line_end)))


# -- settings


def _set(read: ConfigFile, setting: str) -> None:
    """Set one value from the command line."""
    name, equals, text = setting.partition("=")
    keys = tuple(part.strip() for part in name.split("."))
    if not equals or not all(keys):
        raise UsageError(f"--set {setting}: not KEY=VALUE", hint="as in --set trainer.learning_rate=1e-4")
    target: dict[str, Any] = read.values
    for depth, key in enumerate(keys[:-1]):
        inner = target.get(key)
        if inner is None:
            inner = target[key] = {}
        if not isinstance(inner, dict):
            raise UsageError(f"--set {setting}: {'.'.join(keys[: depth + 1])} is not a mapping but {inner!r}")
        target = inner
    target[keys[-1]] = _value(text)
    source = Source(f"--set {setting}", "the command line")
    read.places[keys] = Place(source, len("--set "), len("--set ") + len(name))
    read.overrides.append(keys)


def _value(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        try:
            return parse_toml(f"value = {text}", "the value")["value"]
        except (tomllib.TOMLDecodeError, UsageError):
            return text
    try:
        return _load(yaml, text)[1]
    except (yaml.YAMLError, ValueError, TypeError, OverflowError):
        return text
