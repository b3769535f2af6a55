"""text-generation-inference's setting, emulated: neither trim_blocks nor lstrip_blocks, generation tags taken out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from chattmpl.compiler.budget import Budget
from chattmpl.compiler.program import compile_program
from chattmpl.compiler.retention import Retention
from chattmpl.compiler.sandbox import TemplateEnvironment
from chattmpl.engines.drivers import Clock, Engine, moment_of
from chattmpl.errors import ChatTmplError, RenderError
from chattmpl.source import Source
from chattmpl.syntax.lexer import normalize_newlines, tokens

_TAGS = ("{% generation %}", "{% endgeneration %}")
_ENDS = {"block_end": "%}", "comment_end": "#}", "raw_end": "%}"}
_BEGINS = {"block_begin": "{%", "comment_begin": "{#", "raw_begin": "{%"}


class Tgi(Engine):
    """Jinja2 with the white space that text-generation-inference leaves, and without its quirks.

    The sign ``+`` in a tag turns trim_blocks and lstrip_blocks off for it, so that the template runs in our own sandbox
    with a ``+`` in each tag that has no sign.
    """

    name = "tgi"

    def __init__(self, clock: Clock = None) -> None:
        self._clock = clock

    def render(self, source: str, context: Mapping[str, object]) -> str:
        """The text; see `Engine.render`."""
        for tag in _TAGS:
            source = source.replace(tag, "")
        if re.search(r"\{%[-+]?\s*(?:end)?generation\b", source):
            raise RenderError("tgi: unknown tag: generation")
        try:
            program = compile_program(Source(_signed(source), "tgi"), Retention("all"))
            return program.run(dict(context), lambda: moment_of(self._clock), Budget())[0]
        except ChatTmplError as error:
            raise RenderError(f"tgi: {error.message}") from error


def _signed(source: str) -> str:
    """The source with ``+`` in each tag that has no sign."""
    source = normalize_newlines(source)
    pieces: list[str] = []
    position = 0
    for offset, kind, value in tokens(TemplateEnvironment(), source):
        if kind in _BEGINS and not re.search(r"\{[%#][-+]", value):
            at = offset + value.index(_BEGINS[kind]) + 2
            pieces.append(source[position:at] + "+")
            position = at
        elif kind in _ENDS and not re.search(r"[-+][%#]\}", value):
            at = offset + value.index(_ENDS[kind])
            pieces.append(source[position:at] + "+")
            position = at
    return "".join(pieces) + source[position:]
