"""What should be generated: for each assistant turn of a conversation the characters that the model samples.

They are known without any tag. A turn begins where its prompt ends, and ends with the stop token behind what the
message holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case
from chattmpl.template.spans import Span
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Rendering

UNASKED = "an answer stands before any question"
"""Why a law cannot hold where nobody trains."""

UNPROMPTED = "no generation prompt is written before it"
"""Why a law cannot hold for an answer that follows another one, where only a question brings on a generation prompt."""


@dataclass(frozen=True)
class Stops:
    """What ends the assistant's turns.

    Attributes:
        tokens: what ends an answer.
        others: whether a turn may end with another control token instead, as some do after tool calls.
        header: what stands in an answer's own turn before what is to be generated.
    """

    tokens: tuple[str, ...]
    others: bool = True
    header: str = ""


@dataclass(frozen=True)
class TargetSpan:
    """One assistant turn.

    Attributes:
        turn: index of the message.
        start, end: the characters of the whole rendering that are to be generated.
        broken: the law that no placement of tags can keep for this turn; None if there is none.
        why: what the template does to it.
        kind: where that comes from: ``history``, ``prompt``, ``stop``, or ``lost``.
        expected, got: the two texts that should begin alike, where two are compared.
    """

    turn: int
    start: int
    end: int
    broken: str | None = None
    why: str = ""
    kind: str = ""
    expected: str = ""
    got: str = ""


def target_spans(case: Case, stops: Stops) -> Iterator[TargetSpan]:
    """The target for each assistant turn.

    Raises:
        ChatTmplError: if the template does.
    """
    roles = [message.role for message in case.messages]
    for turn in case.assistant_turns():
        target = _target(case, turn, stops)
        unasked = "user" not in roles[:turn]
        if target.broken is None and _unprompted(case.rendering, target, stops.header, unasked, roles[turn - 1]):
            target = replace(target, broken="sampled", why=UNPROMPTED, kind="prompt")
        yield replace(target, why=UNASKED) if unasked and target.kind in ("prompt", "history") else target


def _unprompted(whole: Rendering, target: TargetSpan, header: str, unasked: bool, before: str) -> bool:
    """Whether more than an answer would have to be generated, since nothing that its prompt ends with asks for one."""
    own = _region(whole, target.turn)
    if own is not None and target.start < own[0] and (unasked or before == "assistant"):
        return True
    held = _held(whole, target.turn) or (target.end, target.end)
    return bool(header) and header in whole.text[target.start : max(held[0], target.start)]


def _target(case: Case, turn: int, stops: Stops) -> TargetSpan:
    whole = case.rendering
    held = _held(whole, turn)
    rough = (0, 0)
    if held is not None:
        own = _region(whole, turn) or (0, len(whole.text))
        rough = (held[0], min(_stop_end(whole, held[1], turn, stops.tokens) or held[1], max(own[1], held[1])))
    try:
        prompt, alone = case.head(turn, prompt=True).text, case.head(turn + 1)
    except ChatTmplError as error:
        return TargetSpan(turn, *rough, "sampled", f"it is not rendered on its own: {error.message}", "prompt")
    if held is not None and whole.text.startswith(prompt):
        rough = (min(len(prompt), rough[0]), rough[1])
    held_alone = _held(alone, turn) or _empty(alone, prompt)
    if held_alone is None and held is None and turn not in {span.turn for span in whole.spans}:
        return TargetSpan(turn, 0, 0, "sampled", "nothing of it is rendered", "lost")
    end = held_alone and _stop_end(alone, held_alone[1], turn, stops.tokens)
    if held_alone and not end and stops.others:
        end = _other_stop(alone, held_alone[1])
    if held_alone is None or not alone.text.startswith(prompt) or held_alone[0] < len(prompt):
        why = "its text does not begin with its prompt"
        return TargetSpan(turn, *rough, "sampled", why, "prompt", prompt, alone.text)
    if not end:
        return TargetSpan(turn, *rough, "stop", "it does not end with the stop token of an answer", "stop")
    if not whole.text.startswith(alone.text[:end]):
        why = "in history it is not rendered as it was sampled"
        return TargetSpan(turn, *rough, "sampled", why, "history", alone.text[:end], whole.text)
    return TargetSpan(turn, len(prompt), end)


def _other_stop(alone: Rendering, at: int) -> int | None:
    """Where a control token ends that ends a turn in place of the usual one, as some do after tool calls."""
    tail = alone.text[at:].rstrip()
    found = [match for match in CONTROL.finditer(tail) if match.end() == len(tail) and re.search("[|｜]", match[0])]
    return at + found[-1].end() if found else None


def _empty(alone: Rendering, prompt: str) -> tuple[int, int] | None:
    """Where a message that holds nothing stands: right behind its prompt, if anything of its turn is rendered."""
    return (len(prompt), len(prompt)) if alone.text.startswith(prompt) and len(alone.text) > len(prompt) else None


def _held(rendering: Rendering, turn: int) -> tuple[int, int] | None:
    """From the first to the last character of what the message holds, in its own turn."""
    spans = [span for span in rendering.spans if span.message == turn and span.field != "role"]
    # The turn of a tool's result may repeat the name of the call.
    own = _region(rendering, turn)
    spans = [span for span in spans if own is None or own[0] <= span.start < own[1]] or spans
    return (spans[0].start, spans[-1].end) if spans else None


def _region(rendering: Rendering, turn: int) -> tuple[int, int] | None:
    """From where a message begins to be rendered until another one is; None if that is not known."""
    start = end = None
    for span in rendering.spans:
        if span.turn == turn:
            start = span.start if start is None else start
            end = span.end
        elif start is not None and span.turn is not None:
            break
    return None if start is None or end is None else (start, end)


def header_of(case: Case, stops: Stops) -> str:
    """What an answer's own turn begins with before what is to be generated, less white space around it."""
    turn = case.assistant_turns()[-1]
    own, target = _region(case.rendering, turn), _target(case, turn, stops)
    return "" if own is None or target.broken else case.rendering.text[own[0] : max(target.start, own[0])].strip()


def echoes(case: Case) -> list[Span]:
    """What comes from assistant messages and is rendered once more in the turns of others."""
    regions = {turn: _region(case.rendering, turn) for turn in case.assistant_turns()}
    return [
        span
        for span in case.rendering.spans
        if span.message in regions and span.field != "role" and _is_outside(span, regions[span.message])
    ]


def _is_outside(span: Span, region: tuple[int, int] | None) -> bool:
    return region is not None and not region[0] <= span.start < region[1]


def _stop_end(rendering: Rendering, at: int, turn: int, stops: tuple[str, ...]) -> int | None:
    """Where the stop token ends that follows an offset, before the next message begins."""
    following = [span.start for span in rendering.spans if span.message is not None and span.message > turn]
    limit = min((start for start in following if start >= at), default=len(rendering.text))
    tail = rendering.text[at:limit]
    found = [match.end() for stop in stops if (match := re.search(re.escape(stop), tail))]
    return at + min(found) if found else None
