"""The other engines, ready to render at the time of the references; a test is skipped where one is unavailable."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chattmpl.engine import HUGGINGFACE_JINJA, Engine, HuggingfaceJinja, Minijinja
from chattmpl.errors import UsageError
from support.cache import Unavailable, cached, give_up
from support.reference import CLOCK


def minijinja() -> Engine:
    """The minijinja engine with a stopped clock."""
    try:
        return Minijinja(CLOCK)
    except UsageError as error:
        give_up(Unavailable(str(error)))


def huggingface_jinja() -> Engine:
    """The @huggingface/jinja engine with a stopped clock, installed into the cache."""

    def fetch(folder: Path) -> None:
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), HUGGINGFACE_JINJA]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise Unavailable(done.stderr[-300:])

    if shutil.which("node") is None or shutil.which("npm") is None:
        give_up(Unavailable("node and npm are not on PATH"))
    version = HUGGINGFACE_JINJA.rpartition("@")[2]
    try:
        return HuggingfaceJinja(CLOCK, cached(f"huggingface-jinja-{version}", fetch))
    except Unavailable as error:
        give_up(error)


EACH = [
    pytest.param(minijinja, marks=pytest.mark.upstream),
    pytest.param(huggingface_jinja, marks=pytest.mark.node),
]
"""The parameters of a fixture that gives each engine in turn; see `opened`."""


def opened(make: Callable[[], Engine]) -> Iterator[Engine]:
    """An engine, closed after its use."""
    engine = make()
    yield engine
    engine.close()
