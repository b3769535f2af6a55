"""Support for other input than questions and answers: system, developer, documents, media, any order of roles."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from chattmpl.errors import ChatTmplError
from chattmpl.probing.corpus import (
    ASK,
    ASK_MORE,
    DEVELOPER,
    DOCUMENT,
    SAY,
    SAY_MORE,
    SYSTEM,
    SYSTEM_MORE,
    Message,
    call_message,
    result_message,
)
from chattmpl.probing.frames import text_before_questions
from chattmpl.probing.prober import Fate, Prober, Rendered, Treatment, fate, fate_with_error, holds
from chattmpl.source import common_length
from chattmpl.template.template import Rendering

_PROSE = re.compile(r"\b[A-Z][A-Za-z]*(?: [A-Za-z,'-]+){2,}[^\n<]*")
_PRINTED = re.compile(r"""['"]type['"]\s*:""")


@dataclass(frozen=True)
class FirstMessage(Treatment):
    """A system or developer message at the start of a conversation.

    Attributes:
        merged: True if it is written into the turn of the first question.
    """

    merged: bool = False


def find_first_message(prober: Prober, message: Message) -> FirstMessage:
    """Return the fate of a message before the first question."""
    made = prober.outcome([message, ASK])
    if isinstance(made, ChatTmplError):
        return FirstMessage(fate(made), made)
    if message["content"] not in made.text:
        return FirstMessage("dropped")
    opener = text_before_questions(prober)
    before, _, after = made.text.partition(message["content"])
    between = after.partition(ASK["content"])[0]
    return FirstMessage("rendered", None, bool(opener) and opener in before and opener not in between)


@dataclass(frozen=True)
class FixedText:
    """Sentences that the template writes before the first question.

    Attributes:
        default: a sentence that a system message replaces.
        always: a sentence that stays if there is a system message.
    """

    default: str | None = None
    always: str | None = None


def find_fixed_text(prober: Prober) -> FixedText:
    """Return the first sentence of each kind."""
    without, given = prober.outcome([ASK]), prober.text([SYSTEM, ASK])
    if not isinstance(without, Rendering):
        return FixedText()
    end = without.text.find(ASK["content"])
    sentences = [
        match[0] for span in without.spans for match in _PROSE.finditer(without.text, span.start, min(span.end, end))
    ]
    kept = [sentence for sentence in sentences if given is not None and sentence in given]
    default = next((sentence for sentence in sentences if sentence not in kept), None)
    return FixedText(default, kept[0] if kept else None)


@dataclass(frozen=True)
class PlacedMessage:
    """A system or developer message in one kind of conversation.

    Attributes:
        made: the rendering, or the error.
        moved: True if it is written before the first question, though it comes later.
    """

    fate: Fate
    made: Rendered
    moved: bool = False


SystemPlace = Literal["only", "second", "adjacent", "with tools", "last"]
DeveloperPlace = Literal["first", "with tools", "with a system message", "late"]


def find_late_system(prober: Prober) -> Iterator[tuple[SystemPlace, PlacedMessage]]:
    """Yield the rendering of a system message that is not the first message, by its place.

    It is the ``only`` one, or the ``second`` after a leading one, in the middle of the conversation, directly after the
    leading one (``adjacent``), in the middle with tools, or the last message. Templates often treat a leading system
    message differently, and its presence can change the treatment of others.
    """
    turns = [ASK, SAY]
    yield "only", _placed(prober, [*turns, SYSTEM, ASK_MORE], 2)
    yield "second", _placed(prober, [SYSTEM, *turns, SYSTEM_MORE, ASK_MORE], 3)
    yield "adjacent", _placed(prober, [SYSTEM, SYSTEM_MORE, ASK], 1)
    yield "with tools", _placed(prober, [SYSTEM, *turns, SYSTEM_MORE, ASK_MORE], 3, tools=True)
    yield "last", _placed(prober, [SYSTEM, *turns, ASK_MORE, SYSTEM_MORE], 4)


def find_developer(prober: Prober) -> Iterator[tuple[DeveloperPlace, PlacedMessage]]:
    """Yield the rendering of a developer message, by its place: as the first message, and in other places."""
    yield "first", _placed(prober, [DEVELOPER, ASK], 0)
    yield "with tools", _placed(prober, [DEVELOPER, ASK], 0, tools=True)
    yield "with a system message", _placed(prober, [SYSTEM, DEVELOPER, ASK], 1)
    yield "late", _placed(prober, [ASK, SAY, DEVELOPER, ASK_MORE], 2)


def _placed(prober: Prober, messages: list[Message], index: int, *, tools: bool = False) -> PlacedMessage:
    made = prober.outcome(messages, tools=tools)
    if isinstance(made, ChatTmplError):
        return PlacedMessage(fate(made), made)
    at = made.text.find(messages[index]["content"])
    if at < 0 and any(path.startswith(f"messages[{index}].content") for path in made.lost):
        return PlacedMessage("dropped", made)
    late = any(message["role"] == "user" for message in messages[:index])
    return PlacedMessage("rendered", made, late and 0 <= at < made.text.find(ASK["content"]))


def find_repeats(prober: Prober) -> dict[str, tuple[Fate, ChatTmplError | None]]:
    """Return the fate of two messages in a row of the ``user`` and of the ``assistant``."""
    found: dict[str, tuple[Fate, ChatTmplError | None]] = {}
    for name, messages in (("user", [ASK, ASK_MORE]), ("assistant", [ASK, SAY, SAY_MORE])):
        made = prober.outcome(messages)
        found[name] = fate_with_error(made, all(holds(made, message["content"]) for message in messages))
    return found


def drops_name(prober: Prober, role: str) -> bool:
    """Return true if the name of a message of a role is not rendered."""
    call = call_message(**prober.call_options)
    before, message = {
        "user": ([], ASK),
        "assistant": ([ASK], SAY),
        "system": ([], SYSTEM),
        "tool": ([ASK, call], result_message()),
    }.get(role, ([], None))
    if message is None:
        return False
    after = [ASK] if role == "system" else []
    made = prober.outcome([*before, {**message, "name": "nightjar"}, *after], tools=role == "tool")
    return isinstance(made, Rendering) and f"messages[{len(before)}].name" in made.lost


@dataclass(frozen=True)
class Documents(Treatment):
    """Documents in a rendering.

    Attributes:
        titles: True if titles are rendered.
    """

    titles: bool = False


def find_documents(prober: Prober) -> Documents:
    """Return the fate of documents."""
    for document in (DOCUMENT, {"title": DOCUMENT["title"], "data": {"text": DOCUMENT["text"]}}):
        made = prober.outcome([ASK], documents=[document], prompt=True)
        if isinstance(made, ChatTmplError):
            # Some build one prompt from tools and documents, and cannot do without tools.
            made = prober.outcome([ASK], documents=[document], tools=True, prompt=True)
        if isinstance(made, ChatTmplError):
            return Documents(fate(made), made)
        if DOCUMENT["text"] in made.text:
            return Documents("rendered", None, DOCUMENT["title"] in made.text)
    return Documents("dropped")


# -- content in parts


@dataclass(frozen=True)
class Parts(Treatment):
    """Content that is a list of parts.

    Attributes:
        printed: True if the list is printed as data.
        of_any_type: True if the text of a part is rendered whatever the type of the part.
        media: the placeholder that is written for each kind of part: ``image``, ``video``, ``audio``.
    """

    printed: bool = False
    of_any_type: bool = False
    media: dict[str, str] = field(default_factory=dict)


def find_parts(prober: Prober) -> Parts:
    """Return the fate of content in parts."""
    made = prober.outcome([{**ASK, "content": [{"type": "text", "text": ASK["content"]}]}], raw=True)
    media = dict(_media(prober))
    if isinstance(made, ChatTmplError):
        return Parts(fate(made), made, media=media)
    kept = ASK["content"] in made.text
    other = prober.text([{**ASK, "content": [{"type": "swan", "text": ASK["content"]}]}], raw=True)
    of_any_type = other is not None and ASK["content"] in other
    printed = kept and bool(_PRINTED.search(made.text))
    return Parts("rendered" if kept else "dropped", None, printed, of_any_type, media)


_MEDIA: dict[str, tuple[dict[str, Any], ...]] = {
    "image": (
        {"type": "image"},
        {"type": "image_url", "image_url": {"url": "seal.png"}},
        {"type": "image", "image": "x"},
    ),
    "video": ({"type": "video"}, {"type": "video_url", "video_url": {"url": "seal.mp4"}}),
    "audio": ({"type": "audio"}, {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}}),
}


def _media(prober: Prober) -> Iterator[tuple[str, str]]:
    """Yield the text that is written for each kind of part between two texts."""
    before, after = ({"type": "text", "text": text} for text in ("Seen swan", "Then tern"))
    without = prober.text([{**ASK, "content": [before, after]}], raw=True)
    if without is None:
        return
    for kind, forms in _MEDIA.items():
        for form in forms:
            text = prober.text([{**ASK, "content": [before, form, after]}], raw=True)
            if text is None or text == without or _PRINTED.search(text):
                continue
            # Some put all media before the text.
            written = _inserted(without, text)
            if written.strip():
                yield kind, written.strip()
                break


def _inserted(without: str, text: str) -> str:
    start = common_length(without, text)
    rest = common_length(without[start:][::-1], text[start:][::-1])
    return text[start : len(text) - rest]
