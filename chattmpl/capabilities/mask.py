"""The answers about training: prompts that stay prefixes, and the range of the mask."""

from typing import Any

from chattmpl.capabilities.answers import Answer
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case, evaluate, laws
from chattmpl.laws.outcome import Counterexample, Holds, NotEvaluated
from chattmpl.laws.prefix import Prefix
from chattmpl.printable import names
from chattmpl.probing.corpus import (
    ASK,
    ASK_MORE,
    SAY,
    SAY_MORE,
    SYSTEM,
    TRACES,
    TUSKS,
    Message,
    call_message,
    result_message,
    with_trace,
)
from chattmpl.probing.facts import TemplateFacts
from chattmpl.probing.prober import refuses
from chattmpl.source import common_length
from chattmpl.template.template import Rendering

_MASK_LAWS = ("sampled", "stop", "pure")
_SHOWN = 60
"""Number of characters to show from the first difference."""


# -- the law prefix


def _kinds(facts: TemplateFacts) -> dict[str, tuple[list[Message], bool]]:
    """Return conversations by the kind of the last message, which the model answers, and whether they have tools."""
    options, traces = facts.prober.call_options, facts.traces
    call, more_calls = call_message(**options), call_message(TUSKS, **options)
    loop: list[Message] = [ASK, call, result_message()]
    kinds: dict[str, tuple[list[Message], bool]] = {
        "a question": ([ASK, SAY, ASK_MORE], False),
        "a system message in the middle": ([ASK, SAY, SYSTEM], False),
        "a result": (loop, True),
        "a second result": ([ASK, more_calls, result_message(), result_message(1)], True),
        "a question after a tool loop": ([*loop, SAY, ASK_MORE], True),
        "a question after a result": ([*loop, ASK_MORE], True),
    }
    if traces.carrier is not None:
        kinds["a question after reasoning"] = ([ASK, with_trace(SAY, TRACES[0], traces.carrier), ASK_MORE], False)
    if traces.carrier == "field":
        traced = [ASK, with_trace(call, TRACES[0]), result_message(), SAY, ASK_MORE]
        kinds["a question after a tool loop with reasoning"] = (traced, True)
    return kinds


def prefix_preserving(facts: TemplateFacts) -> Answer:
    """Return whether each prompt begins with the turns before it as they were sampled, by the kind of message."""
    broken: list[dict[str, str]] = []
    refused: list[str] = []
    unknown: list[str] = []
    seen = 0
    law = Prefix()
    for kind, (messages, tools) in _kinds(facts).items():
        case = Case(facts.template, facts.prober.conversation_of(messages, tools=tools), facts.traces.kwargs)
        try:
            for count in range(1, len(messages) + 1):
                case.head(count)
            found = law.first_break(case)
        except ChatTmplError as error:
            (refused if refuses(error) else unknown).append(kind)
            continue
        seen += 1
        if found is not None:
            was, becomes = found.expected or "", found.got or ""
            at = common_length(was, becomes)
            broken.append({"appended": kind, "was": was[at : at + _SHOWN], "becomes": becomes[at : at + _SHOWN]})
    exceptions = names((item["appended"] for item in broken), 2)
    details = {"exceptions": broken, "refused": refused, "not_evaluated": unknown}
    if not seen:
        return Answer("unknown", "", details)
    if not broken:
        return Answer("yes", "", details)
    if len(broken) < seen:
        return Answer("partly", f"but for {exceptions}", details)
    return Answer("no", f"broken by {exceptions}", details)


# -- the mask


def mask(facts: TemplateFacts) -> Answer:
    """Return the parts of a conversation that generation tags cover, and those that they should not."""
    if not facts.template.program.has_generation:
        return Answer("no", "no generation tags", {"tags": False})
    prober, traces = facts.prober, facts.traces
    found: dict[str, Any] = {"tags": True}
    call = call_message(**prober.call_options)
    traced = with_trace(SAY, TRACES[0], traces.carrier or "field")
    found["content"] = _covered(prober.outcome([ASK, SAY]), SAY["content"])
    found["reasoning"] = _covered(prober.outcome([ASK, traced], kwargs=traces.kwargs), TRACES[0])
    found["tool_calls"] = _covered(prober.outcome([ASK, call], tools=True), TUSKS[0])
    found |= _edges(facts)
    found["laws"] = _laws(facts)
    missing = [
        name.replace("_", " ") for name in ("content", "reasoning", "tool_calls", "stop_token") if found[name] is False
    ]
    extra = [name.replace("_", " ") for name in ("header", "after_stop", "input") if found[name]]
    if not found["content"]:
        return Answer("no" if found["content"] is False else "unknown", "answers are not covered", found)
    notes = [f"not the {', '.join(missing)}"] if missing else []
    notes += [f"also the {', '.join(extra)}"] if extra else []
    return Answer("partly" if notes else "yes", "; ".join(notes), found)


def _covered(made: Rendering | ChatTmplError, word: str) -> bool | None:
    """Return whether all characters of a word are generated; None if it is not rendered."""
    if not isinstance(made, Rendering) or (at := made.text.rfind(word)) < 0:
        return None
    spans = [span for span in made.spans if span.start < at + len(word) and span.end > at]
    return all(span.generated for span in spans)


def _edges(facts: TemplateFacts) -> dict[str, bool | None]:
    """Return whether the generated range of an answer covers the stop token, the header, further text, the question."""
    prober = facts.prober
    found: dict[str, bool | None] = {"stop_token": None, "header": None, "after_stop": None, "input": None}
    made, prompt = prober.outcome([ASK, SAY]), prober.outcome([ASK], prompt=True)
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
    eos = facts.template.tokens.get("eos_token", "")
    tokens = facts.stop_tokens or ((eos,) if eos else ())
    after = made.text.rfind(SAY["content"]) + len(SAY["content"])
    tail = made.text[after:end] if SAY["content"] in made.text else ""
    ends = [tail.rfind(token) + len(token) for token in tokens if token in tail]
    found["stop_token"] = bool(ends) if tokens else None
    found["after_stop"] = bool(tail[max(ends) :]) if ends else None
    return found


def _laws(facts: TemplateFacts) -> dict[str, str]:
    """Return the outcome of the laws on masks, for two turns and for a tool loop."""
    traces = facts.traces
    traced = with_trace(SAY, TRACES[0], traces.carrier) if traces.carrier else SAY
    loop = [ASK, call_message(**facts.prober.call_options), result_message(), SAY]
    turns = [ASK, traced, ASK_MORE, SAY_MORE]
    cases = [Case(facts.template, {"messages": messages}, traces.kwargs) for messages in (turns, loop)]
    found = {}
    for name in _MASK_LAWS:
        outcomes = []
        for case in cases:
            outcome = evaluate(laws()[name], case)
            if isinstance(outcome, Counterexample):
                outcomes.append(outcome.message)
            elif isinstance(outcome, NotEvaluated):
                outcomes.append(f"not evaluated: {outcome.why}")
            elif isinstance(outcome, Holds):
                outcomes.append("holds")
        wrong = [words for words in outcomes if words != "holds"]
        found[name] = wrong[0] if wrong else outcomes[0] if outcomes else "does not apply"
    return found
