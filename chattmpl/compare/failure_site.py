"""Tag at which an engine failed, found with probes because engines report no line or no column."""

from __future__ import annotations

import re
from collections.abc import Mapping

from chattmpl.compare.code import Code, Piece, name_of
from chattmpl.engine import Engine
from chattmpl.errors import RenderError
from chattmpl.syntax.edits import apply_edits

_PROBE = "chattmpl-probe-"
_MOST = 1 << 12
_COUNTER = "chattmpl_probe"
_NOT_BEFORE = frozenset({"elif", "else", "generation", "endgeneration", "raw", "endraw"})


def reached(engine: Engine, code: Code, context: Mapping[str, object], failure: str) -> Piece | None:
    """Return the tag at which the engine fails; None if probes change the failure.

    A probe before each tag increments a counter and raises when it reaches a given number. Bisection finds the largest
    number at which a probe still raises before the engine fails by itself; its probe is the one before the failing tag.

    Args:
        engine: the engine that fails.
        code: the template.
        context: the variables that it is rendered with.
        failure: the engine's error.
    """
    for macros in (True, False):
        probed = _probed(code, macros)
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


def _probed(code: Code, macros: bool) -> str:
    edits = []
    for index, piece in enumerate(code.pieces):
        outer = code.parents[piece.start]
        if name_of(piece) in _NOT_BEFORE or (not macros and any(block.name == "macro" for block in outer)):
            continue
        probe = (
            f"{{% set {_COUNTER}.n = {_COUNTER}.n + 1 %}}{{% if {_COUNTER}.n == {_COUNTER}_at %}}"
            f"{{{{ raise_exception('{_PROBE}{index}') }}}}{{% endif %}}"
        )
        edits.append(piece.insert_before(probe))
    return f"{{% set {_COUNTER} = namespace(n=0) %}}{apply_edits(code.text, edits).text}"


def _error(engine: Engine, source: str, context: Mapping[str, object], at: int) -> str | None:
    try:
        engine.render(source, {**context, f"{_COUNTER}_at": at})
    except RenderError as error:
        return without_line(error.complaint)
    return None


def without_line(message: str) -> str:
    """Return an engine's error without its line number, which edits may change."""
    return re.sub(r"\s*\(in [^)]*:\d+\)", "", message)
