"""Reduction of a repair to the tags that make a difference."""

import difflib
import re
from collections.abc import Iterator, Sequence

from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case
from chattmpl.rewrite.result import with_source
from chattmpl.template.template import Template

_PIECE = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|\n|[^{\n]+|\{", re.DOTALL)
"""A tag, an output, a comment, or text between them."""

_GROUP_SIZES = (1, 2, 3, 4)
"""Numbers of neighbouring changes that are reverted together: a tag, its end tag, and white space next to them."""

_MAX_TRIES = 40
"""Largest number of reverts that are tried; each is expensive to check."""


def minimized(given: Template, source: str, cases: list[Case]) -> str:
    """Return a repaired source with those changes reverted that make no difference to any text or mask."""

    def results(source: str) -> Iterator[tuple[str, tuple[tuple[int, int], ...]] | None]:
        template = with_source(given, source)
        for case in cases:
            try:
                rendering = Case(template, case.conversation, case.kwargs).rendering
            except ChatTmplError:
                yield None
            else:
                yield rendering.text, rendering.generated

    wanted = list(results(source))

    def is_equivalent(candidate: str) -> bool:
        try:
            return all(got == want for got, want in zip(results(candidate), wanted, strict=True))
        except ChatTmplError:
            return False

    old, new = _PIECE.findall(given.source), _PIECE.findall(source)
    changes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    different = [index for index, change in enumerate(changes) if change[0] != "equal"]
    reverted: set[int] = set()
    tries = 0
    for size in _GROUP_SIZES:
        for at in range(len(different) - size + 1):
            tried = reverted | set(different[at : at + size])
            tries += 1
            if tried != reverted and tries <= _MAX_TRIES and is_equivalent(_merged(old, new, changes, tried)):
                reverted = tried
    return _merged(old, new, changes, reverted)


def _merged(old: list[str], new: list[str], changes: Sequence[tuple[str, int, int, int, int]], kept: set[int]) -> str:
    pieces = [old[a:b] if index in kept else new[c:d] for index, (_, a, b, c, d) in enumerate(changes)]
    return "".join(piece for group in pieces for piece in group)
