"""Hypothesis strategies for conversations: everything OpenAI-style data contains, in regular and irregular order."""

import json
from typing import Any

from hypothesis import strategies as st

Messages = list[dict[str, Any]]

_PIECES = (
    *("a", "Hello", "is it 4?", "12.50", "x" * 30, "The quick brown fox."),
    *(" ", "  ", "\n", "\n\n", "\t", "\r\n", "\r"),
    *("\u00a0", "\u2028", "\u0085", "\u001c", "\ufeff", "\u200b", "\u3000"),
    *("é", "e\u0301", "日本語", "😀", "👩🏽\u200d🚀", "Привет", "שלום", "ß", "İ", "ﷺ", "\U00010400"),
    *("{{ x }}", "{% if %}", "{# #}", "{", "}}", "%", "%s", "{0}", "\\", "\\n"),
    *('"', "'", "<b>", "&", "&amp;", "`", "/", "$"),
    *("<think>", "</think>", "<think>\n", "\n</think>\n\n", "<tool_call>", "</tool_call>", "/think", "/no_think"),
    *("<|im_start|>", "<|im_end|>", "<|eot_id|>", "<bos>", "</s>", "[INST]", "[/INST]", "<|channel|>", "<｜User｜>"),
    *('{"a": 1}', "[1, 2]", "null", "true", "None", "1.0", "-1", "\x00", "\x7f", "\x1b[31m"),
)  # fmt: skip

_NAMES = st.sampled_from(["get_weather", "search", "ping", "f", "save_note", "größe", "a-b.c"])
_KEYS = st.sampled_from(["city", "n", "unit", "values", "options", "über", "a b", "type", "items", "name"])
_IDS = st.sampled_from(["call_0001", "abc123XYZ", "000000000", "c1"])


def texts(max_pieces: int = 5) -> st.SearchStrategy[str]:
    """Generate text with ordinary words, every kind of white space, braces, control tokens, JSON and many scripts."""
    pieces = st.sampled_from(_PIECES) | st.text(st.characters(codec="utf-8", exclude_categories=["Co"]), max_size=4)
    return st.lists(pieces, max_size=max_pieces).map("".join)


def json_values(max_leaves: int = 5) -> st.SearchStrategy[Any]:
    """Generate JSON values, including whole floats and numbers with an exponent."""
    numbers = st.sampled_from([0, 1, -2, 2.5, 1.0, -0.0, 1e22, 1e-7, 10**17, 3.14159])
    leaves = st.none() | st.booleans() | numbers | texts(2)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
        max_leaves=max_leaves,
    )


@st.composite
def tools(draw: st.DrawFn) -> dict[str, Any]:
    """Generate a tool as a JSON schema."""
    names: list[str] = draw(st.lists(_KEYS, unique=True, max_size=3))
    kinds: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "enum": ["a", "b"]},
            {"type": "integer", "default": 3},
            {"type": "number"},
            {"type": "boolean"},
            {"type": ["string", "null"]},
            {"type": "array", "items": {"type": "string"}},
            {"type": "object", "properties": {"x": {"type": "number", "description": "An x."}}},
        ]
    )
    properties: dict[str, dict[str, Any]] = {}
    for name in names:
        properties[name] = {**draw(kinds)}
        if draw(st.booleans()):
            properties[name]["description"] = draw(texts(2))
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if draw(st.booleans()) and names:
        parameters["required"] = names[:1]
    function = {"name": draw(_NAMES), "description": draw(texts(2)), "parameters": parameters}
    if draw(st.integers(0, 5)) == 0:
        del function["parameters"]
    return {"type": "function", "function": function}


@st.composite
def tool_calls(draw: st.DrawFn) -> dict[str, Any]:
    """Generate a tool call whose arguments are an object or a JSON string."""
    arguments: Any = draw(st.dictionaries(_KEYS, json_values(), max_size=3))
    if draw(st.integers(0, 2)) == 0:
        arguments = json.dumps(arguments, ensure_ascii=draw(st.booleans()))
    call: dict[str, Any] = {"type": "function", "function": {"name": draw(_NAMES), "arguments": arguments}}
    if draw(st.booleans()):
        call["id"] = draw(_IDS)
    return call


def contents(*, parts: bool = True) -> st.SearchStrategy[Any]:
    """Generate the content of a message: text, or sometimes a list of parts."""
    if not parts:
        return texts()
    text = texts(3).map(lambda value: {"type": "text", "text": value})
    media = st.sampled_from(
        [{"type": "image"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}, {"type": "audio"}]
    )
    some = st.lists(text, min_size=1, max_size=3) | st.lists(text | media, max_size=3)
    return st.integers(0, 9).flatmap(lambda chance: some if chance == 0 else texts())


_FEATURES = dict.fromkeys(
    ("parts", "system", "developer", "tools", "calls", "parallel", "reasoning", "documents", "any_order"), True
)
"""The features that a generated conversation may have; see `conversations`."""

_Features = dict[str, bool]


@st.composite
def _assistant(draw: st.DrawFn, may: _Features, *, with_calls: bool) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": draw(contents(parts=may["parts"]))}
    if may["reasoning"] and draw(st.integers(0, 2)) == 0:
        message[draw(st.sampled_from(["reasoning_content", "reasoning_content", "thinking", "reasoning"]))] = draw(
            texts()
        )
    if with_calls:
        message["tool_calls"] = draw(st.lists(tool_calls(), min_size=1, max_size=2 if may["parallel"] else 1))
        if draw(st.booleans()):
            message["content"] = draw(st.sampled_from([None, ""]))
    return message


@st.composite
def _round(draw: st.DrawFn, may: _Features) -> Messages:
    """Generate a question, calls with their results, and an answer."""
    messages: Messages = [{"role": "user", "content": draw(contents(parts=may["parts"]))}]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2])) if may["calls"] else 0):
        asking = draw(_assistant(may, with_calls=True))
        messages.append(asking)
        for call in asking["tool_calls"]:
            result: dict[str, Any] = {"role": "tool", "content": draw(contents(parts=may["parts"]))}
            if "id" in call:
                result["tool_call_id"] = call["id"]
            if draw(st.booleans()):
                result["name"] = call["function"]["name"]
            messages.append(result)
    if not may["any_order"] or draw(st.integers(0, 4)):
        messages.append(draw(_assistant(may, with_calls=False)))
    return messages


@st.composite
def _any_order(draw: st.DrawFn, may: _Features) -> Messages:
    messages: Messages = []
    roles = ["user", "assistant", *(role for role in ("system", "developer") if may[role]), *["tool"] * may["calls"]]
    for role in draw(st.lists(st.sampled_from(roles), max_size=4)):
        if role == "assistant":
            messages.append(draw(_assistant(may, with_calls=may["calls"] and draw(st.booleans()))))
        else:
            messages.append({"role": role, "content": draw(contents(parts=may["parts"]) | st.none())})
    return messages


@st.composite
def conversations(draw: st.DrawFn, /, **features: bool) -> dict[str, Any]:
    """Generate a conversation as plain data: ``messages``, and sometimes ``tools`` and ``documents``.

    Setting an argument to false leaves out a feature that a template may not support: content in parts, messages of a
    role, tools, calls, several calls in a message, reasoning, documents, and roles in any order with a question as the
    last message.

    Args:
        draw: passed by hypothesis.
        features: ``parts``, ``system``, ``developer``, ``tools``, ``calls``, ``parallel``, ``reasoning``, ``documents``
            and ``any_order``; all are true by default.
    """
    may = _FEATURES | features
    if may.keys() != _FEATURES.keys():
        raise TypeError(f"the features are {', '.join(_FEATURES)}")
    if may["any_order"] and draw(st.integers(0, 7)) == 0:
        messages = draw(_any_order(may))
    else:
        messages = [message for turn in draw(st.lists(_round(may), min_size=1, max_size=3)) for message in turn]
        first = ["system"] * 3 * may["system"] + ["developer"] * may["developer"]
        if first and draw(st.integers(0, 1)) == 1:
            messages.insert(0, {"role": draw(st.sampled_from(first)), "content": draw(contents(parts=may["parts"]))})
    conversation: dict[str, Any] = {"messages": messages}
    if may["tools"] and draw(st.integers(0, 2)) == 0:
        conversation["tools"] = draw(st.lists(tools(), max_size=2))
    if may["documents"] and draw(st.integers(0, 5)) == 0:
        document = st.fixed_dictionaries({"title": texts(2), "text": texts(3)})
        conversation["documents"] = draw(st.lists(document, max_size=2))
    return conversation
