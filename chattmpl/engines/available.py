"""The table of engines that a template can be compared in, and how to install those that are missing."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chattmpl.engines.drivers import (
    HUGGINGFACE,
    MINIJINJA,
    TGI,
    Clock,
    Engine,
    EngineNotInstalled,
    Tgi,
    huggingface_jinja_engine,
    minijinja_engine,
)
from chattmpl.errors import UsageError, did_you_mean

NODE_FOLDER = "CHATTMPL_NODE_DIR"
"""Environment variable that names the folder in which npm installed @huggingface/jinja."""

_PACKAGE = Path("node_modules") / "@huggingface" / "jinja"


@dataclass(frozen=True)
class Ready:
    """An engine that can render; ``emulated`` if it is not the engine's own code that runs."""

    engine: Engine
    version: str | None = None
    emulated: bool = False


@dataclass(frozen=True)
class Missing:
    """An engine that is not installed, the reason, and how to install it."""

    name: str
    why: str
    hint: str


def engines(names: tuple[str, ...] = (), *, clock: Clock = None) -> list[Ready | Missing]:
    """Return the named engines, or all of them, in the order of the table.

    Raises:
        UsageError: for an unknown engine, and for a named engine that is not installed.
    """
    for name in names:
        if name not in ENGINES:
            hint = did_you_mean(name, ENGINES) or f"the engines are {', '.join(ENGINES)}"
            raise UsageError(f"unknown engine {name!r}", hint=hint)
    found: list[Ready | Missing] = []
    for name, start in ENGINES.items():
        if names and name not in names:
            continue
        try:
            found.append(start(clock))
        except UsageError as error:
            if names:
                raise
            found.append(Missing(name, error.message, error.hint or ""))
    return found


def node_folder() -> Path:
    """Return the folder in which to look for @huggingface/jinja.

    The first of: the folder that the environment variable names, the nearest folder upwards that has the package in
    node_modules, a folder in the user's cache.
    """
    named = os.environ.get(NODE_FOLDER)
    if named:
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / _PACKAGE).is_dir():
            return folder
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chattmpl" / "node"


def _minijinja(clock: Clock) -> Ready:
    return Ready(minijinja_engine(clock=clock), importlib.metadata.version("minijinja"))


def _huggingface(clock: Clock) -> Ready:
    folder = node_folder()
    try:
        engine = huggingface_jinja_engine(folder, clock=clock)
    except EngineNotInstalled as error:
        error.hint = f"{error.command} (or set {NODE_FOLDER} to the folder whose node_modules holds it)"
        raise
    return Ready(engine, str(json.loads((folder / _PACKAGE / "package.json").read_bytes())["version"]))


def _tgi(clock: Clock) -> Ready:
    return Ready(Tgi(clock), emulated=True)


ENGINES: dict[str, Callable[[Clock], Ready]] = {MINIJINJA: _minijinja, HUGGINGFACE: _huggingface, TGI: _tgi}
"""The engines by name, each with the function that starts it or raises a UsageError that says what is missing."""
