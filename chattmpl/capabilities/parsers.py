"""Which parsers of serving engines read what a template's model writes, told by the format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from chattmpl.capabilities.conversations import ASK, SAY, TRACES, calling, thinking
from chattmpl.capabilities.formats import CALLS, REASONING, Format
from chattmpl.capabilities.prober import Prober
from chattmpl.capabilities.reasoning import Traces
from chattmpl.capabilities.tools import tools
from chattmpl.template.template import Rendering

ENGINES = ("vllm", "sglang")


def parsers(prober: Prober, traces: Traces, prompts: Iterable[str], *, unknown: bool) -> dict[str, Any]:
    """For each engine the names of the parsers, the first choice first.

    Args:
        prober: of the template.
        traces: how it renders reasoning.
        prompts: its generation prompts.
        unknown: nothing could be rendered, so that nothing is known.

    Returns:
        For each engine ``reasoning`` and ``tool``, None where none fits, and ``also`` with others that fit; under
        ``formats`` the formats that were recognised.
    """
    calls = _matching(CALLS, prober, _call_text(prober))
    reasoning = _matching(REASONING, prober, _reasoning_text(prober, traces, prompts), calls)
    found: dict[str, Any] = {}
    for engine in ENGINES:
        names = {kind: list(getattr(format, engine)) if format else [] for kind, format in _kinds(reasoning, calls)}
        found[engine] = {
            **{kind: (chosen[0] if chosen else None) for kind, chosen in names.items()},
            "also": {kind: chosen[1:] for kind, chosen in names.items()},
        }
    found["formats"] = {kind: format.name if format else None for kind, format in _kinds(reasoning, calls)}
    found["evaluated"] = not unknown
    return found


def _kinds(reasoning: Format | None, calls: Format | None) -> tuple[tuple[str, Format | None], ...]:
    return (("reasoning", reasoning), ("tool", calls))


def opens_reasoning(text: str) -> int:
    """Where in a generation prompt reasoning begins or is closed; its length if it does not."""
    starts = (match.start() for format in REASONING if (match := re.search(format.pattern, text)))
    return min(starts, default=len(text))


def _matching(formats: Iterable[Format], prober: Prober, text: str, calls: Format | None = None) -> Format | None:
    for format in formats:
        if format.kwarg is not None and format.kwarg not in prober.subject.variables:
            continue
        if format.calls is not None and (calls is None or format.calls != calls.name):
            continue
        if re.search(format.pattern, text):
            return format
    return None


def _call_text(prober: Prober) -> str:
    """A turn with a call and one without; where calls are not rendered, what the model is told of them."""
    form, made = prober.call_form
    answer = _turn(prober.text([ASK, SAY]))
    if form is not None and isinstance(made, Rendering):
        return f"{_turn(made.text)}\n{answer}"
    if tools(prober).value:
        told = prober.text([ASK], tools=True)
        return "" if told is None else re.sub(r'"name": <[\w-]+>', '"name": "name"', told)
    return ""


def _reasoning_text(prober: Prober, traces: Traces, prompts: Iterable[str]) -> str:
    turns = [_turn(text) for text in traces.texts]
    if not traces.texts and traces.cut_from_content:
        turns.append("<think></think>")
    call = prober.text(
        [ASK, thinking(calling(**prober.call_options), TRACES[0])],
        tools=True,
        template=traces.template,
        kwargs=traces.kwargs,
    )
    if call is not None and TRACES[0] in call:
        turns.append(_turn(call))
    return "\n".join([*turns, *prompts, _turn(prober.text([ASK, SAY]))])


def _turn(text: str | None) -> str:
    return "" if text is None else text.rpartition(ASK["content"])[2]
