"""The tag that an engine had reached when it failed, found with probes: engines tell no line, or no column."""

from __future__ import annotations

import re
from collections.abc import Mapping

from chattmpl.compare.code import Code, Piece
from chattmpl.engines.drivers import Engine
from chattmpl.errors import RenderError
from chattmpl.syntax.edits import Edit, apply_edits

_PROBE = "chattmpl-probe-"
_MOST = 1 << 12
_COUNTER = "chattmpl_probe"
_NOT_BEFORE = frozenset({"elif", "else", "generation", "endgeneration", "raw", "endraw"})


def reached(engine: Engine, code: Code, source: str, context: Mapping[str, object], failure: str) -> Piece | None:
    """The tag that the engine was at; None where the probes change what happens.

    A probe before each tag counts, and raises at the number that it is told. The largest number at which a probe
    raises before the engine fails by itself belongs to the tag that it fails in.

    Args:
        engine: which fails.
        code: the source, read.
        source: the text of the template, the same as the code's.
        context: what it is rendered with.
        failure: what the engine says when it fails.
    """
    for macros in (True, False):
        probed = _probed(code, source, macros)
        if _error(engine, probed, context, _MOST) == failure:
            break
    else:
        return None
    low, high = 0, _MOST
    found = None
    while high - low > 1:
        middle = (low + high) // 2 if low * 2 > high or low > 64 else min(max(2 * low, 1), high - 1)
        if middle == low:
            middle += 1
        said = _error(engine, probed, context, middle)
        match = re.search(_PROBE + r"(\d+)", said or "")
        if match is None:
            high = middle
        else:
            low, found = middle, int(match[1])
    return None if found is None else code.pieces[found]


def _probed(code: Code, source: str, macros: bool) -> str:
    edits = []
    for index, piece in enumerate(code.pieces):
        outer = code.parents[piece.start]
        if piece.name in _NOT_BEFORE or any(block.name == "raw" for block in outer):
            continue
        if not macros and any(block.name == "macro" for block in outer):
            continue
        probe = (
            f"{{% set {_COUNTER}.n = {_COUNTER}.n + 1 %}}{{% if {_COUNTER}.n == {_COUNTER}_at %}}"
            f"{{{{ raise_exception('{_PROBE}{index}') }}}}{{% endif %}}"
        )
        edits.append(Edit(piece.start, piece.start, probe))
    return f"{{% set {_COUNTER} = namespace(n=0) %}}{apply_edits(source, edits).text}"


def _error(engine: Engine, source: str, context: Mapping[str, object], at: int) -> str | None:
    try:
        engine.render(source, {**context, f"{_COUNTER}_at": at})
    except RenderError as error:
        return without_line(error.complaint)
    return None


def without_line(message: str) -> str:
    """What an engine says, without the line, which probes do not change but other edits do."""
    return re.sub(r"\s*\(in [^)]*:\d+\)", "", message)
