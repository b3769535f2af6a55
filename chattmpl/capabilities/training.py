"""What training relies on: that history stays when messages are appended, and what the mask covers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chattmpl.capabilities.answer import Answer, refuses
from chattmpl.capabilities.conversations import (
    ASK,
    ASK_MORE,
    SAY,
    SAY_MORE,
    SYSTEM,
    TRACES,
    TUSKS,
    Message,
    calling,
    result,
    thinking,
)
from chattmpl.capabilities.prober import Prober
from chattmpl.capabilities.reasoning import Traces, carry
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case, evaluate, laws
from chattmpl.laws.outcome import Counterexample, Holds, NotEvaluated
from chattmpl.lint.probe import common_length
from chattmpl.template.template import Rendering

MASK_LAWS = ("sampled", "stop", "pure")


def _kinds(prober: Prober, traces: Traces) -> dict[str, tuple[list[Message], bool]]:
    """For each kind of message, a conversation that ends with it, and whether it has tools."""
    call, options = calling(**prober.call_options), prober.call_options
    carrier = traces.carrier or "field"
    traced = carry(carrier, SAY, TRACES[0])
    call_traced = thinking(call, TRACES[0])
    loop: list[Message] = [ASK, call, result()]
    kinds: dict[str, tuple[list[Message], bool]] = {
        "an answer": ([ASK, SAY], False),
        "a question": ([ASK, SAY, ASK_MORE], False),
        "an answer after an earlier one": ([ASK, SAY, ASK_MORE, SAY_MORE], False),
        "a system message in the middle": ([ASK, SAY, SYSTEM], False),
        "a call": ([ASK, call], True),
        "a result": (loop, True),
        "a second result": ([ASK, calling(TUSKS, **options), result(), result(1)], True),
        "a second call": ([*loop, calling(TUSKS[1:], **options)], True),
        "an answer after a result": ([*loop, SAY], True),
        "a question after a tool loop": ([*loop, SAY, ASK_MORE], True),
        "a question after a result": ([*loop, ASK_MORE], True),
    }
    if traces.carrier is not None:
        kinds |= {
            "an answer with reasoning": ([ASK, traced], False),
            "a question after reasoning": ([ASK, traced, ASK_MORE], False),
        }
    if traces.carrier == "field":
        kinds |= {
            "an answer after a call with reasoning": ([ASK, call_traced, result(), SAY], True),
            "a question after a tool loop with reasoning": ([ASK, call_traced, result(), SAY, ASK_MORE], True),
        }
    return kinds


def prefix(prober: Prober, traces: Traces) -> Answer:
    """Whether a text stays as it is when a message is appended, for every kind of message (law ``prefix``)."""
    broken: list[dict[str, str]] = []
    refused: list[str] = []
    unknown: list[str] = []
    seen = 0
    for kind, (messages, tools) in _kinds(prober, traces).items():
        shorter = prober.render(messages[:-1], tools=tools, kwargs=traces.kwargs)
        longer = prober.render(messages, tools=tools, kwargs=traces.kwargs)
        if isinstance(shorter, ChatTmplError) or isinstance(longer, ChatTmplError):
            errors = [made for made in (shorter, longer) if isinstance(made, ChatTmplError)]
            (refused if refuses(errors[0]) else unknown).append(kind)
            continue
        seen += 1
        if not longer.text.startswith(shorter.text):
            at = common_length(shorter.text, longer.text)
            broken.append({"appended": kind, "was": shorter.text[at : at + 60], "becomes": longer.text[at : at + 60]})
    facts = {"exceptions": broken, "refused": refused, "not_evaluated": unknown}
    if not seen:
        return Answer("unknown", "", facts)
    if not broken:
        return Answer("yes", "", facts)
    if len(broken) < seen:
        return Answer("partly", f"but for {_several(broken)}", facts)
    return Answer("no", f"broken by {_several(broken)}", facts)


def _several(broken: list[dict[str, str]]) -> str:
    names = [item["appended"] for item in broken]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def mask(prober: Prober, traces: Traces, stops: Iterable[str]) -> Answer:
    """What generation tags cover: the answer, the reasoning, the calls, the stop token; and what they should not."""
    if not prober.subject.generation:
        return Answer("no", "no generation tags", {"tags": False})
    found: dict[str, Any] = {"tags": True}
    call = calling(**prober.call_options)
    turns: dict[str, tuple[list[Message], bool, str | None]] = {
        "content": ([ASK, SAY], False, SAY["content"]),
        "reasoning": ([ASK, carry(traces.carrier or "field", SAY, TRACES[0])], False, TRACES[0]),
        "tool_calls": ([ASK, call], True, TUSKS[0]),
    }
    spelt = tuple(token for token in stops if not token.startswith("{")) or None
    for name, (messages, tools, word) in turns.items():
        made = prober.render(messages, tools=tools, kwargs=traces.kwargs if name == "reasoning" else None)
        found[name] = _covered(made, word) if isinstance(made, Rendering) else None
    found |= _edges(prober, spelt)
    found["laws"] = _laws(prober, traces)
    missing = [
        name.replace("_", " ") for name in ("content", "reasoning", "tool_calls", "stop_token") if found[name] is False
    ]
    extra = [name.replace("_", " ") for name in ("header", "after_stop", "input") if found[name]]
    if not found["content"]:
        return Answer("no" if found["content"] is False else "unknown", "answers are not covered", found)
    notes = [f"not the {', '.join(missing)}"] if missing else []
    notes += [f"also the {', '.join(extra)}"] if extra else []
    return Answer("partly" if notes else "yes", "; ".join(notes), found)


def _covered(made: Rendering, word: str | None) -> bool | None:
    """Whether all characters of a word are generated; None where it is not rendered."""
    at = made.text.rfind(word or "")
    if not word or at < 0:
        return None
    spans = [span for span in made.spans if span.start < at + len(word) and span.end > at]
    return all(span.generated for span in spans)


def _edges(prober: Prober, spelt: tuple[str, ...] | None) -> dict[str, bool | None]:
    """How the generated range of one answer lies: against its prompt, and its stop token."""
    found: dict[str, bool | None] = {"stop_token": None, "header": None, "after_stop": None, "input": None}
    made, prompt = prober.render([ASK, SAY]), prober.render([ASK], prompt=True)
    if not isinstance(made, Rendering):
        return found
    spans = [span for span in made.spans if span.generated]
    question = made.text.find(ASK["content"])
    found["input"] = any(span.start <= question < span.end for span in spans)
    spans = [span for span in spans if span.start > question]
    if not spans:
        return found
    start, end = spans[0].start, spans[-1].end
    if isinstance(prompt, Rendering):
        found["header"] = common_length(prompt.text, made.text) > start
    tokens = spelt or tuple(token for name, token in prober.tokens.items() if name == "eos_token" and token)
    tail = (
        made.text[made.text.rindex(SAY["content"]) + len(SAY["content"]) : end] if SAY["content"] in made.text else ""
    )
    ends = [tail.rfind(token) + len(token) for token in tokens if token in tail]
    found["stop_token"] = bool(ends) if tokens else None
    found["after_stop"] = bool(tail[max(ends) :]) if ends else None
    return found


def _laws(prober: Prober, traces: Traces) -> dict[str, str]:
    """What the laws on masks say of two turns, and of a tool loop."""
    call = calling(**prober.call_options)
    traced = carry(traces.carrier, SAY, TRACES[0]) if traces.carrier else SAY
    cases = [
        {"messages": [ASK, traced, ASK_MORE, SAY_MORE]},
        {"messages": [ASK, call, result(), SAY]},
    ]
    found = {}
    known = laws()
    for name in MASK_LAWS:
        said = []
        for conversation in cases:
            case = Case(prober.template, conversation, traces.kwargs)
            outcome = evaluate(known[name], case)
            if isinstance(outcome, Counterexample):
                said.append(outcome.message)
            elif isinstance(outcome, NotEvaluated):
                said.append(f"not evaluated: {outcome.why}")
            elif isinstance(outcome, Holds):
                said.append("holds")
        wrong = [what for what in said if what != "holds"]
        found[name] = wrong[0] if wrong else said[0] if said else "does not apply"
    return found


def unseen(answer: Answer) -> list[tuple[str, str]]:
    """The kinds of messages for which `prefix` was not evaluated."""
    return [(f"prefix: {kind}", "the template raises on it") for kind in answer.facts.get("not_evaluated", ())]
