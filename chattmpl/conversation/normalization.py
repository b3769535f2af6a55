"""Normalisation of conversation data before validation: plain JSON types, null padding, reasoning, parts, tools.

Null padding: a column of dicts is one struct type in Arrow and Parquet, with every key that occurs in any row. A row
that lacks a key gets it back as null, so a tool without ``enum`` gets ``"enum": null`` and a call of ``ping()`` gets
the arguments of every other tool.

Most of these nulls carry no meaning and are dropped, as trl does: in tools, in tool calls and in content parts. Two
kinds can be intended: a null in the ``arguments`` of a call, and ``"default": null`` or ``"const": null`` in a JSON
schema. They are kept unless the caller says otherwise or the conversation itself shows that it was padded. Messages
and tools that are stored as strings of JSON were never padded, and keep all nulls.
"""

import contextlib
import dataclasses
import json
import marshal
import sys
from collections.abc import Mapping
from typing import Any, Literal

from chattmpl.conversation.validation_errors import FieldPath, find_misspelling, intended_word, shown, validation_error

NullCleaning = Literal["auto", "always", "never"]
"""Treatment of nulls that could be intended; ``auto`` drops them if the conversation shows signs of padding."""

REASONING_NAMES = ("reasoning_content", "thinking", "reasoning")
"""The keys under which datasets store the reasoning of a message. Templates read the first; vendors use the others."""

_SCALARS = frozenset({str, int, float, bool, type(None)})
_VALUE_KEYWORDS = frozenset({"default", "const", "enum", "examples", "example"})
_NULL_KEYWORDS = frozenset({"default", "const"})
_NAMES_INSIDE = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
PART_TYPES = ("text", "image", "audio", "video", "image_url", "audio_url", "video_url", "input_audio")
_OTHER_PART_TYPES = frozenset({"input_text", "output_text", "input_image", "input_video"})
_FLAT_TOOL = frozenset({"name", "description"})


# -- plain JSON data


def plain_data(value: Any) -> Any:
    """Copy a value into new dicts, lists, tuples, strings, numbers, booleans and None.

    The rules are those of transformers 5.24, so that a template sees the same data: subclasses of str, int and float
    become the base type, numpy scalars become Python ones, dataclasses and pydantic models become dicts, and anything
    else (an image, an array, bytes) becomes a string that names its type, as in ``<ndarray>``.

    Raises:
        RecursionError: the value contains itself, or is nested too deeply.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict:
        return {key if type(key) is str else plain_data(key): plain_data(item) for key, item in value.items()}
    if kind is list:
        return [plain_data(item) for item in value]
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    """Convert a value that is not exactly of a JSON type."""
    # str(value) and int(value) would call methods that the subclass may override.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return {plain_data(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_data(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain_data(item) for item in value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return plain_data(value.item())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return plain_data(value.model_dump())
    return f"<{type(value).__name__}>"


def copy_containers(value: Any) -> Any:
    """Copy a value's dicts and lists at any depth, and share all other objects with it."""
    kind = type(value)
    if kind is dict:
        return {key: copy_containers(item) for key, item in value.items()}
    if kind is list:
        return [copy_containers(item) for item in value]
    return value


def as_dict(value: Any) -> dict[str, Any] | None:
    """Return the keys and values of a mapping, a dataclass or a pydantic model, else None.

    A dict is returned as it is, not copied: it belongs to the caller and must not be changed.
    """
    if isinstance(value, dict):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, type):
        return None
    if callable(getattr(value, "model_dump", None)):
        dumped = value.model_dump()
        return dumped if isinstance(dumped, dict) else None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def as_list(value: Any) -> Any:
    """Convert a tuple or an array (as rows read with pandas contain) to a list; return any other value unchanged."""
    if isinstance(value, (list, str, Mapping)):
        return value
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if callable(getattr(value, "tolist", None)) else value


# -- null padding


def drop_nulls(mapping: dict[str, Any]) -> dict[str, Any]:
    """Copy a dict without the keys whose value is None; nested values are left alone."""
    return {key: value for key, value in mapping.items() if value is not None}


def _drop_nulls_deep(value: Any) -> Any:
    """Copy a value without None in dicts at any depth; None in a list stays, since lists are not padded."""
    if isinstance(value, dict):
        return {key: _drop_nulls_deep(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_drop_nulls_deep(item) for item in value]
    return value


def clean_tools(tools: list[Any], cleaning: NullCleaning, *, padded: bool = False) -> list[Any]:
    """Copy JSON schemas of tools without padding; items that are not dicts are returned unchanged.

    ``cleaning`` decides whether ``"default": null`` and ``"const": null`` are dropped too; for ``auto``, ``padded``
    says that other parts of the conversation show padding. ``never`` keeps all nulls.
    """
    if cleaning == "never":
        return tools
    schemas = [as_dict(tool) if not isinstance(tool, dict) else tool for tool in tools]
    if cleaning == "always" or (cleaning == "auto" and (padded or any(map(_schema_is_padded, schemas)))):
        keep: frozenset[str] = frozenset()
    else:
        keep = _NULL_KEYWORDS
    return [
        tool if schema is None else _clean_schema(schema, keep) for tool, schema in zip(tools, schemas, strict=True)
    ]


_MAY_HAVE_NULLS = (b"defaultN", b"default[", b"default{", b"constN", b"const[", b"const{", b"example")
"""Marshalled keywords whose value is null or may contain one: the byte after a key is the type of its value."""


def drops_nulls(tools: list[Any], *, padded: bool) -> bool:
    """Return true if `clean_tools` drops nulls for ``auto`` that could be intended."""
    with contextlib.suppress(ValueError):  # other types than JSON's
        marshalled = marshal.dumps(tools, 2)
        if not any(keyword in marshalled for keyword in _MAY_HAVE_NULLS):
            return False
    cleaned = clean_tools(tools, "auto", padded=padded)
    return cleaned != [_clean_schema(as_dict(tool) or tool, _NULL_KEYWORDS) for tool in tools]


def _clean_schema(schema: Any, keep: frozenset[str], *, names: bool = False) -> Any:
    """Copy a schema without padding; with ``names`` its keys are property names, not keywords."""
    if isinstance(schema, list):
        return [_clean_schema(item, keep) for item in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned: dict[str, Any] = {}
    for key, value in schema.items():
        if value is None and (names or key not in keep):
            continue
        if not names and key in _VALUE_KEYWORDS:
            cleaned[key] = value if keep or key == "enum" else _drop_nulls_deep(value)
        else:
            cleaned[key] = _clean_schema(value, keep, names=not names and key in _NAMES_INSIDE)
    return cleaned


def _schema_is_padded(tool: Any) -> bool:
    """Return whether the parameters of a tool contain a null outside defaults and constants."""
    if not isinstance(tool, dict):
        return False
    function = tool.get("function")
    parameters = (function if isinstance(function, dict) else tool).get("parameters")
    return bool(_clean_schema(parameters, _NULL_KEYWORDS) != parameters)


def messages_are_padded(messages: list[Any]) -> bool:
    """Return whether messages look like rows of a struct: equal keys, and ``tool_calls`` null outside the assistant.

    Arrow produces this in every conversation with a tool call; people do not write ``"tool_calls": null`` into user
    messages.
    """
    if not messages or not all(isinstance(message, dict) for message in messages):
        return False
    keys = messages[0].keys()
    return all(message.keys() == keys for message in messages) and any(
        message.get("tool_calls", ...) is None and message.get("role") != "assistant" for message in messages
    )


def clean_arguments(message: dict[str, Any]) -> dict[str, Any]:
    """Copy a message without nulls in the arguments of its tool calls; return one without calls unchanged."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return message
    return {**message, "tool_calls": [_clean_call(call) for call in calls]}


def _clean_call(call: Any) -> Any:
    cleaned = as_dict(call)
    if cleaned is None:
        return call
    if isinstance(cleaned.get("arguments"), dict):
        cleaned = {**cleaned, "arguments": _drop_nulls_deep(cleaned["arguments"])}
    function = as_dict(cleaned.get("function"))
    if function is not None and isinstance(function.get("arguments"), dict):
        function = {**function, "arguments": _drop_nulls_deep(function["arguments"])}
        cleaned = {**cleaned, "function": function}
    return cleaned


# -- fields


def check_spelling(given: dict[str, Any], known: frozenset[str], path: FieldPath = ()) -> None:
    """Raise if a key is a misspelling of a missing known key; a key with value None counts as missing.

    Raises:
        PydanticCustomError: with the path of the key, which begins with ``path``.
    """
    if known.issuperset(given):
        return
    found = find_misspelling(tuple(key for key, value in given.items() if value is not None), known)
    if found is not None:
        wrong, intended = found
        hint = f"did you mean {intended!r}?"
        raise validation_error(f"unknown key {wrong!r}", path=(*path, wrong), hint=hint, on_key=True)


def merge_reasoning(given: dict[str, Any]) -> dict[str, Any]:
    """Return a message with its reasoning only under ``reasoning_content``; a non-empty trace beats an empty one.

    Raises:
        PydanticCustomError: two traces differ, or one is not a string.
    """
    traces = {name: given[name] for name in REASONING_NAMES if given.get(name) is not None}
    for name, trace in traces.items():
        if not isinstance(trace, str):
            raise validation_error(f"must be a string or null, not {type(trace).__name__}", path=(name,))
    full = {name: trace for name, trace in traces.items() if trace}
    if len(set(full.values())) > 1:
        first, second = list(full)[:2]
        raise validation_error(f"differs from {first!r} in the same message", path=(second,), hint="keep only one")
    merged = {key: value for key, value in given.items() if key not in REASONING_NAMES}
    if traces:
        merged["reasoning_content"] = next(iter(full.values()), "")
    return merged


def normalize_content(content: Any, *, tool: bool) -> Any:
    """Return a content that is not a string: its parts without null padding, or any value as the result of a tool.

    Raises:
        PydanticCustomError: it is not a list of parts, or a type or a key of a part is misspelled.
    """
    parts = as_list(content)
    given = [as_dict(part) for part in parts] if isinstance(parts, list) else [None]
    if tool and not all(part is not None and part.get("type") in PART_TYPES for part in given):
        value = as_dict(content) if isinstance(content, Mapping) else parts
        if isinstance(value, (str, dict, list, int, float)):
            return value
        raise validation_error(
            f"must be a string, a list of parts or another JSON value, not {shown(content)}", path=("content",)
        )
    if isinstance(parts, str):
        return parts
    if not isinstance(parts, list):
        problem = f"must be a string, a list of parts or null, not {shown(content)}"
        hint = "store the object as the content of a tool message" if isinstance(content, dict) else None
        raise validation_error(problem, path=("content",), hint=hint)
    return [_normalize_part(part, index) for index, part in enumerate(parts)]


def _normalize_part(part: Any, index: int) -> Any:
    """Return a content part without null padding."""
    given = as_dict(part)
    if given is None:
        problem = f"must be a content part (a dict with 'type'), not {shown(part)}"
        raise validation_error(problem, path=("content", index))
    given = drop_nulls(given)
    kind = given.get("type")
    known = kind in PART_TYPES or kind in _OTHER_PART_TYPES
    if isinstance(kind, str) and not known and (intended := intended_word(kind, PART_TYPES)):
        hint = f"did you mean {intended!r}?"
        raise validation_error(f"unknown content part type {kind!r}", path=("content", index, "type"), hint=hint)
    if kind == "text" and not isinstance(given.get("text"), str):
        found = find_misspelling(tuple(given), frozenset({"text"}))
        instead = f"did you mean 'text' instead of {found[0]!r}?" if found else None
        raise validation_error("a text part needs a string 'text'", path=("content", index), hint=instead)
    return given


def decoded_tools(tools: Any) -> Any:
    """Return tools with parsed JSON where a list or an object is expected; the value itself if there is none.

    Some datasets store the schemas, each schema, or its parameters as a string, since Arrow has no type for objects
    with different keys. A string that is not JSON is returned unchanged.
    """
    value = as_list([] if isinstance(tools, str) and not tools.strip() else _decoded(tools))
    if not isinstance(value, list):
        return value
    made = [_decoded_tool(tool) for tool in value]
    return value if all(one is other for one, other in zip(made, value, strict=True)) else made


def _decoded_tool(tool: Any) -> Any:
    tool = _decoded(tool)
    if not isinstance(tool, dict):
        return tool
    for key, decode in (("function", _decoded_tool), ("parameters", _decoded_schema)):
        if (decoded := decode(tool.get(key))) is not tool.get(key):
            tool = {**tool, key: decoded}
    return tool


def _decoded_schema(schema: Any) -> Any:
    schema = _decoded(schema)
    if isinstance(schema, dict) and isinstance(schema.get("properties"), str):
        schema = {**schema, "properties": _decoded(schema["properties"])}
    return schema


def _decoded(value: Any) -> Any:
    """Return the object or list in a string of JSON; any other value unchanged."""
    if not isinstance(value, str):
        return value
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return decoded if isinstance(decoded, (dict, list)) else value


def normalize_tools(tools: Any) -> list[Any]:
    """Return tools as a list; see `decoded_tools` for strings of JSON.

    Raises:
        PydanticCustomError: the tools are not JSON schemas, or a key is misspelled.
    """
    tools = decoded_tools(tools)
    if isinstance(tools, str):
        raise validation_error("is a string but not JSON of a list", path=("tools",))
    if not isinstance(tools, list):
        raise validation_error(f"must be a list of JSON schemas, not {type(tools).__name__}", path=("tools",))
    for index, tool in enumerate(tools):
        if (given := as_dict(tool)) is None:
            hint = "pass its JSON schema; transformers.utils.get_json_schema makes one" if callable(tool) else None
            kind = type(tool).__name__
            raise validation_error(f"must be a JSON schema (a dict), not {kind}", path=("tools", index), hint=hint)
        check_spelling(given, _FLAT_TOOL if "parameters" in given else frozenset({"function"}), ("tools", index))
    return tools
