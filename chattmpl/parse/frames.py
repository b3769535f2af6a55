"""Frames of messages in whole conversations: the text between the contents of two messages, and assistant turns.

They are derived from renderings of small conversations whose contents are known words: the text between two words is
the template's own. Of Qwen3:

    <|im_start|>user⏎{content}<|im_end|>⏎<|im_start|>assistant⏎{assistant turn}<|im_end|>⏎<|im_start|>user⏎{content}…
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from chattmpl.parse.forms import MAX_NAME, Calls, Form, Slot
from chattmpl.parse.history import Follow, content_region, derive_in_history
from chattmpl.parse.shown_inputs import changes
from chattmpl.parse.turn_grammar import no_grammar
from chattmpl.parse.value_derivation import Underivable
from chattmpl.parse.values import Scan, common_start, read_json
from chattmpl.probing.corpus import IDENTIFIERS, TOOL_NAME, Message, call_message
from chattmpl.probing.facts import TemplateFacts, facts_of
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Rendering, Template

START, END, PROMPT = "start", "end", "prompt"
"""The ends of a text; one with a generation prompt ends in ``prompt``."""

CALLS = "calls"
"""The kind of an assistant message that ends with tool calls; other kinds are the roles."""

_NAME = "vqname"
_SLOTS = {TOOL_NAME: "name", _NAME: "name", IDENTIFIERS[0]: "tool_call_id", IDENTIFIERS[1]: "tool_call_id"}
_WORDS = re.compile("|".join(sorted(map(re.escape, _SLOTS), key=len, reverse=True)))
_WORD = re.compile(r"zq[a-j][a-z]+qz")
_COMMAND = re.compile(r"""["'](/\w+)["']""")
"""A string in a template that looks like a command in a system message, such as ``/no_think``."""

_WEAK = 3
"""Characters of a text between two contents that is too short to be told from content, unless it is a token."""

Render = Callable[[list[Message], bool], Rendering | None]
"""Function that renders messages, with or without a generation prompt; None if the template raises."""


@dataclass(frozen=True)
class Gap:
    """The template's text after a message of one kind and before the content of another, or the end of the text.

    Attributes:
        before: the kind of the message before it, or ``start``.
        after: the role of the message after it, ``end`` or ``prompt``.
        parts: literal text, and slots for the name or the id of the call in the header of the message after it.
        obeyed: commands to the template around the content of the message after it, which are not rendered.
        shows_inputs: tools, documents or kwargs are written here.
    """

    before: str
    after: str
    parts: tuple[str | Slot, ...]
    obeyed: tuple[str, str] = ("", "")
    shows_inputs: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern that matches the gap; each group is the value of a slot."""
        return re.compile(
            "".join(re.escape(part) if isinstance(part, str) else rf"([^\n]{{0,{MAX_NAME}}}?)" for part in self.parts)
            + (r"\Z" if self.after in (END, PROMPT) else "")
        )

    @cached_property
    def weak(self) -> bool:
        """True if content may well contain such text."""
        text = "".join(part for part in self.parts if isinstance(part, str)).strip()
        return len(text) < _WEAK and CONTROL.search(text) is None and self.after not in (END, PROMPT)

    @property
    def literal(self) -> str:
        """The text up to the first slot."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""

    def header(self, match: re.Match[str]) -> Message:
        """Return the fields in the header of the message after the gap."""
        slots = [part for part in self.parts if isinstance(part, Slot)]
        pairs = reversed(list(zip(slots, match.groups(), strict=True)))
        found = {slot.field: unquoted(value) for slot, value in pairs}
        index = found.pop("index", None)
        # A call without an id of its own is identified by its number.
        return {"tool_call_id": index, **found} if self.after == "tool" and index is not None else found


def unquoted(text: str) -> str:
    """Return the text of which this is the inside of a JSON string; the text itself if it is none."""
    try:
        value = json.loads(f'"{text}"')
    except ValueError:
        return text
    return value if isinstance(value, str) else text


@dataclass(frozen=True)
class Frames:
    """The frames of a template's conversations.

    Attributes:
        gaps: the texts between messages.
        turns: the forms of assistant turns, from the end of the content before on, without the text after them; by the
            role of the message before, ``tool`` or ``user``.
        spread: where the template writes content character by character, the text between two of them.
        showing: the conversations whose renderings have the gaps with inputs, without those of `find_starts`.
    """

    gaps: tuple[Gap, ...]
    turns: Mapping[str, tuple[Form, ...]]
    spread: re.Pattern[str] | None = None
    showing: tuple[tuple[str, ...], ...] = ()

    @cached_property
    def openings(self) -> Mapping[str, re.Pattern[str]]:
        """Patterns of the texts with which assistant turns begin, by the role of the message before them."""
        return {role: _any_of({opening(form) for form in forms}) for role, forms in self.turns.items()}

    @cached_property
    def call_tokens(self) -> frozenset[str]:
        """The control tokens and tags that open calls."""
        starts = (
            part.start
            for forms in self.turns.values()
            for form in forms
            for part in form.parts
            if isinstance(part, Calls)
        )
        return frozenset(tokens[-1] for start in starts if (tokens := CONTROL.findall(start)))

    def contents(self, text: str, quoted: bool) -> Iterator[Any]:
        """Yield the contents that a text may be, ``quoted`` if it stands between quotes."""
        if self.spread is not None and (items := _items(text, self.spread)):
            if all(isinstance(item, str) and len(item) == 1 for item in items):
                yield "".join(items)
            elif all(
                isinstance(item, dict) and ("type" in item or isinstance(item.get("content"), str)) for item in items
            ):
                yield [
                    {"type": "text", "text": item["content"]} if isinstance(item.get("content"), str) else item
                    for item in items
                ]
        if quoted and unquoted(text) != text:
            yield unquoted(text)
        yield text

    def after(self, kind: str) -> list[Gap]:
        """Return the texts after a message; those after a user follow other messages, too, if a token marks them."""
        own = [gap for gap in self.gaps if gap.before == kind]
        other = {"assistant": "", CALLS: "assistant", START: "", "tool": ""}.get(kind, "user")
        told = {(gap.parts, gap.after) for gap in own}
        more = [gap for gap in self.gaps if gap.before == other and CONTROL.search(gap.literal)]
        return [*own, *(gap for gap in more if (gap.parts, gap.after) not in told)]


def _items(text: str, separator: re.Pattern[str]) -> list[Any]:
    """Return JSON values with a separator between them; none if the text is something else."""
    items: list[Any] = []
    position = 0
    while (found := read_json(Scan(text, len(text)), position)) is not None:
        items.append(found[0])
        if found[1] == len(text):
            return items
        match = separator.match(text, found[1])
        if match is None:
            return []
        position = match.end()
    return []


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of texts, the longest first."""
    return re.compile("|".join(re.escape(text) for text in sorted(texts, key=lambda text: (-len(text), text))))


def opening(form: Form) -> str:
    """Return the text with which a form begins."""
    first = form.parts[0]
    return first if isinstance(first, str) else first.start if isinstance(first, Calls) else ""


@lru_cache(maxsize=64)
def _turns(
    template: Template, kwargs: str, tools: bool, documents: str
) -> tuple[Mapping[str, tuple[Form, ...]], tuple[Gap, ...]] | str:
    """Return the forms of assistant turns in conversations, and the texts after them; a string says why not."""
    facts = facts_of(template).under(json.loads(kwargs))
    bodies: dict[str, list[Form]] = {"user": [], "tool": []}
    gaps: list[Gap] = []
    why = ""
    for after_result, follow, as_text, forms in derive_in_history(facts, tools=tools, documents=json.loads(documents)):
        before = "tool" if after_result else "user"
        if isinstance(forms, Underivable):
            why = why or str(forms)
            continue
        openings = {opening(form) for form in forms if len(form.parts) > 1}
        for form in forms:
            after = END if follow is Follow.NOTHING else "tool" if "calls" in form.fields else "user"
            body, tail = _without_tail(form, openings)
            gap = Gap(CALLS if "calls" in form.fields else "assistant", after, _slotted(tail))
            # What follows calls does not depend on the notation of their arguments.
            if body is not None and opening(body).strip() and (not as_text or gap in gaps):
                bodies[before] += [body] if body not in bodies[before] else []
                gaps.append(gap)
    for found in bodies.values():
        found.sort(key=lambda form: ("calls" not in form.fields, -len(form.fields)))
    if not any(bodies.values()):
        return why or "no text begins its assistant turns"
    return {role: tuple(found) for role, found in bodies.items() if found}, tuple(dict.fromkeys(gaps))


def _without_tail(form: Form, openings: set[str]) -> tuple[Form | None, str]:
    """Return a form without the text after its last slot, and that text.

    Of an empty turn, the beginning is the text with which other turns begin.
    """
    if not form.parts:
        return None, form.ending
    *parts, last = form.parts
    tail = form.ending
    if isinstance(last, str) and not parts:
        whole = last + tail
        start = max((text for text in openings if whole.startswith(text)), key=len, default="")
        return (Form((start,), "", "") if start else None), whole[len(start) :]
    if isinstance(last, str):
        tail = last + tail
    elif isinstance(last, Calls):
        end = last.call[-1]
        if last.closes or last.many or not isinstance(end, str):
            parts, tail = [*parts, replace(last, closes="")], last.closes + tail
        else:
            parts, tail = [*parts, replace(last, call=last.call[:-1])], end + tail
    else:
        parts = [*parts, last]
    return Form(tuple(parts), "", ""), tail


def _slotted(text: str) -> tuple[str | Slot, ...]:
    """Return a text with slots for the names and ids of the corpus."""
    parts: list[str | Slot] = []
    position = 0
    for match in _WORDS.finditer(text):
        parts += [text[position : match.start()], Slot(_SLOTS[match[0]])]
        position = match.end()
    return tuple(part for part in (*parts, text[position:]) if part != "")


def _parts(rendering: Rendering, start: int, end: int) -> tuple[str | Slot, ...]:
    """Return a range of a rendering with slots for the names, ids and counters in it."""
    parts: list[str | Slot] = []
    for span in rendering.spans:
        text = rendering.text[max(span.start, start) : min(span.end, end)]
        if text and span.derived and text.isdigit():
            parts.append(Slot("index"))
        elif text and parts and isinstance(parts[-1], str):
            parts[-1] += text
        elif text:
            parts.append(text)
    slotted = (_slotted(part) if isinstance(part, str) else (part,) for part in parts)
    return tuple(itertools.chain.from_iterable(slotted))


def _shows_inputs(rendering: Rendering, start: int, end: int) -> bool:
    """Return whether a range of a rendering has text of the inputs besides the messages."""
    return any(
        span.message is None and not span.literal and span.start < end and span.end > start for span in rendering.spans
    )


def _without_commands(content: str) -> tuple[str, tuple[str, str]]:
    """Return the word in a content, and the commands before and after it."""
    match = _WORD.search(content)
    return (match[0], (content[: match.start()], content[match.end() :])) if match else (content, ("", ""))


def _separator(region: str, content: str) -> re.Pattern[str] | None:
    """Return the pattern of the text between two characters of a content."""
    first, second = (json.dumps(character) for character in content[:2])
    end = region.find(second, len(first))
    if not region.startswith(first) or end < 0:
        return None
    return re.compile(re.sub(r"\d+", r"\\d+", re.escape(region[len(first) : end])))


def _message(role: str, number: int, **fields: str) -> Message:
    return {"role": role, "content": f"zq{'abcdefghij'[number]}{role}qz", **fields}


_PROBES: tuple[tuple[str, ...], ...] = (
    ("user",),
    ("system", "user"),
    ("user", "assistant", "user", "assistant"),
    ("system", "user", "assistant", "user"),
    ("user", "assistant"),
    ("user", "calls"),
    ("user", "calls", "tool"),
    ("user", "calls", "tool", "assistant", "user"),
    ("user", "calls", "tool", "user"),
    ("user", "two calls", "tool", "other tool"),
    ("user", "two calls", "tool", "other tool", "assistant", "user"),
    ("user", "calls", "bare tool"),
    ("developer", "user"),
    ("system", "developer", "user"),
    ("named system", "named user", "assistant", "named user"),
    ("user", "user"),
    ("user", "assistant", "assistant"),
    ("user", "assistant", "system", "user"),
    ("system", "system", "user"),
    ("user", "system"),
    ("user", "assistant", "developer", "user"),
    ("assistant", "user"),
    ("tool", "user"),
    ("named user", "tool"),
    ("user", "bare tool", "tool"),
)
"""The conversations whose renderings show the texts between messages."""


class _Prober:
    """Renders conversations of known words."""

    def __init__(self, facts: TemplateFacts, render: Render, after_calls: Sequence[Gap] = ()) -> None:
        self.options = facts.prober.call_options
        self.render = render
        tails = [gap.literal for gap in after_calls if gap.before == CALLS]
        ends = {*tails, *(one[: common_start(one, other)] for one, other in itertools.combinations(tails, 2))}
        self.spread: re.Pattern[str] | None = None
        self.ended: set[Gap] = set()
        self.ends = sorted((end for end in ends if end.strip()), key=len)

    def messages(self, kinds: Iterable[str | Message]) -> list[Message]:
        """Return messages of these kinds; other messages stay as they are."""
        return [kind if isinstance(kind, dict) else self._of(kind, number) for number, kind in enumerate(kinds)]

    def _of(self, kind: str, number: int) -> Message:
        match kind.split():
            case ["calls"]:
                return call_message(**self.options)
            case ["two", "calls"]:
                return call_message(("lefttusk", "righttusk"), **self.options)
            case ["tool"]:
                return _message("tool", number, name=TOOL_NAME, tool_call_id=IDENTIFIERS[0])
            case ["other", "tool"]:
                return _message("tool", number, name=TOOL_NAME, tool_call_id=IDENTIFIERS[1])
            case ["bare", role]:
                return _message(role, number)
            case ["named", role]:
                return _message(role, number, name=_NAME)
        return _message(kind, number)

    def _end_of_calls(self, text: str, start: int, end: int) -> int:
        """Return the offset where calls end, which is known from their forms; -1 if they do not end in a range."""
        return next((place for text_after in self.ends if (place := text.rfind(text_after, start, end)) >= 0), -1)

    def gaps(self, messages: Sequence[Message]) -> Iterator[Gap]:
        """Yield the texts between the contents of messages, and after the last one."""
        made = self.render(list(messages), False)
        if made is None:
            return
        text = made.text
        position, before, commanded = 0, START, False
        for index, message in enumerate(messages):
            if message.get("tool_calls"):
                before = CALLS
                continue
            content, obeyed = _without_commands(message["content"])
            found = content_region(made, index, content)
            if any(obeyed) and (found is None or obeyed[0] + content + obeyed[1] in text):
                return
            if found is None or (before != CALLS and found[0] < position):
                return
            if made.text[slice(*found)] != content:
                self.spread = _separator(made.text[slice(*found)], content)
            if before == CALLS:
                position = self._end_of_calls(text, position, found[0])
            if position >= 0 and message["role"] != "assistant":
                yield self._gap(before, message["role"], made, position, found[0], obeyed)
            position, before, commanded = found[1], message["role"], commanded or any(obeyed)
        if before == CALLS:
            position = self._end_of_calls(text, position, len(text))
            if position < 0:
                return
        last = self._gap(before, END, made, position, len(text))
        yield last
        # Texts that end alike have the same generation prompt, unless a message has a command.
        if commanded or last not in self.ended:
            self.ended.add(last)
            prompt = self.render(list(messages), True)
            if prompt is not None and prompt.text.startswith(text[:position]):
                yield self._gap(before, PROMPT, prompt, position, len(prompt.text))

    def _gap(
        self, before: str, after: str, made: Rendering, start: int, end: int, obeyed: tuple[str, str] = ("", "")
    ) -> Gap:
        return Gap(before, after, _parts(made, start, end), obeyed, _shows_inputs(made, start, end))


def _commanded(template: Template, prober: _Prober) -> Iterator[Gap]:
    """Yield the texts around a system message with a command that the template obeys and does not write."""
    for command in dict.fromkeys(_COMMAND.findall(template.source)):
        for form in (f"{{}} {command}", f"{command}\n{{}}"):
            system, user = prober.messages(("system", "user"))
            yield from prober.gaps([{**system, "content": form.format(system["content"])}, user])


_OPENINGS: tuple[tuple[str, ...], ...] = (
    ("user",),
    ("user", "assistant"),
    ("system", "user"),
    ("system", "user", "assistant"),
    ("developer", "user"),
    ("assistant", "user"),
    ("tool", "user"),
)
"""The conversations whose renderings show the texts before the first message."""

_STARTS = frozenset({*((START, kinds) for kinds in _OPENINGS), (START, ())})


def find_starts(template: Template, render: Render) -> tuple[Gap, ...]:
    """Derive the texts before the first message."""
    prober = _Prober(facts_of(template), render)
    found = [next(prober.gaps(prober.messages(kinds)), None) for kinds in _OPENINGS]
    return tuple(gap for gap in (*found, *_commanded(template, prober)) if gap is not None and gap.before == START)


def find_frames(template: Template, inputs: Mapping[str, Any], render: Render) -> Frames:
    """Derive the frames of conversations.

    Args:
        template: the template.
        inputs: the template kwargs, and the tools and documents.
        render: renders messages with these inputs.

    Raises:
        UsageError: no frames can be derived.
    """
    kwargs = {
        name: value
        for name, value in inputs.items()
        if name not in ("tools", "documents") and changes(template, name, value) - {"generation prompt"}
    }
    documents = json.dumps(inputs.get("documents"), default=str)
    turns = _turns(template, json.dumps(kwargs, sort_keys=True, default=str), bool(inputs.get("tools")), documents)
    if isinstance(turns, str):
        raise no_grammar(template, turns)
    forms, gaps = turns
    prober = _Prober(facts_of(template), render, gaps)
    found: dict[Gap, tuple[str, ...]] = {}
    for kinds in _PROBES:
        for gap in prober.gaps(prober.messages(kinds)):
            found.setdefault(gap, kinds)
    for gap in _commanded(template, prober):
        found.setdefault(gap, ())
    if not found:
        raise no_grammar(template, "it renders no question")
    if all(gap.weak for gap in found if gap.before != START):
        raise no_grammar(template, "no text marks its turns")
    showing = (kinds for gap, kinds in found.items() if gap.shows_inputs and (gap.before, kinds) not in _STARTS)
    return Frames(tuple(dict.fromkeys([*found, *gaps])), forms, prober.spread, tuple(dict.fromkeys(showing)))


def with_tools(template: Template, frames: Frames, starts: Sequence[Gap], render: Render) -> Frames:
    """Return frames with the texts that other tools bring.

    Args:
        template: the template.
        frames: the frames of conversations with the tool of the corpus.
        starts: the texts before the first message with other tools.
        render: renders messages with these tools.
    """
    prober = _Prober(facts_of(template), render, frames.gaps)
    found = [gap for kinds in frames.showing for gap in prober.gaps(prober.messages(kinds)) if gap.shows_inputs]
    same = [gap for gap in frames.gaps if not gap.shows_inputs]
    return replace(frames, gaps=tuple(dict.fromkeys([*starts, *found, *same])))
