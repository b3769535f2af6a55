"""Errors of Jinja and Python about a template, with a place and a hint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jinja2 import Environment
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError

from chattmpl.compiler.globals import LONGEST_MESSAGE
from chattmpl.errors import BudgetError, Reason, RenderError, TemplateError, did_you_mean
from chattmpl.source import Place, Source
from chattmpl.syntax.lexer import Line

if TYPE_CHECKING:
    from chattmpl.syntax.items import Tag

_TAGS = (
    "for",
    "if",
    "elif",
    "else",
    "set",
    "macro",
    "call",
    "filter",
    "block",
    "with",
    "raw",
    "generation",
    "reasoning",
)
_TAGS_WITH_END = tuple(f"end{name}" for name in _TAGS if not name.startswith("el"))

_MESSAGE_KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name", "function", "arguments")

_OURS = re.compile(r"\b(?:chattmpl\.provenance\.\w+\.)?Traced(Dict|List|Int|Float)?\b")
"""Names of chattmpl's own types, which replace the types that the template's author knows."""


# -- when it is compiled


def syntax_error(
    error: TemplateSyntaxError, source: Source, environment: Environment | None = None, tags: Sequence[Tag] = ()
) -> TemplateError:
    """Convert an error of Jinja's lexer or parser into one with a place.

    Args:
        error: Jinja's error.
        source: the source.
        environment: for the names of filters and tests; None where only the lexer has run.
        tags: the tags of the source that could be read.
    """
    message = (error.message or "syntax error").rstrip(".")[:LONGEST_MESSAGE]
    line = error.lineno
    place = Place.of_line(source, line)
    if isinstance(line, Line) and line.offset <= len(source.text):
        word = re.compile(r"\w+|").match(source.text, line.offset)
        place = Place(source, line.offset, line.offset + max(1, len(word[0]) if word else 0))
    innermost = re.search(r"innermost block that needs to be closed is '(\w+)'", message)
    opener = _still_open(innermost[1], place.start, tags) if innermost else None
    unknown = re.search(r"unknown tag '(\w+)'", message)
    if opener is not None:
        where = Place(source, opener.start, opener.end)
        if unknown is None:
            hint = f"close it with {{% end{opener.name} %}}"
            return TemplateError(f"{{% {opener.name} %}} is never closed", place=where, hint=hint)
        hint = f"close it with {{% end{opener.name} %}} before the {{% {unknown[1]} %}} of line {place.line}"
        return TemplateError(
            f"{{% {unknown[1]} %}} where a {{% {opener.name} %}} is still open", place=where, hint=hint
        )
    if unknown is not None:
        return _unknown_tag(unknown[1], place)
    if "missing end of comment" in message.lower():
        return TemplateError(
            "{# is never closed", place=Place(source, place.start - 2, place.start), hint="close it with #}"
        )
    if "missing end of raw" in message.lower():
        return TemplateError("{% raw %} is never closed", place=place, hint="close it with {% endraw %}")
    if message.startswith("unexpected char") and source.text[place.start] in "'\"":
        return TemplateError("a string is never closed", place=place, hint=f"close it with {source.text[place.start]}")
    return TemplateError(_in_signs(message), place=place, hint=_misspelt(message, environment))


def python_error(error: Exception | MemoryError, source: Source, tags: Sequence[Tag]) -> TemplateError:
    """Convert an error of Python's compiler (nesting, or a jump outside a loop) into one with a place."""
    if isinstance(error, SyntaxError) and "loop" in error.msg:
        for tag in tags:
            if tag.name in ("break", "continue") and _still_open("for", tag.start, tags) is None:
                place = Place(source, tag.start, tag.end)
                return TemplateError(f"{{% {tag.name} %}} outside of a loop", place=place, hint="remove it")
    reason = f": {error.msg}" if isinstance(error, SyntaxError) else ""
    hint = "Python allows no deeper nesting; split what is nested with {% set %} or a macro"
    return TemplateError(f"the template is nested too deeply{reason}", place=Place(source, 0, 1), hint=hint)


def _still_open(name: str, offset: int, tags: Sequence[Tag]) -> Tag | None:
    """Return the last tag of this name before an offset that is not closed there."""
    stack: list[Tag] = []
    for tag in tags:
        if tag.start >= offset:
            break
        if tag.name == name and (name != "set" or "=" not in tag.body):
            stack.append(tag)
        elif tag.name == f"end{name}" and stack:
            stack.pop()
    return stack[-1] if stack else None


def _unknown_tag(name: str, place: Place) -> TemplateError:
    if name in _TAGS_WITH_END:
        hint = "remove it, or add the opening tag"
        return TemplateError(f"{{% {name} %}} without a {{% {name[3:]} %}} before it", place=place, hint=hint)
    if name in ("else", "elif"):
        return TemplateError(f"{{% {name} %}} outside of an {{% if %}}", place=place, hint="open it with {% if … %}")
    return TemplateError(
        f"there is no tag {{% {name} %}}",
        place=place,
        hint=did_you_mean(name, (*_TAGS, *_TAGS_WITH_END)) or "the tags are those of Jinja, generation and reasoning",
    )


def _in_signs(message: str) -> str:
    """Replace Jinja's names of delimiters with the delimiters themselves."""
    message = re.sub(r" at \d+$", "", message)
    message = message.replace("'end of print statement'", "'}}'").replace("'end of statement block'", "'%}'")
    return message[:1].lower() + message[1:]


def _misspelt(message: str, environment: Environment | None) -> str | None:
    if environment is not None and (found := re.match(r"No (filter|test) named '(.*)'", message)):
        return did_you_mean(found[2], environment.filters if found[1] == "filter" else environment.tests)
    return None


# -- when it is rendered


def render_error(
    error: BaseException, place: Place | None, environment: Environment, variables: Iterable[str]
) -> RenderError:
    """Turn an exception of a render into an error with a hint.

    Args:
        error: the exception.
        place: the statement that was running.
        environment: for the names of filters, tests and globals.
        variables: the variables that were passed to the template.
    """
    # A message may hold a value of the template.
    said = str(error)[:LONGEST_MESSAGE]
    text = _OURS.sub(lambda match: (match[1] or "str").lower(), said).rstrip(".")
    if getattr(error, "raised_by_template", False):
        return RenderError(
            f"the template refuses this conversation: {error}", place=place, reason=Reason.REFUSED, complaint=str(error)
        )
    if isinstance(error, RecursionError):
        return BudgetError("the template recurses or nests values too deeply", place=place, reason=Reason.DEPTH)
    if isinstance(error, MemoryError):
        return BudgetError("the template needs more memory than is available", place=place, reason=Reason.MEMORY)
    if isinstance(error, SecurityError):
        hint = "chat templates run in a sandbox; no template needs this"
        message = f"the template does what the sandbox forbids: {text}"
        return RenderError(message, place=place, hint=hint, reason=Reason.SANDBOX, complaint=text)
    if isinstance(error, UndefinedError):
        hint = _missing(text, (*variables, *environment.globals))
        message = f"the template uses something that is not there: {text}"
        return RenderError(message, place=place, hint=hint, reason=Reason.UNDEFINED, complaint=text)
    if text.startswith("no loader"):
        hint = "copy what it needs into the template"
        message = "a chat template cannot include, import or extend another"
        return RenderError(message, place=place, hint=hint, reason=Reason.NO_LOADER, complaint=text)
    complaint = f"{type(error).__name__}: {text}"
    return RenderError(
        f"the template failed: {complaint}",
        place=place,
        hint=_unexpected(text, environment),
        reason=Reason.FAILED,
        complaint=complaint,
    )


def _missing(text: str, variables: Iterable[str]) -> str:
    """Return the hint for an undefined variable or attribute."""
    attribute = re.search(r"has no attribute '(\w+)'", text)
    if attribute is not None and attribute[1] == "function":
        form = "{'type': 'function', 'function': {'name': …, 'arguments': …}}"
        return f"if a tool call of the conversation has name and arguments at its top level, write it as {form}"
    if attribute is not None and attribute[1] in _MESSAGE_KEYS:
        name = attribute[1]
        data = "write an empty text into the data, or " if name == "content" else ""
        return f"{name} may be null or absent in a message; {data}allow for it, as in {{{{ message.{name} or '' }}}}"
    if attribute is not None and text.startswith("'list object'") and hasattr(str, attribute[1]):
        return "content may be a list of parts; write a text into the data, or allow for a list in the template"
    variable = re.search(r"^'(\w+)' is undefined", text)
    close = None
    if attribute is not None:
        close = did_you_mean(attribute[1], _MESSAGE_KEYS)
    elif variable is not None:
        close = did_you_mean(variable[1], variables)
    return close or "the conversation has no such field, or the template misspells it"


def _unexpected(text: str, environment: Environment) -> str | None:
    if "NoneType" in text or re.search(r"\b(list|dict)\b", text):
        return "the template expects another type here (it may be content that is null or a list of parts)"
    if "non-namespace" in text:
        return "only the attributes of a namespace can be set: {% set ns = namespace(x=1) %}{% set ns.x = 2 %}"
    return _misspelt(text, environment)
