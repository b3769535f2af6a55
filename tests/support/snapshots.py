"""Snapshots: what the program said, kept in files that people read when they change.

``CHATTMPL_UPDATE_SNAPSHOTS=1 pytest`` writes them anew; look at the difference before you commit it.
"""

from __future__ import annotations

import os

from support import ROOT

FOLDER = ROOT / "tests" / "snapshots"
UPDATE = "CHATTMPL_UPDATE_SNAPSHOTS"


def matches_snapshot(name: str, text: str) -> None:
    """Fails where the text is not that of the file ``tests/snapshots/<name>``."""
    path = FOLDER / name
    if os.environ.get(UPDATE):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
    assert path.is_file(), f"there is no snapshot {name}: {UPDATE}=1 writes it"
    assert text == path.read_bytes().decode(), f"not as in {name}: {UPDATE}=1 writes it anew"
