"""Null padding: the keys with value null that Arrow and Parquet put into a dict because a sibling has them.

A column of dicts is one struct type in Arrow, with every key that occurs in any row. Where a row lacks a key, it
comes back as null, so a tool without ``enum`` gets ``"enum": null`` and a call of ``ping()`` gets the arguments of
every other tool.

Most of these nulls mean nothing and are always dropped: in tools, in tool calls and in content parts. Two kinds could
also be meant: a null in the ``arguments`` of a call, and ``"default": null`` or ``"const": null`` in a JSON schema.
They are kept, unless the caller says otherwise or the conversation itself shows that it was padded.
"""

from __future__ import annotations

from typing import Any, Literal

from chattmpl.conversation.plain import as_dict

NullCleaning = Literal["auto", "always", "never"]
"""What to do with nulls that could be meant. ``auto``: drop them where the conversation shows signs of padding."""

_VALUE_KEYWORDS = frozenset({"default", "const", "enum", "examples", "example"})
_NULL_KEYWORDS = frozenset({"default", "const"})
_NAMES_INSIDE = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})


def without_nulls(mapping: dict[str, Any]) -> dict[str, Any]:
    """A copy of a dict without the keys whose value is None; values are not looked into."""
    return {key: value for key, value in mapping.items() if value is not None}


def without_nulls_deep(value: Any) -> Any:
    """A copy without None as the value of a dict, at any depth; None in a list stays, since lists are not padded."""
    if isinstance(value, dict):
        return {key: without_nulls_deep(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls_deep(item) for item in value]
    return value


def clean_tools(tools: list[Any], cleaning: NullCleaning, *, padded: bool = False) -> list[Any]:
    """Copies of tool schemas without padding.

    Args:
        tools: JSON schemas of tools; items that are no dicts come back as they are.
        cleaning: whether ``"default": null`` and ``"const": null`` go too.
        padded: other parts of the conversation show that it was padded (for ``auto``).
    """
    schemas = [as_dict(tool) if not isinstance(tool, dict) else tool for tool in tools]
    if cleaning == "always" or (cleaning == "auto" and (padded or any(map(_schema_is_padded, schemas)))):
        keep: frozenset[str] = frozenset()
    else:
        keep = _NULL_KEYWORDS
    return [
        tool if schema is None else _clean_schema(schema, keep) for tool, schema in zip(tools, schemas, strict=True)
    ]


def _clean_schema(schema: Any, keep: frozenset[str], *, names: bool = False) -> Any:
    """A copy of a schema without padding; ``names`` says that its keys are property names, not keywords."""
    if isinstance(schema, list):
        return [_clean_schema(item, keep) for item in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned: dict[str, Any] = {}
    for key, value in schema.items():
        if value is None and (names or key not in keep):
            continue
        if not names and key in _VALUE_KEYWORDS:
            cleaned[key] = value if keep else without_nulls_deep(value)
        else:
            cleaned[key] = _clean_schema(value, keep, names=not names and key in _NAMES_INSIDE)
    return cleaned


def _schema_is_padded(tool: Any) -> bool:
    """Whether the parameters of a tool hold a null that nobody means: anywhere but in a default or a constant."""
    if not isinstance(tool, dict):
        return False
    function = tool.get("function")
    parameters = (function if isinstance(function, dict) else tool).get("parameters")
    return _has_stray_null(parameters, names=False)


def _has_stray_null(schema: Any, *, names: bool) -> bool:
    if isinstance(schema, list):
        return any(_has_stray_null(item, names=False) for item in schema)
    if not isinstance(schema, dict):
        return False
    for key, value in schema.items():
        if value is None:
            if names or key not in _NULL_KEYWORDS:
                return True
        elif (names or key not in _VALUE_KEYWORDS) and _has_stray_null(value, names=not names and key in _NAMES_INSIDE):
            return True
    return False


def messages_are_padded(messages: list[Any]) -> bool:
    """Whether messages look like rows of a struct: all have the same keys, and one that calls no tool has null for it.

    In Arrow this is so in every conversation with a tool call; by hand nobody writes ``"tool_calls": null`` into the
    messages of the user.
    """
    if not messages or not all(isinstance(message, dict) for message in messages):
        return False
    keys = messages[0].keys()
    return all(message.keys() == keys for message in messages) and any(
        message.get("tool_calls", ...) is None and message.get("role") != "assistant" for message in messages
    )


def clean_arguments(message: dict[str, Any]) -> dict[str, Any]:
    """A copy of a message whose tool calls have no nulls in their arguments; the message itself if it calls no tool."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return message
    return {**message, "tool_calls": [_clean_call(call) for call in calls]}


def _clean_call(call: Any) -> Any:
    cleaned = as_dict(call)
    if cleaned is None:
        return call
    if isinstance(cleaned.get("arguments"), dict):
        cleaned = {**cleaned, "arguments": without_nulls_deep(cleaned["arguments"])}
    function = as_dict(cleaned.get("function"))
    if function is not None and isinstance(function.get("arguments"), dict):
        function = {**function, "arguments": without_nulls_deep(function["arguments"])}
        cleaned = {**cleaned, "function": function}
    return cleaned
