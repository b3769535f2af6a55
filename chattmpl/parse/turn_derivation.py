"""Derivation of the forms of assistant turns: the origin of each rendered character tells text from slots.

Each kind of turn is rendered as the last one: with and without reasoning and content, and with up to three calls. What
came from a field of the message is a slot, and the rest is the template's own text.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from chattmpl.errors import ChatTmplError
from chattmpl.parse.composition import Trace, compose, find_trace
from chattmpl.parse.forms import Arguments, CallPart, Calls, Form, JsonCall, Slot
from chattmpl.parse.value_derivation import KEYS, WORDS, Underivable, members_of, whole_notation
from chattmpl.parse.values import KEY, Members, common_end, common_start
from chattmpl.probing.corpus import (
    ASK,
    ASK_MORE,
    SAY,
    TOOL_NAME,
    TRACES,
    TUSKS,
    Message,
    call_message,
    result_message,
    with_trace,
)
from chattmpl.probing.facts import TemplateFacts
from chattmpl.probing.prober import before_split_token
from chattmpl.source import common_length
from chattmpl.template.special_tokens import CONTROL, PIPED_CONTROL
from chattmpl.template.template import Rendering

_CONTENT = "Plan plum and pear"
_NAMES = (TOOL_NAME,) * 3
IDS = ("walrusone", "walrustwo", "walrusthr")

_CALL_FIELD = re.compile(r"tool_calls\[(\d+)\](?:\.function)?\.(name|id|type|arguments)\b")
_MARK = "\ue000"

Kinds = dict[tuple[bool, bool], dict[int, Rendering]]
"""Renderings of each kind of turn, with or without trace and content, by the number of calls."""


@dataclass(frozen=True)
class Piece:
    """Text of one origin: a field, of the call with a number if it belongs to one, or None for the template's text."""

    text: str
    field: str | None = None
    call: int | None = None


class WrittenArguments(NamedTuple):
    """The notation of arguments, and the text after a plain string that is written as a member."""

    arguments: Arguments
    value_end: str = ""


@dataclass(frozen=True)
class DerivedForms:
    """The forms of a template's assistant turns.

    Attributes:
        header: the end of a prompt, from the last message on.
        supplied: the beginning of a turn that the generation prompt supplies, such as ``<think>``.
        heads: what turns have in common with it that begin otherwise in the history.
        forms: the forms, the ones with most fields first.
        composed: the forms of turns that continue the prompt, which the template may write otherwise.
        trace: the texts around traces; None if there are none.
        stops: the tokens that end turns.
        followers: the tokens that begin the next turn, where turns have no stop token.
        openers: the texts before the first call of a turn, the longest first.
        underived: the kinds of turns that no form describes, with the reason.
    """

    header: str
    supplied: str
    heads: tuple[str, ...]
    forms: tuple[Form, ...]
    composed: tuple[Form, ...]
    trace: Trace | None
    stops: tuple[str, ...]
    followers: tuple[str, ...]
    openers: tuple[str, ...]
    underived: tuple[str, ...]


@lru_cache(maxsize=8)
def derive(facts: TemplateFacts, after_result: bool = False, tools: bool = True) -> DerivedForms:
    """Derive the forms of the turns that follow a question or a tool result, with or without tools."""
    return Derivation(facts, after_result, tools).result()


class Derivation:
    """A derivation of forms: the renderings of each kind of turn after some messages."""

    loses_traces = False
    """True if turns count whose trace is not rendered, as in history."""

    def __init__(self, facts: TemplateFacts, after_result: bool, with_tools: bool = True) -> None:
        self.with_tools = with_tools
        self.prober = facts.prober
        self.traces = facts.traces
        self.stops = facts.stop_tokens or ()
        self.generation_prompt = facts.generation_prompt or ""
        options = self.prober.call_options
        self.calls = bool(options)
        self.as_text = bool(options.get("text"))
        self.filler = options.get("content", "")
        self.before: list[Message] = [ASK]
        if after_result:
            self.before += [call_message(**options), result_message()]
        prompt = self.rendered(self.before, prompt=True)
        if prompt is None:
            raise Underivable("the template does not render a question with its generation prompt")
        self.prompt = prompt.text
        self.underived: list[str] = []
        self.notation: WrittenArguments | None = None
        self.openers: list[str] = []

    # -- rendering

    def rendered(self, messages: list[Message], prompt: bool = False) -> Rendering | None:
        """Render messages, with tools if that is possible; return None if the template raises."""
        for tools in (self.with_tools, not self.with_tools):
            made = self.prober.outcome(messages, prompt=prompt, tools=tools, template=self.traces.template)
            if not isinstance(made, ChatTmplError):
                return made
        return None

    def _message(self, traced: bool, content: str | None, calls: Sequence[dict[str, Any]]) -> Message:
        message: Message = {"role": "assistant", "content": content}
        if calls:
            message["tool_calls"] = [
                {
                    "id": identifier,
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(given) if self.as_text else given},
                }
                for identifier, name, given in zip(IDS, _NAMES, calls, strict=False)
            ]
        return with_trace(message, TRACES[0], self.traces.carrier or "field") if traced else message

    def turn(self, message: Message) -> Rendering | None:
        """Render a turn after the messages before it; return None if the template does not."""
        made = self.rendered([*self.before, message])
        if made is None or self._common(made.text) < self.prompt.rfind(ASK["content"]):
            return None
        return made

    def _common(self, text: str) -> int:
        if text.startswith(self.prompt):
            return len(self.prompt)
        return before_split_token(text, common_length(text, self.prompt))

    # -- forms

    def result(self) -> DerivedForms:
        """Render all kinds of turns and return their forms."""
        kinds = self.kinds()
        every = [made.text for turns in kinds.values() for made in turns.values()]
        start = min([*map(self._common, every), *map(_trace_opening, every)])
        forms, stops = self.forms(kinds, start)
        header = self.prompt[self.prompt.rfind(self.before[-1]["content"]) :]
        unique = [form for index, form in enumerate(forms) if form not in forms[:index]]
        ordered = sorted(unique, key=lambda form: ("calls" not in form.fields, -len(form.fields)))
        openers = tuple(sorted(set(self.openers), key=lambda opener: (-len(opener), opener)))
        heads = {self.prompt[start : self._common(text)] for text in every if not text.startswith(self.prompt)}
        supplied = self.prompt[start:]
        literals = self.prober.template.program.literals
        trace = find_trace(ordered, header, literals)
        composed = compose(ordered, trace, header, supplied, stops, literals)
        if trace is not None and trace.is_opened(header) and not any("reasoning" in form.fields for form in ordered):
            # The template renders no trace, but the prompt opens one.
            ordered = [*composed, *ordered]
        return DerivedForms(
            header,
            supplied,
            tuple(sorted(heads)),
            tuple(ordered),
            composed,
            trace,
            stops,
            tuple(self._followers(stops)),
            openers,
            tuple(dict.fromkeys(self.underived)),
        )

    def kinds(self) -> Kinds:
        """Return renderings of each kind of turn: with or without trace and content, by the number of calls."""
        kinds: Kinds = {}
        traced = (True, False) if self.traces.carrier in ("field", "part") else (False,)
        counts = (1, 3) if self.calls else ()
        for reasons, speaks in itertools.product(traced, (True, False)):
            for count in (0, *counts):
                content = _CONTENT if speaks else (self.filler if count else "")
                made = self.turn(self._message(reasons, content, [{KEYS[0][0]: WORDS[0]}] * count))
                if (
                    made is not None
                    and (not reasons or self.loses_traces or TRACES[0] in made.text)
                    and (not speaks or _CONTENT in made.text)
                ):
                    kinds.setdefault((reasons, speaks), {})[count] = made
        if not kinds:
            raise Underivable("the template renders no assistant turn after its prompt")
        return kinds

    def forms(
        self, kinds: dict[tuple[bool, bool], dict[int, Rendering]], start: int
    ) -> tuple[list[Form], tuple[str, ...]]:
        """Return the forms of turns that begin at an offset, and their stop tokens."""
        stops = self._stops([self.pieces(turns[0], start) for turns in kinds.values() if 0 in turns])
        stops = tuple(stop for stop in stops if stop not in self.generation_prompt)
        if self.calls and self.notation is None:
            self.notation = self._arguments(start)
        forms: list[Form] = []
        for turns in kinds.values():
            read = {count: self.pieces(made, start) for count, made in turns.items()}
            for make in (self._with_calls, self._without_calls):
                try:
                    forms += make(read, stops)
                except Underivable as error:
                    self.underived.append(str(error))
            self.openers += filter(None, map(_opener, read.values()))
        return forms, stops

    def pieces(self, rendering: Rendering, start: int) -> list[Piece]:
        """Return the pieces of a turn that begins at an offset."""
        return pieces_of(rendering, start, len(self.before))

    def _stops(self, turns: Iterable[list[Piece]]) -> tuple[str, ...]:
        """Return the control tokens that end turns without calls, then those of other turns."""
        header = self.prompt[self.prompt.rfind(self.before[-1]["content"]) :]
        found: dict[str, None] = {}
        for tail in (turn[-1].text for turn in turns if len(turn) > 1 and turn[-1].field is None):
            matches = list(CONTROL.finditer(tail))
            unrequested = next((match for match in matches if self.prompt.endswith(tail[match.start() :])), None)
            if unrequested is not None:
                # The template writes a generation prompt, although none is asked for.
                return (unrequested[0],)
            found.update(dict.fromkeys(match[0] for match in matches[-1:]))
            # Another stop token may stand before it, if it ends questions, too.
            for match, following in itertools.pairwise(matches):
                if match[0] in header and not tail[match.end() : following.start()].strip():
                    found[match[0]] = None
        return tuple({**found, **dict.fromkeys(self.stops)})

    def _followers(self, stops: tuple[str, ...]) -> Iterator[str]:
        """Yield the control tokens that begin the next turn, where none ends the turn before it."""
        call = call_message(**self.prober.call_options)
        turns = [(SAY, ASK_MORE, SAY["content"])]
        if self.calls:
            turns.append((call, result_message(), TUSKS[0]))
        for turn, following, word in turns:
            alone, both = (
                (self.prober.text(each, tools=True) or "").rpartition(word)[2]
                for each in ([ASK, turn], [ASK, turn, following])
            )
            following_token = CONTROL.match(both[common_length(alone, both) :].lstrip())
            if following_token is not None and not any(stop in alone for stop in stops):
                yield following_token[0]

    def _without_calls(self, turns: dict[int, list[Piece]], stops: tuple[str, ...]) -> Iterator[Form]:
        if 0 in turns:
            yield self._form([_part(piece) for piece in turns[0]], stops)

    def _with_calls(self, turns: dict[int, list[Piece]], stops: tuple[str, ...]) -> Iterator[Form]:
        if 1 not in turns or self.notation is None:
            return
        split = {count: _Split.of(pieces, *self.notation) for count, pieces in turns.items() if count}
        one = split[1]
        if one is None:
            return
        many = split.get(3)
        if many is not None and len(many.calls) == 3:
            listed = many.as_list()
            yield self._form([*many.prefix, listed.calls, *many.suffix], stops)
            if (listed.first, listed.last) == (one.head, one.tail):
                return
        single = Calls("", _json_call((one.head, *one.calls[0], one.tail)), "", "", False)
        yield self._form([*one.prefix, single, *one.suffix], stops)

    def _form(self, parts: list[str | Slot | Calls], stops: tuple[str, ...]) -> Form:
        """Return the form of a turn, with the ending cut off its last text."""
        parts = list(parts)
        last = parts[-1] if parts else ""
        text, calls = last, None
        if isinstance(last, Calls):
            calls = last
            text = calls.closes or (calls.call[-1] if isinstance(calls.call[-1], str) and not calls.many else "")
        if not isinstance(text, str):
            return Form(tuple(parts), "", "")
        places = [match for match in CONTROL.finditer(text) if match[0] in stops]
        if calls is not None and not calls.many:
            # A turn with a call may end with a stop token of its own.
            places = places or list(PIPED_CONTROL.finditer(text))
        places = [match for match in places if self._ends(text[match.end() :], stops)]
        if not places:
            return Form(tuple(part for part in parts if part != ""), "", "")
        start, stop = places[0].start(), places[0][0]
        if calls is None:
            parts[-1] = text[:start]
        elif calls.closes:
            parts[-1] = replace(calls, closes=text[:start])
        else:
            parts[-1] = replace(calls, call=tuple(part for part in (*calls.call[:-1], text[:start]) if part != ""))
        return Form(tuple(part for part in parts if part != ""), text[start:], stop)

    def _ends(self, rest: str, stops: tuple[str, ...]) -> bool:
        """Return whether a text after a stop token is not sampled: more of them, or a prompt that is not asked for."""
        if CONTROL.match(rest.lstrip()) and self.prompt.endswith(rest):
            return True
        for stop in stops:
            rest = rest.replace(stop, "")
        return not rest.strip()

    # -- arguments

    def _arguments(self, start: int) -> WrittenArguments | None:
        """Return the notation of arguments; None if the template writes none."""
        given = dict(zip(KEYS[0], WORDS, strict=True))
        for speaks in (False, True):
            made = self.turn(self._message(False, _CONTENT if speaks else self.filler, [given]))
            pieces = self.pieces(made, start) if made is not None else []
            region = next((piece.text for piece in pieces if piece.field == "arguments"), None)
            if region is not None:
                break
        else:
            self.underived.append("the template does not write the arguments of calls")
            return None
        notation = whole_notation(region, given)
        if notation is not None:
            return WrittenArguments(Arguments(notation))
        before = sum(len(piece.text) for piece in itertools.takewhile(lambda piece: piece.field != "arguments", pieces))
        literal = pieces[next(index for index, piece in enumerate(pieces) if piece.field == "arguments") - 1]
        place = start + before - (len(literal.text) if literal.field is None else 0)
        content = _CONTENT if speaks else self.filler

        def write(values: list[Any]) -> str | None:
            made = self.turn(self._message(False, content, [dict(zip(KEYS[0], values, strict=False))]))
            return None if made is None else made.text[place:]

        try:
            members, end = members_of(write, keyed=True)
            return WrittenArguments(Arguments(members), end)
        except Underivable as error:
            self.underived.append(str(error))
            return None


def pieces_of(rendering: Rendering, start: int, index: int) -> list[Piece]:
    """Return the pieces of a message's turn from an offset on; the arguments of each call are one piece."""
    pieces: list[Piece] = []
    for span in rendering.spans:
        if span.end <= start:
            continue
        text = rendering.text[max(span.start, start) : span.end]
        pieces.append(_piece(text, span.field if span.message == index else None, span.derived))
    return merged(_with_regions(pieces))


def _trace_opening(text: str) -> int:
    """Return the offset of the control token that opens the trace; the length of the text if there is none."""
    trace = text.rfind(TRACES[0])
    token = next((match for match in reversed(list(CONTROL.finditer(text, 0, max(trace, 0))))), None)
    return len(text) if token is None or text[token.end() : trace].strip() else token.start()


def _opener(pieces: list[Piece]) -> str | None:
    """Return the text before the first call of a turn, without white space; None if there is no call, or no text."""
    first = next((index for index, piece in enumerate(pieces) if piece.call is not None), 0)
    return pieces[first - 1].text.strip() or None if first and pieces[first - 1].field is None else None


def _piece(text: str, field: str | None, derived: bool) -> Piece:
    if field is None:
        return Piece(text, "index" if derived and text.isdigit() else None)
    if field.startswith("content") and TRACES[0] not in text:
        return Piece(text, "content") if text.strip() else Piece(text)
    if field.startswith(("reasoning", "thinking")) or TRACES[0] in text:
        return Piece(text, "reasoning")
    match = _CALL_FIELD.match(field)
    return Piece(text, match[2], int(match[1])) if match else Piece(text)


def _with_regions(pieces: list[Piece]) -> Iterator[Piece]:
    """Join the pieces from the first to the last of each call's arguments."""
    position = 0
    while position < len(pieces):
        piece = pieces[position]
        last = position
        if piece.field == "arguments":
            same = [
                at
                for at in range(position, len(pieces))
                if (pieces[at].field, pieces[at].call) == (piece.field, piece.call)
            ]
            last = same[-1]
            yield Piece("".join(each.text for each in pieces[position : last + 1]), "arguments", piece.call)
        else:
            yield piece
        position = last + 1


def merged(pieces: Iterable[Piece]) -> list[Piece]:
    """Return pieces with those of one origin in a row as one."""
    joined: list[Piece] = []
    for key, group in itertools.groupby(pieces, key=lambda piece: (piece.field, piece.call)):
        joined.append(Piece("".join(piece.text for piece in group), *key))
    return joined


def _part(piece: Piece) -> str | Slot:
    if piece.field is None:
        return piece.text
    if piece.call is not None or piece.field == "index":
        raise Underivable("a call is written where there should be none")
    return Slot(piece.field)


# -- calls


@dataclass(frozen=True)
class _Split:
    """A turn with calls, cut into the parts before and after them, and the calls with the texts around them."""

    prefix: list[str | Slot]
    head: str
    calls: list[tuple[CallPart, ...]]
    between: list[str]
    tail: str
    suffix: list[str | Slot]

    @classmethod
    def of(cls, pieces: list[Piece], arguments: Arguments, value_end: str) -> _Split | None:
        """Split the pieces of a turn; None if no call is written."""
        pieces = _numbered(pieces)
        if isinstance(arguments.notation, Members):
            pieces = _cut_after_values(pieces)
        inside = [index for index, piece in enumerate(pieces) if piece.call is not None]
        if not inside:
            return None
        first, last = inside[0], inside[-1]
        if any(piece.field is not None and piece.call is None for piece in pieces[first:last]):
            raise Underivable("text stands between the calls of a turn")
        head = pieces[first - 1].text if first and pieces[first - 1].field is None else ""
        tail = pieces[last + 1].text if last + 1 < len(pieces) and pieces[last + 1].field is None else ""
        calls: list[list[CallPart]] = []
        between: list[str] = []
        held = ""
        number = None
        for piece in pieces[first : last + 1]:
            if piece.field is None:
                held = piece.text
                continue
            if piece.call != number:
                if calls:
                    between.append(held)
                calls.append([])
                number = piece.call
            elif held:
                calls[-1].append(held)
            held = ""
            calls[-1].append(arguments if piece.field == "arguments" else Slot(piece.field))
        if isinstance(arguments.notation, Members):
            head, calls, between, tail = _without_members(head, calls, between, tail, arguments.notation, value_end)
        return cls(
            [_part(piece) for piece in pieces[: first - bool(head or (first and pieces[first - 1].field is None))]],
            head,
            [tuple(call) for call in calls],
            between,
            tail,
            [
                _part(piece)
                for piece in pieces[last + 1 + (last + 1 < len(pieces) and pieces[last + 1].field is None) :]
            ],
        )

    def as_list(self) -> _Listed:
        """Return the calls as a list of which each item has the same form."""
        if any(call != self.calls[0] for call in self.calls) or self.between[0] != self.between[1]:
            raise Underivable("the calls of a turn are not written alike")
        between = self.between[0]
        closing = common_start(between, self.tail)
        rest = between[closing:]
        opening = common_end(self.head, rest)
        call = _json_call((rest[len(rest) - opening :], *self.calls[0], between[:closing]))
        opens, closes = self.head[: len(self.head) - opening], self.tail[closing:]
        return _Listed(Calls(opens, call, rest[: len(rest) - opening], closes, True), self.head, self.tail)


class _Listed(NamedTuple):
    """Calls in a list, with the text before the first and after the last call."""

    calls: Calls
    first: str
    last: str


def _numbered(pieces: list[Piece]) -> list[Piece]:
    """Give each counter the number of the call that it counts."""
    result = list(pieces)
    for index, piece in enumerate(pieces):
        if piece.field == "index":
            near = next((other.call for other in pieces[index:] if other.call is not None), None)
            if near is None:
                near = next((other.call for other in reversed(pieces[:index]) if other.call is not None), None)
            result[index] = Piece(piece.text, "index", near) if near is not None else Piece(piece.text)
    return result


def _cut_after_values(pieces: list[Piece]) -> list[Piece]:
    """Cut the pieces of arguments after the value, where the template writes the key once more."""
    cut: list[Piece] = []
    for piece in pieces:
        end = piece.text.find(WORDS[0]) + len(WORDS[0])
        if piece.field == "arguments" and end >= len(WORDS[0]):
            cut += [Piece(piece.text[:end], piece.field, piece.call), Piece(piece.text[end:])]
        else:
            cut.append(piece)
    return [piece for piece in merged(cut) if piece.text]


def _without_members(
    head: str, calls: list[list[CallPart]], between: list[str], tail: str, members: Members, end: str
) -> tuple[str, list[list[CallPart]], list[str], str]:
    """Take the text that belongs to the notation of the arguments from the text around them."""
    start, end = members.opens + (members.key_opens or ""), end.replace(KEY, KEYS[0][0])
    befores, afters = [head, *between], [*between, tail]
    for number, call in enumerate(calls):
        if not isinstance(call[-1], Arguments):
            raise Underivable("a field follows the arguments of a call")
        if len(call) > 1:
            text = call[-2]
            if not isinstance(text, str) or not text.endswith(start):
                raise Underivable("arguments are not written alike in all calls")
            call[-2:] = [text[: len(text) - len(start)], call[-1]] if text != start else [call[-1]]
        else:
            befores[number] = befores[number].removesuffix(start)
        if not afters[number].startswith(end):
            raise Underivable("arguments are not written alike in all calls")
        afters[number] = afters[number][len(end) :]
    between = list(afters[:-1])
    if len(calls[0]) == 1:
        between = [text.removesuffix(start) for text in between]
    return befores[0], calls, between, afters[-1]


def _json_call(parts: tuple[CallPart, ...]) -> tuple[CallPart, ...]:
    """Return the parts of a call with those that make up a JSON object replaced by one."""
    slots: dict[str, CallPart] = {}
    text = ""
    for number, part in enumerate(parts):
        if isinstance(part, str):
            text += part
        elif isinstance(part, Arguments) and part.notation not in ("json", "encoded"):
            return tuple(part for part in parts if part != "")
        else:
            mark = f"{_MARK}{number}{_MARK}"
            slots[mark] = part
            text += f'"{mark}"' if isinstance(part, Arguments) else mark
    start, end = text.find("{"), text.rfind("}") + 1
    try:
        shape = _shape(json.loads(text[start:end]), slots) if start >= 0 else None
    except ValueError:
        shape = None
    if shape is None or _MARK in text[:start] or _MARK in text[end:]:
        return tuple(part for part in parts if part != "")
    return tuple(part for part in (text[:start], JsonCall(shape), text[end:]) if part != "")


def _shape(value: Any, slots: dict[str, CallPart]) -> Any:
    if isinstance(value, dict):
        return {_shape(key, slots): _shape(each, slots) for key, each in value.items()}
    part = slots.get(value) if isinstance(value, str) else None
    if part is not None:
        return part if isinstance(part, Slot) else Slot("arguments")
    if isinstance(value, str) and _MARK in value:
        raise ValueError(value)
    return value
