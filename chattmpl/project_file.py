"""The table ``[tool.chattmpl]`` of the nearest pyproject.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chattmpl.errors import UsageError, did_you_mean
from chattmpl.input_files import LARGEST_SETTINGS, parse_toml, read_config_text

FILE = "pyproject.toml"

TABLES = ("template", "families", "lint", "check")
"""The keys of ``[tool.chattmpl]``."""


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


def path_beside(path: Path, name: str) -> str:
    """Return a name in the file as a path if it is one that exists; otherwise, as for a family, unchanged."""
    return str(path.parent / name) if name and (path.parent / name).exists() else name


def strings(value: Any, key: str, path: Path, example: str) -> Sequence[str]:
    """Return a value of the file that must be a list of strings.

    Raises:
        UsageError: if it is none.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{path}: {key} must be a list of strings", hint=f"as in {key} = [{example}]")
    return value
