"""Conversations: messages, tools, documents and template kwargs, as OpenAI-style data really holds them.

The models are permissive where templates are (unknown keys are kept and reach the template, in their place) and
strict where data goes wrong in silence: a misspelt role or key, two different reasoning traces, flags that contradict
each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from chattmpl.conversation.fields import REASONING_NAMES, check_spelling, read_part, read_tools, settle_reasoning
from chattmpl.conversation.nulls import NullCleaning, clean_arguments, clean_tools, messages_are_padded, without_nulls
from chattmpl.conversation.plain import as_dict, as_list, fresh, plain_data
from chattmpl.conversation.validation_errors import FieldError, explain, misfit
from chattmpl.errors import ConversationError

__all__ = ["Conversation", "FieldError", "Function", "Message", "NullCleaning", "ToolCall"]

Role = Literal["system", "developer", "user", "assistant", "tool"]
_Text = Annotated[str, Field(strict=True)]

_FLAGS = frozenset({"train", "weight"})


class _Model(BaseModel):
    """A frozen model that keeps unknown keys and whose constructor raises errors of ours."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise explain(error) from None

    # Without this mark pydantic-core would call __init__ for each nested message, which is slow and loses the path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class _Given(_Model):
    """A model that remembers which keys it was given and in which order, unknown ones included."""

    _names: ClassVar[frozenset[str]] = frozenset()
    """The keys that the model knows, by every spelling."""
    _spellings: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Keys that stand for a field of another name."""

    def _keys(self) -> Sequence[str]:
        """The keys that were given, in order, then those that ``model_copy(update=…)`` added."""
        given, fields = self.__dict__.get("_given", ((), -1))
        if fields == len(self.__pydantic_fields_set__):
            return given  # type: ignore[no-any-return]
        known = set(given)
        for field, spellings in self._spellings.items():
            if not known.isdisjoint(spellings):
                known.add(field)
        added = [name for name in type(self).model_fields if name in self.__pydantic_fields_set__ and name not in known]
        return [*given, *added, *(name for name in self.__pydantic_extra__ or () if name not in known)]

    def _values(self) -> dict[str, Any]:
        return {**self.__dict__, **(self.__pydantic_extra__ or {})}

    def _said(self) -> dict[str, Any]:
        """What equality compares: None is absent, and the order of keys means nothing."""
        values = {name: self.__dict__[name] for name in type(self).model_fields if self.__dict__[name] is not None}
        return {**values, **without_nulls(self.__pydantic_extra__ or {})}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _Given) and self._said() == other._said()

    __hash__ = None  # type: ignore[assignment]

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return list(self._said().items())


def _remember(model: BaseModel, keys: tuple[str, ...]) -> None:
    # In __dict__, where pydantic keeps cached properties: it is copied and pickled with the model, and never dumped.
    model.__dict__["_given"] = (keys, len(model.__pydantic_fields_set__))


class Function(_Given):
    """The function of a tool call: its name and its arguments, as a dict or as the string of JSON that was given."""

    _names = frozenset({"name", "arguments"})

    name: _Text
    arguments: dict[str, Any] | _Text | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, cls) or (given := as_dict(data)) is None:
            return handler(data)
        given = {key: value for key, value in given.items() if value is not None or key == "arguments"}
        check_spelling(given, cls._names)
        function = handler(given)
        _remember(function, tuple(given))
        return function


class ToolCall(_Given):
    """A call of a tool; ``{"name", "arguments"}`` without a ``function`` around it is read and dumped as well."""

    _spellings = {"function": ("name",)}
    _nested: ClassVar[frozenset[str]] = frozenset({"id", "type", "function"})
    _flat: ClassVar[frozenset[str]] = frozenset({"id", "type", "name", "arguments"})

    id: _Text | None = None
    type: _Text | None = None
    function: Function

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, cls) or (given := as_dict(data)) is None:
            return handler(data)
        given = {key: value for key, value in given.items() if value is not None or key == "arguments"}
        keys = tuple(given)
        if "function" in given:
            check_spelling(given, cls._nested)
        elif "name" in given:
            check_spelling(given, cls._flat)
            function = {key: given.pop(key) for key in ("name", "arguments") if key in given}
            given["function"] = function
        else:
            check_spelling(given, frozenset({"function", "name"}))
        call = handler(given)
        _remember(call, keys)
        return call

    def parsed_arguments(self) -> dict[str, Any]:
        """The arguments as a dict: a string is parsed as JSON; no arguments (None or an empty string) are ``{}``.

        Raises:
            ConversationError: the string is not JSON, or not the JSON of an object.
        """
        arguments = self.function.arguments
        if not isinstance(arguments, str):
            return dict(arguments or {})
        try:
            parsed = json.loads(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ConversationError(f"the arguments of {self.function.name!r} are not JSON: {error}") from None
        if not isinstance(parsed, dict):
            raise ConversationError(
                f"the arguments of {self.function.name!r} are not a JSON object but {type(parsed).__name__}"
            )
        return parsed

    def dump(self) -> dict[str, Any]:
        """The call as plain dicts, with the keys that were given, in their order."""
        return self._copied(fresh)

    def _copied(self, copy: Callable[[Any], Any]) -> dict[str, Any]:
        keys = self._keys()
        values = self._values()
        function = self.function._values()
        if "function" not in keys:
            return {key: copy(function[key] if key in Function._names else values[key]) for key in keys}
        values["function"] = {name: function[name] for name in self.function._keys()}
        return {key: copy(values[key]) for key in keys}


class Message(_Given):
    """One message. Its reasoning may be given as ``reasoning_content``, ``reasoning`` or ``thinking``.

    Content parts are dicts that reach the template as they are, less keys with value None. ``train`` and ``weight`` say
    whether an assistant message is trained on; templates never see them.
    """

    _names = frozenset(
        {"role", "content", "tool_calls", "tool_call_id", "name", "train", "weight", *REASONING_NAMES},
    )

    _spellings = {"reasoning_content": REASONING_NAMES}

    role: Role
    content: _Text | list[dict[str, Any]] | None = None
    reasoning_content: _Text | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: _Text | None = None
    name: _Text | None = None
    train: bool | None = None
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, cls) or (given := as_dict(data)) is None:
            return handler(data)
        keys = tuple(given)
        if not _PLAIN_NAMES.issuperset(keys):
            check_spelling(given, cls._names)
            given = settle_reasoning(given)
        content = given.get("content")
        if content is not None and type(content) is not str and isinstance(content := as_list(content), list):
            given = {**given, "content": [read_part(part, index) for index, part in enumerate(content)]}
        message = handler(given)
        if message.train is not None and message.weight is not None and message.train != (message.weight > 0):
            raise misfit(f"'train' is {message.train} but 'weight' is {message.weight:g}", hint="keep one of the two")
        _remember(message, keys)
        return message

    @property
    def trained(self) -> bool | None:
        """What the flags say: whether to train on this message, or None if they say nothing."""
        return self.train if self.weight is None else self.weight > 0

    def dump(self) -> dict[str, Any]:
        """The message as plain dicts and lists: each key that was given, in its order and spelling, flags included."""
        values = self._values()
        dumped: dict[str, Any] = {}
        for key in self._keys():
            if key == "tool_calls":
                dumped[key] = None if self.tool_calls is None else [call.dump() for call in self.tool_calls]
            else:
                dumped[key] = fresh(values["reasoning_content" if key in REASONING_NAMES else key])
        return dumped

    def to_template_input(self) -> dict[str, Any]:
        """The message as the template sees it: plain data, without flags and nulls, reasoning under all its names."""
        values = self.__dict__
        plain: dict[str, Any] = {}
        for key in self._keys():
            if key in _FLAGS:
                continue
            if key == "tool_calls":
                value: Any = None if self.tool_calls is None else [call._copied(plain_data) for call in self.tool_calls]
            elif key in _PLAIN_NAMES:
                value = values[key]
            elif key in REASONING_NAMES:
                value = values["reasoning_content"]
            else:
                value = (self.__pydantic_extra__ or {})[key]
            if value is not None:
                plain[key] = value if type(value) is str else plain_data(value)
        reasoning = values["reasoning_content"]
        if reasoning is None:
            return plain
        # transformers fills the names in this order, which `message|tojson` shows.
        return {"thinking": reasoning, **plain, "reasoning_content": reasoning}


_PLAIN_NAMES = Message._names - {"reasoning", "thinking"}


class Conversation(_Model):
    """What a template renders: messages, and the tools, documents and template kwargs that go with them.

    ``template`` is the name of the template that a file asks for. Unknown keys are kept and dumped again; no template
    sees them. The models are frozen: make a changed copy with ``model_copy(update=…)`` or :meth:`with_messages`.
    """

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    documents: list[dict[str, Any]] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    template: _Text | None = None

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise explain(error) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if isinstance(data, cls) or not isinstance(data, dict):
            return handler(data)
        cleaning: NullCleaning = (info.context or {}).get("clean_nulls", "auto")
        check_spelling(data, _CONVERSATION_NAMES)
        given = dict(data)
        messages = given["messages"] = as_list(given.get("messages"))
        padded = False
        if isinstance(messages, list):
            padded = cleaning != "never" and messages_are_padded(messages)
            if padded or cleaning == "always":
                given["messages"] = [clean_arguments(m) if isinstance(m, dict) else m for m in messages]
        if given.get("tools") is not None:
            given["tools"] = clean_tools(read_tools(given["tools"]), cleaning, padded=padded)
        if isinstance(documents := as_list(given.get("documents")), list):
            given["documents"] = [without_nulls(d) if isinstance(d, dict) else d for d in documents]
        return handler(given)

    @classmethod
    def coerce(cls, value: Any, *, clean_nulls: NullCleaning = "auto") -> Conversation:
        """A conversation from whatever the public functions take.

        Args:
            value: a Conversation (returned as it is), a dict with ``messages``, or a list of messages; a message is a
                dict, a :class:`Message`, a dataclass or anything with ``model_dump``. Nothing of it is changed.
            clean_nulls: whether nulls in dict arguments, and null defaults and constants in tools, are dropped as
                padding; ``auto`` drops them where the conversation shows that it was padded (see
                `chattmpl.conversation.nulls`).

        Raises:
            ConversationError: it is not a conversation. A :class:`FieldError` names the field.
        """
        if isinstance(value, Conversation):
            return value
        value = as_list(value)
        if isinstance(value, list):
            given: dict[str, Any] | None = {"messages": value}
        elif (given := as_dict(value)) is None and isinstance(getattr(value, "messages", None), list):
            given = {"messages": value.messages}
        if given is None:
            hint = "chattmpl.conversation.files.load_conversation reads files" if isinstance(value, str) else None
            kind = type(value).__name__
            raise ConversationError(
                f"a conversation is a dict with 'messages' or a list of messages, not {kind}", hint=hint
            )
        try:
            return cls.model_validate(given, context={"clean_nulls": clean_nulls})
        except ValidationError as error:
            raise explain(error) from None
        except RecursionError:
            raise _endless() from None

    def with_messages(self, messages: Sequence[Message]) -> Conversation:
        """The same tools, documents and kwargs with other messages."""
        return self.model_copy(update={"messages": list(messages)})

    def to_template_input(self) -> dict[str, Any]:
        """What transformers would hand to the template: ``messages``, ``tools``, ``documents`` and ``kwargs``.

        All of it is new and plain (see `chattmpl.conversation.plain`), so it may be changed. Keys of a message stay in
        the order in which they were given; those with None are gone. ``tools`` and ``documents`` are None if there
        are none.

        Raises:
            ConversationError: a value contains itself, or is nested too deeply.
        """
        try:
            return {
                "messages": [message.to_template_input() for message in self.messages],
                "tools": plain_data(self.tools),
                "documents": plain_data(self.documents),
                "kwargs": plain_data(self.chat_template_kwargs or {}),
            }
        except RecursionError:
            raise _endless() from None

    def dump(self) -> dict[str, Any]:
        """The conversation as dicts and lists, with all that was given; :meth:`coerce` reads it back to an equal one.

        Padding that was cleaned stays away. Where a message has several names for its reasoning, all have the one
        value.
        """
        dumped: dict[str, Any] = {"messages": [message.dump() for message in self.messages]}
        for name in ("tools", "documents", "chat_template_kwargs", "template"):
            if (value := getattr(self, name)) is not None:
                dumped[name] = fresh(value)
        return {**dumped, **{key: fresh(value) for key, value in (self.__pydantic_extra__ or {}).items()}}


def _endless() -> ConversationError:
    return ConversationError("a conversation that is nested too deeply, or contains itself")


_CONVERSATION_NAMES = frozenset(Conversation.model_fields)
