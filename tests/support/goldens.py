"""Renderings of each family's upstream template as data: one file per family, one conversation per line.

Made with transformers 5.23, the clock frozen at `CLOCK`; a row has the ``text`` that upstream rendered, or the
``error`` that it raised.
"""

from __future__ import annotations

import datetime as dt
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from chattmpl import Rendering, Template

CLOCK = dt.datetime(2025, 7, 10, 12, 0)
FOLDER = Path(__file__).parent.parent / "goldens"

UPSTREAM_FAMILIES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


@lru_cache
def goldens(family: str) -> list[dict[str, Any]]:
    """The rows of a family."""
    # not `splitlines`, which also splits at U+2028
    return [json.loads(line) for line in (FOLDER / f"{family}.jsonl").read_text(encoding="utf-8").split("\n") if line]


def conversation_of(row: dict[str, Any]) -> dict[str, Any]:
    """The conversation of a row."""
    return {key: row[key] for key in ("messages", "tools", "documents") if row.get(key) is not None}


def kwargs_of(row: dict[str, Any]) -> dict[str, Any]:
    """The template kwargs of a row, special tokens included."""
    return {**row["tokens"], **row["kwargs"]}


def render_row(template: Template, row: dict[str, Any], **changes: Any) -> Rendering:
    """The row, rendered by ours; changes are to the conversation or to ``add_generation_prompt``."""
    given = {"add_generation_prompt": row["add_generation_prompt"], **changes}
    conversation = {**conversation_of(row), **{k: given.pop(k) for k in ("messages",) if k in given}}
    return template.render(conversation, clock=CLOCK, **given, **kwargs_of(row))
