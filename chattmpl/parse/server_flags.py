"""Parsers of serving engines that read what a model writes, and the flags that choose them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from chattmpl.errors import UsageError
from chattmpl.parse.formats import SERVERS, Format, assumes_trace, find_formats, outline
from chattmpl.parse.turn_derivation import derive
from chattmpl.parse.value_derivation import Underivable
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
        misread: the template kwargs with which a parser returns an answer as reasoning, by parser.
    """

    kind: Literal["reasoning", "tool-call"]
    names: tuple[str, ...]
    format: Format | None
    written: bool
    misread: Mapping[str, Mapping[str, Any]] = MappingProxyType({})

    @property
    def what(self) -> str:
        """The part of the turn in words."""
        return "reasoning" if self.kind == "reasoning" else "tool calls"

    def misread_answer(self, name: str) -> str:
        """Return a sentence about the answers that a parser returns as reasoning."""
        words = "".join(f" with {key}={json.dumps(value)}" for key, value in self.misread[name].items())
        return f"an answer{words} has no end of a trace, so {name} returns it as reasoning"


class ServerFlags(NamedTuple):
    """The flags, as text for a command line, and what no parser of the engine reads rightly, one sentence each."""

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
        names = list(dict.fromkeys([*([own] if own else []), *(getattr(format, engine) if format else ())]))
        misread = {} if format is None or kind != "reasoning" else _misread(facts, engine, names, format)
        names.sort(key=lambda name: (name != own, name in misread))
        yield ServerParsers(kind, tuple(names), format, written or bool(names), misread)


def _misread(facts: TemplateFacts, engine: str, names: Iterable[str], format: Format) -> dict[str, Mapping[str, Any]]:
    """Return the first template kwargs with which each parser returns an answer as reasoning."""
    assumed = {name: kwarg for name in names for assumes, kwarg in [assumes_trace(engine, name)] if assumes}
    if not assumed:
        return {}
    closes = format.outlines[0].partition("{reasoning}")[2]
    changing = (mode.changing("generation prompt") for mode in facts.modes.values() if mode.values)
    untraced = [setting for setting in ({}, *itertools.chain(*changing)) if _answers_without(facts, setting, closes)]
    found = {
        name: next((each for each in untraced if kwarg is None or each.get(kwarg) is not False), None)
        for name, kwarg in assumed.items()
    }
    return {name: setting for name, setting in found.items() if setting is not None}


def _answers_without(facts: TemplateFacts, setting: Mapping[str, Any], closes: str) -> bool:
    """Return whether a plain answer can follow the generation prompt without the end of a trace."""
    try:
        forms = derive(facts.under(setting))
    except Underivable:
        return False
    plain = ["".join(map(outline, form.parts)) for form in forms.forms if form.fields == {"content"}]
    return any(text.startswith(forms.supplied) and closes not in text[len(forms.supplied) :] for text in plain)


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
            if parsers.names[0] in parsers.misread:
                warnings.append(parsers.misread_answer(parsers.names[0]))
        elif parsers.written:
            written = f" ({parsers.format.name})" if parsers.format else ""
            warnings.append(f"no parser of {SERVERS[engine]} reads the {parsers.what} of {template.name}{written}")
    return ServerFlags(" ".join(flags), tuple(warnings))
