"""Conversations to try a family with: rows of the goldens, its own and those of others, and every fixture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from chattmpl import Conversation, Rendering, Template
from chattmpl.family import shipped_folder
from chattmpl.loaders import load_conversation
from support.goldens import CLOCK, UPSTREAM_FAMILIES, conversation_of, goldens
from support.reference import transformers_render

Ranges = list[tuple[int, int]]


@dataclass(frozen=True)
class Sample:
    """A conversation with all else that a render takes.

    Attributes:
        messages, tools, documents: as plain data, the way a caller of transformers would pass them.
        kwargs: special tokens and other template kwargs, without nulls, which transformers takes for values.
    """

    id: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    documents: list[dict[str, Any]] | None
    kwargs: dict[str, Any]
    add_generation_prompt: bool

    def ours(self, template: Template, **kwargs: Any) -> Rendering:
        """Rendered by us."""
        conversation = {"messages": self.messages, "tools": self.tools, "documents": self.documents}
        return template.render(conversation, self.add_generation_prompt, CLOCK, **self.kwargs, **kwargs)

    def theirs(self, source: str, **kwargs: Any) -> tuple[str, Ranges]:
        """The text and the generated ranges of a template of plain Jinja, by transformers."""
        text, ranges = transformers_render(
            source,
            self.messages,
            self.tools,
            self.documents,
            add_generation_prompt=self.add_generation_prompt,
            clock=CLOCK,
            **self.kwargs,
            **kwargs,
        )
        return text, merged(ranges)

    def variables(self, **kwargs: Any) -> dict[str, Any]:
        """What the template sees, as plain data: the inputs for another engine."""
        given = Conversation.coerce({"messages": self.messages, "tools": self.tools, "documents": self.documents})
        data = given.to_template_input()
        del data["kwargs"]
        return {**data, "add_generation_prompt": self.add_generation_prompt, **self.kwargs, **kwargs}


def merged(ranges: Ranges | tuple[tuple[int, int], ...]) -> Ranges:
    """Ranges without empty ones, neighbours joined."""
    joined: Ranges = []
    for start, end in ranges:
        if start == end:
            continue
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


@lru_cache
def samples(family: str, step: int = 1) -> tuple[Sample, ...]:
    """The samples for a family, with its tokens and only such kwargs as it reads.

    Args:
        family: its name.
        step: how many of its own rows to go on by; of the rows of others it is ten times as many.
    """
    template = Template.load(family)
    found = []
    for other in UPSTREAM_FAMILIES:
        own = other == family
        for row in goldens(other)[:: step if own else 10 * step]:
            kwargs = row["kwargs"] if own else _read(template, row["kwargs"])
            given = {**conversation_of(row), "kwargs": {**template.tokens, **kwargs}}
            found.append(_sample(row["id"], given, row["add_generation_prompt"]))
    return (*found, *_fixtures(template))


def _fixtures(template: Template) -> list[Sample]:
    found = []
    for path in sorted(shipped_folder("fixtures").glob("*.json")):
        conversation = load_conversation(path).dump()
        kwargs = _read(template, conversation.get("chat_template_kwargs") or {})
        for prompts in (False, True):
            given = {**conversation, "kwargs": {**template.tokens, **kwargs}}
            found.append(_sample(f"{path.stem}{'+prompt' if prompts else ''}", given, prompts))
    return found


def _read(template: Template, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name in template.program.variables}


def _sample(name: str, given: dict[str, Any], add_generation_prompt: bool) -> Sample:
    kwargs = {key: value for key, value in given["kwargs"].items() if value is not None}
    return Sample(
        name, given["messages"], given.get("tools"), given.get("documents"), kwargs, bool(add_generation_prompt)
    )
