"""Rendering conversations for probes, each once, with errors as values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from chattmpl.capabilities.conversations import ASK, DOCUMENT, SAY, TOOL, TUSKS, Message, as_parts, calling
from chattmpl.conversation.models import Conversation
from chattmpl.errors import BudgetError, ChatTmplError
from chattmpl.lint.context import Subject
from chattmpl.lint.probe import CLOCK
from chattmpl.template.resolver import Found
from chattmpl.template.template import Rendering, Template

NAMED = {name: f"<|{name}|>" for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
"""Special tokens for a template that comes without any: in results they are called by the variable's name."""

Rendered = Rendering | ChatTmplError


class Prober:
    """Renders with one template.

    Attributes:
        subject: the template with its syntax tree.
        template: what is rendered with.
        tokens: its special tokens.
    """

    def __init__(self, found: Found) -> None:
        known = found if found.tokens else Found(found.source, dict(NAMED), found.family)
        self.subject = Subject(known)
        self.template = self.subject.template
        self.tokens = self.template.tokens
        self._done: dict[str, Rendered] = {}
        self._spent: BudgetError | None = None

    def render(
        self,
        messages: Sequence[Message],
        *,
        prompt: bool = False,
        tools: bool = False,
        documents: Sequence[Any] | None = None,
        template: Template | None = None,
        raw: bool = False,
        kwargs: dict[str, Any] | None = None,
    ) -> Rendered:
        """A conversation, rendered, or the error.

        Args:
            messages: of the conversation.
            prompt: with the generation prompt.
            tools: with the tool of all probes.
            documents: those of the conversation.
            template: the same template under another policy.
            raw: leave content as it is, also for templates that take nothing but lists of parts.
            kwargs: template kwargs, which may have any names.
        """
        key = repr((messages, prompt, tools, documents, template, raw, kwargs))
        if key not in self._done:
            self._done[key] = self._rendered(messages, prompt, tools, documents, template, raw, kwargs or {})
        return self._done[key]

    def _rendered(
        self,
        messages: Sequence[Message],
        prompt: bool,
        tools: bool,
        documents: Sequence[Any] | None,
        template: Template | None,
        raw: bool,
        kwargs: dict[str, Any],
    ) -> Rendered:
        if self._spent is not None:
            return self._spent
        given: dict[str, Any] = {"messages": list(messages)}
        if not raw and self.in_parts:
            given = as_parts(given)
        if tools or "tools" in self.needs:
            given["tools"] = [TOOL]
        if documents is not None or "documents" in self.needs:
            given["documents"] = list(documents or [DOCUMENT])
        try:
            conversation = Conversation.coerce(given)
            return (template or self.template).render(conversation, prompt, CLOCK, **kwargs)
        except BudgetError as error:
            # What runs away once would do so with each conversation.
            self._spent = error
            return error
        except ChatTmplError as error:
            return error

    def text(self, messages: Sequence[Message], **options: Any) -> str | None:
        """The text of a conversation; None if the template raised."""
        rendering = self.render(messages, **options)
        return rendering.text if isinstance(rendering, Rendering) else None

    @cached_property
    def in_parts(self) -> bool:
        """Whether the template understands content only as a list of parts."""
        return self.subject.probe.in_parts

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """What must be beside the messages, or not even a question is rendered: tools or documents."""
        try:
            self.template.render([ASK], False, CLOCK)
            return ()
        except BudgetError as error:
            self._spent = error
            return ()
        except ChatTmplError:
            pass
        for name, given in (("tools", [TOOL]), ("documents", [DOCUMENT])):
            with suppress(ChatTmplError):
                self.template.render({"messages": [ASK], name: given}, False, CLOCK)
                return (name,)
        return ()

    @cached_property
    def base(self) -> ChatTmplError | None:
        """Why not even a question can be rendered; None if it can."""
        made = self.render([ASK])
        return made if isinstance(made, ChatTmplError) else None

    @cached_property
    def call_form(self) -> tuple[dict[str, Any] | None, Rendered]:
        """How calls are to be written so that they are rendered: arguments for `calling`, with a rendering.

        Without such a form None, with a rendering without the call, or the first error.
        """
        first: Rendered | None = None
        for text in (False, True):
            for content in ("", None, SAY["content"]):
                form: dict[str, Any] = {"text": text, "content": content}
                made = self.render([ASK, calling(**form)], tools=True)
                if isinstance(made, Rendering) and TUSKS[0] in made.text:
                    return form, made
                if first is None or (isinstance(first, ChatTmplError) and isinstance(made, Rendering)):
                    first = made
        assert first is not None
        return None, first

    @cached_property
    def call_options(self) -> dict[str, Any]:
        """Arguments for `calling`."""
        return self.call_form[0] or {}


def said(rendering: Rendering, index: int) -> str:
    """All that was rendered of a message, less its role, put together."""
    spans = (span for span in rendering.spans if span.message == index and span.field not in (None, "role"))
    return "".join(rendering.text[span.start : span.end] for span in spans)


def holds(rendering: Rendered, word: str, index: int | None = None) -> bool:
    """Whether a word was rendered, in one piece or, of a message, in several."""
    if not isinstance(rendering, Rendering):
        return False
    return word in rendering.text or (index is not None and letters(word) in letters(said(rendering, index)))


def letters(text: str) -> str:
    """The letters and digits of a text."""
    return re.sub(r"[\W_]", "", text)
