"""Composition of forms: turns that a model writes after a prompt, of the parts that the template's own turns have.

A template often writes the last turn otherwise than the model does: it adds an empty trace, drops the trace, or writes
text after the calls. A model continues the prompt: a trace where the prompt opens one, or none where it closes one,
then text, then calls. What is read in such a form is rendered again, so only serving accepts it, with the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from chattmpl.parse.forms import Arguments, Calls, Form, JsonCall, Slot
from chattmpl.parse.harmony import harmony_forms, writes_harmony
from chattmpl.parse.values import MARKUP, TYPES, Members, Notation, Written
from chattmpl.template.special_tokens import CONTROL, TAG

Parts = tuple[str | Slot | Calls, ...]

_TRACE_TAG = re.compile(r"(<|\[|◁)/?((?:(?:\w+[:_])?(?:think|thinking|thought|reasoning)(?::\w+)?|THINK)[>\]▷])")
"""A tag around a trace, in the literals of a template."""

_CHANNELS = (("<|channel>thought\n", "<channel|>"), ("<|START_THINKING|>", "<|END_THINKING|>"))
"""Other texts around a trace, of Gemma 4 and of Command A."""

_ANNOUNCED = re.compile(
    rf'(?P<opens>{CONTROL.pattern})\s*(?P<list>\[?)\s*\{{+\s*"name"\s*:[^{{}}]*"(?P<key>arguments|parameters)"\s*:'
    rf".*?\]?\s*(?P<closes>{CONTROL.pattern}|{TAG.pattern})",
    re.DOTALL,
)
"""An example of a call in JSON, in the instructions that a template gives."""

_LFM2_OPENS = "<|tool_call_start|>"
"""The token that opens calls of LFM2 and LFM2.5, after which text may follow.

The cards of the models say so. Most of their templates render no calls and do not name the token.
"""

_QUOTES = ("'", '"')
_QUOTED: tuple[Notation, ...] = ("json", "python")

_CLOSING = re.compile(rf"\s*(?:{MARKUP.pattern})\s*")


@dataclass(frozen=True)
class Trace:
    """The texts around a reasoning trace, with the white space that the template writes there."""

    opens: str
    closes: str

    def is_opened(self, prompt: str) -> bool:
        """Return whether a prompt ends with the beginning of a trace."""
        return prompt.rstrip().endswith(self.opens.strip())

    def is_closed(self, prompt: str) -> bool:
        """Return whether a prompt ends with the end of a trace."""
        return prompt.rstrip().endswith(self.closes.strip())

    def cut_from(self, prompt: str) -> str:
        """Return a prompt without the beginning of a trace, or the empty trace, that it ends with."""
        for text in (self.closes, self.opens):
            prompt = prompt.rstrip().removesuffix(text.strip())
        return prompt

    @property
    def pattern(self) -> re.Pattern[str]:
        """A pattern of an empty trace, or of the end of one, at the beginning of a text."""
        opens, closes = re.escape(self.opens.strip()), re.escape(self.closes.strip())
        return re.compile(rf"\s*(?:{opens}\s*)?(?:{closes}\s*)?")


def find_trace(forms: Iterable[Form], header: str, literals: Iterable[str]) -> Trace | None:
    """Return the texts around traces: those of the forms, else a tag for traces in the prompt or the template."""
    for form in forms:
        for before, part, after in zip(form.parts, form.parts[1:], form.parts[2:], strict=False):
            if part != Slot("reasoning") or not isinstance(before, str):
                continue
            following = after.start if isinstance(after, Calls) else str(after)
            closing, opening = _CLOSING.match(following), list(MARKUP.finditer(before))
            if closing is None or not opening:
                continue
            # In harmony, the rest of the turn is another message, with a header of its own.
            own = [token for token in MARKUP.findall(header) if token not in before]
            if not any(token in following[closing.end() :] for token in own):
                return Trace(before[opening[-1].start() :], closing[0])
    for text in (header, *literals):
        if (match := _TRACE_TAG.search(text)) is not None:
            return Trace(f"{match[1]}{match[2]}\n", f"\n{match[1]}/{match[2]}\n\n")
        for opens, closes in _CHANNELS:
            if opens in text:
                return Trace(opens, closes)
    return None


def announced_calls(literals: Iterable[str]) -> Iterator[Parts]:
    """Yield the forms of calls that a template tells the model to write, but does not write itself."""
    text = "\n".join(literals)
    if (match := _ANNOUNCED.search(text)) is not None:
        shape = {"name": Slot("name"), match["key"]: Slot("arguments")}
        yield (
            Calls(
                match["opens"] + match["list"],
                (JsonCall(shape),),
                ", ",
                "]" * bool(match["list"]) + match["closes"],
                True,
            ),
        )
    elif "List of tools: " in text:
        types = {name: (Written("=", "python", ""),) for name in TYPES}
        call = (Slot("name"), Arguments(Members("(", "", types, ", ", "")), ")")
        yield (Calls(f"{_LFM2_OPENS}[", call, ", ", "]<|tool_call_end|>", True),)


def compose(
    forms: Sequence[Form],
    trace: Trace | None,
    header: str,
    supplied: str,
    stops: Iterable[str],
    literals: Sequence[str],
) -> tuple[Form, ...]:
    """Return the forms of turns that continue the prompt, which ends with ``header``."""
    if any(stop in supplied for stop in stops):
        return ()  # The answer of the template stands before the generation prompt.
    if writes_harmony(text for form in forms for text in form.texts):
        return harmony_forms()
    rests = [_without_stop(rest, stops) for form in forms for rest in _without_trace(form, trace, supplied)]
    if not any(isinstance(part, Calls) for rest in rests for part in rest):
        rests += announced_calls(literals)
    if (Slot("content"),) in rests:
        alone = [rest for rest in rests if isinstance(rest[0], Calls) and Slot("content") not in rest]
        rests = [*((Slot("content"), *rest) for rest in alone), *rests]
    rests += [
        (*rest, Slot("content"))
        for rest in rests
        if isinstance(rest[-1], Calls) and rest[0] is rest[-1] and rest[-1].start.lstrip().startswith(_LFM2_OPENS)
    ]
    opened = trace is not None and trace.is_opened(header)
    made: list[Parts] = []
    if trace is not None and not trace.is_closed(header):
        space = trace.opens[len(trace.opens.rstrip()) :]
        start = supplied.removesuffix(space) + space if opened else supplied + trace.opens
        made += [(start, Slot("reasoning"), trace.closes, *rest) for rest in (*rests, ())]
    if not opened:
        made += [(supplied, *rest) for rest in rests]
    known, found = {_outline(form.parts) for form in forms}, list[Form]()
    after_calls = [form.stop for form in forms if "calls" in form.fields and form.stop]
    for parts in made:
        parts = tuple(part for part in parts if part != "")
        if _outline(parts) not in known:
            known.add(_outline(parts))
            calls = any(isinstance(part, Calls) for part in parts)
            stop = next(iter([*after_calls, *stops] if calls else stops), "")
            found.append(Form(parts, stop, stop))
    return tuple(found)


def _outline(parts: Parts) -> str:
    """Return the identity of parts that differ in nothing but white space."""
    return re.sub(r"\\n|\s", "", repr(parts))


def _without_trace(form: Form, trace: Trace | None, supplied: str) -> Iterator[Parts]:
    """Yield the parts of a form without its trace, the beginning that the prompt supplies, and white space."""
    parts = list(form.parts)
    if Slot("reasoning") in parts:
        if trace is None:
            return
        del parts[: parts.index(Slot("reasoning")) + 1]
    if parts and trace is not None:
        start = re.sub(rf"(?:{re.escape(trace.opens.strip())}|{re.escape(trace.closes.strip())})|\s+\Z", "", supplied)
        first = parts[0]
        if isinstance(first, Calls):
            parts[0] = replace(first, opens=_cut(first.opens, start, trace))
        elif isinstance(first, str):
            parts[0] = _cut(first, start, trace)
    elif parts and isinstance(parts[0], str):
        parts[0] = parts[0].removeprefix(supplied)
    while parts and isinstance(parts[0], str) and not parts[0].strip():
        del parts[0]
    if parts:
        yield tuple(_in_any_quotes(part) if isinstance(part, Calls) else part for part in parts)


def _without_stop(parts: Parts, stops: Iterable[str]) -> Parts:
    """Return parts up to a stop token, without white space at the end."""
    kept: list[str | Slot | Calls] = []
    for part in parts:
        text = part.closes if isinstance(part, Calls) else part if isinstance(part, str) else ""
        end = min((text.find(stop) for stop in stops if stop in text), default=-1)
        cut = text if end < 0 else text[:end]
        kept.append(replace(part, closes=cut) if isinstance(part, Calls) else cut if isinstance(part, str) else part)
        if end >= 0:
            break
    while len(kept) > 1 and isinstance(kept[-1], str) and not kept[-1].strip():
        del kept[-1]
    return tuple(kept)


def _in_any_quotes(calls: Calls) -> Calls:
    """Return calls whose strings may be in the other kind of quotes, too."""
    return replace(calls, call=tuple(
        Arguments(_with_quotes(part.notation))
        if isinstance(part, Arguments) and isinstance(part.notation, Members)
        else part
        for part in calls.call
    ))  # fmt: skip


def _with_quotes(members: Members) -> Members:
    written = members.types.get("string", ())
    more = [
        Written(before, notation, after)
        for each in written
        if each.before[-1:] in _QUOTES and each.after[:1] == each.before[-1:]
        for before, after in [(each.before[:-1], each.after[1:])]
        for notation in _QUOTED
    ]
    more += [replace(each, notation=other) for each in written for other in _QUOTED if each.notation in _QUOTED]
    types = {**members.types, "string": (*written, *more)} if more else members.types
    return replace(members, types=types, nested=tuple(map(_with_quotes, members.nested)))


def _cut(text: str, start: str, trace: Trace) -> str:
    text = text.removeprefix(start) if start else text
    match = trace.pattern.match(text)
    return text if match is None else text[match.end() :]
