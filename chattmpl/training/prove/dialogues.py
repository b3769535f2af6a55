"""Talks: synthetic conversations in which every turn has a task, and flags switch reasoning on and off."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.template.template import Template
from chattmpl.training.prove import tasks
from chattmpl.training.prove.tasks import Task

THINK, NO_THINK = "/think", "/no_think"
_SWITCHES = ("enable_thinking", "thinking", "reasoning")
"""Names that template kwargs have which switch reasoning."""

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "prices",
        "description": "Prices.",
        "parameters": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
    },
}


@dataclass(frozen=True)
class Mix:
    """What talks are made of.

    Attributes:
        kinds: tasks that a turn may have: ``sum`` and ``reverse``. With a system message, a turn may also ask for it.
        digits: of what is reversed, and of the number in a system message.
        turns: fewest and most turns of a talk to train on; a held-out talk has the most.
        lookups: share of talks that are about prices.
        system: share of the others that have a system message.
        flags: share of turns with a flag, which is one or the other, each as likely.
        off: share of talks that the template's kwarg switches off.
    """

    kinds: tuple[str, ...] = ("sum", "reverse")
    digits: int = 3
    turns: tuple[int, int] = (1, 3)
    lookups: float = 0.25
    system: float = 0.5
    flags: float = 0.5
    off: float = 0.15


MIX = Mix()
"""What a template is proved with."""


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


def make_talks(count: int, abilities: Abilities, seed: int, *, test: bool, mix: Mix = MIX) -> list[Talk]:
    """So many talks, to train on or held out; the same seed makes the same."""
    choose = random.Random(f"{seed} {test}")
    return [_talk(choose, abilities, test, mix) for _ in range(count)]


def _talk(choose: random.Random, abilities: Abilities, test: bool, mix: Mix) -> Talk:
    talk = Talk()
    off = abilities.switch is not None and choose.random() < mix.off
    if off and abilities.switch is not None:
        talk.kwargs[abilities.switch] = False
    forced = off and abilities.hard
    thinks = abilities.reasoning and not off
    about_prices = choose.random() < mix.lookups
    name = None
    if not about_prices and choose.random() < mix.system:
        name = tasks.number_of(choose, test, mix.digits)
        talk.messages.append({"role": "system", "content": f"You are agent {name}"})
    if about_prices and abilities.tools:
        talk.tools = [TOOL]
    length = mix.turns[1] if test else choose.randint(*mix.turns)
    for number in range(1, (1 if about_prices else length) + 1):
        task = _lookup(choose, test, abilities) if about_prices else _task(choose, test, name, mix)
        flag = ""
        if abilities.reasoning and not forced and choose.random() < mix.flags:
            thinks = choose.random() < 0.5
            flag = f"{THINK if thinks else NO_THINK} "
        talk.messages.append({"role": "user", "content": flag + task.question})
        if task.table and abilities.calls:
            _called(talk, task, thinks, number, forced)
        _said(talk, Turn(len(talk.messages), task, thinks, number, switched=forced), task.trace, content=task.answer)
    return talk


def _lookup(choose: random.Random, test: bool, abilities: Abilities) -> Task:
    task = tasks.lookup(choose, test)
    if abilities.calls:
        return task
    return Task("lookup", f"{task.table} {task.question}", task.trace, task.answer)


def _task(choose: random.Random, test: bool, name: str | None, mix: Mix) -> Task:
    kind = choose.choice([*mix.kinds, *(["persona"] if name else [])])
    if kind == "persona" and name is not None:
        return tasks.persona(choose, name)
    return tasks.sum_of_two(choose, test) if kind == "sum" else tasks.reversal(choose, test, mix.digits)


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
