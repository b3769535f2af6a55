"""What ``[tool.chattmpl.lint]`` in pyproject.toml says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chattmpl.errors import UsageError, did_you_mean
from chattmpl.lint.rule import Rule, chosen

FILE = "pyproject.toml"
_KEYS = ("select", "ignore", "baseline", "tokenizer")


@dataclass(frozen=True)
class Settings:
    """The settings of a project, which the command line's options go before.

    Attributes:
        select, ignore: codes of rules, or beginnings of them.
        baseline: path of a baseline.
        tokenizer: see `chattmpl.encode.load_tokenizer`.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    baseline: str | None = None
    tokenizer: str | None = None

    def chosen(self, select: list[str], ignore: list[str]) -> list[Rule]:
        """The rules: those that are selected here or else there, less those that are ignored here or there."""
        return chosen(select or self.select, [*ignore, *self.ignore])


def read_settings(folder: Path) -> Settings:
    """The settings of the nearest pyproject.toml.

    Raises:
        UsageError: if it holds something else than settings.
    """
    for parent in (folder, *folder.parents):
        path = parent / FILE
        if path.is_file():
            return _read(path)
    return Settings()


def _read(path: Path) -> Settings:
    import tomllib

    try:
        given = tomllib.loads(path.read_text(encoding="utf-8", errors="replace")).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}", hint="correct it; lint reads [tool.chattmpl.lint]") from None
    section: dict[str, Any] = given.get("chattmpl", {}).get("lint", {})
    for key in section:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or f"it has {', '.join(_KEYS)}"
            raise UsageError(f"{path}: [tool.chattmpl.lint] has no {key!r}", hint=hint)
    for key in ("select", "ignore"):
        codes = section.get(key, [])
        if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
            raise UsageError(f"{path}: {key} must be a list of codes", hint=f'as in {key} = ["CT403"]')
    for key in ("baseline", "tokenizer"):
        if not isinstance(section.get(key, ""), str):
            raise UsageError(f"{path}: {key} must be a string", hint="a path")
    baseline = section.get("baseline")
    return Settings(
        tuple(section.get("select", ())),
        tuple(section.get("ignore", ())),
        None if baseline is None else str(path.parent / baseline),
        section.get("tokenizer"),
    )
