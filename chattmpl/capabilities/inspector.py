"""Inspecting a template: every capability, probed in the order in which one finding needs another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chattmpl.capabilities import frames, reasoning, roles, training
from chattmpl.capabilities import tools as tooling
from chattmpl.capabilities.answer import Answer, raised, shortened
from chattmpl.capabilities.modes import find_modes
from chattmpl.capabilities.parsers import ENGINES, opens_reasoning, parsers
from chattmpl.capabilities.prober import Prober
from chattmpl.capabilities.record import ANSWERS, Capabilities
from chattmpl.errors import ChatTmplError
from chattmpl.template.family import TEMPLATE_FILE
from chattmpl.template.resolver import Found

_GENERIC = ("chat_template", "tokenizer_config", "template")


def inspect_template(found: Found) -> Capabilities:
    """What a template can do, found by rendering.

    Args:
        found: the template; see `chattmpl.lint.inputs.find_inputs`.
    """
    made = Capabilities(_name(found), found.source.name, found.family.name if found.family else None)
    try:
        prober = Prober(found)
        _inspect(prober, made)
    except ChatTmplError as error:
        return _failed(made, raised(error))
    except Exception as error:
        # One template of many must not take the others with it.
        what = shortened(" ".join(str(error).split()), 200)
        return _failed(made, f"a bug in chattmpl, please report it: {type(error).__name__}: {what}")
    if prober.base is not None:
        why = f"not even a question is rendered: {raised(prober.base)}"
        made.answers = {
            name: Answer("unknown", why, answer.facts) if answer.state == "unknown" or name != "mask" else answer
            for name, answer in made.answers.items()
        }
        made.why = why
        made.also_not_evaluated = [("parsers", why), ("modes", why), ("bos", why)]
    return made


def _failed(made: Capabilities, why: str) -> Capabilities:
    """The record of a template of which nothing is known."""
    nothing = {"reasoning": None, "tool": None}
    found: dict[str, Any] = {engine: {**nothing, "also": {"reasoning": [], "tool": []}} for engine in ENGINES}
    return Capabilities(
        made.name,
        made.file,
        made.family,
        error=why,
        answers={name: Answer("unknown", why) for name in ANSWERS},
        parsers={**found, "formats": nothing, "evaluated": False},
        also_not_evaluated=[("parsers", why), ("modes", why), ("bos", why)],
    )


def _inspect(prober: Prober, made: Capabilities) -> None:
    made.needs = prober.needs
    modes = find_modes(prober)
    settings = [setting for mode in modes for setting in mode.settings]
    made.modes = {mode.name: mode.to_dict() for mode in modes}
    made.generation_prompt = frames.generation_prompt(prober)
    made.generation_prompts = frames.generation_prompts(prober, modes)
    if made.generation_prompt is not None:
        made.prefill = made.generation_prompt[opens_reasoning(made.generation_prompt) :] or None
    prompts = [prompt for prompt in (made.generation_prompt, *made.generation_prompts.values()) if prompt]
    made.stop_tokens = frames.stop_tokens(prober, modes)
    made.bos = frames.bos(prober)
    traces = reasoning.find_traces(prober, settings)
    made.answers = {
        "system": roles.system(prober),
        "developer": roles.developer(prober),
        "tools": tooling.tools(prober),
        "tool_calls": tooling.tool_calls(prober),
        "parallel_tool_calls": tooling.parallel_tool_calls(prober),
        "tool_results": tooling.tool_results(prober),
        "reasoning": reasoning.reasoning(prober, traces),
        "documents": roles.documents(prober),
        "multimodal": roles.multimodal(prober),
        "late_system": roles.late_system(prober),
        "alternation": roles.alternation(prober),
        "retention": reasoning.retention(prober, traces, prompts),
        "prefix_preserving": training.prefix(prober, traces),
        "mask": training.mask(prober, traces, made.stop_tokens or ()),
    }
    made.also_not_evaluated = training.unseen(made.answers["prefix_preserving"])
    made.parsers = parsers(prober, traces, prompts, unknown=prober.base is not None)


def _name(found: Found) -> str:
    """A name that is short enough for the head of a column."""
    if found.family is not None:
        return found.family.name
    place, _, variant = found.source.name.partition(":")
    path = Path(place)
    name = path.parent.name if path.stem in _GENERIC or path.name == TEMPLATE_FILE else path.stem
    inside = variant.partition("[")[2].rstrip("]")
    return f"{name or path.stem}[{inside}]" if inside and inside != "default" else name or path.stem
