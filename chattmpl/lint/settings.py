"""Settings of ``[tool.chattmpl.lint]`` in pyproject.toml."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.lint.rule import Rule, chosen
from chattmpl.project_file import TABLES, known_keys, path_beside, project_table, strings, table

_KEYS = ("select", "ignore", "per-file-ignores", "paths", "baseline", "tokenizer")


@dataclass(frozen=True)
class LintSettings:
    """The settings of a project; options of the command line take precedence.

    Attributes:
        select, ignore: codes of rules, or prefixes of codes.
        baseline: path of a baseline.
        tokenizer: see `chattmpl.encode.load_tokenizer`.
        per_file: the codes to ignore, by pattern of paths.
        paths: the paths to lint if none are given.
        folder: the folder of the file, which patterns are relative to.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    baseline: str | None = None
    tokenizer: str | None = None
    per_file: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
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
    return LintSettings() if found is None else _read(*found)


def _read(path: Path, own: Mapping[str, Any]) -> LintSettings:
    known_keys(own, TABLES, "tool.chattmpl", path)
    section = table(own.get("lint", {}), "tool.chattmpl.lint", path)
    known_keys(section, _KEYS, "tool.chattmpl.lint", path)
    for key in ("baseline", "tokenizer"):
        if not isinstance(section.get(key, ""), str):
            raise UsageError(f"{path}: {key} must be a string", hint="a path")
    per_file = table(section.get("per-file-ignores", {}), "tool.chattmpl.lint.per-file-ignores", path)
    baseline, tokenizer = section.get("baseline"), section.get("tokenizer")
    return LintSettings(
        _codes(section.get("select", []), "select", path),
        _codes(section.get("ignore", []), "ignore", path),
        None if baseline is None else str(path.parent / baseline),
        tokenizer and path_beside(path, tokenizer),
        {pattern: _codes(codes, f'per-file-ignores."{pattern}"', path) for pattern, codes in per_file.items()},
        tuple(str(path.parent / item) for item in strings(section.get("paths", []), "paths", path, '"templates"')),
        path.parent,
    )


def _codes(value: Any, key: str, path: Path) -> tuple[str, ...]:
    codes = strings(value, key, path, '"CT403"')
    chosen(codes)  # raises for an unknown code before anything is linted
    return tuple(code.upper() for code in codes)
