"""Parsing of whole conversations: the messages between the template's own texts, and the proof by rendering."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from chattmpl.conversation.models import Conversation, Message
from chattmpl.errors import ChatTmplError, ConversationError, UsageError
from chattmpl.parse.frames import CALLS, END, PROMPT, START, Frames, Gap, find_frames, find_starts, opening, with_tools
from chattmpl.parse.refusal import ParseFailure, ParseRefusal, difference, later
from chattmpl.parse.shown_inputs import shown_inputs
from chattmpl.parse.turn_grammar import MessageData, messages_of, schemas_of
from chattmpl.parse.values import Scan
from chattmpl.probing.corpus import TOOL, as_parts
from chattmpl.probing.facts import facts_of
from chattmpl.source import common_length
from chattmpl.template.template import Clock, Rendering, Template

_TURN = "turn"
"""The state before an assistant turn."""

_MAX_PROOFS = 100
"""Number of readings of one text that are rendered."""

_MAX_EMPTY = 8
"""Number of steps before a step that may end at the same place."""

_MAX_PLACES = 200
"""Number of places where one message may end that are tried."""

_HINT = "pass the tools, documents, clock and template kwargs that the text was rendered with"


@dataclass(frozen=True)
class ParseRequest:
    """The arguments of a parse besides the text."""

    template: Template
    clock: Clock
    kwargs: dict[str, Any]
    """Template kwargs, including tools and documents if given."""

    def render(self, conversation: Any, *, add_generation_prompt: bool = False) -> str:
        """Render a conversation with these arguments."""
        return self.template.render(conversation, add_generation_prompt, self.clock, **self.kwargs).text

    def conversation(self, messages: list[MessageData], inputs: dict[str, Any]) -> Conversation:
        """Return messages and other inputs as a conversation, in the form that the template takes.

        Raises:
            ParseRefusal: they are no conversation.
        """
        data = {"messages": messages, **inputs}
        try:
            return Conversation.coerce(
                as_parts(data) if facts_of(self.template).only_parts else data, clean_nulls="never"
            )
        except ConversationError as error:
            raise ParseRefusal(
                ParseFailure.NOT_A_CONVERSATION, f"not a valid conversation: {error.message}", 0, hint=error.hint
            ) from None


def parse_conversation(request: ParseRequest, text: str, generation_prompt: bool | None) -> Conversation:
    """Return the conversation that renders to the text; raise `ParseRefusal` if there is none, or none was found."""
    names = request.kwargs.keys() - {"tools", "documents"}
    request.template.check_kwargs({name: request.kwargs[name] for name in names if request.kwargs[name] is not None})
    refusal: ParseRefusal | None = None
    underived: UsageError | None = None
    for inputs in shown_inputs(request.template, request.kwargs, text):
        try:
            found = _Reader(request, text, inputs).parse(generation_prompt)
        except ParseRefusal as error:
            refusal = later(refusal, error)
        except UsageError as error:
            underived = underived or error
        else:
            return _least(request, text, found)
    problem = refusal or underived
    assert problem is not None, "at least one set of inputs is tried"
    raise problem


def _least(request: ParseRequest, text: str, found: Conversation) -> Conversation:
    """Return the conversation without template kwargs that change nothing in its text."""
    for name in list(found.chat_template_kwargs or ()):
        rest = {key: value for key, value in (found.chat_template_kwargs or {}).items() if key != name}
        fewer = found.model_copy(update={"chat_template_kwargs": rest or None})
        try:
            texts = [request.render(fewer, add_generation_prompt=prompt) for prompt in (False, True)]
        except ChatTmplError:
            continue
        found = fewer if text in texts else found
    return found


def complete_messages(request: ParseRequest, text: str) -> list[Message]:
    """Return the messages of the complete turns at the start of a text."""
    for inputs in shown_inputs(request.template, request.kwargs, text):
        try:
            reader = _Reader(request, text, inputs)
        except (ParseRefusal, UsageError):
            continue
        undecided = any(gap.literal.startswith(text) for gap in reader.starts)
        messages = [] if undecided else reader.complete()
        return request.conversation(messages, inputs).messages if messages else []
    return []


@dataclass(frozen=True)
class _State:
    """An open message: its role, the offset of its content, and the fields in its header.

    The kind may also be that of a finished assistant message, ``start``, or an end of the text.
    """

    kind: str
    position: int
    header: MessageData = field(default_factory=dict, compare=False)
    obeyed: tuple[str, str] = ("", "")

    @property
    def ended(self) -> bool:
        """True at the end of the text."""
        return self.kind in (END, PROMPT)


@dataclass(frozen=True)
class _Place:
    """A place where a message ends: the text that follows it, before another message or an assistant turn.

    An assistant turn follows a message of a role.
    """

    match: re.Match[str]
    what: Gap | str

    @property
    def start(self) -> int:
        """The end of the message."""
        return self.match.start()

    @property
    def state(self) -> _State:
        """The state after it."""
        if isinstance(self.what, str):
            return _State(_TURN, self.match.start(), {"role": self.what})
        return _State(self.what.after, self.match.end(), self.what.header(self.match), self.what.obeyed)

    @property
    def order(self) -> tuple[bool, int, int, int]:
        """The sort key: the surest and first places come first, and where most literal text follows."""
        if isinstance(self.what, str):
            return False, self.match.start(), -len(self.match[0]), 1
        slots = 0 if self.what.after in (END, PROMPT) else len(self.what.parts)
        return self.what.weak, self.match.start(), -len(self.what.literal), slots


@dataclass(frozen=True)
class _Step:
    """One step of a reading: the message that it completes, if any, and the state after it."""

    message: MessageData | None
    state: _State


class _Reader:
    """A reader of one text with one set of inputs."""

    def __init__(self, request: ParseRequest, text: str, inputs: dict[str, Any]) -> None:
        self.request = request
        self.text = text
        self.inputs = inputs
        given = _Given(request, inputs)
        starts = _starts(request.template, given)
        if starts and not any(gap.pattern.match(text) for gap in starts):
            raise _nearest(text, starts)
        self.frames = _frames(request.template, given)
        facts = facts_of(request.template)
        self.as_text = bool(facts.prober.call_options.get("text"))
        prompt = facts.generation_prompt or ""
        self.supplied = {other[common_length(prompt, other) :] for other in facts.generation_prompts.values()} - {""}
        self.starts = starts
        # The template's own system text is no message that is only a command.
        literals = [gap.literal for gap in starts]
        commanded = [gap.literal for gap in starts if any(gap.obeyed)]
        leads = {
            whole[len(start) :].partition("\n")[0]
            for start in commanded
            for whole in literals
            if whole.startswith(start)
        }
        self.leads = leads - {""}
        self.schemas = schemas_of(request.kwargs.get("tools") or inputs.get("tools"))
        self.refusal: ParseRefusal | None = None
        self.longest: list[_Step] = []

    def parse(self, generation_prompt: bool | None) -> Conversation:
        """Return the first reading that renders to the text."""
        proofs = 0
        steps = [(self._steps(_State(START, 0)), proofs)]
        taken: list[_Step] = []
        dead: set[_State] = set()
        while steps and proofs < _MAX_PROOFS:
            step = next(steps[-1][0], None)
            if step is None:
                before = steps.pop()[1]
                state = taken.pop().state if taken else None
                # Where a proof failed, other messages before this state may render to the text.
                if state is not None and proofs == before:
                    dead.add(state)
                continue
            # Without text between two messages a reading could go on forever.
            if step.state in dead or any(step.state == each.state for each in taken[-_MAX_EMPTY:]):
                continue
            taken.append(step)
            if not step.state.ended:
                if len(taken) > len(self.longest):
                    self.longest = list(taken)
                steps.append((self._steps(step.state), proofs))
                continue
            proofs += 1
            try:
                return self._prove(taken, generation_prompt)
            except ParseRefusal as refusal:
                self.refusal = later(self.refusal, refusal)
                start = len(self.text) if refusal.reason is ParseFailure.NOT_RENDERED else refusal.start
                wrong = next((index for index, each in enumerate(taken) if each.state.position > start), len(taken) - 1)
                del taken[wrong:], steps[wrong + 1 :]
        assert self.refusal is not None
        raise self.refusal

    def complete(self) -> list[MessageData]:
        """Return the messages that are complete, where the text may go on."""
        state, last, messages = _State(START, 0), START, []
        while not state.ended and (step := next(self._from(state), None)) is not None:
            if step.message is not None:
                messages.append(step.message)
            state, last = step.state, state.kind
        closed = all(gap.literal for gap in self.frames.gaps if (gap.before, gap.after) == (last, END))
        # Where nothing closes a message, later text may continue it.
        return messages[:-1] if state.ended and not closed else messages

    # -- one step

    def _steps(self, state: _State) -> Iterator[_Step]:
        """Yield the ways to go on from a state."""
        any_found = False
        for step in self._from(state):
            any_found = True
            yield step
        if not any_found:
            self.refusal = later(self.refusal, self._dead_end(state))

    def _from(self, state: _State) -> Iterator[_Step]:
        if state.kind == _TURN:
            yield from self._turns(state.position, str(state.header["role"]))
            return
        content = state.kind not in (START, "assistant", CALLS)
        for place in self._places(state):
            if not content:
                yield _Step(None, place.state)
                continue
            for message in self._contents(state, place.start):
                yield _Step(message, place.state)

    def _places(self, state: _State) -> list[_Place]:
        """Return the places where a message ends, the surest and first ones first."""
        content = state.kind not in (START, "assistant", CALLS)
        before = "tool" if state.kind == "tool" else "user"
        patterns: list[tuple[re.Pattern[str], Gap | str]] = [
            (gap.pattern, gap) for gap in self.frames.after(state.kind)
        ]
        if state.kind != START and before in self.frames.openings:
            # Where users and assistants begin alike, they take turns.
            patterns.insert(0 if content else len(patterns), (self.frames.openings[before], before))
        found: list[_Place] = []
        for pattern, what in patterns:
            if content:
                matches = itertools.islice(pattern.finditer(self.text, state.position), _MAX_PLACES)
                found += [_Place(match, what) for match in matches]
            elif (match := pattern.match(self.text, state.position)) is not None:
                found.append(_Place(match, what))
        first = min((place.start for place in found if not place.order[0]), default=len(self.text))
        return sorted((place for place in found if place.start <= first), key=lambda place: place.order)

    def _contents(self, state: _State, end: int) -> Iterator[MessageData]:
        """Yield the messages with the content up to an offset."""
        quoted = self.text[state.position - 1 : state.position] == self.text[end : end + 1] == '"'
        for content in self.frames.contents(self.text[state.position : end], quoted):
            if any(state.obeyed) and isinstance(content, str):
                if any(content.startswith(lead) for lead in self.leads):
                    continue
                content = state.obeyed[0] + content + state.obeyed[1]
            yield {"role": state.kind, **state.header, "content": content}

    def _turns(self, position: int, before: str) -> Iterator[_Step]:
        """Yield the assistant messages that begin at an offset, after a message of a role."""
        forms = [form for form in self.frames.turns[before] if self.text.startswith(opening(form), position)]
        ends: dict[int, bool] = {}
        for kind in ("assistant", CALLS):
            for gap in self.frames.after(kind):
                for match in itertools.islice(gap.pattern.finditer(self.text, position), _MAX_PLACES):
                    ends[match.start()] = ends.get(match.start(), True) and gap.weak
        any_found = False
        for end in sorted(ends, key=lambda end: (ends[end], end)):
            seen: list[MessageData] = []
            for form in forms:
                for fields in form.read(Scan(self.text, end, False, self.schemas), position):
                    # A call that is not written like those of the template is no text.
                    if any(token in fields.get("content", "") for token in self.frames.call_tokens):
                        continue
                    for message in messages_of(fields):
                        message = _with_text(message) if self.as_text else message
                        if message not in seen:
                            seen.append(message)
            seen.sort(key=lambda message: -len(message.get("tool_calls", ())))
            # Content that looks like a trace is rendered as one, unless the message has an explicitly empty trace.
            more = [{**message, "reasoning_content": ""} for message in seen if "reasoning_content" not in message]
            # In another mode, which a command in a message may bring, a turn begins with what its prompt supplies.
            more += [
                {**message, "content": message["content"].removeprefix(text)}
                for message, text in itertools.product(seen, self.supplied)
                if message.get("content", "").startswith(text)
            ]
            for message in [*seen, *more]:
                # Only arguments contain what looks like the end of a turn.
                if not any_found or "tool_calls" in message:
                    yield _Step(message, _State(CALLS if "tool_calls" in message else "assistant", end))
            any_found = any_found or bool(seen)

    # -- the end

    def _prove(self, taken: list[_Step], generation_prompt: bool | None) -> Conversation:
        """Return the conversation of a reading; raise the difference if it renders to another text."""
        messages = [step.message for step in taken if step.message is not None]
        conversation = self.request.conversation(messages, self.inputs)
        prompt = taken[-1].state.kind == PROMPT if generation_prompt is None else generation_prompt
        try:
            rendered = self.request.render(conversation, add_generation_prompt=prompt)
        except ChatTmplError as error:
            raise ParseRefusal(
                ParseFailure.NOT_RENDERED, f"it cannot be rendered: {error.message}", 0, hint=error.hint
            ) from None
        if rendered != self.text:
            raise difference(self.text, rendered)
        return conversation

    def _dead_end(self, state: _State) -> ParseRefusal:
        """Return the refusal of a text that cannot go on from a state."""
        position = state.position
        nearest = _nearest(self.text, self.starts)
        if nearest.start > position:
            return nearest
        if state.kind == _TURN:
            message = "an assistant turn starts here but is not in the template's format, or not closed"
            return ParseRefusal(ParseFailure.REPLY_FORMAT, message, position)
        if state.kind in ("assistant", CALLS):
            return ParseRefusal(ParseFailure.NO_TURN, "no turn starts here", position)
        message = f"this {state.kind} turn is not closed, or what follows it is no turn of this template"
        return ParseRefusal(ParseFailure.UNCLOSED, message, position)


def _with_text(message: MessageData) -> MessageData:
    """Return a message with the arguments of its calls as JSON text."""
    calls = []
    for call in message.get("tool_calls", ()):
        given = call["function"]["arguments"]
        written = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        calls.append({**call, "function": {**call["function"], "arguments": written}})
    return {**message, "tool_calls": calls} if calls else message


def _nearest(text: str, starts: Sequence[Gap]) -> ParseRefusal:
    """Return the difference of a text from the most similar beginning."""
    refusal = difference(text, max((gap.literal for gap in starts), key=lambda before: common_length(text, before)))
    refusal.hint = _HINT
    return refusal


@dataclass(frozen=True)
class _Given:
    """The request and the inputs that the template reads, which the frames of a conversation depend on."""

    request: ParseRequest = field(compare=False)
    inputs: dict[str, Any] = field(compare=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        read = {name for each in self.request.template.variants for name in each.program.variables}
        unread = {"tools", "documents"} - read
        given = [{k: v for k, v in each.items() if k not in unread} for each in (self.request.kwargs, self.inputs)]
        object.__setattr__(self, "key", json.dumps((self.request.clock, *given), sort_keys=True, default=str))

    @property
    def usual(self) -> _Given:
        """The same with the tool of the corpus instead of others."""
        kwargs, inputs = (
            {**given, "tools": [TOOL]} if given.get("tools") else given for given in (self.request.kwargs, self.inputs)
        )
        return _Given(replace(self.request, kwargs=kwargs), inputs)

    def render(self, messages: list[MessageData], prompt: bool) -> Rendering | None:
        """Render messages with these inputs; return None if the template raises."""
        request = self.request
        try:
            conversation = request.conversation(messages, self.inputs)
            return request.template.render(conversation, prompt, request.clock, **request.kwargs)
        except (ChatTmplError, ParseRefusal):
            return None


@lru_cache(maxsize=1024)
def _starts(template: Template, given: _Given) -> tuple[Gap, ...]:
    """Return the texts before the first message; the template is part of the key."""
    return find_starts(template, given.render)


@lru_cache(maxsize=64)
def _frames(template: Template, given: _Given) -> Frames:
    """Return the frames of conversations, derived once for all tools."""
    usual = given.usual
    frames = _usual_frames(template, usual)
    return frames if usual == given else with_tools(template, frames, _starts(template, given), given.render)


@lru_cache(maxsize=64)
def _usual_frames(template: Template, given: _Given) -> Frames:
    """Return the frames of conversations; the template is part of the key."""
    request, inputs = given.request, given.inputs
    shown = {name: value for name, value in inputs.items() if name != "chat_template_kwargs"}
    return find_frames(template, {**inputs.get("chat_template_kwargs", {}), **shown, **request.kwargs}, given.render)
