"""On-disk cache of compiled templates and parsed family facts between runs of the command line.

It is off unless `enable` is called. An entry is marshalled code and data, stored in the user's cache directory under a
hash of all its inputs and of the code that makes it. Loading one can run code, so an entry is read only if its file and
folder belong to the user and no one else can write to them.
"""

import contextlib
import hashlib
import marshal
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

_Made = TypeVar("_Made")

_MOST_ENTRIES = 2_000
_MOST_BYTES = 64 << 20
"""Limits of the folder, at which half of its entries are deleted."""

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


def is_enabled() -> bool:
    """Return true if entries are stored."""
    return _folder is not None


def load(*inputs: str) -> Any:
    """Return the value stored for these inputs, or None."""
    if _folder is None:
        return None
    name = _name(inputs)
    try:
        file = os.open(_folder / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(file, "rb") as entry:
            if not (_is_private(_folder.stat()) and _is_private(os.fstat(entry.fileno()))):
                return None
            stored_as, value = marshal.loads(entry.read())
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return value if stored_as == name else None


def store(value: Any, *inputs: str) -> None:
    """Store a value for these inputs; do nothing if `marshal` or the file system cannot write it."""
    if _folder is None:
        return
    name = _name(inputs)
    with contextlib.suppress(OSError, ValueError):
        _folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _evict(_folder)
        # Other processes may write the same entry, so it is replaced atomically.
        temporary = _folder / f"{name}.{os.getpid()}"
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as entry:
            entry.write(marshal.dumps((name, value)))
        temporary.replace(_folder / name)


def recall(make: Callable[[], _Made], *inputs: str | None, lasts: Callable[[], bool] = lambda: True) -> _Made:
    """Return the value stored for these inputs, or make it, and store it if it lasts and no input is None."""
    key = [each for each in inputs if each is not None]
    value: _Made | None = load(*key) if len(key) == len(inputs) else None
    if value is None:
        value = make()
        if len(key) == len(inputs) and lasts():
            store(value, *key)
    return value


@cache
def hash_of_code(*names: str) -> str:
    """Return a hash of the package's modules: those of these packages and root modules, or all without names.

    It is one of contents and not of times, so a corrected module never reads what its predecessor stored.
    """
    root = Path(__file__).parent
    paths = [root] if not names else [root / name for name in names]
    digest = hashlib.sha256(sys.version.encode())
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            digest.update(f"{file.relative_to(root)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _name(inputs: tuple[str, ...]) -> str:
    code = hash_of_code("compiler", "provenance", "syntax", "budget")
    digest = hashlib.sha256("\0".join((code, *inputs)).encode("utf-8", "surrogatepass"))
    return f"{digest.hexdigest()}.bin"


def _is_private(status: os.stat_result) -> bool:
    """Return whether a file or folder belongs to the user and no one else can write to it."""
    return not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)


def _evict(folder: Path) -> None:
    """Delete the oldest entries if there are too many, or they are too large."""
    with os.scandir(folder) as found:
        entries = [(entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in found if entry.is_file()]
    total = sum(size for _, size, _ in entries)
    if len(entries) < _MOST_ENTRIES and total < _MOST_BYTES:
        return
    for _, _, path in sorted(entries)[: len(entries) // 2 + 1]:
        with contextlib.suppress(OSError):
            Path(path).unlink()
