"""Parsing of whole conversations: the preamble before the first turn, the turns, and the proof by rendering."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from chattmpl.conversation.models import Conversation, Message
from chattmpl.errors import ConversationError, RenderError
from chattmpl.parse.grammar import (
    Grammar,
    PatternMatch,
    SequenceMatch,
    SequencePattern,
    TurnFrame,
    compile_pattern,
    grammar_of,
)
from chattmpl.parse.refusal import ParseFailure, ParseRefusal, common_length, difference, later
from chattmpl.parse.reply import MessageData, read_reply
from chattmpl.template.family import SequenceFacts
from chattmpl.template.template import Clock, Template

Render = Callable[[list[MessageData]], str]

_SYSTEM, _USER = "zqSYSTEMqz", "zqUSERqz"
"""Texts that every template renders unchanged and that no real text contains."""

_MAX_REREADINGS = 100
"""Number of times that another candidate for a message is tried in one text."""

_MAX_ENDS = 200
"""Number of possible ends of a turn that are tried before the text is refused."""

_HINT = "pass the tools, documents, clock and template kwargs that the text was rendered with"


@dataclass(frozen=True)
class ParseRequest:
    """The arguments of a parse besides the text."""

    template: Template
    clock: Clock
    kwargs: dict[str, Any]
    """Template kwargs, including tools and documents if given."""

    @property
    def grammar(self) -> Grammar:
        """The grammar of whole conversations; raises `UsageError` if the template has none."""
        return grammar_of(self.template)

    def render(self, conversation: Any, *, add_generation_prompt: bool = False) -> str:
        """Render a conversation with these arguments."""
        return self.template.render(conversation, add_generation_prompt, self.clock, **self.kwargs).text


def parse_conversation(request: ParseRequest, text: str, generation_prompt: bool | None) -> Conversation:
    """Return the conversation that renders to the text; raise `ParseRefusal` if there is none, or none was found."""
    refusal: ParseRefusal | None = None
    for inputs in _inputs(request, text):
        try:
            return _parse(request, text, inputs, generation_prompt)
        except ParseRefusal as error:
            refusal = later(refusal, error)
    assert refusal is not None, "at least one set of inputs is tried"
    raise refusal


def complete_messages(request: ParseRequest, text: str) -> list[Message]:
    """Return the messages of the complete turns at the start of a text."""
    for inputs in _inputs(request, text):
        try:
            for preamble in _preambles(request.grammar, text, _renderer(request, inputs)):
                scan = _scan(request.grammar, text, preamble.end, in_user=preamble.in_user, partial=True)
                if scan.turns and scan.turns[-1].end == len(text) and not text.endswith(request.grammar.all_closes):
                    scan = replace(scan, turns=scan.turns[:-1])  # Later text may continue it.
                if scan.turns:
                    messages = [message[0] for turn in scan.turns for message in turn.messages]
                    return _conversation({"messages": [*preamble.messages, *messages], **inputs}).messages
        except ParseRefusal:
            continue
    return []


# -- inputs other than messages


def _inputs(request: ParseRequest, text: str) -> Iterator[dict[str, Any]]:
    """Yield the inputs that may accompany the messages: tools and documents that the text shows, and possible modes."""
    template, facts = request.template, request.grammar.facts
    modes = template.family.modes if template.family else {}
    settings: list[dict[str, Any]] = [{}]
    for name in facts.modes:
        if name not in request.kwargs:
            settings += [{name: value} for value in modes[name].values if value != modes[name].default]
    shown = _visible_kwargs({name: value for name, value in facts.kwargs.items() if name not in request.kwargs}, text)
    settings = [{**shown, **setting} for setting in settings] + ([{}] if shown else [])
    tools = [] if "tools" in request.kwargs else _visible_items(facts.tools, text)
    documents = [] if "documents" in request.kwargs else _visible_items(facts.documents, text)
    for setting in settings:
        for some_tools in [*tools, None]:
            for some_documents in [*documents, None]:
                found: dict[str, Any] = {"tools": some_tools, "documents": some_documents}
                found = {name: value for name, value in found.items() if value is not None}
                yield {**found, "chat_template_kwargs": setting} if setting else found


def _visible_kwargs(patterns: dict[str, str], text: str) -> dict[str, str]:
    """Return the template kwargs that the text shows: the values at the first matches of their patterns."""
    shown: dict[str, str] = {}
    for name, written in patterns.items():
        pattern = compile_pattern(written)
        position = text.find(pattern.start)
        found = pattern.match(text, position, len(text)) if position >= 0 else None
        if found is not None:
            shown[name] = found.values["value"]
    return shown


def _visible_items(sequences: tuple[SequenceFacts, ...], text: str) -> list[list[dict[str, Any]]]:
    """Return the lists of tools or documents that the text shows."""
    found: list[list[dict[str, Any]]] = []
    for facts in sequences:
        position = text.find(facts.opens)
        match = SequencePattern(facts).match(text, position, len(text)) if position >= 0 else None
        if match is None or not match.closed:
            continue
        items = [_item(dict(values)) for values in match.items]
        if all(isinstance(item, dict) for item in items):
            found.append(items)
    return found


def _item(values: dict[str, Any]) -> Any:
    for name in ("tool", "document"):
        if name in values:
            return values[name]
    return {"type": "function", "function": values}


def _renderer(request: ParseRequest, inputs: dict[str, Any]) -> Render:
    return lambda messages: request.render(_conversation({"messages": messages, **inputs}))


# -- proof by rendering


def _parse(request: ParseRequest, text: str, inputs: dict[str, Any], generation_prompt: bool | None) -> Conversation:
    refusal: ParseRefusal | None = None
    for preamble in _preambles(request.grammar, text, _renderer(request, inputs)):
        try:
            scan = _scan(request.grammar, text, preamble.end, in_user=preamble.in_user)
            return _matching(request, text, preamble, scan, inputs, generation_prompt)
        except ParseRefusal as error:
            refusal = later(refusal, error)
    raise refusal or ParseRefusal(ParseFailure.BEGINNING, "no rendering of this template starts like this text", 0)


def _matching(
    request: ParseRequest,
    text: str,
    preamble: Preamble,
    scan: TurnScan,
    inputs: dict[str, Any],
    generation_prompt: bool | None,
) -> Conversation:
    """Return the conversation of a scan that renders to the text, with or without a generation prompt."""
    prompts = [False, True] if scan.unclosed else [False]
    prompts = prompts if generation_prompt is None else [generation_prompt]
    # A setting that changes nothing is not part of what the text shows.
    without_settings = {name: value for name, value in inputs.items() if name != "chat_template_kwargs"}
    refusal: ParseRefusal | None = None
    for candidate in [without_settings, inputs] if without_settings != inputs else [inputs]:
        for prompt in prompts:
            try:
                return _prove(request, text, preamble, scan, candidate, prompt)
            except ParseRefusal as error:
                refusal = later(refusal, error)
    assert refusal is not None
    if scan.unclosed and scan.unclosed.end < len(text):
        raise scan.unclosed
    raise refusal


def _prove(
    request: ParseRequest, text: str, preamble: Preamble, scan: TurnScan, inputs: dict[str, Any], prompt: bool
) -> Conversation:
    """Render the messages; while the result differs, try the next candidate for the message where it differs."""
    messages: list[tuple[MessageData, ...]] = [message for turn in scan.turns for message in turn.messages]
    ends = [turn.end for turn in scan.turns for _ in turn.messages]
    choices = [0] * len(messages)
    for _ in range(_MAX_REREADINGS):
        chosen = [message[choice] for message, choice in zip(messages, choices, strict=True)]
        conversation = _conversation({"messages": [*preamble.messages, *chosen], **inputs})
        try:
            rendered = request.render(conversation, add_generation_prompt=prompt)
        except RenderError as error:
            raise ParseRefusal(
                ParseFailure.NOT_RENDERED, f"it cannot be rendered: {error.message}", preamble.end, hint=error.hint
            ) from None
        if rendered == text:
            return conversation
        offset = common_length(text, rendered)
        wrong = next((index for index, end in enumerate(ends) if end > offset), None)
        if wrong is None or choices[wrong] + 1 == len(messages[wrong]):
            break
        choices[wrong] += 1
    raise difference(text, rendered)


def _conversation(data: dict[str, Any]) -> Conversation:
    try:
        return Conversation.coerce(data, clean_nulls="never")
    except ConversationError as error:
        raise ParseRefusal(
            ParseFailure.NOT_A_CONVERSATION, f"not a valid conversation: {error.message}", 0, hint=error.hint
        ) from None


# -- the preamble


@dataclass(frozen=True)
class Preamble:
    """The text before the first turn: its system message, its end, and whether that is inside the first user turn."""

    system: str | None
    end: int
    in_user: bool

    @property
    def messages(self) -> list[MessageData]:
        """The system message, if there is one."""
        return [] if self.system is None else [{"role": "system", "content": self.system}]


@dataclass(frozen=True)
class _RenderedPreamble:
    """A rendered preamble: the text before and after the system message, and whether a user turn is open after it."""

    before: str
    after: str
    in_user: bool


def _preambles(grammar: Grammar, text: str, render: Render) -> Iterator[Preamble]:
    """Yield the preambles that the text may have, the one without a system message first.

    They are found by rendering conversations with known messages.
    """
    refusal: ParseRefusal | None = None
    any_found = False
    alone = _rendered_preamble(grammar, render, [{"role": "user", "content": _USER}])
    if alone is not None and text.startswith(alone.before):
        end = len(alone.before)
        if alone.in_user or _turn_may_follow(grammar, text, end):
            any_found = True
            yield Preamble(None, end, alone.in_user)
        else:
            refusal = ParseRefusal(ParseFailure.NO_TURN, "no turn starts here", end)
    known = [] if alone is None else [alone.before]
    for form in ("${system}", *grammar.facts.system_forms):
        system = {"role": "system", "content": form.replace("${system}", _SYSTEM)}
        rendered = _rendered_preamble(grammar, render, [system, {"role": "user", "content": _USER}])
        if rendered is None:
            continue
        known.append(rendered.before)
        if text.startswith(rendered.before):
            found = _with_system(grammar, text, rendered)
            if isinstance(found, ParseRefusal):
                refusal = later(refusal, found)
            elif form == "${system}" or not _is_plain(found.system or "", rendered.before, known):
                any_found = True
                yield replace(found, system=form.replace("${system}", found.system or ""))
    if not any_found:
        refusal = _nearest(text, known, refusal)
    if refusal is not None:
        raise refusal


def _nearest(text: str, known: list[str], refusal: ParseRefusal | None) -> ParseRefusal | None:
    """Return the refusal furthest into the text: the given one, or that of the most similar preamble."""
    others = [preamble for preamble in known if not text.startswith(preamble)]
    if not others:
        return refusal
    nearest = difference(text, max(others, key=lambda preamble: common_length(text, preamble)))
    nearest.hint = _HINT
    return later(refusal, nearest)


def _is_plain(system: str, before: str, known: list[str]) -> bool:
    """Return whether a system message starts like the template's own system turns."""
    leads = [preamble[len(before) :].partition("\n")[0] for preamble in known if preamble.startswith(before)]
    return any(lead and system.startswith(lead) for lead in leads)


def _rendered_preamble(grammar: Grammar, render: Render, messages: list[MessageData]) -> _RenderedPreamble | None:
    try:
        text = render(messages)
    except RenderError:
        return None
    before, user, _ = text.partition(_USER)
    if not user:
        return None
    system = ""
    if len(messages) > 1:
        before, system, after = before.partition(_SYSTEM)
        if not system:
            return None
    else:
        before, after = "", before
    in_user = not after.endswith(grammar.user)
    after = after if in_user else after[: len(after) - len(grammar.user)]
    return _RenderedPreamble(before, after, in_user) if system else _RenderedPreamble(after, "", in_user)


def _with_system(grammar: Grammar, text: str, rendered: _RenderedPreamble) -> Preamble | ParseRefusal:
    start = position = len(rendered.before)
    if not rendered.after:
        found = grammar.openers.search(text, start)
        end = found.start() if found else len(text)
        return Preamble(text[start:end], end, rendered.in_user)
    while (stop := text.find(rendered.after, position)) >= 0:
        end = stop + len(rendered.after)
        if rendered.in_user or _turn_may_follow(grammar, text, end):
            return Preamble(text[start:stop], end, rendered.in_user)
        position = stop + 1
    message = f"the system turn that starts here does not continue with {rendered.after[:40]!r}"
    return ParseRefusal(ParseFailure.TURN_FORMAT, message, start, hint=_HINT)


# -- the turns


@dataclass(frozen=True)
class ParsedTurn:
    """The turn at characters ``[start, end)`` of a text, with all candidates for each of its messages."""

    start: int
    end: int
    messages: tuple[tuple[MessageData, ...], ...]


@dataclass(frozen=True)
class TurnScan:
    """The turns of a text, and a refusal if an assistant turn at its end is open."""

    turns: tuple[ParsedTurn, ...]
    unclosed: ParseRefusal | None


def _scan(grammar: Grammar, text: str, position: int, *, in_user: bool = False, partial: bool = False) -> TurnScan:
    """Split a text into turns.

    Args:
        grammar: the family's grammar.
        text: the whole text.
        position: the character offset of the first turn.
        in_user: the position is inside the content of a user turn.
        partial: stop at text that is not a turn, since more text may follow.
    """
    turns: list[ParsedTurn] = []
    while position < len(text) or in_user:
        try:
            found = _user_content(grammar, text, position) if in_user else _turn(grammar, text, position)
        except ParseRefusal as refusal:
            if not partial:
                raise
            found = refusal
        in_user = False
        if isinstance(found, ParseRefusal):
            return TurnScan(tuple(turns), found)
        turns.append(found)
        position = found.end
    return TurnScan(tuple(turns), None)


def _user_content(grammar: Grammar, text: str, position: int) -> ParsedTurn:
    frame = next(frame for frame in grammar.frames if frame.facts.opens == grammar.user)
    return _content_turn(grammar, frame, PatternMatch({}, position), text, position)


def _turn(grammar: Grammar, text: str, position: int) -> ParsedTurn | ParseRefusal:
    """Return the turn at a position, or a refusal if it is an assistant turn that is never closed."""
    refusal = None
    for frame in grammar.frames:
        if not text.startswith(frame.start, position):
            continue
        opened = frame.opens.match(text, position, len(text))
        if opened is None:
            continue
        try:
            if frame.facts.role == "assistant":
                return _assistant_turn(grammar, frame, opened, text, position)
            if frame.items is not None:
                return _item_turn(grammar, frame, frame.items, opened, text, position)
            return _content_turn(grammar, frame, opened, text, position)
        except ParseRefusal as found:
            refusal = refusal or found
    raise refusal or ParseRefusal(ParseFailure.NO_TURN, "no turn starts here", position)


def _turn_may_follow(grammar: Grammar, text: str, position: int) -> bool:
    """Return whether the text ends here, or a turn may start."""
    return position == len(text) or grammar.openers.match(text, position) is not None


def _ends(grammar: Grammar, closes: tuple[str, ...], text: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield the possible ends of a turn that starts at ``start``: the end of its body, and of the turn."""
    if "" in closes:
        yield from ((found.start(),) * 2 for found in grammar.openers.finditer(text, start))
        yield len(text), len(text)
        return
    pattern = re.compile("|".join(re.escape(close) for close in sorted(closes, key=len, reverse=True)))
    for found in pattern.finditer(text, start):
        if _turn_may_follow(grammar, text, found.end()):
            yield found.start(), found.end()


def _assistant_turn(
    grammar: Grammar, frame: TurnFrame, opened: PatternMatch, text: str, start: int
) -> ParsedTurn | ParseRefusal:
    refusal = None
    for tries, (stop, end) in enumerate(_ends(grammar, frame.facts.closes, text, opened.end)):
        if tries == _MAX_ENDS:
            break
        try:
            candidates = read_reply(grammar, text, opened.end, stop, inline=True)
        except ParseRefusal as error:
            refusal = later(refusal, error)
            continue
        return ParsedTurn(start, end, (tuple(candidates),))
    if refusal is not None:
        raise refusal
    return _unclosed(frame, start, opened.end)


def _content_turn(grammar: Grammar, frame: TurnFrame, opened: PatternMatch, text: str, start: int) -> ParsedTurn:
    for stop, end in _ends(grammar, frame.facts.closes, text, opened.end):
        if frame.facts.role is None:
            return ParsedTurn(start, end, ())
        message: MessageData = {"role": frame.facts.role, **opened.values, "content": text[opened.end : stop]}
        return ParsedTurn(start, end, ((message,),))
    raise _unclosed(frame, start, opened.end)


def _item_turn(
    grammar: Grammar, frame: TurnFrame, items: SequencePattern, opened: PatternMatch, text: str, start: int
) -> ParsedTurn:
    found: SequenceMatch = items.match(text, opened.end, len(text))
    for close in frame.facts.closes:
        end = found.end + len(close)
        if found.items and text.startswith(close, found.end) and _turn_may_follow(grammar, text, end):
            return ParsedTurn(start, end, tuple((_item_message(frame, opened, item),) for item in found.items))
    message = f"not in this family's format for turns of the role {frame.facts.role!r}"
    raise ParseRefusal(ParseFailure.TURN_FORMAT, message, start, found.end)


def _item_message(frame: TurnFrame, opened: PatternMatch, item: Any) -> MessageData:
    message: MessageData = {"role": frame.facts.role, **opened.values, **item}
    if not isinstance(message["content"], str | list):
        raise ParseRefusal(
            ParseFailure.RESULT_FORMAT, "the tool result is neither text nor a list of parts", opened.end
        )
    return message


def _unclosed(frame: TurnFrame, start: int, end: int) -> ParseRefusal:
    closes = " or ".join(map(repr, frame.facts.closes))
    turn = f"{frame.facts.role} turn" if frame.facts.role else "turn of the template"
    message = f"this {turn} is not closed by {closes} followed by another turn or the end"
    return ParseRefusal(ParseFailure.UNCLOSED, message, start, end)
