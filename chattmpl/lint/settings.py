"""Settings of ``[tool.chattmpl.lint]`` in pyproject.toml."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from chattmpl.lint.rule import Rule, chosen
from chattmpl.project_file import CommandSettings, command_table, project_table, strings, table

KEYS = ("select", "ignore", "per-file-ignores")


@dataclass(frozen=True)
class LintSettings(CommandSettings):
    """The settings of ``chattmpl lint`` in a project; see `CommandSettings`.

    Attributes:
        select, ignore: codes of rules, or prefixes of codes.
        per_file: the codes to ignore, by pattern of paths.
        folder: the folder of the file, which patterns are relative to.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    per_file: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folder: Path | None = None

    def chosen(self, select: list[str], ignore: list[str]) -> list[Rule]:
        """Return the rules of a selection, or of the settings, without those ignored by either."""
        return chosen(select or self.select, [*ignore, *self.ignore])

    def for_file(self, rules: Iterable[Rule], path: Path) -> list[Rule]:
        """Return the rules that are not ignored in a file."""
        absolute = path.absolute()
        folder = self.folder or Path.cwd()
        inside = absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else absolute.as_posix()
        codes = tuple(
            code
            for pattern, ignored in self.per_file.items()
            if fnmatch(inside, pattern) or fnmatch(absolute.name, pattern)
            for code in ignored
        )
        return [rule for rule in rules if not codes or not rule.code.startswith(codes)]


def read_settings(folder: Path) -> LintSettings:
    """Return the settings of the nearest pyproject.toml; raise `UsageError` if a setting is invalid."""
    found = project_table(folder)
    if found is None:
        return LintSettings()
    path, own = found
    values = command_table(path, own, "lint", KEYS)
    patterns = table(values.pop("per-file-ignores", {}), "tool.chattmpl.lint.per-file-ignores", path)
    per_file = {pattern: _codes(codes, f'per-file-ignores."{pattern}"', path) for pattern, codes in patterns.items()}
    codes = {key: _codes(values.get(key, []), key, path) for key in ("select", "ignore")}
    return LintSettings(**{**values, **codes}, per_file=per_file, folder=path.parent)


def _codes(value: Any, key: str, path: Path) -> tuple[str, ...]:
    codes = strings(value, key, path, '"CT403"')
    chosen(codes)  # raises for an unknown code before anything is linted
    return tuple(code.upper() for code in codes)
