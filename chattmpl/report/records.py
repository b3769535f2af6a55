"""Renderings and encodings as JSON, one object a line."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chattmpl.encode import Encoding
    from chattmpl.template.rendering import Rendering

_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""What JSON allows raw in strings, but a terminal or a reader of lines may obey."""


def record(rendering: Rendering, encoding: Encoding | None = None) -> dict[str, Any]:
    """A rendering as JSON types: ``text``, ``spans``, ``generated``, ``lost``.

    With an encoding also ``input_ids``, ``assistant_masks``, ``straddles`` and ``escaped``.
    """
    made = rendering.to_dict()
    if encoding is not None:
        made["input_ids"] = encoding.input_ids
        made["assistant_masks"] = encoding.assistant_masks
        made["straddles"] = [asdict(straddle) for straddle in encoding.straddles]
        made["escaped"] = [asdict(escape) for escape in encoding.escaped]
    return made


def dumps(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that is safe to print, without a newline at its end."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
