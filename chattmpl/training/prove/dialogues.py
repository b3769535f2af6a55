"""Synthetic dialogues in which every turn has a task that a tiny model learns, and flags switch reasoning on and off.

All tasks are about digits, each of which is a token of the proof's tokenizer. Some tasks are for training, the others
are held out.
"""

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import UsageError
from chattmpl.parse.turn_grammar import turn_grammar
from chattmpl.probing.corpus import ASK, SAY, TOOL_NAME, TRACES, call_message, with_trace
from chattmpl.probing.facts import facts_of
from chattmpl.template.template import Template
from chattmpl.training.prove.models import answer_stops

# -- tasks

ITEMS = "0123456789"
GREETINGS = ("Hello", "Hi", "Hey", "Welcome")
"""Words that open an answer about the model's name, each as likely: the only part that a model cannot predict."""

_HELD_OUT = 8
"""One task in eight is held out."""


@dataclass(frozen=True)
class Task:
    """A question with its answer.

    Attributes:
        kind: ``sum``, ``reverse``, ``persona`` or ``lookup``.
        question: text of the user message.
        trace: steps to the answer, for ``reasoning_content``.
        answer: the answer to train on.
        also: other answers that are correct and as likely.
        item, table: of a lookup, the item asked for and the result of the tool.
    """

    kind: str
    question: str
    trace: str
    answer: str
    also: tuple[str, ...] = ()
    item: str = ""
    table: str = ""

    def accepts(self, content: str) -> bool:
        """Return True if an answer is correct."""
        return content.strip() in (self.answer, *self.also)


def is_held_out(key: str) -> bool:
    """Return True if a task is excluded from training; this depends only on the task."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % _HELD_OUT == 0


def _draw(rng: random.Random, test: bool, make: Callable[[random.Random], tuple[str, ...]]) -> tuple[str, ...]:
    """Draw parts of a task until they are held out, or until they are not."""
    while True:
        parts = make(rng)
        if is_held_out("|".join(parts)) is test:
            return parts


def sum_task(rng: random.Random, test: bool) -> Task:
    """Return a sum of two numbers of two digits, added digit by digit."""
    first, second = _draw(rng, test, lambda r: (str(r.randint(10, 99)), str(r.randint(10, 99))))
    ones = int(first[1]) + int(second[1])
    tens = ones // 10 + int(first[0]) + int(second[0])
    trace = f"{first[1]}+{second[1]}={ones}, {ones // 10}+{first[0]}+{second[0]}={tens}"
    return Task("sum", f"{first}+{second}", trace, str(int(first) + int(second)))


def reverse_task(rng: random.Random, test: bool, length: int = 3) -> Task:
    """Return a number to reverse."""
    digits = draw_number(rng, test, length)
    return Task("reverse", f"reverse {digits}", f"{digits}={digits[::-1]}", digits[::-1])


def draw_number(rng: random.Random, test: bool, length: int = 3) -> str:
    """Return a number with this number of digits."""
    (number,) = _draw(rng, test, lambda r: (f"{r.randrange(10**length):0{length}}",))
    return number


def persona_task(rng: random.Random, number: str) -> Task:
    """Return a question about the number in the system message."""
    answers = [f"{greeting}, agent {number}" for greeting in GREETINGS]
    answer = rng.choice(answers)
    others = tuple(other for other in answers if other != answer)
    return Task("persona", "who are you?", f"agent {number}", answer, others)


def lookup_task(rng: random.Random, test: bool) -> Task:
    """Return a question about the price of one item in a table of three."""

    def make(r: random.Random) -> tuple[str, ...]:
        items = r.sample(ITEMS, 3)
        return (items[0], ";".join(f"{item}={r.randint(1, 9)}" for item in sorted(items, key=lambda _: r.random())))

    item, table = _draw(rng, test, make)
    price = next(pair.split("=")[1] for pair in table.split(";") if pair.startswith(f"{item}="))
    return Task("lookup", f"price of {item}?", f"{item}={price}", price, item=item, table=table)


# -- dialogues

THINK, NO_THINK = "/think", "/no_think"
_SWITCHES = ("enable_thinking", "thinking", "reasoning")
"""Names of template kwargs that switch reasoning."""

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
    """Distribution of dialogues.

    Attributes:
        kinds: tasks of a turn: ``sum`` and ``reverse``. With a system message, a turn may also have a persona task.
        digits: number of digits to reverse, and of the number in a system message.
        turns: smallest and largest number of turns of a training dialogue; a held-out dialogue has the largest.
        lookups: share of dialogues about prices.
        system: share of the others with a system message.
        flags: share of turns with a flag, ``/think`` or ``/no_think`` with equal probability.
        off: share of dialogues in which the template kwarg switches reasoning off.
    """

    kinds: tuple[str, ...] = ("sum", "reverse")
    digits: int = 3
    turns: tuple[int, int] = (1, 3)
    lookups: float = 0.25
    system: float = 0.5
    flags: float = 0.5
    off: float = 0.15


MIX = Mix()
"""The mix of a proof."""


@dataclass(frozen=True)
class Abilities:
    """The tasks that a template can render.

    Attributes:
        reasoning, calls, tools: it renders reasoning; tool calls and results; tool definitions.
        switch: template kwarg that switches reasoning off; None if there is none.
        hard: switched off, the template leaves no room for reasoning; otherwise it only instructs the model.
        system: it renders system messages.
        text_arguments: it renders arguments of calls only if they are a JSON string.
        named_ids: it renders the name of a called function only as part of the id of the call.
    """

    reasoning: bool
    calls: bool
    tools: bool
    switch: str | None = None
    hard: bool = False
    system: bool = True
    text_arguments: bool = False
    named_ids: bool = False


@dataclass
class AssistantTurn:
    """An assistant turn of a dialogue, and its expected behaviour.

    Attributes:
        index: index of its message.
        thinks, calls: it should reason; it should call the tool.
        number: number of the user turn that it answers, from 1.
        switched: the template kwarg forces the mode.
    """

    index: int
    task: Task
    thinks: bool
    number: int
    calls: bool = False
    switched: bool = False


@dataclass
class Dialogue:
    """A conversation, and what its assistant turns should do."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    turns: list[AssistantTurn] = field(default_factory=list)
    tools: list[dict[str, Any]] | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)

    def conversation(self, end: int | None = None) -> Conversation:
        """Return the conversation, or its first messages."""
        return Conversation.coerce(self.record(end))

    def record(self, end: int | None = None) -> dict[str, Any]:
        """Return the same as a row of a dataset."""
        record: dict[str, Any] = {"messages": self.messages[:end]}
        if self.tools:
            record["tools"] = self.tools
        if self.kwargs:
            record["chat_template_kwargs"] = self.kwargs
        return record


def abilities_of(template: Template) -> Abilities:
    """Return the tasks that a template can render, found by rendering.

    Raises:
        UsageError: no grammar can be derived for the template, it renders no answer, or no control token ends one.
    """
    facts = facts_of(template)
    if not any("content" in form.fields for form in turn_grammar(template, {}).forms):
        raise UsageError(f"{template.name} renders no answer of the assistant")
    if not answer_stops(template):
        raise UsageError(
            f"no control token ends an answer of {template.name}, so no model could learn to stop",
            hint="end answers with a control token, such as {{ eos_token }}",
        )
    reasoning = _renders_reasoning(template, {})
    calls = facts.tool_calls.fate == facts.tool_results.fate == "rendered"
    switch = next((name for name in _SWITCHES if name in facts.modes), None) if reasoning else None
    return Abilities(
        reasoning,
        calls,
        calls and facts.tool_definitions.fate == "rendered",
        switch,
        hard=switch is not None and not _renders_reasoning(template, {switch: False}),
        system=facts.system.fate == "rendered",
        text_arguments=bool(facts.prober.call_options.get("text")),
        named_ids=calls
        and TOOL_NAME not in (facts.prober.text([ASK, call_message(**facts.prober.call_options)]) or ""),
    )


def _renders_reasoning(template: Template, kwargs: dict[str, Any]) -> bool:
    """Return True if a last turn is rendered with its reasoning, after its prompt."""
    prober = facts_of(template).prober
    prompt = prober.text([ASK], prompt=True, kwargs=kwargs)
    text = prober.text([ASK, with_trace(SAY, TRACES[0])], kwargs=kwargs)
    return prompt is not None and text is not None and TRACES[0] in text and text.startswith(prompt)


def with_reasoning(template: Template) -> Template:
    """Return the template with its own retention, or with ``all`` if its own never renders reasoning."""
    if template.retention in (None, "all"):
        return template
    return template if _renders_reasoning(template, {}) else template.with_retention("all")


def make_dialogues(count: int, abilities: Abilities, seed: int, *, test: bool, mix: Mix = MIX) -> list[Dialogue]:
    """Generate dialogues for training, or held-out ones; the same seed gives the same dialogues."""
    rng = random.Random(f"{seed} {test}")
    return [_dialogue(rng, abilities, test, mix) for _ in range(count)]


def _dialogue(rng: random.Random, abilities: Abilities, test: bool, mix: Mix) -> Dialogue:
    dialogue = Dialogue()
    off = abilities.switch is not None and rng.random() < mix.off
    if off and abilities.switch is not None:
        dialogue.kwargs[abilities.switch] = False
    forced = off and abilities.hard
    thinks = abilities.reasoning and not off
    about_prices = rng.random() < mix.lookups
    name = None
    if not about_prices and abilities.system and rng.random() < mix.system:
        name = draw_number(rng, test, mix.digits)
        dialogue.messages.append({"role": "system", "content": f"You are agent {name}"})
    if about_prices and abilities.tools:
        dialogue.tools = [TOOL]
    length = mix.turns[1] if test else rng.randint(*mix.turns)
    for number in range(1, (1 if about_prices else length) + 1):
        task = _lookup(rng, test, abilities) if about_prices else _task(rng, test, name, mix)
        flag = ""
        if abilities.reasoning and not forced and rng.random() < mix.flags:
            thinks = rng.random() < 0.5
            flag = f"{THINK if thinks else NO_THINK} "
        dialogue.messages.append({"role": "user", "content": flag + task.question})
        if task.table and abilities.calls:
            _add_call(dialogue, task, thinks, number, forced, abilities)
        turn = AssistantTurn(len(dialogue.messages), task, thinks, number, switched=forced)
        _add_turn(dialogue, turn, task.trace, content=task.answer)
    return dialogue


def _lookup(rng: random.Random, test: bool, abilities: Abilities) -> Task:
    task = lookup_task(rng, test)
    if abilities.calls:
        return task
    return Task("lookup", f"{task.table} {task.question}", task.trace, task.answer)


def _task(rng: random.Random, test: bool, name: str | None, mix: Mix) -> Task:
    kind = rng.choice([*mix.kinds, *(["persona"] if name else [])])
    if kind == "persona" and name is not None:
        return persona_task(rng, name)
    return sum_task(rng, test) if kind == "sum" else reverse_task(rng, test, mix.digits)


def _add_call(dialogue: Dialogue, task: Task, thinks: bool, number: int, forced: bool, abilities: Abilities) -> None:
    arguments = {"item": task.item}
    function = {"name": "prices", "arguments": json.dumps(arguments) if abilities.text_arguments else arguments}
    identifier = "functions.prices:0" if abilities.named_ids else "call00001"
    call = {"id": identifier, "type": "function", "function": function}
    turn = AssistantTurn(len(dialogue.messages), task, thinks, number, calls=True, switched=forced)
    _add_turn(dialogue, turn, f"ask for {task.item}", content="", tool_calls=[call])
    result = {"role": "tool", "tool_call_id": identifier, "name": "prices", "content": task.table}
    dialogue.messages.append(result)


def _add_turn(dialogue: Dialogue, turn: AssistantTurn, trace: str, **fields: Any) -> None:
    message: dict[str, Any] = {"role": "assistant", **fields}
    if turn.thinks:
        message["reasoning_content"] = trace
    dialogue.messages.append(message)
    dialogue.turns.append(turn)
