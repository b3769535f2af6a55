"""Parsers of serving engines that read what a model writes, and the flags that choose them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from chattmpl.errors import UsageError
from chattmpl.parse.formats import SERVERS, Format, find_formats
from chattmpl.probing.facts import TemplateFacts, facts_of
from chattmpl.template.template import Template

FLAGS = {
    ("vllm", "reasoning"): "--reasoning-parser {}",
    ("vllm", "tool-call"): "--tool-call-parser {} --enable-auto-tool-choice",
    ("sglang", "reasoning"): "--reasoning-parser {}",
    ("sglang", "tool-call"): "--tool-call-parser {}",
}
"""The flags that choose a parser, by engine and kind."""


class ServerParsers(NamedTuple):
    """The parsers of an engine for one part of a turn.

    Attributes:
        kind: as in the engine's flags.
        names: the parsers that read it, the best one first.
        format: the format in which the template writes it; None if it has no name.
        written: whether the template writes it at all.
    """

    kind: Literal["reasoning", "tool-call"]
    names: tuple[str, ...]
    format: Format | None
    written: bool

    @property
    def what(self) -> str:
        """The part of the turn in words."""
        return "reasoning" if self.kind == "reasoning" else "tool calls"


class ServerFlags(NamedTuple):
    """The flags, as text for a command line, and what no parser of the engine reads, one sentence each."""

    text: str
    warnings: tuple[str, ...]


def server_parsers(facts: TemplateFacts, engine: str) -> Iterator[ServerParsers]:
    """Yield the parsers of an engine for reasoning and for calls: of ``vllm`` or ``sglang``.

    Those that a family declares in its ``family.toml`` come first, then those of the format of its forms.
    """
    family = facts.template.family
    declared = family.parsers.get(engine) if family else None
    formats = find_formats(facts)
    rows: tuple[tuple[Literal["reasoning", "tool-call"], Format | None, str | None, bool], ...] = (
        ("reasoning", formats.reasoning, declared.reasoning if declared else None, bool(facts.traces.texts)),
        ("tool-call", formats.calls, declared.tool if declared else None, facts.prober.call_form[0] is not None),
    )
    for kind, format, own, written in rows:
        names = dict.fromkeys([*([own] if own else []), *(getattr(format, engine) if format else ())])
        yield ServerParsers(kind, tuple(names), format, written or bool(names))


def server_flags(template: Template, engine: str) -> ServerFlags:
    """Return the flags with which an engine reads reasoning and calls: ``vllm`` or ``sglang``.

    Raises:
        UsageError: the template does not render a question, so its formats are not known.
    """
    facts = facts_of(template)
    if facts.refusal is not None:
        raise UsageError(f"{template.name} does not render a question: {facts.refusal.message}")
    flags: list[str] = []
    warnings: list[str] = []
    for parsers in server_parsers(facts, engine):
        if parsers.names:
            flags.append(FLAGS[engine, parsers.kind].format(parsers.names[0]))
        elif parsers.written:
            written = f" ({parsers.format.name})" if parsers.format else ""
            warnings.append(f"no parser of {SERVERS[engine]} reads the {parsers.what} of {template.name}{written}")
    return ServerFlags(" ".join(flags), tuple(warnings))
