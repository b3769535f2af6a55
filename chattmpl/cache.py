"""Compiled templates and parsed facts, kept between runs of the command line, which would spend its time on them.

Off unless `enable` is called. An entry is what Python's own ``.pyc`` files are, marshalled code and data, and is
trusted as they are: it lies in the user's cache folder under the hash of everything that it was made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

_folder: Path | None = None


def enable(folder: Path | None = None) -> None:
    """Keep entries in this folder; by default in ``chattmpl`` in the user's cache folder.

    The environment variable ``CHATTMPL_CACHE`` names another folder, or turns the cache off where it is empty.
    """
    global _folder
    named = os.environ.get("CHATTMPL_CACHE")
    if folder is None and named is None:
        with contextlib.suppress(RuntimeError):  # a user without a home
            home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            folder = Path(home) / "chattmpl"
    _folder = folder or (Path(named) if named else None)


def load(*made_from: str) -> Any:
    """What was stored for this, or None."""
    if _folder is None:
        return None
    try:
        return marshal.loads((_folder / _name(made_from)).read_bytes())
    except (OSError, ValueError, EOFError, TypeError):
        return None


def store(value: Any, *made_from: str) -> None:
    """Keep a value. Where `marshal` cannot write it, or the folder cannot be written to, it is made anew next time."""
    if _folder is None:
        return
    path = _folder / _name(made_from)
    with contextlib.suppress(OSError, ValueError):
        _folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Other processes may be writing the same entry.
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(marshal.dumps(value))
        temporary.replace(path)


@lru_cache
def _compiler() -> int:
    """Return when the compiler last changed, in nanoseconds: it may generate other code from the same source since."""
    root = Path(__file__).parent
    files = (file for name in ("compiler", "provenance", "syntax") for file in (root / name).glob("*.py"))
    return max(file.stat().st_mtime_ns for file in files)


def _name(made_from: tuple[str, ...]) -> str:
    versions = (str(_compiler()), sys.implementation.cache_tag or sys.version)
    digest = hashlib.sha256("\0".join((*versions, *made_from)).encode("utf-8", "surrogatepass"))
    return f"{digest.hexdigest()}.bin"
