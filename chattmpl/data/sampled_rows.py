"""Rows in which each trained token follows what the model sees at inference, planned from renderings alone.

The prompt of an assistant turn is the rendering of the messages before it with the generation prompt. The completion is
what the rendering of the messages up to the turn adds to the prompt, up to and with the stop token. A row holds several
turns while each prompt extends the last prompt and what was sampled after it; where the template renders its history
differently, another row begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from chattmpl.budget import Budget, Runaways, allow
from chattmpl.conversation.models import Conversation, Message
from chattmpl.data.completions import Completion, continue_prompt, find_completion
from chattmpl.data.fast.markers import CLOSE, OPEN
from chattmpl.errors import BudgetError, ConversationError, Reason, RenderError
from chattmpl.options import RowChoice
from chattmpl.printable import excerpt
from chattmpl.source import common_length
from chattmpl.template.spans import Span
from chattmpl.template.special_tokens import Endings
from chattmpl.template.template import Clock, Rendering, Template

if TYPE_CHECKING:
    from chattmpl.parse.composition import Trace

_CHARACTERS = 8 * Budget.characters
"""Maximum number of characters of all prompts and turns of a conversation, each of which is rendered by itself."""

_MOST_BUDGETS = 4
"""Budgets that all prompts of a conversation may take together: 500 messages of Qwen3's template, and 12 seconds."""

_RENDERINGS_KEPT = 64

TextOf = Callable[[int, bool], str]
"""Renders the first messages of a conversation, without or with a generation prompt."""


FindCompletion = Callable[[int, str], Completion | None]
"""Returns a completion from its message index and its prompt; None if it is unknown."""


class AssistantTurn(NamedTuple):
    """An assistant turn to train: its message index, and whether it calls tools."""

    message_m: int
    calls: bool


class SampledTurn(NamedTuple):
    """An assistant turn after its prompt.

    Attributes:
        message_m: the index of its message.
        start: the number of characters of the prompt.
        end: the number of characters of the prompt and the completion, up to and with the stop token.
        length: the number of characters of the row, with what the template writes after the stop token.
        base: a text that begins with the row, shared by turns, since together their texts may be large.
        append: the end of the completion that the template does not write in the last turn; often empty.
        completion: the completion where the rendering that ends with the turn does not begin with the prompt; None
            where it does.
    """

    message_m: int
    start: int
    end: int
    length: int
    base: str
    append: str
    completion: Completion | None

    def begins(self, text: str) -> bool:
        """Return whether a text begins with the prompt and the completion."""
        return text is self.base or text.startswith(self.base[: self.end])


class RowPlan(NamedTuple):
    """A row of a conversation.

    Attributes:
        messages: the number of messages in the row.
        ranges: the characters that are sampled, and the message index of their turn, in order.
        append: the text after the rendering of these messages.
        completion: if not None, the row is the prompt of the last of these messages, and this completion.
    """

    messages: int
    ranges: tuple[tuple[int, int, int], ...]
    append: str = ""
    completion: Completion | None = None


def trained_turns(messages: Sequence[Any], mask: str) -> list[int]:
    """Return the indices of the assistant messages that are trained under a mask choice."""
    assistant = [index for index, message in enumerate(messages) if message.role == "assistant"]
    if mask == "last":
        assistant = assistant[-1:]
    if mask == "flags":
        return [index for index in assistant if messages[index].trained]
    return [index for index in assistant if messages[index].trained is not False]


@dataclass(frozen=True)
class RowPlanner:
    """A planner of the rows of conversations.

    Attributes:
        endings: the ends of turns, for conversations without and with tools.
        rows: ``auto`` for the fewest rows, ``one`` for one row, in which turns that its text contradicts are not
            trained, and ``unroll`` for one row per turn.
        tagged: true if the template has valid generation tags.
        continues: whether a completion may be written that is not in the template's history, for answers and for
            calls.
    """

    endings: tuple[Endings, ...]
    rows: RowChoice = "auto"
    tagged: bool = False
    continues: tuple[bool, bool] = (True, True)

    def plan(
        self,
        turns: Sequence[AssistantTurn],
        count: int,
        text_of: TextOf,
        *,
        tools: bool = False,
        skip: Iterable[int] = (),
        find_completion: FindCompletion = lambda index, prompt: None,
    ) -> list[RowPlan]:
        """Plan the rows of a conversation.

        Args:
            turns: the turns to train; without any, the plan is one row without a sampled range.
            count: the number of messages.
            text_of: renders the first messages, and keeps what it rendered.
            tools: whether the conversation has tools.
            skip: the turns with which no row may end, since it would be too long.
            find_completion: finds the completion of a turn that changes how the turns before it are rendered.

        Raises:
            RenderError: a turn does not begin with its prompt, or does not end with a stop token.
            ManyTurnsError: the prompts and turns are too large together.
        """
        if not turns:
            return [RowPlan(count, ())]
        whole = text_of(count, False)  # a template that refuses the conversation is reported as such
        endings = self.endings[-1 if tools else 0]
        left = _CHARACTERS

        def bounded_text(count: int, prompt: bool) -> str:
            nonlocal left
            text = text_of(count, prompt)
            left -= len(text)
            if left < 0:
                raise ManyTurnsError(len(turns), f"{_CHARACTERS:,} characters")
            return text

        sampled = []
        for turn in turns:
            found = _sampled_turn(turn, bounded_text, endings, find_completion)
            if found.completion is not None and not self.continues[turn.calls]:
                raise PromptContradicted(turn.message_m, found.base[: found.start], text_of(turn.message_m + 1, False))
            sampled.append(found._replace(base=whole) if whole.startswith(found.base) else found)
        if self.rows == "unroll":
            return [_row([turn]) for turn in sampled]
        if turns[-1].message_m + 1 < count or self.rows == "one":
            # The messages after the last turn belong to the row if nothing contradicts it.
            append = sampled[-1].append if turns[-1].message_m + 1 == count else ""
            held = _held(whole + append, sampled)
            if self.rows == "one" or (held == sampled and not skip):
                return [RowPlan(count, _ranges(held), append)]
        rows: list[RowPlan] = []
        waiting, skipped = sampled, frozenset(skip)
        while waiting:
            if waiting[-1].message_m in skipped:
                waiting = waiting[:-1]
                continue
            held = _held(waiting[-1].base[: waiting[-1].length], waiting)
            rows.append(_row(held))
            waiting = [turn for turn in waiting if turn not in held]
        return rows[::-1]


def _row(turns: Sequence[SampledTurn]) -> RowPlan:
    last = turns[-1]
    return RowPlan(last.message_m + 1, _ranges(turns), last.append, last.completion)


def _ranges(turns: Sequence[SampledTurn]) -> tuple[tuple[int, int, int], ...]:
    return tuple((turn.start, turn.end, turn.message_m) for turn in turns)


def _held(text: str, turns: Sequence[SampledTurn]) -> list[SampledTurn]:
    """Return the turns whose prompt and completion a text begins with, none of which overlap."""
    held: list[SampledTurn] = []
    for turn in reversed(turns):
        if turn.begins(text) and (not held or turn.end <= held[-1].start):
            held.append(turn)
    return held[::-1]


def _sampled_turn(
    turn: AssistantTurn, text_of: TextOf, endings: Endings, find_completion: FindCompletion
) -> SampledTurn:
    index = turn.message_m
    try:
        prompt = text_of(index, True)
    except BudgetError:
        raise
    except (ConversationError, RenderError) as error:
        message = f"the prompt for messages[{index}]: {error.message}"
        raise RenderError(message, place=error.place, hint=error.hint) from None
    text, completion = text_of(index + 1, False), None
    if not text.startswith(prompt):
        completion = find_completion(index, prompt)
        if completion is None:
            raise PromptContradicted(index, prompt, text)
        text = prompt + completion.text + text[completion.cut :]
    possible = (*endings[turn.calls], *endings[not turn.calls])
    for end in possible:
        if not end.append and text.endswith(end.stop + end.rest) and len(text) - len(end.rest) > len(prompt):
            return SampledTurn(index, len(prompt), len(text) - len(end.rest), len(text), text, "", completion)
        # What the template writes at the end of every conversation is not sampled.
        rest = text[text.rfind(end.stop) + len(end.stop) :] if not end.append and end.stop else ""
        if rest and end.stop in text[len(prompt) :] and prompt.endswith(rest) and text_of(index, False).endswith(rest):
            return SampledTurn(index, len(prompt), len(text) - len(rest), len(text), text, "", completion)
    for end in possible:
        if end.append:
            size = len(text) + len(end.append)
            return SampledTurn(index, len(prompt), size, size, text + end.append, end.append, completion)
    raise RenderError(
        f"messages[{index}] ends with {excerpt(text[-40:], 42)}, which is not a stop token of the template",
        hint="let the template end the turns of the assistant with its stop token",
    )


class ManyTurnsError(BudgetError):
    """A conversation whose prompts and turns, each of which is rendered by itself, are too large together."""

    def __init__(self, turns: int, limit: str) -> None:
        super().__init__(
            f"the prompts of its {turns:,} answers take more than {limit} together",
            hint="split the conversation, or use a template whose generation tags are valid, such as chattmpl annotate "
            "makes: it is rendered only once",
            reason=Reason.SIZE,
        )


class PromptContradicted(RenderError):
    """A turn that the template renders differently after its prompt than it would have been sampled."""

    def __init__(self, index: int, prompt: str, text: str) -> None:
        at = common_length(prompt, text)
        super().__init__(
            f"messages[{index}] does not begin with its prompt, which has {excerpt(prompt[at:], 40)} where the turn "
            f"has {excerpt(text[at:], 40)}",
            hint="if this is the prompt of another mode, choose a mode with chat_template_kwargs, such as "
            "enable_thinking; else correct the generation prompt",
        )


# -- renderings


def with_sampled(rendering: Rendering, plan: RowPlan, prompt: Rendering | None = None) -> Rendering:
    """Return the rendering of a row in which exactly the sampled ranges are generated.

    Args:
        rendering: the rendering of the messages of the row.
        plan: the row.
        prompt: the prompt that the row begins with, if its plan has a ``completion``.
    """
    text, spans = rendering.text, list(rendering.spans)
    if prompt is not None and plan.completion is not None:
        cut, index = plan.completion.cut, plan.messages - 1
        text, spans = prompt.text, list(prompt.spans)
        for piece, name in plan.completion.inserted:
            owner = None if name is None else index
            spans.append(Span(len(text), len(text) + len(piece), owner, name, True, index))
            text += piece
        shift = len(text) - cut
        moved = [span._replace(start=max(span.start, cut) + shift, end=span.end + shift) for span in rendering.spans]
        spans += [span for span in moved if span.end > len(text)]
        text += rendering.text[cut:]
    if plan.append:
        spans.append(Span(len(text), len(text) + len(plan.append), None, None, True, plan.ranges[-1][2]))
        text += plan.append
    marked: list[Span] = []
    rest = iter([*plan.ranges, (len(text), len(text), 0)])
    start, end, turn = next(rest)
    for span in spans:
        at = span.start
        while at < span.end:
            while at >= end:
                start, end, turn = next(rest)
            inside = at >= start
            to = min(span.end, end if inside else start)
            marked.append(span._replace(start=at, end=to, generated=inside, turn=turn if inside else span.turn))
            at = to
    return replace(rendering, text=text, spans=tuple(marked))


class UnsureError(RenderError):
    """A conversation of which the texts alone do not say what is sampled, or whether an answer is lost."""


def planned_texts(
    planner: RowPlanner,
    messages: Sequence[Mapping[str, Any]],
    text_of: TextOf,
    *,
    tools: bool,
    trace_of: Callable[[], Trace | None],
    literals: str,
) -> list[str]:
    """Return a text for each row of a conversation whose assistant turns are all trained, with markers around what is
    sampled.

    Args:
        planner: plans the rows.
        messages: the messages.
        text_of: renders the first of them.
        tools: whether the conversation has tools.
        trace_of: returns the texts around traces in the template.
        literals: the template's own texts.

    Raises:
        UnsureError: the texts alone do not say what is sampled, or whether an answer is lost.
        RenderError: see `RowPlanner.plan`.
    """
    text_of = cache(text_of)

    def find_completion(index: int, prompt: str) -> Completion | None:
        text, before = text_of(index + 1, False), text_of(index, False)
        reasoning = messages[index].get("reasoning_content") or ""
        longest = _longest_line(reasoning)
        if planner.tagged or not prompt.startswith(before) or not text.startswith(before):
            raise UnsureError(f"messages[{index}] may begin anywhere")
        if longest and text.find(longest, len(before)) >= 0:
            raise UnsureError(f"messages[{index}] may show its trace")
        return continue_prompt(text, len(before), prompt[len(before) :], trace_of, reasoning, None)

    turns = [
        AssistantTurn(index, bool(message.get("tool_calls")))
        for index, message in enumerate(messages)
        if message["role"] == "assistant"
    ]
    plans = planner.plan(turns, len(messages), text_of, tools=tools, find_completion=find_completion)
    rows, shows = [], set[bool]()
    for plan in plans:
        text = text_of(plan.messages, False)
        if plan.completion is not None:
            text = text_of(plan.messages - 1, True) + plan.completion.text + text[plan.completion.cut :]
        for start, end, index in plan.ranges:
            sampled, message = text[start:end], messages[index]
            if not _shows_answer(sampled, message, literals):
                raise UnsureError(f"messages[{index}] may be lost")
            if (trace := message.get("reasoning_content")) and trace.strip():
                content = message.get("content")
                shows.add(shows_trace(sampled, trace, content if type(content) is str else ""))
        rows.append(_with_markers(text + plan.append, plan))
    if len(shows) > 1:
        raise UnsureError("the reasoning of some messages is lost")
    return rows


def _longest_line(text: str | None) -> str:
    """Return the longest line of a text, without white space around it."""
    return max((line.strip() for line in text.splitlines()), key=len, default="") if text else ""


def shows_trace(sampled: str, trace: str, content: str) -> bool:
    """Return whether a sampled text has the longest line of a trace, apart from the content of its message."""
    return _longest_line(trace) in sampled.replace(content.strip(), "", 1)


def _shows_answer(sampled: str, message: Mapping[str, Any], literals: str) -> bool:
    """Return whether a sampled text certainly has some of the calls or of the content of its message, if any."""
    content = message.get("content")
    if reasoning := (message.get("reasoning_content") or "").strip():
        sampled = sampled.replace(reasoning, "", 1)
    whole = content.strip() if isinstance(content, str) else ""
    if calls := message.get("tool_calls"):
        sampled = sampled.replace(whole, "", 1)
        names = (call["function"]["name"] for call in calls)
        return any(name in sampled and name not in literals for name in names)
    if not whole or (whole in sampled and whole not in literals):
        return True
    lines = (line.strip() for line in whole.splitlines())
    return any(line and line in sampled and line not in literals for line in lines)


def _with_markers(text: str, plan: RowPlan) -> str:
    pieces, at = [], 0
    for start, end, _ in plan.ranges:
        pieces += [text[at:start], OPEN, text[start:end], CLOSE]
        at = end
    return "".join([*pieces, text[at:]])


def row_renderings(
    planner: RowPlanner | None,
    template: Template,
    conversation: Conversation,
    clock: Clock,
    kwargs: Mapping[str, Any],
    mask: str = "all",
    skip: Iterable[int] = (),
    runaways: Runaways | None = None,
) -> list[Rendering]:
    """Return a rendering for each row of a conversation, all within a bounded time; one if there is no planner.

    Raises:
        RenderError: see `RowPlanner.plan`.
        RunawayError: the template exceeds its budget, as it did on the rows before that ``runaways`` counts.
    """
    budget = template.budget
    turns = (planner and len(trained_turns(conversation.messages, mask))) or 1

    def render(part: Conversation, prompt: bool) -> Rendering:
        if allowance.left < 0:
            raise ManyTurnsError(turns, f"{allowance.steps:,} steps of the template")
        return template.render(part, prompt, clock, **kwargs)

    watched = (runaways or Runaways()).watch(budget, turns * len(conversation.messages))
    with watched, allow(min(turns, _MOST_BUDGETS) * budget.steps) as allowance:
        if planner is None:
            return [render(conversation, False)]
        return planned_renderings(planner, conversation, render, mask, skip)


def planned_renderings(
    planner: RowPlanner,
    conversation: Conversation,
    render: Callable[[Conversation, bool], Rendering],
    mask: str,
    skip: Iterable[int] = (),
) -> list[Rendering]:
    """Return a rendering for each row of a conversation, in which exactly the sampled text is generated.

    Raises:
        RenderError: see `RowPlanner.plan`.
    """
    messages = conversation.messages

    @lru_cache(_RENDERINGS_KEPT)
    def rendered(count: int, prompt: bool) -> Rendering:
        first = conversation if count == len(messages) else conversation.with_messages(messages[:count])
        return render(first, prompt)

    def completion_of(index: int, prompt: str) -> Completion | None:
        return find_completion(rendered(index + 1, False), index, prompt, rendered(index, False).text, planner.tagged)

    turns = [AssistantTurn(index, bool(messages[index].tool_calls)) for index in trained_turns(messages, mask)]
    plans = planner.plan(
        turns,
        len(messages),
        lambda count, prompt: rendered(count, prompt).text,
        tools=conversation.tools is not None,
        skip=skip,
        find_completion=completion_of,
    )
    rows, shows = [], dict[int, bool]()
    for plan in plans:
        rendering = rendered(plan.messages, False)
        spans = rendering.spans
        inserted = [name for _, name in plan.completion.inserted] if plan.completion else []
        for _, _, index in plan.ranges:
            if (messages[index].reasoning_content or "").strip():
                lost = f"messages[{index}].reasoning_content" in rendering.lost
                shows[index] = not lost or "reasoning_content" in inserted
            if messages[index].tool_calls:
                if not any(span.message == index and (span.field or "").startswith("tool_calls") for span in spans):
                    raise RenderError(
                        f"the template renders nothing of messages[{index}].tool_calls",
                        hint="leave the calls out of the data, or use a template that renders them",
                    )
                continue
            path, content = f"messages[{index}].content", messages[index].content
            blank = isinstance(content, str) and not content.strip()
            if path in rendering.lost and not blank:
                raise RenderError(
                    f"the template renders nothing of {path}",
                    hint="it may take content only as a list of parts: [{'type': 'text', 'text': …}]",
                )
        prompt = None if plan.completion is None else rendered(plan.messages - 1, True)
        rows.append(with_sampled(rendering, plan, prompt))
    _refuse_lost_reasoning(messages, shows)
    return rows


def _refuse_lost_reasoning(messages: Sequence[Message], shows: Mapping[int, bool]) -> None:
    """Refuse a conversation if rows have the reasoning of some of its answers, and not that of others of their kind.

    Raises:
        RenderError: that is so.
    """
    for calls in (False, True):
        found = {index: shown for index, shown in shows.items() if bool(messages[index].tool_calls) is calls}
        if len(set(found.values())) > 1:
            lost, kept = (next(index for index, shown in found.items() if shown is each) for each in (False, True))
            raise RenderError(
                f"the template renders the reasoning of messages[{kept}] and nothing of that of messages[{lost}]",
                hint="leave that reasoning out of the data, or use a template that renders it",
            )
