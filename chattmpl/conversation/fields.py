"""Fields of a conversation before validation: spelling, the names of the reasoning, content parts, tools."""

from __future__ import annotations

import json
from typing import Any

from chattmpl.conversation.nulls import without_nulls
from chattmpl.conversation.plain import as_dict, as_list
from chattmpl.conversation.spelling import first_misspelt, misspelt
from chattmpl.conversation.validation_errors import misfit

REASONING_NAMES = ("reasoning_content", "thinking", "reasoning")
"""What data calls the reasoning of a message. Templates read the first; others are older or vendors' names."""

_PART_TYPES = ("text", "image", "audio", "video", "image_url", "audio_url", "video_url", "input_audio")
_FLAT_TOOL = frozenset({"name", "description"})
_OTHER_PART_TYPES = frozenset({"input_text", "output_text", "input_image", "input_video"})


def check_spelling(given: dict[str, Any], known: frozenset[str]) -> None:
    """Raise if a key is a misspelling of a known one that is missing; keys with None are as absent.

    Raises:
        PydanticCustomError: with the path of the key.
    """
    if known.issuperset(given):
        return
    found = first_misspelt(tuple(key for key, value in given.items() if value is not None), known)
    if found is not None:
        raise misfit(f"unknown key {found[0]!r}", path=(found[0],), hint=f"did you mean {found[1]!r}?", on_key=True)


def settle_reasoning(given: dict[str, Any]) -> dict[str, Any]:
    """A message with its reasoning under ``reasoning_content`` alone; an empty trace loses against a full one.

    Raises:
        PydanticCustomError: two different traces, or one that is no string.
    """
    traces = {name: given[name] for name in REASONING_NAMES if given.get(name) is not None}
    for name, trace in traces.items():
        if not isinstance(trace, str):
            raise misfit(f"must be a string or null, not {type(trace).__name__}", path=(name,))
    full = {name: trace for name, trace in traces.items() if trace}
    if len(set(full.values())) > 1:
        first, second = list(full)[:2]
        raise misfit(f"differs from {first!r} in the same message", path=(second,), hint="keep the one that is right")
    settled = {key: value for key, value in given.items() if key not in REASONING_NAMES}
    if traces:
        settled["reasoning_content"] = next(iter(full.values()), "")
    return settled


def read_part(part: Any, index: int) -> Any:
    """A content part without padding; raises on a misspelt type or key. What is no dict is left to pydantic."""
    given = as_dict(part)
    if given is None:
        return part
    given = without_nulls(given)
    kind = given.get("type")
    if isinstance(kind, str) and kind not in _PART_TYPES and kind not in _OTHER_PART_TYPES:
        meant = misspelt(kind, _PART_TYPES)
        if meant is not None:
            raise misfit(
                f"unknown type {kind!r} of a content part",
                path=("content", index, "type"),
                hint=f"did you mean {meant!r}?",
            )
    if kind == "text" and not isinstance(given.get("text"), str):
        found = first_misspelt(tuple(given), frozenset({"text"}))
        hint = f"did you mean 'text' where it says {found[0]!r}?" if found else None
        raise misfit("a text part needs a string 'text'", path=("content", index), hint=hint)
    return given


def read_tools(tools: Any) -> list[Any]:
    """The list of tools; a string of JSON is parsed, since data sets keep schemas in one."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools.strip() else []
        except ValueError as error:
            raise misfit(f"is a string that is not JSON: {error}", path=("tools",)) from None
    tools = as_list(tools)
    if not isinstance(tools, list):
        raise misfit(f"must be a list of JSON schemas, not {type(tools).__name__}", path=("tools",))
    for index, tool in enumerate(tools):
        if (given := as_dict(tool)) is None:
            hint = "pass its JSON schema; transformers.utils.get_json_schema makes one" if callable(tool) else None
            raise misfit(f"must be a JSON schema (a dict), not {type(tool).__name__}", path=("tools", index), hint=hint)
        names = _FLAT_TOOL if "parameters" in given else frozenset({"function"})
        if found := first_misspelt(tuple(given), names):
            raise misfit(
                f"unknown key {found[0]!r}",
                path=("tools", index, found[0]),
                hint=f"did you mean {found[1]!r}?",
                on_key=True,
            )
    return tools
