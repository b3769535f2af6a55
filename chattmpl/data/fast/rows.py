"""Preparation of rows for rendering: directly from a well-formed record, else through a `Conversation`.

The direct reader accepts only what `chattmpl.conversation.models` would accept and pass on unchanged. Anything else
(other shapes and names, null padding, mistakes) goes through the models.
"""

import json
import marshal
from dataclasses import dataclass
from typing import Any

from chattmpl.conversation.models import PROMPT_KWARGS, Conversation, Message
from chattmpl.conversation.normalization import (
    REASONING_NAMES,
    clean_tools,
    decoded_tools,
    messages_are_padded,
    plain_data,
)
from chattmpl.conversation.validation_errors import ROLES, find_misspelling
from chattmpl.data.fast.text_checks import BOUNDARY

_ROLES = frozenset(ROLES)
_TEXTS = frozenset({"content", "reasoning_content", "tool_call_id", "name"})
_NAMES = Message._names
_CONVERSATION = frozenset(Conversation.model_fields)
_CALL = frozenset({"id", "type", "function"})
_FUNCTION = frozenset({"name", "arguments"})


_NO_REFERENCES = 2
"""Version of marshal's format that writes equal values as equal bytes."""
_TOOLS_KEPT = 256
_TOOLS_SEEN: dict[tuple[bytes, bool], tuple[list[Any], str]] = {}


class _Unusual(Exception):
    """A record that has to be read by the models."""


@dataclass(slots=True)
class PreparedRow:
    """One row, ready to be rendered.

    Attributes:
        messages, tools, documents, kwargs: see `Conversation.to_template_input`.
        texts: all of its texts.
        flagged: true if a message says that it is not trained.
        conversation: the row as a model, if it was read by the models.
    """

    messages: list[dict[str, Any]]
    tools: list[Any] | None
    documents: list[Any] | None
    kwargs: dict[str, Any]
    texts: list[str]
    flagged: bool = False
    conversation: Conversation | None = None

    @property
    def joined_texts(self) -> str:
        """All of its texts, with `BOUNDARY` around each."""
        return f"{BOUNDARY}{BOUNDARY.join(self.texts)}{BOUNDARY}"


def prepare_row(record: dict[str, Any] | Conversation) -> PreparedRow:
    """Prepare what `read_record` read.

    Raises:
        ConversationError: it is not a conversation; the exact path raises the same error.
    """
    if type(record) is dict:
        try:
            return _Reader().record(record)
        except (_Unusual, RecursionError, TypeError, ValueError):
            pass
    return _from_model(Conversation.coerce(record))


class _Reader:
    """Reader of one well-formed record."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.flagged = False

    def record(self, record: dict[str, Any]) -> PreparedRow:
        given = record.get("messages")
        if type(given) is not list or not given:
            raise _Unusual
        messages = self._messages(given)
        if len(record) == 1:
            return PreparedRow(messages, None, None, {}, self.texts, self.flagged)
        if type(record.get("template")) not in (str, type(None)):
            raise _Unusual
        _check_names(record, _CONVERSATION)
        tools, documents, kwargs = record.get("tools"), record.get("documents"), record.get("chat_template_kwargs")
        if tools is not None:
            tools = self._tools(tools, given)
        if documents is not None:
            documents = self._documents(documents)
        kwargs = {} if kwargs is None else self._kwargs(kwargs)
        return PreparedRow(messages, tools, documents, kwargs, self.texts, self.flagged)

    def _messages(self, given: list[Any]) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        texts = self.texts
        for message in given:
            if type(message) is not dict or message.get("role") not in _ROLES:
                raise _Unusual
            content = message.get("content")
            size = len(message)
            if size <= 3 and type(content) is str:  # most messages have a role, a text, and perhaps reasoning
                if size == 2:
                    texts.append(content)
                    messages.append(message)
                    continue
                reasoning = message.get("reasoning_content")
                if type(reasoning) is str:
                    texts.append(content)
                    texts.append(reasoning)
                    messages.append({"thinking": reasoning, **message})
                    continue
            messages.append(self._other_message(message))
        return messages

    def _other_message(self, given: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {}
        for key, value in given.items():
            if value is None:
                continue
            if key == "role":
                message[key] = value
            elif key in _TEXTS:
                if type(value) is str:
                    self.texts.append(value)
                    message[key] = value
                elif key == "content":
                    message[key] = self._parts(value)
                else:
                    raise _Unusual
            else:
                self._other(message, key, value)
        if not _NAMES.issuperset(given):
            _check_names(given, _NAMES)
        reasoning = message.get("reasoning_content")
        if reasoning is None:
            return message
        return {"thinking": reasoning, **message}

    def _other(self, message: dict[str, Any], key: str, value: Any) -> None:
        """Read a rare key of a message."""
        if key == "tool_calls":
            message[key] = self._calls(value)
        elif key == "train":
            if type(value) is not bool or "weight" in message:
                raise _Unusual
            self.flagged |= not value
        elif key == "weight":
            if type(value) not in (int, float) or value not in (0, 1):
                raise _Unusual
            self.flagged |= value == 0
        elif key in REASONING_NAMES or type(key) is not str or type(value) is not str:
            raise _Unusual
        else:
            message[key] = value
            self.texts += (key, value)

    def _parts(self, parts: Any) -> list[dict[str, Any]]:
        if type(parts) is not list:
            raise _Unusual
        for part in parts:
            if type(part) is not dict or len(part) != 2 or part.get("type") != "text" or type(part["text"]) is not str:
                raise _Unusual
            self.texts.append(part["text"])
        return [dict(part) for part in parts]

    def _calls(self, calls: Any) -> list[dict[str, Any]]:
        if type(calls) is not list:
            raise _Unusual
        return [self._call(call) for call in calls]

    def _call(self, given: Any) -> dict[str, Any]:
        if type(given) is not dict or not _CALL.issuperset(given) or type(given.get("function")) is not dict:
            raise _Unusual
        call: dict[str, Any] = {}
        for key, value in given.items():
            if value is None:
                continue
            if key == "function":
                value = self._function(value)
            elif type(value) is str:
                self.texts.append(value)
            else:
                raise _Unusual
            call[key] = value
        return call

    def _function(self, given: dict[str, Any]) -> dict[str, Any]:
        name, arguments = given.get("name"), given.get("arguments")
        if not _FUNCTION.issuperset(given) or type(name) is not str:
            raise _Unusual
        self.texts.append(name)
        if type(arguments) is str:
            self.texts.append(arguments)
        elif type(arguments) is dict:
            for key, value in arguments.items():
                if type(key) is not str:
                    raise _Unusual
                if type(value) is not str:
                    self._walk(value)
                else:
                    self.texts.append(value)
                self.texts.append(key)
        else:
            raise _Unusual
        return given

    def _walk(self, value: Any) -> None:
        """Collect the texts of a value in arguments: plain JSON without nulls, which may be padding."""
        kind = type(value)
        if kind is str:
            self.texts.append(value)
        elif kind is dict:
            for key, item in value.items():
                if type(key) is not str:
                    raise _Unusual
                self.texts.append(key)
                self._walk(item)
        elif kind is list:
            for item in value:
                self._walk(item)
        elif kind not in (int, float, bool):
            raise _Unusual

    def _tools(self, tools: Any, messages: list[Any]) -> list[Any]:
        # Most rows of a dataset have the tools of another row. As bytes, 1, 1.0 and true differ.
        # Padded messages all have the same keys, so either all or none have "tool_calls".
        key = (marshal.dumps(tools, _NO_REFERENCES), "tool_calls" in messages[0] and messages_are_padded(messages))
        known = _TOOLS_SEEN.get(key)
        if known is None:
            known = _read_tools(tools, padded=key[1])
            if len(_TOOLS_SEEN) >= _TOOLS_KEPT:
                _TOOLS_SEEN.clear()
            _TOOLS_SEEN[key] = known
        self.texts.append(known[1])
        return known[0]

    def _documents(self, documents: Any) -> list[Any]:
        if type(documents) is not list or not all(type(document) is dict for document in documents):
            raise _Unusual
        cleaned = [{key: value for key, value in document.items() if value is not None} for document in documents]
        self._json(cleaned)
        return cleaned

    def _kwargs(self, kwargs: Any) -> dict[str, Any]:
        if type(kwargs) is not dict or not PROMPT_KWARGS.isdisjoint(kwargs):
            raise _Unusual
        kept = {key: value for key, value in kwargs.items() if value is not None}
        if kept:
            self._json(kept)
        return kept

    def _json(self, value: Any) -> None:
        self.texts.append(_texts_of(value))


def _read_tools(tools: Any, *, padded: bool) -> tuple[list[Any], str]:
    """Return tools without padding, and their texts."""
    if type(tools) is not list or not all(type(tool) is dict for tool in tools):
        raise _Unusual
    if decoded_tools(tools) is not tools:
        raise _Unusual
    for tool in tools:
        names = frozenset({"name", "description"}) if "parameters" in tool else frozenset({"function"})
        if find_misspelling(tuple(tool), names):
            raise _Unusual
    cleaned = plain_data(clean_tools(tools, "auto", padded=padded))
    return cleaned, _texts_of(cleaned)


def _texts_of(value: Any) -> str:
    """Return the texts of any value as JSON, which changes only quotes, backslashes and control characters."""
    text = json.dumps(value, ensure_ascii=False)
    if "\\u00" in text or not _string_keys(value):
        raise _Unusual
    # The texts end at quotes, and the start of a control token is searched for at the end of a text.
    return text.replace('"', BOUNDARY)


def _string_keys(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and _string_keys(item) for key, item in value.items())
    if kind is list:
        return all(map(_string_keys, value))
    return kind in (str, int, float, bool, type(None))


def _check_names(given: dict[str, Any], known: frozenset[str]) -> None:
    if known.issuperset(given):
        return
    if find_misspelling(tuple(key for key, value in given.items() if value is not None), known) is not None:
        raise _Unusual


def _from_model(conversation: Conversation) -> PreparedRow:
    data = conversation.to_template_input()
    messages, tools, documents = data["messages"], data["tools"], data["documents"]
    kwargs = {name: value for name, value in data["kwargs"].items() if value is not None}
    texts: list[str] = []
    # Roles are not searched: the text that a template writes for them counts as its own.
    without_roles = [{key: value for key, value in message.items() if key != "role"} for message in messages]
    for value in (without_roles, tools, documents, kwargs):
        _gather(value, texts)
    flagged = any(message.trained is False for message in conversation.messages)
    return PreparedRow(messages, tools, documents, kwargs, texts, flagged, conversation)


def _gather(value: Any, texts: list[str]) -> None:
    """Collect all strings of a value, keys included."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            texts.append(str(key))
            _gather(item, texts)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _gather(item, texts)
