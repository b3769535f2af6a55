"""Which engines there are to compare with, and how the others are got."""

from __future__ import annotations

import importlib.metadata
import json
import os
from dataclasses import dataclass
from pathlib import Path

from chattmpl.compare.engine_differences import HUGGINGFACE, MINIJINJA, TGI
from chattmpl.engines.drivers import Clock, Engine, huggingface_jinja_engine, minijinja_engine
from chattmpl.engines.tgi import Tgi
from chattmpl.errors import UsageError, did_you_mean

NAMES = (MINIJINJA, HUGGINGFACE, TGI)
NODE_FOLDER = "CHATTMPL_NODE_DIR"
"""The environment variable that names the folder in which npm installed @huggingface/jinja."""

_PACKAGE = Path("node_modules") / "@huggingface" / "jinja"


@dataclass(frozen=True)
class Ready:
    """An engine that can be compared with; ``emulated`` says that it is not the engine itself that runs."""

    engine: Engine
    version: str | None = None
    emulated: bool = False


@dataclass(frozen=True)
class Missing:
    """An engine that is not here, why, and how it is got."""

    name: str
    why: str
    hint: str


def engines(names: tuple[str, ...] = (), *, clock: Clock = None) -> list[Ready | Missing]:
    """The engines of these names, or all, in the order in which they are listed.

    Raises:
        UsageError: for a name that no engine has, and for an engine that was named and is not here.
    """
    for name in names:
        if name not in NAMES:
            hint = did_you_mean(name, NAMES) or f"the engines are {', '.join(NAMES)}"
            raise UsageError(f"there is no engine {name!r}", hint=hint)
    found = [_engine(name, clock) for name in NAMES if not names or name in names]
    for item in found:
        if names and isinstance(item, Missing):
            raise UsageError(item.why, hint=item.hint)
    return found


def _engine(name: str, clock: Clock) -> Ready | Missing:
    if name == TGI:
        return Ready(Tgi(clock), emulated=True)
    try:
        if name == MINIJINJA:
            return Ready(minijinja_engine(clock=clock), importlib.metadata.version("minijinja"))
        folder = node_folder()
        engine = huggingface_jinja_engine(folder, clock=clock)
        return Ready(engine, str(json.loads((folder / _PACKAGE / "package.json").read_bytes())["version"]))
    except UsageError as error:
        hint = error.hint or ""
        if hint.startswith("npm"):
            hint += f" (or name in {NODE_FOLDER} the folder that has it in node_modules)"
        return Missing(name, error.message, hint)


def node_folder() -> Path:
    """Where @huggingface/jinja is looked for: the folder that is named, one from here up, else the user's cache."""
    named = os.environ.get(NODE_FOLDER)
    if named:
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / _PACKAGE).is_dir():
            return folder
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chattmpl" / "node"
