"""Whole conversations: readings of a text, and the proof by rendering that one of them is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chattmpl.conversation.models import Conversation, Message
from chattmpl.errors import ConversationError, RenderError
from chattmpl.parse.block import Block
from chattmpl.parse.grammar import Grammar
from chattmpl.parse.head import Head, Probe, heads
from chattmpl.parse.pattern import compiled
from chattmpl.parse.refusal import Refusal, common, differs
from chattmpl.parse.reply import Reading
from chattmpl.parse.turns import Scan, scan
from chattmpl.template.family import BlockFacts
from chattmpl.template.template import Template

Clock = datetime | Callable[[], datetime] | None

_RETRIES = 100
"""How many readings of single turns are tried anew for one text."""


@dataclass(frozen=True)
class Call:
    """What the caller gave beside the text, which rendering gets as well."""

    template: Template
    grammar: Grammar
    clock: Clock
    kwargs: dict[str, Any]
    """Template kwargs, with tools and documents where they are given."""

    def render(self, conversation: Any, *, prompt: bool = False) -> str:
        """The text of a conversation."""
        return self.template.render(conversation, prompt, self.clock, **self.kwargs).text


def parse_whole(call: Call, text: str, generation_prompt: bool | None) -> Conversation:
    """The conversation that renders to the text.

    Raises:
        Refusal: there is none, or none that was found.
    """
    furthest: Refusal | None = None
    for around in _circumstances(call, text):
        try:
            return _parse(call, text, around, generation_prompt)
        except Refusal as refusal:
            if furthest is None or refusal.start > furthest.start:
                furthest = refusal
    assert furthest is not None, "there is always a circumstance"
    raise furthest


def _circumstances(call: Call, text: str) -> Iterator[dict[str, Any]]:
    """What may stand beside the messages: tools and documents that the text shows, modes that it may be in."""
    facts, modes = call.grammar.facts, call.template.family.modes if call.template.family else {}
    settings: list[dict[str, Any]] = [{}]
    for name in facts.modes:
        if name not in call.kwargs:
            settings += [{name: value} for value in modes[name].values if value != modes[name].default]
    shown = _shown_kwargs({name: value for name, value in facts.kwargs.items() if name not in call.kwargs}, text)
    settings = [{**shown, **setting} for setting in settings] + ([{}] if shown else [])
    tools = [] if "tools" in call.kwargs else _shown(facts.tools, text)
    documents = [] if "documents" in call.kwargs else _shown(facts.documents, text)
    for setting in settings:
        for some_tools in [*tools, None]:
            for some_documents in [*documents, None]:
                found: dict[str, Any] = {"tools": some_tools, "documents": some_documents}
                found = {name: value for name, value in found.items() if value is not None}
                yield {**found, "chat_template_kwargs": setting} if setting else found


def _shown_kwargs(patterns: dict[str, str], text: str) -> dict[str, str]:
    """The template kwargs that a text shows: what stands where their patterns are first found."""
    shown: dict[str, str] = {}
    for name, written in patterns.items():
        pattern = compiled(written)
        position = text.find(pattern.start)
        found = pattern.match(text, position, len(text)) if position >= 0 else None
        if found is not None:
            shown[name] = found.values["value"]
    return shown


def _shown(blocks: tuple[BlockFacts, ...], text: str) -> list[list[dict[str, Any]]]:
    """The lists of tools or documents that the text shows."""
    found: list[list[dict[str, Any]]] = []
    for facts in blocks:
        position = text.find(facts.opens)
        row = Block(facts).read(text, position, len(text)) if position >= 0 else None
        if row is None or not row.closed:
            continue
        items = [_item(dict(values)) for values in row.items]
        if all(isinstance(item, dict) for item in items):
            found.append(items)
    return found


def _item(values: dict[str, Any]) -> Any:
    for name in ("tool", "document"):
        if name in values:
            return values[name]
    return {"type": "function", "function": values}


def _parse(call: Call, text: str, around: dict[str, Any], generation_prompt: bool | None) -> Conversation:
    furthest: Refusal | None = None

    for head in heads(call.grammar, text, _probe(call, around)):
        try:
            found = scan(call.grammar, text, head.end, in_user=head.in_user)
            return _settled(call, text, head, found, around, generation_prompt)
        except Refusal as refusal:
            if furthest is None or refusal.start > furthest.start:
                furthest = refusal
    raise furthest or Refusal("the text begins as no rendering of this template does", 0)


def _settled(
    call: Call, text: str, head: Head, found: Scan, around: dict[str, Any], generation_prompt: bool | None
) -> Conversation:
    """The conversation of a scan that renders to the text."""
    prompts = [False, True] if found.unclosed else [False]
    prompts = prompts if generation_prompt is None else [generation_prompt]
    # A setting that changes nothing is not part of what the text says.
    plain = {name: value for name, value in around.items() if name != "chat_template_kwargs"}
    refusal: Refusal | None = None
    for beside in [plain, around] if plain != around else [around]:
        for prompt in prompts:
            try:
                return _proved(call, text, head, found, beside, prompt)
            except Refusal as error:
                refusal = error if refusal is None or error.start > refusal.start else refusal
    assert refusal is not None
    if found.unclosed and found.unclosed.end < len(text):
        raise found.unclosed
    raise refusal


def _proved(call: Call, text: str, head: Head, found: Scan, around: dict[str, Any], prompt: bool) -> Conversation:
    """Renders, and where that gives another text takes the next reading of the turn where it differs."""
    messages: list[tuple[Reading, ...]] = [message for turn in found.turns for message in turn.messages]
    ends = [turn.end for turn in found.turns for _ in turn.messages]
    choices = [0] * len(messages)
    system = [] if head.system is None else [{"role": "system", "content": head.system}]
    for _ in range(_RETRIES):
        chosen = [message[choice] for message, choice in zip(messages, choices, strict=True)]
        conversation = _conversation({"messages": [*system, *chosen], **around})
        try:
            rendered = call.render(conversation, prompt=prompt)
        except RenderError as error:
            raise Refusal(f"no rendering: {error.message}", head.end, hint=error.hint) from None
        if rendered == text:
            return conversation
        offset = common(text, rendered)
        wrong = next((index for index, end in enumerate(ends) if end > offset), None)
        if wrong is None or choices[wrong] + 1 == len(messages[wrong]):
            break
        choices[wrong] += 1
    raise differs(text, rendered)


def _conversation(data: dict[str, Any]) -> Conversation:
    try:
        return Conversation.coerce(data, clean_nulls="never")
    except ConversationError as error:
        raise Refusal(f"not a conversation: {error.message}", 0, hint=error.hint) from None


def known_messages(call: Call, text: str) -> list[Message]:
    """The messages of the turns that a text begins with and that are closed."""
    for around in _circumstances(call, text):
        try:
            for head in heads(call.grammar, text, _probe(call, around)):
                found = scan(call.grammar, text, head.end, in_user=head.in_user, partial=True)
                if found.turns and found.turns[-1].end == len(text) and not text.endswith(call.grammar.all_closes):
                    found = replace(found, turns=found.turns[:-1])  # more of it may come
                if found.turns:
                    return _conversation({"messages": _chosen(head, found), **around}).messages
        except Refusal:
            continue
    return []


def _chosen(head: Head, found: Scan) -> list[Reading]:
    """The canonical messages of a scan."""
    system = [] if head.system is None else [{"role": "system", "content": head.system}]
    return [*system, *(message[0] for turn in found.turns for message in turn.messages)]


def _probe(call: Call, around: dict[str, Any]) -> Probe:
    """Renders messages beside what may stand around them."""
    return lambda messages: call.render(_conversation({"messages": messages, **around}))
