"""Texts of turns with and without their traces."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.probing.prober import render_or_error
from chattmpl.template.template import Rendering, Template

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class TurnText:
    """The text of a turn.

    Attributes:
        held: end of the message's last field in the text; None if no field is rendered.
        shows: whether the trace is in the text.
        ends: end of each field of the message in the text. Fields that others repeat may follow, such as the name of
            the function whose result is rendered within the turn.
    """

    text: str
    held: int | None
    shows: bool
    ends: tuple[int, ...] = ()


def rendered_fields(rendering: Rendering) -> dict[tuple[int, str], str]:
    """Return the rendered text of each field except traces and the assistant's contents, which may hold traces."""
    found: dict[tuple[int, str], str] = {}
    messages = rendering.conversation.messages
    for span in rendering.spans:
        if span.message is None or span.field is None or span.field in REASONING_NAMES:
            continue
        if messages[span.message].role == "assistant" and span.field.startswith("content"):
            continue
        key = span.message, span.field
        found[key] = found.get(key, "") + rendering.text[span.start : span.end]
    return found


def trace_of(message: Any) -> str:
    """Return the trace of a message, from its own field or from ``<think>`` in its content."""
    if message.reasoning_content:
        return str(message.reasoning_content).strip()
    content = message.content.lstrip() if isinstance(message.content, str) else ""
    # A content that only mentions the tag has no trace.
    return content.split(CLOSE)[0].removeprefix(OPEN).strip() if CLOSE in content and content.startswith(OPEN) else ""


def without_trace(conversation: Conversation, index: int) -> Conversation:
    """Return the conversation without the trace of one message."""
    data = conversation.dump()
    message = data["messages"][index]
    for name in REASONING_NAMES:
        message.pop(name, None)
    if isinstance(message.get("content"), str) and CLOSE in message["content"]:
        message["content"] = message["content"].split(CLOSE)[-1].lstrip("\n")
    return Conversation.coerce(data)


def turn_text(rendering: Rendering, turn: int) -> TurnText:
    """Return the text of a turn in a rendering."""
    text, shows = "", False
    ends: list[int] = []
    for span in rendering.spans:
        # Some templates render the last message after the loop over messages.
        if (span.turn if span.turn is not None else span.message) != turn:
            continue
        text += rendering.text[span.start : span.end]
        if span.message == turn and span.field != "role" and span.end > span.start:
            ends.append(len(text))
            shows = shows or span.field in REASONING_NAMES
    trace = trace_of(rendering.conversation.messages[turn])
    in_content = not rendering.conversation.messages[turn].reasoning_content
    held = ends[-1] if ends else None
    return TurnText(text, held, shows or bool(in_content and trace and trace in text), tuple(ends))


def render_or_none(
    template: Template, conversation: Conversation, kwargs: dict[str, Any], prompt: bool
) -> Rendering | None:
    """Render a conversation; None if it is refused. Kwargs that the template does not read are left out."""
    made = render_or_error(template, conversation, prompt, template.program.read_of(kwargs))
    return made if isinstance(made, Rendering) else None


def with_traces(conversation: Conversation, carrier: str) -> Conversation:
    """Return the conversation with a trace in each assistant message; existing ones stay."""
    data = conversation.dump()
    for index, message in enumerate(data["messages"]):
        if message.get("role") != "assistant" or trace_of(conversation.messages[index]):
            continue
        if carrier == "field":
            for name in REASONING_NAMES:
                message.pop(name, None)
            message["reasoning_content"] = f"Ponder papaya {index}"
        elif isinstance(message.get("content"), str):
            message["content"] = f"<think>\nPonder papaya {index}\n</think>\n\n{message['content']}"
    return Conversation.coerce(data)


def restore_trace(alone: TurnText, content: str, rest: str) -> Iterator[TurnText]:
    """Yield texts of a turn that comes last, with the whole content instead of the rest that the template leaves."""
    at = alone.text.rfind(rest) if rest else -1
    if at < 0:
        return
    head, tail = alone.text[:at], alone.text[at + len(rest) :]
    # White space before the rest was left by the cut, or is part of the frame.
    for before in dict.fromkeys((head, head.rstrip(), head.rstrip() + "\n", head.removesuffix("\n\n"))):
        for whole in dict.fromkeys((content, content.strip())):
            yield TurnText(
                before + whole + tail.removeprefix(content[len(content.rstrip()) :]), len(before) + len(whole), True
            )


def insert_trace(alone: TurnText, bare: TurnText, here: TurnText) -> TurnText | None:
    """Return a turn in history with the trace where the template writes it in the last turn.

    The turn is known as the last one, with the trace and without it, and in history without it.
    """
    longer, shorter = alone.text, bare.text
    start = next((n for n, (a, b) in enumerate(zip(longer, shorter, strict=False)) if a != b), len(shorter))
    added = len(longer) - len(shorter)
    if added <= 0 or longer[start + added :] != shorter[start:] or not here.text.startswith(shorter[:start]):
        return None
    return TurnText(here.text[:start] + longer[start : start + added] + here.text[start:], None, True)


def matches(got: TurnText, wanted: TurnText, here: TurnText) -> bool:
    """Return whether a turn has an accepted text, however the template ends it in this place."""
    if got.text == wanted.text or got.text.rstrip() == wanted.text.rstrip():
        return True
    if wanted.held is None:
        return False
    return any(got.text == wanted.text[: wanted.held] + here.text[end:] for end in here.ends)
