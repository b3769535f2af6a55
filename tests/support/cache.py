"""A folder outside the repository for what tests fetch from registries: fetched once, whole or not at all."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import filelock
import pytest

FETCH_SECONDS = 600
"""Longest that one fetch may take."""


class Unavailable(Exception):
    """Something that a test wants to compare with cannot be fetched here; the text says why."""


def cache_dir() -> Path:
    """The folder: ``$CHATTMPL_TEST_CACHE``, else ``chattmpl-tests`` in the user's cache folder."""
    if chosen := os.environ.get("CHATTMPL_TEST_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chattmpl-tests"


def cached(name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder ``name`` of the cache, made by ``fetch(folder)`` if it is not there.

    Processes that want the same folder wait for the first. A fetch that fails leaves nothing behind, so a folder that
    is there is whole.

    Raises:
        Unavailable: if ``fetch`` does, now or earlier in this process.
    """
    return _cached(cache_dir(), name, fetch)


def _cached(root: Path, name: str, fetch: Callable[[Path], None]) -> Path:
    folder = root / name
    if folder.is_dir():
        return folder
    if (reason := _failed().get(folder)) is not None:
        raise Unavailable(reason)
    root.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(root / f"{name}.lock"):
        if not folder.is_dir():
            half_made = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=root))
            try:
                fetch(half_made)
                half_made.rename(folder)
            except Unavailable as error:
                _failed()[folder] = str(error)
                raise
            finally:
                shutil.rmtree(half_made, ignore_errors=True)
    return folder


@functools.cache
def _failed() -> dict[Path, str]:
    """Return the fetches that failed in this process, with the reasons; none is tried twice."""
    return {}


def run(command: Sequence[str | Path], cwd: Path) -> None:
    """Runs a fetching command.

    Raises:
        Unavailable: if its program is missing, or it fails or takes too long, with the end of its output.
    """
    words = [str(word) for word in command]
    program = shutil.which(words[0])
    if program is None:
        raise Unavailable(f"{words[0]} is not installed")
    try:
        done = subprocess.run(
            [program, *words[1:]], cwd=cwd, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(words)} took more than {FETCH_SECONDS} seconds") from error
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(words)} failed: {(done.stderr or done.stdout).strip()[-400:]}")


def only_file(folder: Path, pattern: str) -> Path:
    """The one file of a folder that matches a glob pattern.

    Raises:
        Unavailable: if there is none, or more than one.
    """
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise Unavailable(f"expected one {pattern}, found {[path.name for path in found]}")
    return found[0]


def give_up(error: Unavailable) -> NoReturn:
    """Skips the test with the reason, or fails it where ``CHATTMPL_REQUIRE_UPSTREAM=1`` says that nothing may miss."""
    if os.environ.get("CHATTMPL_REQUIRE_UPSTREAM") == "1":
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))
