"""Flags of serving engines that choose the parsers of what a model writes."""

from __future__ import annotations

from typing import NamedTuple

from chattmpl.errors import UsageError
from chattmpl.parse.formats import SERVERS, find_formats
from chattmpl.probing.facts import facts_of
from chattmpl.template.template import Template


class ServerFlags(NamedTuple):
    """The flags, as text for a command line, and what no parser of the engine reads, one sentence each."""

    text: str
    warnings: tuple[str, ...]


def server_flags(template: Template, engine: str) -> ServerFlags:
    """Return the flags with which an engine reads reasoning and calls: ``vllm`` or ``sglang``.

    The parsers of a family are those in its ``family.toml``; others are chosen by the format of a rendering.

    Raises:
        UsageError: the template does not render a question, so its formats are not known.
    """
    facts = facts_of(template)
    if facts.refusal is not None:
        raise UsageError(f"{template.name} does not render a question: {facts.refusal.message}")
    declared = template.family.parsers.get(engine) if template.family else None
    formats = find_formats(facts)
    flags: list[str] = []
    warnings: list[str] = []
    for kind, format, own, rendered in (
        ("reasoning", formats.reasoning, declared and declared.reasoning, bool(facts.traces.texts)),
        ("tool-call", formats.calls, declared and declared.tool, facts.prober.call_form[0] is not None),
    ):
        names = [own] if own else list(getattr(format, engine)) if format else []
        if names:
            flags.append(f"--{kind}-parser {names[0]}")
            if kind == "tool-call" and engine == "vllm":
                flags.append("--enable-auto-tool-choice")
        elif rendered:
            what = "reasoning" if kind == "reasoning" else "tool calls"
            written = f" ({format.name})" if format else ""
            warnings.append(f"no parser of {SERVERS[engine]} reads the {what} of {template.name}{written}")
    return ServerFlags(" ".join(flags), tuple(warnings))
