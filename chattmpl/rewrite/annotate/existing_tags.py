"""Changes of a template that had tags already: what was right before stays as it was written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case
from chattmpl.rewrite.annotate.context import with_source
from chattmpl.template.template import Rendering, Template

_PIECE = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|\n|[^{\n]+|\{", re.DOTALL)
"""A tag, an output, a comment, or what stands between."""

_TOGETHER = (1, 2, 3, 4)
"""So many changes in a row are taken back together: a tag and its end, and white space beside them."""

_MOST = 40
"""So many of these are tried, for each takes a render of every case."""


def minimize_diff(before: Template, after: Template, cases: list[Case]) -> str:
    """The new source without the changes that make no difference to any mask.

    Args:
        before: with the tags that it had.
        after: with new ones.
        cases: what to render.
    """
    old, new = _PIECE.findall(before.source), _PIECE.findall(after.source)
    changes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    wanted = [_rendered(after, case) for case in cases]
    kept: set[int] = set()
    different = [index for index, change in enumerate(changes) if change[0] != "equal"]
    tries = 0
    for size in _TOGETHER:
        for at in range(len(different) - size + 1):
            tried = kept | set(different[at : at + size])
            tries += 1
            if tried != kept and tries <= _MOST and _same(before, _joined(old, new, changes, tried), cases, wanted):
                kept = tried
    return _joined(old, new, changes, kept)


def _joined(old: list[str], new: list[str], changes: Sequence[tuple[str, int, int, int, int]], kept: set[int]) -> str:
    pieces = [old[a:b] if index in kept else new[c:d] for index, (_, a, b, c, d) in enumerate(changes)]
    return "".join(line for piece in pieces for line in piece)


def _same(template: Template, source: str, cases: list[Case], wanted: list[Rendering | None]) -> bool:
    try:
        made = with_source(template, source)
    except ChatTmplError:
        return False
    for case, want in zip(cases, wanted, strict=True):
        got = _rendered(made, case)
        if (got is None) != (want is None):
            return False
        if got is not None and want is not None and (got.text, got.generated) != (want.text, want.generated):
            return False
    return True


def _rendered(template: Template, case: Case) -> Rendering | None:
    try:
        return Case(template, case.conversation, case.kwargs).rendering
    except ChatTmplError:
        return None
