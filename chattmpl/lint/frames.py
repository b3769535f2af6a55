"""Frames: what a template writes between the texts of the messages, learnt from two plain turns."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chattmpl.lint.context import Subject
from chattmpl.lint.probe import common_length
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Rendering

ROLE = re.compile(r"(?i)assistant|chatbot|model|\b(?:ai|bot|gpt)\b")
"""What names the assistant in a header."""

LEAST = 4
"""Messages, of which a frame is learnt."""


@dataclass(frozen=True)
class Frames:
    """The texts between the messages of two turns.

    Attributes:
        rendering: of the two turns.
        between: the text from the content of one message to that of the next, three times: question to answer,
            answer to question, and question to answer again.
        starts: where each of them starts, in characters.
    """

    rendering: Rendering
    between: tuple[str, str, str]
    starts: tuple[int, int, int]

    @property
    def tokens(self) -> list[list[str]]:
        """The control tokens of each."""
        return [CONTROL.findall(text) for text in self.between]


def frames(subject: Subject) -> Frames | None:
    """The frames of a template; None where it does not write two turns one behind the other."""
    rendering = subject.probe.render("turns")
    if rendering is None:
        return None
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for span in rendering.spans:
        if span.message is not None and span.field != "role":
            first.setdefault(span.message, span.start)
            last[span.message] = span.end
    if len(first) < LEAST or any(last[number] > first[number + 1] for number in range(LEAST - 1)):
        return None
    texts = [rendering.text[last[number] : first[number + 1]] for number in range(LEAST - 1)]
    return Frames(rendering, (texts[0], texts[1], texts[2]), (last[0], last[1], last[2]))


def always_prompted(subject: Subject) -> int | None:
    """Where in a rendered question and answer the header of one more answer begins, though none was asked for."""
    for turn in subject.probe.turns("turn"):
        if turn.before.text != turn.prompt.text or turn.content is None:
            continue
        question = [span.end for span in turn.whole.spans if span.message == 0 and span.field != "role"]
        between = turn.whole.text[question[-1] : turn.content[0]] if question else ""
        named = list(re.finditer(r"<[^<>\s]+>\W*(?i:assistant|model|ai|bot)\W|(?i:assistant|chatbot|model)", between))
        opener = between[named[-1].start() :].rstrip() if named else ""
        tail = turn.tail.rstrip()
        # A header may go on with what the model samples, such as the name of a channel.
        for length in range(len(opener), 0, -1):
            if tail.endswith(opener[:length]) and ROLE.search(opener[:length]):
                return len(turn.whole.text.rstrip()) - length
    return None


def prompt_opener(subject: Subject) -> str | None:
    """The first control token of the generation prompt."""
    question, prompted = subject.probe.render("turn", 1), subject.probe.render("turn", 1, prompt=True)
    if question is None or prompted is None:
        return None
    return next(iter(CONTROL.findall(prompted.text[_common(question.text, prompted.text) :])), None)


def _common(question: str, prompted: str) -> int:
    # Some templates close a text that asks for no answer.
    common = common_length(question, prompted)
    open_token = question.rfind("<", 0, common)
    return open_token if open_token >= 0 and ">" not in question[open_token:common] else common


def closers(subject: Subject) -> dict[str, tuple[list[str], Rendering, int]]:
    """The control tokens that close the turns of a template, by whose they are.

    Returns:
        For a system message, a question and an answer, as far as each has a header of its own behind it: the tokens
        between its text and that header, what was rendered, and where the text ends.
    """
    question, prompted = subject.probe.render("turn", 1), subject.probe.render("turn", 1, prompt=True)
    if question is None or prompted is None:
        return {}
    common = _common(question.text, prompted.text)
    opener = CONTROL.findall(prompted.text[common:])[:1]
    end = _text_end(question, 0)
    found: dict[str, tuple[list[str], Rendering, int]] = {}
    if opener and end is not None:
        found["a question"] = (CONTROL.findall(question.text[end:common]), question, end)
    for what, name, index in (("an answer", "turns", 1), ("a system message", "system", 0)):
        rendering = subject.probe.render(name)
        end = None if rendering is None else _text_end(rendering, index)
        start = None if rendering is None else _text_start(rendering, index + 1)
        if rendering is None or end is None or start is None or not end <= start:
            continue
        tokens = CONTROL.findall(rendering.text[end:start])
        if tokens:
            # Turns of all roles may open with one token; else the last one is the header.
            header = len(tokens) - 1 - tokens[::-1].index(opener[0]) if opener and opener[0] in tokens else None
            closing = tokens[:header] if header is not None else tokens[:1] if len(tokens) > 1 else []
            if index or _has_header(subject, rendering):
                found[what] = (closing, rendering, end)
    return found


def _has_header(subject: Subject, rendering: Rendering) -> bool:
    """Whether something stands before a system message that is no BOS token."""
    before = rendering.text[: _text_start(rendering, 0) or 0]
    return bool(CONTROL.findall(before.removeprefix(subject.template.tokens.get("bos_token", ""))))


def _text_start(rendering: Rendering, index: int) -> int | None:
    starts = [span.start for span in rendering.spans if span.message == index and span.field != "role"]
    return starts[0] if starts else None


def _text_end(rendering: Rendering, index: int) -> int | None:
    ends = [span.end for span in rendering.spans if span.message == index and span.field != "role"]
    return ends[-1] if ends else None
