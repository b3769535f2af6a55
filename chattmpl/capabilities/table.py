"""The table of `inspect`: facts about a template as answers with their evidence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from chattmpl.capabilities.answers import ANSWERS, Answer, Capabilities
from chattmpl.capabilities.mask import mask, prefix_preserving
from chattmpl.errors import ChatTmplError
from chattmpl.parse.formats import SERVERS, find_formats
from chattmpl.printable import shortened
from chattmpl.probing.facts import TemplateFacts
from chattmpl.probing.prober import PROBE_BUDGET, reason_of, refuses
from chattmpl.probing.reasoning import ObservedRetention, reasoning_start
from chattmpl.probing.roles import FirstMessage, PlacedMessage, SystemPlace
from chattmpl.template.family import TEMPLATE_FILE
from chattmpl.template.resolver import TemplateSource
from chattmpl.template.template import Template

_GENERIC = ("chat_template", "tokenizer_config", "template")


def inspect_template(found: TemplateSource) -> Capabilities:
    """Return the capabilities of a template that was found, also of one that cannot be compiled or probed."""
    made = Capabilities(_name(found), found.source.name, found.family.name if found.family else None)
    try:
        facts = TemplateFacts(Template(found, None, PROBE_BUDGET))
        _fill(facts, made)
    except ChatTmplError as error:
        return _failed(made, reason_of(error))
    except Exception as error:
        # One template of many must not take the others with it.
        what = shortened(" ".join(str(error).split()), 200)
        return _failed(made, f"a bug in chattmpl, please report it: {type(error).__name__}: {what}")
    if facts.refusal is not None:
        why = f"not even a question is rendered: {reason_of(facts.refusal)}"
        made.answers = {
            name: Answer("unknown", why, answer.facts) if answer.state == "unknown" or name != "mask" else answer
            for name, answer in made.answers.items()
        }
        made.why = why
        made.also_not_evaluated = [("parsers", why), ("modes", why), ("bos", why)]
    return made


def _failed(made: Capabilities, why: str) -> Capabilities:
    """Return the record of a template about which nothing is known."""
    nothing = {"reasoning": None, "tool": None}
    found: dict[str, Any] = {engine: {**nothing, "also": {"reasoning": [], "tool": []}} for engine in SERVERS}
    return Capabilities(
        made.name,
        made.file,
        made.family,
        error=why,
        answers={name: Answer("unknown", why) for name in ANSWERS},
        parsers={**found, "formats": nothing, "evaluated": False},
        also_not_evaluated=[("parsers", why), ("modes", why), ("bos", why)],
    )


def _fill(facts: TemplateFacts, made: Capabilities) -> None:
    made.needs = facts.needs
    made.modes = {name: mode.to_dict() for name, mode in facts.modes.items()}
    prompt = facts.generation_prompt
    if prompt is not None:
        made.generation_prompt = facts.with_variables(prompt)
        made.prefill = facts.with_variables(prompt[reasoning_start(prompt) :]) or None
    made.generation_prompts = {
        setting: facts.with_variables(other) for setting, other in facts.generation_prompts.items()
    }
    if facts.stop_tokens is not None:
        made.stop_tokens = [facts.with_variables(token) for token in facts.stop_tokens]
    made.bos = None if facts.bos is None else facts.with_variables(facts.bos)
    made.answers = {
        "system": _system(facts),
        "developer": _first_message(facts.developer, {}),
        "tools": _tools(facts),
        "tool_calls": _tool_calls(facts),
        "parallel_tool_calls": _parallel_tool_calls(facts),
        "tool_results": _tool_results(facts),
        "reasoning": _reasoning(facts),
        "documents": _documents(facts),
        "multimodal": _multimodal(facts),
        "late_system": _late_system(facts),
        "alternation": _alternation(facts),
        "retention": _retention(facts),
        "prefix_preserving": prefix_preserving(facts),
        "mask": mask(facts),
    }
    unseen = made.answers["prefix_preserving"].facts.get("not_evaluated", ())
    made.also_not_evaluated = [(f"prefix: {kind}", "the template raises on it") for kind in unseen]
    made.parsers = _parsers(facts)


def _name(found: TemplateSource) -> str:
    """Return a name that is short enough for the head of a column."""
    if found.family is not None:
        return found.family.name
    place, _, variant = found.source.name.partition(":")
    path = Path(place)
    name = path.parent.name if path.stem in _GENERIC or path.name == TEMPLATE_FILE else path.stem
    inside = variant.partition("[")[2].rstrip("]")
    return f"{name or path.stem}[{inside}]" if inside and inside != "default" else name or path.stem


# -- errors


def _from_error(error: ChatTmplError | None, facts: dict[str, Any] | None = None) -> Answer:
    """Return *no* where the template refuses a conversation; where it fails, the answer is not known."""
    assert error is not None
    if refuses(error):
        return Answer("no", f"refused: {reason_of(error)}", facts or {})
    return Answer("unknown", f"raises: {reason_of(error)}", facts or {})


def _fate(fate: str, error: ChatTmplError | None) -> str:
    """Return the fate of a message as its value in JSON."""
    return fate if error is None else f"raises: {reason_of(error)}"


# -- roles


def _system(facts: TemplateFacts) -> Answer:
    default, always = facts.fixed_text.default, facts.fixed_text.always
    details = {"default": default and shortened(default, 200), "always": always and shortened(always, 200)}
    return _first_message(facts.system, details)


def _first_message(found: FirstMessage, details: dict[str, Any]) -> Answer:
    if found.error is not None:
        return _from_error(found.error, {**details, "place": None})
    if found.fate == "dropped":
        return Answer("no", "dropped", {**details, "place": None})
    note = "merged into the question" if found.merged else "own turn"
    if details.get("default"):
        note += "; replaces a default"
    elif details.get("always"):
        note += "; next to fixed text"
    return Answer("yes", note, {**details, "place": "user" if found.merged else "own"})


_LATE_PLACES: dict[SystemPlace, str] = {
    "second": "after a leading system message",
    "adjacent": "directly after a leading system message",
    "with tools": "if there are tools",
    "last": "as the last message",
}


def _late_system(facts: TemplateFacts) -> Answer:
    places = dict(facts.late_system())
    only, second = places["only"], places["second"]
    if only.fate != "rendered":
        return _not_rendered(only)
    if second.fate != "rendered" and facts.system.fate == "rendered":
        return _not_rendered(second, "after a leading system message")
    moved = any(found.moved for found in places.values())
    notes = ["moved to the front" if only.moved else "rendered" if moved else "stays where it is"]
    for place, words in _LATE_PLACES.items():
        found = places[place]
        if found.fate != "rendered" and second.fate == "rendered":
            notes.append(_not_rendered(found, words).note)
        elif found.moved and not only.moved:
            notes.append(f"moved to the front {words}")
    return Answer("partly" if moved or len(notes) > 1 else "yes", "; ".join(notes))


def _not_rendered(found: PlacedMessage, where: str = "") -> Answer:
    if not isinstance(found.made, ChatTmplError):
        return Answer("no", f"dropped {where}".rstrip())
    answer = _from_error(found.made)
    verb, _, reason = answer.note.partition(": ")
    return Answer(answer.state, f"{verb} {where}".rstrip() + f": {reason}")


def _alternation(facts: TemplateFacts) -> Answer:
    if facts.refusal is not None:
        return Answer("unknown", f"raises: {reason_of(facts.refusal)}")
    found = {name: fate if refuses(error) else _fate(fate, error) for name, (fate, error) in facts.repeats.items()}
    details = {"two_in_a_row": found}
    fates = {name: fate for name, (fate, _) in facts.repeats.items()}
    if "refused" in fates.values():
        who = [name for name, fate in fates.items() if fate == "refused"]
        return Answer("yes", f"two of the {' or '.join(who)} in a row are refused", details)
    failed = [found[name] for name, fate in fates.items() if fate == "failed"]
    if failed:
        return Answer("unknown", failed[0], details)
    dropped = [name for name, fate in fates.items() if fate == "dropped"]
    if dropped:
        return Answer("partly", f"two of the {' or '.join(dropped)}: one dropped", details)
    return Answer("no", "", details)


def _documents(facts: TemplateFacts) -> Answer:
    found = facts.documents
    if found.error is not None:
        return _from_error(found.error)
    if found.fate == "dropped":
        return Answer("no", "dropped")
    return Answer("yes", "text and title" if found.titles else "text")


def _multimodal(facts: TemplateFacts) -> Answer:
    found = facts.parts
    texts = (
        "printed as data" if found.printed else "refused" if found.fate == "refused" else _fate(found.fate, found.error)
    )
    details = {"text_parts": texts, "media": found.media}
    joined = texts == "rendered"
    if found.media:
        kinds = ", ".join(f"{kind} {text!r}" for kind, text in found.media.items())
        return Answer("yes" if joined else "partly", shortened(kinds), details)
    return Answer("no", "text parts only" if joined else f"lists: {texts}", details)


# -- tools


def _tools(facts: TemplateFacts) -> Answer:
    found = facts.tool_definitions
    if found.error is not None:
        return _from_error(found.error)
    details = {"form": found.form, "place": found.place}
    if found.fate == "dropped":
        return Answer("no", "dropped", details)
    if found.beside_system_only:
        return Answer("partly", "only with a system message", details)
    if found.missing:
        return Answer("partly", f"without {' and '.join(found.missing)}", details)
    return Answer("yes", f"{found.form}, {found.place}", details)


def _tool_calls(facts: TemplateFacts) -> Answer:
    found = facts.tool_calls
    if found.error is not None:
        return _from_error(found.error)
    if found.fate == "dropped":
        if found.told_from_null:
            return Answer("unknown", "not next to text; the template tests for null content, which is absent here")
        return Answer("no", "dropped")
    assert found.arguments is not None
    arguments = {kind: _fate(*fate) for kind, fate in found.arguments.items()}
    beside = _fate(*found.content_beside)
    details: dict[str, Any] = {"arguments": arguments, "ids": found.ids, "content_beside": beside}
    if not found.named:
        return Answer("partly", "without the function's name", details)
    fine = [kind for kind, fate in arguments.items() if fate == "rendered"]
    notes = [f"arguments as {' or '.join(fine)}" if fine else "arguments escaped"]
    notes += ["ids kept"] if found.ids else []
    notes += ["content next to them dropped"] if beside == "dropped" else []
    return Answer("yes", "; ".join(notes), details)


def _parallel_tool_calls(facts: TemplateFacts) -> Answer:
    if facts.tool_calls.arguments is None:
        answer = _tool_calls(facts)
        return Answer(answer.state, "calls are dropped" if answer.state == "no" else answer.note)
    fate, error = facts.tool_calls.parallel
    if error is not None:
        return _from_error(error)
    return Answer("yes") if fate == "rendered" else Answer("no", "only the first is rendered")


def _tool_results(facts: TemplateFacts) -> Answer:
    found = facts.tool_results
    if found.error is not None:
        return _from_error(found.error)
    if found.fate == "dropped":
        return Answer("no", "dropped")
    several = _fate(*found.several)
    details = {"several": several, "ids": found.ids}
    if found.in_pieces:
        return Answer("partly", "in pieces", details)
    return Answer("yes", "" if several == "rendered" else f"several in a row: {several}", details)


def _parsers(facts: TemplateFacts) -> dict[str, Any]:
    """Return for each engine the names of the parsers that read what the model writes; see docs/how-to/inspect.md."""
    formats = find_formats(facts)
    kinds = {"reasoning": formats.reasoning, "tool": formats.calls}
    found: dict[str, Any] = {}
    for engine in SERVERS:
        names = {kind: list(getattr(format, engine)) if format else [] for kind, format in kinds.items()}
        found[engine] = {
            **{kind: (chosen[0] if chosen else None) for kind, chosen in names.items()},
            "also": {kind: chosen[1:] for kind, chosen in names.items()},
        }
    found["formats"] = {kind: format.name if format else None for kind, format in kinds.items()}
    found["evaluated"] = facts.refusal is None
    return found


# -- reasoning


def _reasoning(facts: TemplateFacts) -> Answer:
    traces = facts.traces
    details: dict[str, Any] = {
        "carrier": traces.carrier,
        "keys": facts.reasoning_keys if traces.carrier == "field" else [],
        "in_content": "cut" if traces.cut_from_content else "not treated",
        "needs": traces.kwargs,
    }
    if facts.refusal is not None:
        return Answer("unknown", "", details)
    if not traces.texts:
        if facts.answer_with_trace is not None:
            return Answer("unknown", f"raises: {reason_of(facts.answer_with_trace)}", details)
        if facts.traces_unseen:
            return Answer("unknown", "not in answers; turns with calls raise", details)
        return Answer("no", "cut out of the content" if traces.cut_from_content else "dropped", details)
    if traces.carrier == "content":
        return Answer("partly", "<think> in the content", details)
    note = ", ".join(details["keys"]) if traces.carrier == "field" else "a part of type thinking"
    if traces.kwargs:
        note += ", with " + ", ".join(f"{name}={value}" for name, value in traces.kwargs.items())
    if traces.template is not None:
        note += ", under another retention"
    return Answer("yes", note, details)


def _retention(facts: TemplateFacts) -> Answer:
    if facts.refusal is not None:
        return Answer("unknown")
    if facts.traces.carrier is None:
        if facts.traces_unseen:
            return Answer("unknown", "turns with calls raise", {"kept": {}})
        policy = "drops reasoning" if facts.prompts_reasoning else "no reasoning"
        return Answer("no", policy, {"kept": {}, "policy": policy})
    found = facts.retention
    if found is None:
        return Answer("unknown", "no conversation with several turns could be rendered", {"kept": {}})
    switched = {setting: other.policy for setting, other in facts.retention_by_kwarg.items()}
    details = {"kept": found.kept, "tool_loops": found.in_tool_loops, "policy": found.policy, "by_kwarg": switched}
    answer = _kept_traces(found, details)
    notes = [answer.note, *(f"{policy} with {setting}" for setting, policy in switched.items())]
    return replace(answer, note="; ".join(filter(None, notes)))


def _kept_traces(found: ObservedRetention, details: dict[str, Any]) -> Answer:
    if found.loop_policy is not None:
        return Answer("partly", f"{found.loop_policy} in tool loops, {found.plain_policy} without", details)
    if found.but_final:
        return Answer("partly", "the final answer drops its own trace", details)
    if found.but_open_loop:
        return Answer("partly", "an open tool loop keeps its own", details)
    if found.policy != "other":
        seen = found.in_tool_loops or found.policy in ("none", "all")
        return Answer("yes", "" if seen else "tool loops could not be rendered", details)
    shown = "; ".join(
        f"{name.replace('_', ' ')}: {', '.join(map(str, indices)) or 'none'}" for name, indices in found.kept.items()
    )
    return Answer("partly", f"keeps of messages 1, 3, 5, 7 {shown}" if found.in_tool_loops else shown, details)
