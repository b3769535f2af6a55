"""Oracle of the mutants: renderings of the project's fixtures, which lint does not use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from chattmpl import Rendering, Template
from chattmpl.budget import Budget
from chattmpl.errors import ChatTmplError
from chattmpl.template.special_tokens import PLACEHOLDERS

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
NAMES = (
    "single_turn", "multi_turn", "system_prompt", "multi_turn_reasoning", "tool_call", "parallel_tool_calls", "unicode",
)  # fmt: skip
_CLOCK = datetime(2025, 7, 31, 12, 0, 0)
_BUDGET = Budget(steps=400_000, characters=1 << 18)


@dataclass(frozen=True)
class Base:
    """A template to plant defects in.

    Attributes:
        name: the family or file, with the retention policy.
        group: ``family``, ``trl`` or ``llama.cpp``.
        source: plain Jinja.
        tokens: its special tokens.
    """

    name: str
    group: str
    source: str
    tokens: tuple[tuple[str, str], ...] = ()

    def with_source(self, source: str) -> Base:
        """Return another source under the same name."""
        return Base(self.name, self.group, source, self.tokens)


@dataclass(frozen=True)
class Seen:
    """A fixture rendered by a template; None where it raises.

    Attributes:
        name: the fixture.
        whole: all of it.
        prompt: all but the last message, with the generation prompt.
    """

    name: str
    whole: Rendering | None
    prompt: Rendering | None

    @property
    def key(self) -> tuple[Any, ...]:
        """Return the texts and generated ranges that identify a template."""
        made = (self.whole, self.prompt)
        return tuple(None if one is None else (one.text, one.generated) for one in made)


@lru_cache(maxsize=512)
def observed(base: Base) -> tuple[Seen, ...] | None:
    """Return the renderings of the fixtures; None if the template does not compile."""
    tokens = {**PLACEHOLDERS, **dict(base.tokens)}
    try:
        template = Template.from_source(base.source, tokens=tokens, budget=_BUDGET)
    except ChatTmplError:
        return None
    return tuple(_seen(template, name) for name in NAMES)


@lru_cache
def conversation(name: str) -> dict[str, Any]:
    """Return a fixture."""
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def _seen(template: Template, name: str) -> Seen:
    given = conversation(name)
    made: list[Rendering | None] = []
    asked = given["messages"][:-1] if name in ("single_turn", "multi_turn_reasoning") else given["messages"]
    for messages, prompt in ((given["messages"], False), (asked, True)):
        if prompt and asked is given["messages"]:
            made.append(made[0])
            continue
        try:
            made.append(template.render({**given, "messages": messages}, prompt, _CLOCK))
        except ChatTmplError:
            made.append(None)
    return Seen(name, *made)


def same(one: Base, other: Base) -> bool:
    """Return whether two templates render the same text and spans of every fixture."""
    first, second = observed(one), observed(other)
    return first is not None and second is not None and [seen.key for seen in first] == [seen.key for seen in second]


def generated_roles(base: Base) -> set[str]:
    """Return the roles of which some text is generated; ``tools`` for tools."""
    return set(_generated(base))


def _generated(base: Base) -> Iterator[str]:
    for seen in observed(base) or ():
        if seen.whole is None:
            continue
        for span in seen.whole.spans:
            if span.generated and span.field not in (None, "role") and not span.derived:
                yield "tools" if span.message is None else seen.whole.conversation.messages[span.message].role


def answers(base: Base) -> set[tuple[str, str]]:
    """Return the generated fields of the assistant, as (fixture, field of message)."""
    return {
        (seen.name, f"{span.message}.{span.field}")
        for seen in observed(base) or ()
        if seen.whole is not None
        for span in seen.whole.spans
        if span.generated and span.field is not None
    }


def shown_fields(base: Base) -> set[tuple[str, str]]:
    """Return the fields that are rendered, as (fixture, ``role.field``)."""
    found = set()
    for seen in observed(base) or ():
        for span in seen.whole.spans if seen.whole is not None else ():
            if span.field is not None:
                role = "" if span.message is None else seen.whole.conversation.messages[span.message].role  # type: ignore[union-attr]
                found.add((seen.name, f"{role}.{span.field.partition('[')[0]}"))
    return found


def lost(before: Base, after: Base, what: str) -> bool:
    """Return whether a field (``user.content``, ``.tools``) is rendered before and nowhere after."""
    fields = [{name for name, field in shown_fields(base) if field == what} for base in (before, after)]
    raised = {seen.name for seen in observed(after) or () if seen.whole is None}
    return bool(fields[0]) and not fields[1] and not raised >= fields[0]
