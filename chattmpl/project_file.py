"""The table ``[tool.chattmpl]`` of the nearest pyproject.toml."""

from __future__ import annotations

import glob
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from chattmpl.errors import UsageError, did_you_mean
from chattmpl.input_files import LARGEST_SETTINGS, parse_toml, read_config_text

FILE = "pyproject.toml"

TABLES = ("template", "families", "lint", "check")
"""The keys of ``[tool.chattmpl]``."""


@dataclass(frozen=True)
class CommandSettings:
    """Settings of a command about templates in a project; options of the command line take precedence.

    Attributes:
        paths: the templates if none are given.
        baseline: path of a baseline.
        tokenizer: see `chattmpl.encode.load_tokenizer`.
    """

    paths: tuple[str, ...] = ()
    baseline: str | None = None
    tokenizer: str | None = None


SHARED_KEYS = tuple(each.name for each in fields(CommandSettings))


def project_table(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the nearest pyproject.toml and its table ``[tool.chattmpl]``; None if there is no such file.

    Raises:
        UsageError: if the file is not TOML.
    """
    path = next((parent / FILE for parent in (folder, *folder.parents) if (parent / FILE).is_file()), None)
    if path is None:
        return None
    try:
        given = parse_toml(read_config_text(path, limit=LARGEST_SETTINGS), path)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}", hint="correct it; [tool.chattmpl] is read from it") from None
    tools = table(given.get("tool", {}), "tool", path)
    return path, table(tools.get("chattmpl", {}), "tool.chattmpl", path)


def command_table(path: Path, own: Mapping[str, Any], name: str, keys: Sequence[str]) -> dict[str, Any]:
    """Return the table of a command, in which the values of `SHARED_KEYS` are those of `CommandSettings`.

    Raises:
        UsageError: if a key is not known, or a value of another type.
    """
    known_keys(own, TABLES, "tool.chattmpl", path)
    heading = f"tool.chattmpl.{name}"
    section = dict(table(own.get(name, {}), heading, path))
    known_keys(section, (*keys, *SHARED_KEYS), heading, path)
    for key in ("baseline", "tokenizer"):
        if not isinstance(section.get(key, ""), str):
            raise UsageError(f"{path}: {key} must be a string", hint="a path")
    if "baseline" in section:
        section["baseline"] = str(path.parent / section["baseline"])
    if "tokenizer" in section:
        section["tokenizer"] = _beside(path, section["tokenizer"])
    listed = strings(section.get("paths", []), "paths", path, '"templates"')
    return {**section, "paths": tuple(_beside(path, each) for each in listed)}


def table(value: Any, name: str, path: Path) -> dict[str, Any]:
    """Return a value of the file that must be a table.

    Raises:
        UsageError: if it is none.
    """
    if not isinstance(value, dict):
        raise UsageError(f"{path}: {name} must be a table", hint=f"write [{name}]")
    return value


def known_keys(given: Mapping[str, Any], keys: Sequence[str], name: str, path: Path) -> None:
    """Check that a table has no other keys; raise `UsageError` for the first one."""
    for key in given:
        if key not in keys:
            raise UsageError(
                f"{path}: [{name}] has no {key!r}", hint=did_you_mean(key, keys) or f"it has {', '.join(keys)}"
            )


def _beside(path: Path, name: str) -> str:
    """Return a name in the file as a path if it is a pattern or one that exists; else, as for a family, unchanged."""
    return str(path.parent / name) if name and (glob.has_magic(name) or (path.parent / name).exists()) else name


def strings(value: Any, key: str, path: Path, example: str) -> Sequence[str]:
    """Return a value of the file that must be a list of strings.

    Raises:
        UsageError: if it is none.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{path}: {key} must be a list of strings", hint=f"as in {key} = [{example}]")
    return value
