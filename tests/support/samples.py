"""Conversations to try a family with: rows of the goldens, its own and those of others, and every fixture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from chattmpl import Conversation, Rendering, Template
from chattmpl.conversation.files import load_conversation
from chattmpl.template.family import shipped_folder
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

    def read_by(self, template: Template) -> Sample:
        """The same with the special tokens of a template, and only such kwargs as it reads."""
        read = {name: value for name, value in self.kwargs.items() if name in template.program.variables}
        return replace(self, kwargs={**template.tokens, **read})

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
        """Return the variables of the template as plain data, for another engine."""
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
    found: list[Sample] = []
    for other in UPSTREAM_FAMILIES:
        own = other == family
        found += [
            sample_of(row["id"], conversation_of(row), row["kwargs"], row["add_generation_prompt"])
            for row in goldens(other)[:: step if own else 10 * step]
        ]
    found += [sample for prompts in (False, True) for sample in fixtures(prompts)]
    return tuple(sample.read_by(template) for sample in found)


@lru_cache
def fixtures(add_generation_prompt: bool = False) -> tuple[Sample, ...]:
    """Every fixture, with the kwargs that it names itself."""
    loaded = {path.stem: load_conversation(path).dump() for path in sorted(shipped_folder("fixtures").glob("*.json"))}
    return tuple(
        sample_of(name, conversation, conversation.get("chat_template_kwargs") or {}, add_generation_prompt)
        for name, conversation in loaded.items()
    )


def sample_of(
    name: str, conversation: Mapping[str, Any], kwargs: Mapping[str, Any], add_generation_prompt: bool
) -> Sample:
    """A sample of a conversation as plain data."""
    # flags are for the mask, and no template is to see them
    messages = [{k: v for k, v in m.items() if k not in ("train", "weight")} for m in conversation["messages"]]
    lists = (messages, conversation.get("tools"), conversation.get("documents"))
    return Sample(name, *lists, {k: v for k, v in kwargs.items() if v is not None}, bool(add_generation_prompt))


def made(
    conversations: st.SearchStrategy[dict[str, Any]], kwargs: st.SearchStrategy[dict[str, Any]]
) -> st.SearchStrategy[Sample]:
    """Samples of conversations that hypothesis makes."""
    return st.builds(sample_of, st.just("made"), conversations, kwargs, st.booleans())
