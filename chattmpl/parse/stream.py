"""Incremental parsing of a text that arrives in pieces."""

from collections.abc import Callable
from dataclasses import replace

from chattmpl.conversation.models import Conversation, Message
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.parse.completion import keep_reasoning, render_prompt, reply_start
from chattmpl.parse.conversation import ParseRequest
from chattmpl.parse.refusal import ParseRefusal
from chattmpl.parse.reply import read_partial_reply


class Parser:
    """A parser that is fed pieces of a text, cut anywhere, and parses the whole text in the end.

    Args:
        finish: parses the whole text.
        messages: returns the messages of a text that is not yet complete.
    """

    def __init__(self, finish: Callable[[str], Conversation], messages: Callable[[str], list[Message]]) -> None:
        self._finish = finish
        self._messages = messages
        self._parts: list[str] = []
        self._known: tuple[int, list[Message]] | None = None

    @property
    def text(self) -> str:
        """The text fed so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def feed(self, text: str) -> None:
        """Add a piece of text; raise `UsageError` if ``text`` is not a string."""
        if not isinstance(text, str):
            raise UsageError(f"feed takes text, not {type(text).__name__}", hint="decode the tokens first")
        if text:
            self._parts.append(text)
            self._known = None

    @property
    def messages(self) -> list[Message]:
        """The messages known so far: the one message of a completion, as far as it goes, else the complete turns.

        Text that may be the beginning of a control token is held back, so if a completion can be parsed, later text
        only adds to its message. Of a conversation the last turn may still change, if its content contains text that
        looks like its end.
        """
        text = self.text
        if self._known is None or self._known[0] != len(text):
            self._known = len(text), self._messages(text)
        return list(self._known[1])

    def finish(self) -> Conversation:
        """Parse the whole text.

        Raises:
            NotRepresentable: see `chattmpl.parse.parse`.
        """
        return self._finish(self.text)


def partial_completion(
    request: ParseRequest, prompt: object, generation_prompt: bool | None
) -> Callable[[str], list[Message]]:
    """Return a function from the beginning of a completion to its message, as far as it is known."""
    rendered = render_prompt(replace(request, template=keep_reasoning(request.template)), prompt)

    def messages(text: str) -> list[Message]:
        prefixes = [part for part in (rendered.text, rendered.generation_prompt) if part]
        if generation_prompt is not False and any(part.startswith(text) for part in prefixes):
            return []
        try:
            start = reply_start(rendered, text, generation_prompt)
            message = read_partial_reply(request.grammar, text, start)
            return Conversation.coerce([message], clean_nulls="never").messages if len(message) > 1 else []
        except (ParseRefusal, ChatTmplError):
            return []

    return messages
