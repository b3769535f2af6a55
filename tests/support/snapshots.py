"""Snapshots: output of the program in files under review.

``CHATTMPL_UPDATE_SNAPSHOTS=1 pytest`` rewrites them; review the difference before committing it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from chattmpl.errors import ChatTmplError
from support import ROOT

FOLDER = ROOT / "tests" / "snapshots"
UPDATE = "CHATTMPL_UPDATE_SNAPSHOTS"


def matches_snapshot(name: str, text: str) -> None:
    """Fail unless the text is that of the file ``tests/snapshots/<name>``."""
    path = FOLDER / name
    if os.environ.get(UPDATE):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
    assert path.is_file(), f"there is no snapshot {name}; {UPDATE}=1 writes it"
    assert text == path.read_bytes().decode(), f"differs from {name}; {UPDATE}=1 rewrites it"


def sections(texts: Iterable[tuple[str, str]]) -> str:
    """Return one text with a section per name, for a snapshot of many short texts."""
    return "\n".join(f"# {name}\n{text}\n" for name, text in texts)


def error_of(call: Callable[[], Any], kind: type[ChatTmplError] = ChatTmplError) -> ChatTmplError:
    """Return the error that a call raises, for tests that compare its whole text; fail if it raises none."""
    try:
        call()
    except kind as error:
        return error
    pytest.fail("no error was raised")
