"""Record shapes: the formats in which datasets store conversations, and their conversion to messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.normalization import NullCleaning, as_dict, as_list
from chattmpl.conversation.validation_errors import (
    ROLES,
    FieldError,
    FieldPath,
    find_misspelling,
    found_keys,
    unknown_role,
)
from chattmpl.errors import did_you_mean
from chattmpl.options import Shape, check_options

_MARKS: dict[Shape, tuple[str, ...]] = {
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "alpaca": ("instruction", "output"),
    "prompt-completion": ("prompt", "completion"),
}
"""The keys that identify a shape; a key with value null counts as absent."""

OTHER_SHAPES = frozenset(mark for shape, marks in _MARKS.items() if shape != "messages" for mark in marks)
"""The keys that identify the shapes other than messages."""

_ROLE_OF_SENDER = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model", "bot", "ai"), "assistant"),
    **dict.fromkeys(("observation", "function_response", "tool_response", "function"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "function_call"),
}
"""Roles for the ``from`` of ShareGPT turns, which files spell in many ways."""


@dataclass(frozen=True)
class _ConvertedRecord:
    """A record as a dict for :meth:`Conversation.coerce`, and the path of each message in the record itself."""

    data: dict[str, Any]
    origins: list[FieldPath] | None = None

    def path(self, path: FieldPath) -> FieldPath:
        """Return the path in the record for a path in the conversation."""
        if path[:1] != ("messages",) or self.origins is None:
            return path
        if len(path) < 2 or not isinstance(path[1], int):
            return ()
        return (*self.origins[path[1]], *path[2:])


def parse_record(record: Any, shape: Shape | None = None, *, clean_nulls: NullCleaning = "auto") -> Conversation:
    """Parse one record of a dataset as a conversation.

    Keys that the shape does not know are kept as unknown keys of the conversation.

    Args:
        record: a dict, or a list of messages or of ShareGPT turns.
        shape: the name of the shape; detected from the keys of the record if None.
        clean_nulls: see :meth:`Conversation.coerce`. Most rows from Arrow or Parquet are recognised; pass ``always`` if
            no null argument is intended, ``never`` if all are.

    Raises:
        FieldError: the record fits no known shape or more than one, or violates its shape; ``path`` starts at the
            record.
        UsageError: there is no shape of that name.
    """
    if shape is None:
        shape = detect_shape(record)
    else:
        check_options(shape=shape)
    given = _record_dict(record, shape)
    try:
        reading = _READERS[shape](given)
        if not reading.data["messages"] and isinstance(reading.data["messages"], list):
            raise FieldError("contains no messages", ("messages",) if reading.origins is None else ())
        try:
            return Conversation.coerce(reading.data, clean_nulls=clean_nulls)
        except FieldError as error:
            raise error.moved(reading.path(error.path)) from None
    except FieldError as error:
        raise (error.moved(error.path[1:]) if isinstance(as_list(record), list) else error) from None


def detect_shape(record: Any) -> Shape:
    """Return the shape of a record, from its keys.

    Raises:
        FieldError: no shape fits, or more than one.
    """
    items = as_list(record)
    if isinstance(items, list):
        first = as_dict(items[0]) if items else {"role": ""}
        return "sharegpt" if first is not None and "from" in first and "role" not in first else "messages"
    given = as_dict(record)
    if given is None:
        raise FieldError(f"a conversation is a JSON object or a list of messages, not {type(record).__name__}")
    present = [key for key, value in given.items() if value is not None]
    fitting = [shape for shape, marks in _MARKS.items() if all(mark in present for mark in marks)]
    if len(fitting) == 1:
        return fitting[0]
    seen = ", ".join(map(repr, present)) or "none"
    if fitting:
        hint = f"choose one, for example shape={fitting[0]!r}"
        raise FieldError(f"the keys ({seen}) fit more than one shape: {' and '.join(fitting)}", hint=hint)
    found = find_misspelling(tuple(present), frozenset(mark for marks in _MARKS.values() for mark in marks))
    if found is not None:
        raise FieldError(f"unknown key {found[0]!r}", (found[0],), on_key=True, hint=f"did you mean {found[1]!r}?")
    known = "; ".join(f"{shape} ({', '.join(marks)})" for shape, marks in _MARKS.items())
    raise FieldError(f"the keys ({seen}) fit no shape", hint=f"the shapes are {known}")


def _record_dict(record: Any, shape: Shape) -> dict[str, Any]:
    """Return the record as a dict that has the keys of its shape."""
    items = as_list(record)
    if isinstance(items, list):
        if shape not in ("messages", "sharegpt"):
            raise FieldError(f"a record of shape {shape!r} must be an object, not a list")
        return {_MARKS[shape][0]: items}
    given = as_dict(record)
    if given is None:
        raise FieldError(f"a conversation is a JSON object or a list of messages, not {type(record).__name__}")
    for mark in _MARKS[shape]:
        if given.get(mark) is None:
            present = found_keys(key for key, value in given.items() if value is not None)
            raise FieldError(f"a record of shape {shape!r} needs the key {mark!r}", hint=present)
    return given


def _rest(record: dict[str, Any], consumed: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in consumed}


def _text(record: dict[str, Any], key: str, path: FieldPath = ()) -> str:
    """Return the string at a key; null and absent give the empty string."""
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FieldError(f"must be a string, not {type(value).__name__}", (*path, key))
    return value


def _read_messages(record: dict[str, Any]) -> _ConvertedRecord:
    return _ConvertedRecord(record)


def _read_sharegpt(record: dict[str, Any]) -> _ConvertedRecord:
    """Read ``conversations: [{from, value}]``, with an optional ``system`` text and ``tools`` as a JSON string.

    Turns that are already messages (``role`` and ``content``) are kept as they are. Other keys of a turn are kept.
    """
    turns = as_list(record["conversations"])
    if not isinstance(turns, list):
        raise FieldError(f"must be a list of turns, not {type(turns).__name__}", ("conversations",))
    messages = [_read_turn(turn, ("conversations", index)) for index, turn in enumerate(turns)]
    origins: list[FieldPath] = [("conversations", index) for index in range(len(turns))]
    if system := _text(record, "system"):
        if messages and messages[0].get("role") == "system":
            raise FieldError("the conversation also starts with a system turn", ("system",), hint="keep only one")
        messages.insert(0, {"role": "system", "content": system})
        origins.insert(0, ("system",))
    return _ConvertedRecord({**_rest(record, ("conversations", "system")), "messages": messages}, origins)


def _read_turn(turn: Any, path: FieldPath) -> dict[str, Any]:
    given = as_dict(turn)
    if given is None:
        raise FieldError(f"must be a turn (a dict with 'from' and 'value'), not {type(turn).__name__}", path)
    if given.get("role") is not None and given.get("from") is None:
        return given
    for key in ("from", "value"):
        if key not in given:
            found = find_misspelling(tuple(given), frozenset({key}))
            if found is not None:
                hint = f"did you mean {found[1]!r}?"
                raise FieldError(f"unknown key {found[0]!r}", (*path, found[0]), on_key=True, hint=hint)
            raise FieldError(f"{key!r} is missing", path, hint=found_keys(given))
    sender = _text(given, "from", path)
    role = _ROLE_OF_SENDER.get(sender.strip().lower().replace("-", "_"))
    if role is None:
        problem, hint = unknown_role(sender)
        hint = did_you_mean(sender.lower(), _ROLE_OF_SENDER) or f"known senders are {', '.join(_ROLE_OF_SENDER)}"
        raise FieldError(problem, (*path, "from"), hint=hint)
    rest = {key: value for key, value in _rest(given, ("from", "value")).items() if value is not None}
    if role == "function_call":
        return {"role": "assistant", "content": "", "tool_calls": _read_calls(given, path), **rest}
    return {"role": role, "content": given["value"], **rest}


def _read_calls(turn: dict[str, Any], path: FieldPath) -> list[dict[str, Any]]:
    """Read the calls of a ``function_call`` turn, whose value is the JSON of one call or of a list of calls."""
    value = turn["value"]
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise FieldError(f"the value of a function_call turn is not JSON: {error}", (*path, "value")) from None
    calls = value if isinstance(value, list) else [value]
    for call in calls:
        if not isinstance(call, dict) or "name" not in call:
            raise FieldError("a function_call turn needs the JSON of {'name', 'arguments'}", (*path, "value"))
    return [{"type": "function", "function": call} for call in calls]


def _read_alpaca(record: dict[str, Any]) -> _ConvertedRecord:
    """Read ``instruction``, ``input`` and ``output``, with an optional ``system`` and a ``history`` of pairs.

    The input follows the instruction on a new line, as in LLaMA-Factory.
    """
    messages: list[dict[str, Any]] = []
    origins: list[FieldPath] = []

    def add(role: str, content: str, *path: str | int) -> None:
        messages.append({"role": role, "content": content})
        origins.append(path)

    if system := _text(record, "system"):
        add("system", system, "system")
    for index, pair in enumerate(as_list(record.get("history")) or []):
        pair = as_list(pair)
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise FieldError("must be a pair of strings, a question and its answer", ("history", index))
        add("user", pair[0], "history", index)
        add("assistant", pair[1], "history", index)
    add("user", "\n".join(filter(None, (_text(record, "instruction"), _text(record, "input")))), "instruction")
    add("assistant", _text(record, "output"), "output")
    consumed = ("instruction", "input", "output", "system", "history")
    return _ConvertedRecord({**_rest(record, consumed), "messages": messages}, origins)


def _read_prompt_completion(record: dict[str, Any]) -> _ConvertedRecord:
    """Read ``prompt`` and ``completion``, each a string or a list of messages.

    Only the completion is meant for training, so assistant messages of the prompt without a flag get ``train: false``.
    """
    messages: list[Any] = []
    origins: list[FieldPath] = []
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        value = as_list(record[key])
        if isinstance(value, str):
            messages.append({"role": role, "content": value})
            origins.append((key,))
            continue
        if not isinstance(value, list):
            raise FieldError(f"must be a string or a list of messages, not {type(value).__name__}", (key,))
        messages.extend(_untrained(message) if key == "prompt" else message for message in value)
        origins.extend((key, index) for index in range(len(value)))
    return _ConvertedRecord({**_rest(record, ("prompt", "completion")), "messages": messages}, origins)


def _untrained(message: Any) -> Any:
    given = as_dict(message)
    if given is None or given.get("role") != "assistant":
        return message
    flagged = given.get("train") is not None or given.get("weight") is not None
    return message if flagged else {**given, "train": False}


_READERS: dict[Shape, Callable[[dict[str, Any]], _ConvertedRecord]] = {
    "messages": _read_messages,
    "sharegpt": _read_sharegpt,
    "alpaca": _read_alpaca,
    "prompt-completion": _read_prompt_completion,
}
