"""Talks: synthetic conversations in which every turn has a task, and flags switch reasoning on and off."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation import Conversation
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.extra.prove import tasks
from chattmpl.extra.prove.tasks import Task
from chattmpl.template import Template

THINK, NO_THINK = "/think", "/no_think"
TURNS = 3
"""Most turns of a talk."""

_SWITCHES = ("enable_thinking", "thinking", "reasoning")
"""Names that template kwargs have which switch reasoning."""

_LOOKUPS, _SYSTEM, _FLAG, _OFF = 0.25, 0.5, 0.5, 0.15
"""Shares: talks about prices, others with a system message, turns with a flag, talks that are switched off."""

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "prices",
        "description": "Prices.",
        "parameters": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
    },
}


@dataclass(frozen=True)
class Abilities:
    """What of the tasks a template can show.

    Attributes:
        reasoning: whether a trace is rendered.
        calls: whether calls and results are.
        tools: whether descriptions of tools are.
        switch: a kwarg that switches reasoning off; None if there is none.
        hard: whether, switched off, the template leaves no room for a trace; otherwise it only says so to the model.
    """

    reasoning: bool
    calls: bool
    tools: bool
    switch: str | None = None
    hard: bool = False


@dataclass
class Turn:
    """A turn of the assistant that a talk holds.

    Attributes:
        index: of its message.
        task: what it is about.
        thinks: whether it is to reason.
        number: which turn of the user it belongs to, from 1.
        calls: whether it is to call the tool.
        switched: whether the template's kwarg forces the mode.
    """

    index: int
    task: Task
    thinks: bool
    number: int
    calls: bool = False
    switched: bool = False


@dataclass
class Talk:
    """A conversation with what is known of its turns."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    tools: list[dict[str, Any]] | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)

    def conversation(self, end: int | None = None) -> Conversation:
        """The conversation, or its beginning."""
        return Conversation.coerce(self.record(end))

    def record(self, end: int | None = None) -> dict[str, Any]:
        """The same, as data sets hold it."""
        said: dict[str, Any] = {"messages": self.messages[:end]}
        if self.tools:
            said["tools"] = self.tools
        if self.kwargs:
            said["chat_template_kwargs"] = self.kwargs
        return said


def abilities_of(template: Template) -> Abilities:
    """What a template can show, by what its family says and, for reasoning and its switch, by rendering.

    Raises:
        UsageError: for a template that is no family with a ``[parse]`` table.
    """
    family = template.family
    if family is None or family.parse is None:
        raise UsageError(
            f"{template.name} is no family with a [parse] table, so what a model says in it cannot be read",
            hint="put the template and a family.toml into a folder, and name that; see docs/families.md",
        )
    supports = family.supports
    reasoning = supports.reasoning and _shows_trace(template, {})
    calls = supports.tool_calls and supports.tool_results
    switch = next((name for name in _SWITCHES if name in family.modes), None) if reasoning else None
    hard = switch is not None and not _shows_trace(template, {switch: False})
    return Abilities(reasoning, calls, supports.tools and calls, switch, hard)


def _shows_trace(template: Template, kwargs: dict[str, Any]) -> bool:
    """Whether a last turn is rendered with its trace, behind its prompt."""
    asked = [{"role": "user", "content": "?"}]
    turn = {"role": "assistant", "reasoning_content": "sorrel", "content": "so"}
    try:
        text = template.render([*asked, turn], **kwargs).text
        return "sorrel" in text and text.startswith(template.render(asked, True, **kwargs).text)
    except ChatTmplError:
        return False


def rendering_traces(template: Template) -> Template:
    """The template under its own retention; under ``all``, where its own renders no trace at all."""
    if template.family is None or not template.family.supports.reasoning or template.retention in (None, "all"):
        return template
    return template if _shows_trace(template, {}) else template.with_retention("all")


def make_talks(count: int, abilities: Abilities, seed: int, *, test: bool) -> list[Talk]:
    """So many talks, to train on or held out; the same seed makes the same."""
    choose = random.Random(f"{seed} {test}")
    return [_talk(choose, abilities, test) for _ in range(count)]


def _talk(choose: random.Random, abilities: Abilities, test: bool) -> Talk:
    talk = Talk()
    off = abilities.switch is not None and choose.random() < _OFF
    if off and abilities.switch is not None:
        talk.kwargs[abilities.switch] = False
    forced = off and abilities.hard
    thinks = abilities.reasoning and not off
    about_prices = choose.random() < _LOOKUPS
    name = None
    if not about_prices and choose.random() < _SYSTEM:
        name = tasks.number_of(choose, test)
        talk.messages.append({"role": "system", "content": f"You are agent {name}"})
    if about_prices and abilities.tools:
        talk.tools = [TOOL]
    length = TURNS if test else choose.randint(1, TURNS)
    for number in range(1, (1 if about_prices else length) + 1):
        task = _task(choose, test, name, about_prices, abilities)
        flag = ""
        if abilities.reasoning and not forced and choose.random() < _FLAG:
            thinks = choose.random() < 0.5
            flag = f"{THINK if thinks else NO_THINK} "
        talk.messages.append({"role": "user", "content": flag + task.question})
        if task.table and abilities.calls:
            _called(talk, task, thinks, number, forced)
        _said(talk, Turn(len(talk.messages), task, thinks, number, switched=forced), task.trace, content=task.answer)
    return talk


def _task(choose: random.Random, test: bool, name: str | None, about_prices: bool, abilities: Abilities) -> Task:
    if about_prices:
        task = tasks.lookup(choose, test)
        if abilities.calls:
            return task
        return Task("lookup", f"{task.table} {task.question}", task.trace, task.answer)
    kinds = ["sum", "reverse"] + (["persona"] if name else [])
    kind = choose.choice(kinds)
    if kind == "persona" and name is not None:
        return tasks.persona(choose, name)
    return tasks.sum_of_two(choose, test) if kind == "sum" else tasks.reversal(choose, test)


def _called(talk: Talk, task: Task, thinks: bool, number: int, forced: bool) -> None:
    call = {"id": "call00001", "type": "function", "function": {"name": "prices", "arguments": {"item": task.item}}}
    turn = Turn(len(talk.messages), task, thinks, number, calls=True, switched=forced)
    _said(talk, turn, f"ask for {task.item}", content="", tool_calls=[call])
    talk.messages.append({"role": "tool", "tool_call_id": "call00001", "name": "prices", "content": task.table})


def _said(talk: Talk, turn: Turn, trace: str, **fields: Any) -> None:
    message: dict[str, Any] = {"role": "assistant", **fields}
    if turn.thinks:
        message["reasoning_content"] = trace
    talk.messages.append(message)
    talk.turns.append(turn)
