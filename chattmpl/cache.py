"""On-disk cache of compiled templates and parsed family facts between runs of the command line.

It is off unless `enable` is called. Like Python's ``.pyc`` files, an entry is marshalled code and data, and is trusted
as they are: it is stored in the user's cache directory under a hash of all its inputs.
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
    """Store entries in this folder; by default in ``chattmpl`` in the user's cache directory.

    The environment variable ``CHATTMPL_CACHE`` names another folder; if it is empty, the cache stays off.
    """
    global _folder
    named = os.environ.get("CHATTMPL_CACHE")
    if folder is None and named is None:
        with contextlib.suppress(RuntimeError):  # the user has no home directory
            home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            folder = Path(home) / "chattmpl"
    _folder = folder or (Path(named) if named else None)


def load(*inputs: str) -> Any:
    """Return the value stored for these inputs, or None."""
    if _folder is None:
        return None
    try:
        return marshal.loads((_folder / _name(inputs)).read_bytes())
    except (OSError, ValueError, EOFError, TypeError):
        return None


def store(value: Any, *inputs: str) -> None:
    """Store a value for these inputs; do nothing if `marshal` or the file system cannot write it."""
    if _folder is None:
        return
    path = _folder / _name(inputs)
    with contextlib.suppress(OSError, ValueError):
        _folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Other processes may write the same entry, so it is replaced atomically.
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(marshal.dumps(value))
        temporary.replace(path)


@lru_cache
def _compiler_version() -> int:
    """Return the modification time of the compiler in nanoseconds, since other code may be generated after a change."""
    root = Path(__file__).parent
    files = (file for name in ("compiler", "provenance", "syntax") for file in (root / name).glob("*.py"))
    return max(file.stat().st_mtime_ns for file in files)


def _name(inputs: tuple[str, ...]) -> str:
    versions = (str(_compiler_version()), sys.implementation.cache_tag or sys.version)
    digest = hashlib.sha256("\0".join((*versions, *inputs)).encode("utf-8", "surrogatepass"))
    return f"{digest.hexdigest()}.bin"
