"""Target spans: the characters of each assistant turn that the model samples.

They are known without any tag: a turn starts where its prompt ends, and ends with the stop token that follows the
content of its message.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case
from chattmpl.template.spans import Span
from chattmpl.template.special_tokens import CONTROL, Endings
from chattmpl.template.template import Rendering


@dataclass(frozen=True)
class _Text:
    """Description of an obstacle for people, and what they can do about it."""

    why: str
    fix: str = ""
    avoidable: bool = True

    @property
    def hint(self) -> str:
        """The hint where only some conversations are concerned."""
        if not self.avoidable:
            return self.fix
        return f"exclude such conversations, or {self.fix}" if self.fix else "exclude such conversations"


class Obstacle(Enum):
    """Behaviour of a template because of which no tags can make the mask of a turn valid."""

    NOT_RENDERED_ALONE = _Text("the conversation up to this turn is not rendered")
    DROPPED = _Text("the turn is not rendered", "render the assistant's messages")
    PROMPT_DIFFERS = _Text(
        "its text does not start with its prompt",
        "chattmpl encode trains such turns after their prompt, without tags; for tags, let the generation prompt and "
        "the turn in history start alike",
        avoidable=False,
    )
    NO_LAST_STOP = _Text(
        "the template writes no stop token after the last turn",
        "chattmpl encode adds the token that the model samples there",
        avoidable=False,
    )
    NO_STOP_TOKEN = _Text("it does not end with a stop token", "end each assistant turn with the stop token")
    HISTORY_DIFFERS = _Text(
        "in history it is not rendered as it was sampled",
        "chattmpl encode makes a row for each such turn, without tags; chattmpl annotate --for last-turn places tags "
        "for trainers that unroll, and chattmpl retain --policy all keeps history as it was sampled",
        avoidable=False,
    )
    NO_PROMPT = _Text("no generation prompt precedes it")
    """An answer follows another one, and only a question adds a generation prompt."""
    NO_QUESTION = _Text("no user message precedes it")
    """No one trains on such conversations."""
    REPEATED = _Text(
        "a field of an assistant message is rendered again in the turn of another message",
        "no action is needed: only the copy that the model samples is trained",
        avoidable=False,
    )

    @property
    def law(self) -> str:
        """Name of the law that is broken."""
        of_stop = (Obstacle.NO_STOP_TOKEN, Obstacle.NO_LAST_STOP)
        return "stop" if self in of_stop else "pure" if self is Obstacle.REPEATED else "sampled"


_ABOUT_PROMPT = (Obstacle.NOT_RENDERED_ALONE, Obstacle.PROMPT_DIFFERS, Obstacle.HISTORY_DIFFERS, Obstacle.NO_PROMPT)


@dataclass(frozen=True)
class AnswerFrame:
    """The frame of an assistant turn around its target span.

    Attributes:
        endings: the ends of turns.
        next_turn_stops: the stop tokens with which the next turn begins.
        other_stops: whether a turn may end with another control token instead, as some do after tool calls.
        header: text of an assistant turn before its target span.
        last_only: whether only the last turn of a conversation is generated.
    """

    stop_tokens: tuple[str, ...]
    endings: Endings
    next_turn_stops: tuple[str, ...] = ()
    other_stops: bool = True
    header: str = ""
    last_only: bool = False


@dataclass(frozen=True)
class TargetSpan:
    """The target span of one assistant turn.

    Attributes:
        turn: index of the message.
        start, end: half-open range of characters in the whole rendering; a guess where there is an obstacle.
        obstacle: why no placement of tags makes the mask of this turn valid; None if one can.
        unended: whether the stop token belongs to the next turn, and there is none.
        error: the error that is the obstacle, if the template raised one.
        expected, got: the two texts that should start alike, where two are compared.
    """

    turn: int
    start: int
    end: int
    obstacle: Obstacle | None = None
    unended: bool = False
    error: ChatTmplError | None = None
    expected: str = ""
    got: str = ""


def target_spans(case: Case, frame: AnswerFrame) -> Iterator[TargetSpan]:
    """Yield the target span of each turn that should be generated; raise `ChatTmplError` if the template does."""
    roles = [message.role for message in case.messages]
    for turn in case.assistant_turns():
        if frame.last_only and turn < len(roles) - 1:
            continue
        target = _target(case, turn, frame)
        unasked = "user" not in roles[:turn]
        if target.obstacle is None and _unprompted(case.rendering, target, frame.header, unasked, roles[turn - 1]):
            target = replace(target, obstacle=Obstacle.NO_PROMPT)
        if unasked and target.obstacle in _ABOUT_PROMPT:
            target = replace(target, obstacle=Obstacle.NO_QUESTION, error=None)
        yield target


def _unprompted(whole: Rendering, target: TargetSpan, header: str, unasked: bool, before: str) -> bool:
    """Return whether the target span holds more than an answer, since its prompt does not end by prompting one."""
    own = _region(whole, target.turn)
    if own is not None and target.start < own[0] and (unasked or before == "assistant"):
        return True
    held = _held(whole, target.turn) or (target.end, target.end)
    return bool(header) and header in whole.text[target.start : max(held[0], target.start)]


def _target(case: Case, turn: int, frame: AnswerFrame) -> TargetSpan:
    whole = case.rendering
    held = _held(whole, turn)
    rough = (0, 0)
    if held is not None:
        own = _region(whole, turn) or (0, len(whole.text))
        rough = (held[0], min(_stop_end(whole, held[1], turn, frame.stop_tokens) or held[1], max(own[1], held[1])))
    try:
        prompt, alone = case.head(turn, prompt=True).text, case.head(turn + 1)
    except ChatTmplError as error:
        return TargetSpan(turn, *rough, Obstacle.NOT_RENDERED_ALONE, error=error)
    if held is not None and whole.text.startswith(prompt):
        rough = (min(len(prompt), rough[0]), rough[1])
    held_alone = _held(alone, turn) or _empty(alone, prompt)
    if held_alone is None and held is None and turn not in {span.turn for span in whole.spans}:
        return TargetSpan(turn, 0, 0, Obstacle.DROPPED)
    end = held_alone and _stop_end(alone, held_alone[1], turn, frame.stop_tokens)
    if held_alone and not end and frame.other_stops:
        calls = bool(case.messages[turn].tool_calls)
        written = tuple(each.stop for each in frame.endings[calls] if not each.append)
        end = _stop_end(alone, held_alone[1], turn, written) or _other_stop(alone, held_alone[1])
    if held_alone is None or not alone.text.startswith(prompt) or held_alone[1] < len(prompt):
        return TargetSpan(turn, *rough, Obstacle.PROMPT_DIFFERS, expected=prompt, got=alone.text)
    appended = _sampled_later(case, turn, frame) if not end else []
    end = end or (len(alone.text) if appended else None)
    if not end:
        return TargetSpan(turn, *rough, Obstacle.NO_STOP_TOKEN)
    if not whole.text.startswith(alone.text[:end]):
        return TargetSpan(turn, *rough, Obstacle.HISTORY_DIFFERS, expected=alone.text[:end], got=whole.text)
    if not appended or turn == len(case.messages) - 1:
        return TargetSpan(turn, len(prompt), end, unended=bool(appended))
    late = [text for text in appended if text.endswith(frame.next_turn_stops)]
    stop = next((text for text in late if whole.text.startswith(text, end)), None)
    if stop is None:
        return TargetSpan(turn, *rough, Obstacle.NO_STOP_TOKEN)
    return TargetSpan(turn, len(prompt), end + len(stop))


def _sampled_later(case: Case, turn: int, frame: AnswerFrame) -> list[str]:
    """Return the texts that the model may sample to end a turn where the template writes no stop token."""
    calls = bool(case.messages[turn].tool_calls)
    return [end.append for end in (*frame.endings[calls], *frame.endings[not calls]) if end.append]


def _other_stop(alone: Rendering, at: int) -> int | None:
    """Return the end of a control token that ends a turn in place of the usual one, as after tool calls."""
    tail = alone.text[at:].rstrip()
    found = [match for match in CONTROL.finditer(tail) if match.end() == len(tail) and re.search("[|｜]", match[0])]
    return at + found[-1].end() if found else None


def _empty(alone: Rendering, prompt: str) -> tuple[int, int] | None:
    """Return the range of a message without content: right after its prompt, if anything of its turn is rendered."""
    return (len(prompt), len(prompt)) if alone.text.startswith(prompt) and len(alone.text) > len(prompt) else None


def _held(rendering: Rendering, turn: int) -> tuple[int, int] | None:
    """Return the range from the first to the last character of the message's fields in its own turn."""
    spans = [span for span in rendering.spans if span.message == turn and span.field != "role"]
    # The turn of a tool result may repeat the name of the call.
    own = _region(rendering, turn)
    spans = [span for span in spans if own is None or own[0] <= span.start < own[1]] or spans
    return (spans[0].start, spans[-1].end) if spans else None


def _region(rendering: Rendering, turn: int) -> tuple[int, int] | None:
    """Return the range of a message's turn; None if that is not known."""
    start = end = None
    for span in rendering.spans:
        if span.turn == turn:
            start = span.start if start is None else start
            end = span.end
        elif start is not None and span.turn is not None:
            break
    return None if start is None or end is None else (start, end)


def header_of(case: Case, frame: AnswerFrame) -> str:
    """Return the text of an assistant turn before its target span, without surrounding white space."""
    turn = case.assistant_turns()[-1]
    own, target = _region(case.rendering, turn), _target(case, turn, frame)
    return "" if own is None or target.obstacle else case.rendering.text[own[0] : max(target.start, own[0])].strip()


def echoes(case: Case) -> list[Span]:
    """Return spans of assistant messages that are rendered again in the turns of other messages."""
    regions: dict[int | None, tuple[int, int] | None] = {
        turn: _region(case.rendering, turn) for turn in case.assistant_turns()
    }
    own = [(span, regions.get(span.message)) for span in case.rendering.spans if span.field != "role"]
    return [span for span, region in own if region is not None and not region[0] <= span.start < region[1]]


def _stop_end(rendering: Rendering, at: int, turn: int, stops: tuple[str, ...]) -> int | None:
    """Return the end of the stop token that follows an offset and precedes the next message."""
    following = [span.start for span in rendering.spans if span.message is not None and span.message > turn]
    limit = min((start for start in following if start >= at), default=len(rendering.text))
    tail = rendering.text[at:limit]
    found = [match.end() for stop in stops if (match := re.search(re.escape(stop), tail))]
    return at + min(found) if found else None
