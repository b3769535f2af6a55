"""Parsing: from a rendered text back to the conversation, or an error with the position and the reason.

Both completions and whole conversations are read by grammars that are derived from renderings of the template.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import UsageError
from chattmpl.parse.completion import ParsedConversation, parse_completion
from chattmpl.parse.conversation import ParseRequest, complete_messages, parse_conversation
from chattmpl.parse.refusal import ParseFailure, ParseRefusal
from chattmpl.parse.stream import CompletionReader, Parser
from chattmpl.template.template import Clock, Template

__all__ = ["ParsedConversation", "Parser", "parse", "parser"]


def parse(
    template: Template,
    text: str,
    /,
    *,
    completion: bool = False,
    exact: bool | None = None,
    generation_prompt: bool | None = None,
    prompt: Any = None,
    clock: Clock = None,
    **template_kwargs: Any,
) -> Conversation:
    """Return the conversation that renders to a text; see `chattmpl.Template.parse`."""
    request = _request(template, completion, prompt, clock, template_kwargs)
    if not isinstance(text, str):
        raise UsageError(f"parse takes text, not {type(text).__name__}", hint="decode the tokens first")
    with _refusals_as_errors(text):
        if completion:
            return parse_completion(request, text, prompt, generation_prompt, exact=bool(exact))
        if exact is False:
            raise UsageError("a whole conversation is always parsed exactly", hint="use exact with completion=True")
        return parse_conversation(request, text, generation_prompt)


def parser(
    template: Template,
    /,
    *,
    completion: bool = False,
    generation_prompt: bool | None = None,
    prompt: Any = None,
    clock: Clock = None,
    **template_kwargs: Any,
) -> Parser:
    """Return a parser that is fed pieces of a text; see `chattmpl.Template.parser`."""
    request = _request(template, completion, prompt, clock, template_kwargs)

    def finish(text: str) -> Conversation:
        with _refusals_as_errors(text):
            if completion:
                return parse_completion(request, text, prompt, generation_prompt, sampled=True)
            return parse_conversation(request, text, generation_prompt)

    reader = CompletionReader(request, prompt, generation_prompt) if completion else None
    return Parser(finish, lambda text: complete_messages(request, text), reader)


@contextmanager
def _refusals_as_errors(text: str) -> Iterator[None]:
    """Raise `NotRepresentable` for a refusal of a text, and for values that are nested too deeply."""
    try:
        yield
    except ParseRefusal as refusal:
        raise refusal.error(text) from None
    except RecursionError:
        too_deep = ParseRefusal(ParseFailure.REPLY_FORMAT, "its values are nested too deeply", 0)
        raise too_deep.error(text) from None


def _request(template: Template, completion: bool, prompt: Any, clock: Clock, kwargs: dict[str, Any]) -> ParseRequest:
    if prompt is not None and not completion:
        raise UsageError("a whole conversation includes its prompt", hint="use prompt with completion=True")
    for name in ("add_generation_prompt", "continue_final_message"):
        if name in kwargs:
            raise UsageError(f"parsing takes no {name}", hint="say with generation_prompt whether the text has one")
    return ParseRequest(template, clock, kwargs)
