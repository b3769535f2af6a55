"""Whom a template lets speak, and in what form: system and developer messages, alternation, documents, parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from chattmpl.capabilities.answer import Answer, from_error, raised, refuses, shortened
from chattmpl.capabilities.conversations import ASK, ASK_MORE, DEVELOPER, DOCUMENT, SAY, SAY_MORE, SYSTEM, Message
from chattmpl.capabilities.prober import Prober
from chattmpl.errors import ChatTmplError
from chattmpl.lint.probe import common_length
from chattmpl.template.template import Rendering

_PROSE = re.compile(r"\b[A-Z][A-Za-z]*(?: [A-Za-z,'-]+){2,}[^\n<]*")
_PRINTED = re.compile(r"""['"]type['"]\s*:""")


def system(prober: Prober) -> Answer:
    """Whether a system message is rendered, where, and what stands there without one."""
    default, always = _own_words(prober)
    return _first_message(prober, SYSTEM, {"default": default, "always": always})


def developer(prober: Prober) -> Answer:
    """Whether a developer message is rendered, and where."""
    return _first_message(prober, DEVELOPER, {})


def _first_message(prober: Prober, message: Message, facts: dict[str, Any]) -> Answer:
    word = message["content"]
    made = prober.render([message, ASK])
    if isinstance(made, ChatTmplError):
        answer = from_error(made)
        return Answer(answer.state, answer.note, {**facts, "place": None})
    if word not in made.text:
        return Answer("no", "dropped", {**facts, "place": None})
    merged = _merged(prober, made.text, word)
    note = "merged into the question" if merged else "own turn"
    note += "; replaces a default" if facts.get("default") else "; beside fixed text" if facts.get("always") else ""
    return Answer("yes", note, {**facts, "place": "user" if merged else "own"})


def _merged(prober: Prober, text: str, word: str) -> bool:
    """Whether what opens a question stands before a word, and not between it and the question."""
    opener = question_opener(prober)
    before, _, after = text.partition(word)
    between = after.partition(ASK["content"])[0]
    return bool(opener) and opener in before and opener not in between


def question_opener(prober: Prober) -> str:
    """What stands before every question: the common end of the texts before two of them."""
    made = prober.text([ASK, SAY, ASK_MORE])
    if made is None or ASK["content"] not in made or ASK_MORE["content"] not in made:
        return ""
    first = made[: made.index(ASK["content"])]
    second = made[: made.index(ASK_MORE["content"])]
    length = common_length(first[::-1], second[::-1])
    return first[len(first) - length :].strip()


def _own_words(prober: Prober) -> tuple[str | None, str | None]:
    """What the template says of its own before a question: what a system message takes the place of, and what stays."""
    without, given = prober.render([ASK]), prober.text([SYSTEM, ASK])
    default = always = None
    if not isinstance(without, Rendering):
        return None, None
    end = without.text.find(ASK["content"])
    for span in without.spans:
        for match in _PROSE.finditer(without.text, span.start, min(span.end, end)):
            if given is not None and match[0] in given:
                always = always or shortened(match[0], 200)
            else:
                default = default or shortened(match[0], 200)
    return default, always


def late_system(prober: Prober) -> Answer:
    """What becomes of a system message in the middle."""
    made = prober.render([ASK, SAY, SYSTEM, ASK_MORE])
    if isinstance(made, ChatTmplError):
        return from_error(made)
    at = made.text.find(SYSTEM["content"])
    if at < 0:
        return Answer("no", "dropped")
    if at < made.text.find(ASK["content"]):
        return Answer("partly", "moved to the front")
    return Answer("yes", "stays where it is")


def alternation(prober: Prober) -> Answer:
    """Whether user and assistant have to take turns."""
    if prober.base is not None:
        return Answer("unknown", f"raises: {raised(prober.base)}")
    found = {}
    for name, messages in (("user", [ASK, ASK_MORE]), ("assistant", [ASK, SAY, SAY_MORE])):
        made = prober.render(messages)
        if isinstance(made, ChatTmplError):
            found[name] = "refused" if refuses(made) else f"raises: {raised(made)}"
        else:
            kept = all(message["content"] in made.text for message in messages)
            found[name] = "rendered" if kept else "dropped"
    facts = {"two_in_a_row": found}
    if "refused" in found.values():
        who = [name for name, what in found.items() if what == "refused"]
        return Answer("yes", f"two of the {' or '.join(who)} in a row are refused", facts)
    if any(what.startswith("raises") for what in found.values()):
        return Answer("unknown", next(what for what in found.values() if what.startswith("raises")), facts)
    dropped = [name for name, what in found.items() if what == "dropped"]
    return (
        Answer("partly", f"two of the {' or '.join(dropped)}: one dropped", facts)
        if dropped
        else Answer("no", "", facts)
    )


def documents(prober: Prober) -> Answer:
    """Whether documents are rendered."""
    for document in (DOCUMENT, {"title": DOCUMENT["title"], "data": {"text": DOCUMENT["text"]}}):
        made = prober.render([ASK], documents=[document], prompt=True)
        if isinstance(made, ChatTmplError):
            # Some build one prompt from tools and documents, and cannot do without tools.
            made = prober.render([ASK], documents=[document], tools=True, prompt=True)
        if isinstance(made, ChatTmplError):
            return from_error(made)
        if DOCUMENT["text"] in made.text:
            return Answer("yes", "text and title" if DOCUMENT["title"] in made.text else "text")
    return Answer("no", "dropped")


def multimodal(prober: Prober) -> Answer:
    """Whether lists of parts are taken: texts, and media, for which a placeholder is written."""
    texts, joined = _text_parts(prober)
    media = dict(_media(prober))
    facts = {"text_parts": texts, "media": media}
    if media:
        kinds = ", ".join(f"{kind} {text!r}" for kind, text in media.items())
        return Answer("yes" if joined else "partly", shortened(kinds), facts)
    return Answer("no", "text parts only" if joined else f"lists: {texts}", facts)


def _text_parts(prober: Prober) -> tuple[str, bool]:
    part = [{"type": "text", "text": ASK["content"]}]
    made = prober.render([{**ASK, "content": part}], raw=True)
    if isinstance(made, ChatTmplError):
        return ("refused" if refuses(made) else f"raises: {raised(made)}"), False
    if ASK["content"] not in made.text:
        return "dropped", False
    if _PRINTED.search(made.text):
        return "printed as data", False
    return "rendered", True


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
    """What is written for each kind of part, between two texts."""
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
