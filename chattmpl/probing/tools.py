"""Tool definitions, tool calls and tool results in a rendering."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from chattmpl.errors import ChatTmplError
from chattmpl.probing.corpus import (
    ASK,
    ASK_MORE,
    IDENTIFIERS,
    PARAMETER,
    RESULTS,
    SAY,
    SYSTEM,
    TOOL_DESCRIPTION,
    TOOL_NAME,
    TUSKS,
    call_message,
    result_message,
)
from chattmpl.probing.prober import Fate, Prober, Treatment, fate, fate_with_error, holds
from chattmpl.syntax.nodes import Test
from chattmpl.template.template import Rendering, Template

DefinitionForm = Literal["JSON", "a Python dict", "XML", "TypeScript", "own form"]
Place = Literal["at the start", "at the last question", "after the question"]
ArgumentsFate = Literal["rendered", "dropped", "encoded twice", "refused", "failed"]


@dataclass(frozen=True)
class ToolDefinitions(Treatment):
    """Tool definitions in a rendering.

    Attributes:
        form: the notation.
        place: where they are written.
        beside_system_only: True if they are rendered only in conversations with a system message.
        missing: ``description`` or ``parameters``, where they are dropped.
    """

    form: DefinitionForm | None = None
    place: Place | None = None
    beside_system_only: bool = False
    missing: tuple[str, ...] = ()


def find_tool_definitions(prober: Prober) -> ToolDefinitions:
    """Return the notation and place of tool definitions in a rendering."""
    made = prober.outcome([ASK, SAY, ASK_MORE], tools=True, prompt=True)
    if isinstance(made, ChatTmplError):
        made = prober.outcome([ASK], tools=True, prompt=True)
    if isinstance(made, ChatTmplError):
        return ToolDefinitions(fate(made), made)
    alone = TOOL_NAME in made.text
    if not alone:
        made = prober.outcome([SYSTEM, ASK, SAY, ASK_MORE], tools=True, prompt=True)
    if isinstance(made, ChatTmplError) or TOOL_NAME not in made.text:
        return ToolDefinitions("dropped")
    words = (("description", TOOL_DESCRIPTION), ("parameters", PARAMETER))
    missing = tuple(name for name, word in words if word not in made.text)
    return ToolDefinitions("rendered", None, _form(made.text), _place(made.text), not alone, missing)


def _form(text: str) -> DefinitionForm:
    if re.search(rf'"name"\s*:\s*"{TOOL_NAME}"', text):
        return "JSON"
    if f"'name': '{TOOL_NAME}'" in text:
        return "a Python dict"
    if re.search(rf"<name>\s*{TOOL_NAME}", text):
        return "XML"
    return "TypeScript" if re.search(rf"\b(type|function) {TOOL_NAME}\b", text) else "own form"


def _place(text: str) -> Place:
    if text.find(TOOL_NAME) < text.find(ASK["content"]):
        return "at the start"
    return "at the last question" if ASK_MORE["content"] in text else "after the question"


@dataclass(frozen=True)
class ToolCalls(Treatment):
    """Tool calls in a rendering.

    Attributes:
        told_from_null: True if calls are dropped, but the template tests for content that is None, which chattmpl
            treats as absent.
        arguments: the fate of arguments that are an ``object`` or a ``string``, with the error if there is one.
        ids: True if the ids of calls are rendered.
        content_beside: the fate of content next to calls, with the error if there is one.
        named: True if the name of the function is rendered.
        parallel: the fate of two calls in one message, with the error if there is one; ``dropped`` if one is.
    """

    told_from_null: bool = False
    arguments: dict[str, tuple[ArgumentsFate, ChatTmplError | None]] | None = None
    ids: bool = False
    content_beside: tuple[Fate, ChatTmplError | None] = ("dropped", None)
    named: bool = False
    parallel: tuple[Fate, ChatTmplError | None] = ("dropped", None)


def find_tool_calls(prober: Prober) -> ToolCalls:
    """Return the rendering of tool calls: arguments, ids, parallel calls."""
    form, made = prober.call_form
    if form is None:
        if isinstance(made, ChatTmplError):
            return ToolCalls(fate(made), made)
        return ToolCalls("dropped", told_from_null=_tests_content_for_none(prober.template))
    assert isinstance(made, Rendering)
    complete = prober.outcome([ASK, call_message(**form), result_message()], tools=True)
    beside = prober.outcome([ASK, call_message(**{**form, "content": SAY["content"]})], tools=True)
    both = prober.outcome([ASK, call_message(TUSKS, **form)], tools=True)
    return ToolCalls(
        "rendered",
        arguments={"object": _arguments(prober, False), "string": _arguments(prober, True)},
        ids=IDENTIFIERS[0] in made.text or holds(complete, IDENTIFIERS[0]),
        content_beside=fate_with_error(beside, holds(beside, SAY["content"], 1)),
        named=TOOL_NAME in made.text,
        parallel=fate_with_error(both, all(holds(both, tusk) for tusk in TUSKS)),
    )


def _tests_content_for_none(template: Template) -> bool:
    tests = template.program.syntax.nodes(Test)
    return any(test.name == "none" and test.value.unwrapped.key == "content" for test in tests)


def _arguments(prober: Prober, text: bool) -> tuple[ArgumentsFate, ChatTmplError | None]:
    made = prober.outcome([ASK, call_message(**{**prober.call_options, "text": text})], tools=True)
    if isinstance(made, Rendering) and f'\\"{TUSKS[0]}\\"' in made.text:
        return "encoded twice", None
    return fate_with_error(made, holds(made, TUSKS[0]))


@dataclass(frozen=True)
class ToolResults(Treatment):
    """Tool results in a rendering.

    Attributes:
        in_pieces: True if it is rendered in several pieces.
        several: the fate of two results in a row, with the error if there is one.
        ids: True if the id of the call is rendered.
        objects: the form of a result that is an object; None if it is not rendered.
    """

    in_pieces: bool = False
    several: tuple[Fate, ChatTmplError | None] = ("dropped", None)
    ids: bool = False
    objects: Literal["JSON", "Python"] | None = None


def find_tool_results(prober: Prober) -> ToolResults:
    """Return the rendering of tool results, alone and in a row."""
    made = prober.outcome([ASK, call_message(**prober.call_options), result_message()], tools=True)
    if isinstance(made, ChatTmplError):
        return ToolResults(fate(made), made)
    if not holds(made, RESULTS[0], 2):
        return ToolResults("dropped")
    ids = any(span.message == 2 and span.field == "tool_call_id" for span in made.spans)
    return ToolResults("rendered", None, RESULTS[0] not in made.text, _several(prober), ids, _objects(prober))


def _objects(prober: Prober) -> Literal["JSON", "Python"] | None:
    """Return the form in which a result is printed that is an object."""
    result = {**result_message(), "content": {"swan": "tern"}}
    made = prober.outcome([ASK, call_message(**prober.call_options), result], tools=True)
    if not isinstance(made, Rendering):
        return None
    return "Python" if "{'swan': 'tern'}" in made.text else "JSON" if '"swan"' in made.text else None


def _several(prober: Prober) -> tuple[Fate, ChatTmplError | None]:
    """Return the fate of two results in a row: of two calls, or of one where a message can have only one."""
    options = prober.call_options
    made: Any = None
    for tusks in (TUSKS, TUSKS[:1]):
        made = prober.outcome([ASK, call_message(tusks, **options), result_message(), result_message(1)], tools=True)
        if isinstance(made, Rendering):
            return fate_with_error(made, all(holds(made, word, 2 + index) for index, word in enumerate(RESULTS)))
    return fate(made), made
