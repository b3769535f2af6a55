"""Models of a conversation: messages, tools, documents and template kwargs, as OpenAI-style data contains them.

The models are permissive where templates are (unknown keys are kept and reach the template in their original position)
and strict where data would be wrong silently: a misspelled role or key, two different reasoning traces, contradictory
flags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from chattmpl.conversation.normalization import (
    REASONING_NAMES,
    NullCleaning,
    as_dict,
    as_list,
    check_spelling,
    clean_arguments,
    clean_tools,
    copy_containers,
    drop_nulls,
    merge_reasoning,
    messages_are_padded,
    normalize_content,
    normalize_tools,
    plain_data,
)
from chattmpl.conversation.spellings import CANONICAL_FLAGS
from chattmpl.conversation.validation_errors import FieldError, Role, to_field_error, validation_error
from chattmpl.errors import ConversationError

__all__ = ["Conversation", "FieldError", "Function", "Message", "NullCleaning", "ToolCall"]

_Text = Annotated[str, Field(strict=True)]


class _Model(BaseModel):
    """A frozen model that keeps unknown keys and whose constructor raises `FieldError`."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise to_field_error(error) from None

    # Without this mark pydantic-core calls __init__ for each nested message, which is slow and loses the path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class _OrderedModel(_Model):
    """A model that remembers the keys it was given and their order, including unknown ones."""

    _names: ClassVar[frozenset[str]] = frozenset()
    """The keys that the model knows, in every spelling."""
    _spellings: ClassVar[dict[str, tuple[str, ...]]] = {}
    """For a field, the keys that set it."""

    def _keys(self) -> Sequence[str]:
        """Return the given keys in order, followed by those that ``model_copy(update=…)`` added."""
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

    def _comparable(self) -> dict[str, Any]:
        """Return the values that equality compares: None equals absent, and the order of keys is ignored."""
        values = {name: self.__dict__[name] for name in type(self).model_fields if self.__dict__[name] is not None}
        return {**values, **drop_nulls(self.__pydantic_extra__ or {})}

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self) and isinstance(other, _OrderedModel) and self._comparable() == other._comparable()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return list(self._comparable().items())


def _remember(model: BaseModel, keys: tuple[str, ...]) -> None:
    # In __dict__, where pydantic keeps cached properties: copied and pickled with the model, and never dumped.
    model.__dict__["_given"] = (keys, len(model.__pydantic_fields_set__))


class Function(_OrderedModel):
    """The function of a tool call: its name and its arguments, as a dict or as the given JSON string."""

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


class ToolCall(_OrderedModel):
    """A tool call; the flat form ``{"name", "arguments"}`` without ``function`` is read and dumped as well."""

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

    def dump(self) -> dict[str, Any]:
        """Return the call as plain dicts, with the given keys in their order."""
        return self._copied(copy_containers)

    def _copied(self, copy: Callable[[Any], Any]) -> dict[str, Any]:
        keys = self._keys()
        values = self._values()
        function = self.function._values()
        if "function" not in keys:
            return {key: copy(function[key] if key in Function._names else values[key]) for key in keys}
        values["function"] = {name: function[name] for name in self.function._keys()}
        return {key: copy(values[key]) for key in keys}


class Message(_OrderedModel):
    """One message. Its reasoning may be given as ``reasoning_content``, ``reasoning`` or ``thinking``.

    Content parts are dicts that reach the template unchanged, except for keys with value None. The content of a tool
    message may be any JSON value, which reaches the template as it is. ``train`` and ``weight``, which is 0 or 1, say
    whether an assistant message is trained on; templates never see them.
    """

    _names = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", *CANONICAL_FLAGS, *REASONING_NAMES})

    _spellings = {"reasoning_content": REASONING_NAMES}

    role: Role
    content: _Text | list[Any] | dict[str, Any] | bool | int | float | None = None
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
            given = merge_reasoning(given)
        content = given.get("content")
        if content is not None and type(content) is not str:
            given = {**given, "content": normalize_content(content, tool=given.get("role") == "tool")}
        message = handler(given)
        if message.weight not in (None, 0, 1):
            raise validation_error(
                f"the weight {message.weight:g} is not supported; a message is trained (1) or not (0)",
                path=("weight",),
                hint="write a weight of 0 or 1, or train: true or train: false",
            )
        if message.train is not None and message.weight is not None and message.train != (message.weight > 0):
            raise validation_error(
                f"'train' is {message.train} but 'weight' is {message.weight:g}", hint="keep one of the two"
            )
        _remember(message, keys)
        return message

    @property
    def trained(self) -> bool | None:
        """True or false if the flags decide whether this message is trained; None without flags."""
        return self.train if self.weight is None else self.weight > 0

    def dump(self) -> dict[str, Any]:
        """Return the message as plain dicts and lists: each given key in its order and spelling, flags included."""
        values = self._values()
        dumped: dict[str, Any] = {}
        for key in self._keys():
            if key == "tool_calls":
                dumped[key] = None if self.tool_calls is None else [call.dump() for call in self.tool_calls]
            else:
                dumped[key] = copy_containers(values["reasoning_content" if key in REASONING_NAMES else key])
        return dumped

    def to_template_input(self) -> dict[str, Any]:
        """Return the message as templates see it: plain data without flags and nulls, reasoning under all its names."""
        values = self.__dict__
        plain: dict[str, Any] = {}
        for key in self._keys():
            if key in CANONICAL_FLAGS:
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
        # transformers sets the names in this order, which is visible in `message|tojson`.
        return {"thinking": reasoning, **plain, "reasoning_content": reasoning}


_PLAIN_NAMES = Message._names - {"reasoning", "thinking"}


class Conversation(_Model):
    """The input of a template: messages, with their tools, documents and template kwargs.

    ``template`` is the name of the template that a file asks for. Unknown keys are kept and dumped again, but templates
    do not see them. The models are frozen: make a changed copy with ``model_copy(update=…)`` or :meth:`with_messages`.
    """

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    documents: list[dict[str, Any]] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    template: _Text | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if isinstance(data, cls) or not isinstance(data, dict):
            return handler(data)
        cleaning: NullCleaning = (info.context or {}).get("clean_nulls", "auto")
        check_spelling(data, _CONVERSATION_NAMES)
        _check_kwargs(data.get("chat_template_kwargs"))
        given = dict(data)
        messages = given["messages"] = as_list(given.get("messages"))
        padded = False
        if isinstance(messages, list):
            padded = cleaning != "never" and messages_are_padded(messages)
            if padded or cleaning == "always":
                given["messages"] = [clean_arguments(m) if isinstance(m, dict) else m for m in messages]
        if given.get("tools") is not None:
            decided = (info.context or {}).get("tool_nulls") or cleaning
            given["tools"] = clean_tools(normalize_tools(given["tools"]), decided, padded=padded)
        if isinstance(documents := as_list(given.get("documents")), list):
            given["documents"] = [drop_nulls(d) if isinstance(d, dict) else d for d in documents]
        return handler(given)

    @classmethod
    def coerce(
        cls, value: Any, *, clean_nulls: NullCleaning = "auto", tool_nulls: NullCleaning | None = None
    ) -> Conversation:
        """Convert any value that the public functions accept as a conversation.

        Args:
            value: a Conversation (returned as it is), a dict with ``messages``, or a list of messages; a message is a
                dict, a :class:`Message`, a dataclass or an object with ``model_dump``. The value is not changed.
            clean_nulls: whether nulls in dict arguments, and null defaults and constants in tools, are dropped as
                padding; ``auto`` drops them if the conversation shows that it was padded (see
                `chattmpl.conversation.normalization`). ``never`` keeps all nulls of tools.
            tool_nulls: the same for tools, if they have another origin than the messages.

        Raises:
            ConversationError: the value is not a conversation. A :class:`FieldError` names the field.
        """
        if isinstance(value, Conversation):
            return value
        value = as_list(value)
        if isinstance(value, list):
            given: dict[str, Any] | None = {"messages": value}
        elif (given := as_dict(value)) is None and isinstance(getattr(value, "messages", None), list):
            given = {"messages": value.messages}
        if given is None:
            hint = "read files with chattmpl.conversation.files.load_conversation" if isinstance(value, str) else None
            kind = type(value).__name__
            raise ConversationError(
                f"a conversation must be a dict with 'messages' or a list of messages, not {kind}", hint=hint
            )
        try:
            return cls.model_validate(given, context={"clean_nulls": clean_nulls, "tool_nulls": tool_nulls})
        except ValidationError as error:
            raise to_field_error(error) from None
        except RecursionError:
            raise _too_deep() from None

    def with_kwargs(self, kwargs: Mapping[str, Any]) -> Conversation:
        """Return the conversation with further template kwargs, which override those of the same name."""
        if not kwargs:
            return self
        return self.model_copy(update={"chat_template_kwargs": {**(self.chat_template_kwargs or {}), **kwargs}})

    def with_messages(self, messages: Sequence[Message]) -> Conversation:
        """Return a copy with other messages and the same tools, documents and kwargs."""
        return self.model_copy(update={"messages": list(messages)})

    def to_template_input(self) -> dict[str, Any]:
        """Return the variables that transformers would pass: ``messages``, ``tools``, ``documents`` and ``kwargs``.

        All values are new plain data (see `chattmpl.conversation.normalization.plain_data`), so they may be changed.
        Keys of a message keep their order; those with value None are dropped. ``tools`` and ``documents`` are None if
        there are none.

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
            raise _too_deep() from None

    def dump(self) -> dict[str, Any]:
        """Return the conversation as dicts and lists; :meth:`coerce` reads them back to an equal conversation.

        Dropped padding is not restored. If a message has several keys for its reasoning, all have the same value.
        """
        dumped: dict[str, Any] = {"messages": [message.dump() for message in self.messages]}
        for name in ("tools", "documents", "chat_template_kwargs", "template"):
            if (value := getattr(self, name)) is not None:
                dumped[name] = copy_containers(value)
        return {**dumped, **{key: copy_containers(value) for key, value in (self.__pydantic_extra__ or {}).items()}}


def _too_deep() -> ConversationError:
    return ConversationError("the conversation is nested too deeply or contains itself")


PROMPT_KWARGS = frozenset({"add_generation_prompt", "continue_final_message"})
"""Variables that say how a text ends, which whoever renders a conversation decides."""


def _check_kwargs(kwargs: Any) -> None:
    """Refuse template kwargs that would give a conversation another end."""
    for name in PROMPT_KWARGS.intersection(kwargs) if isinstance(kwargs, dict) else ():
        if kwargs[name]:
            hint = "remove it; a row ends with its last message, and render has an option for prompts"
            raise FieldError("a conversation does not decide this", ("chat_template_kwargs", name), hint=hint)


_CONVERSATION_NAMES = frozenset(Conversation.model_fields)
