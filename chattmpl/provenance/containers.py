"""Containers and numbers with origins, which a template gets instead of plain JSON types."""

from collections.abc import ItemsView, Iterator, KeysView
from typing import Any, cast

from chattmpl.provenance.origin import Origin, TurnMark
from chattmpl.provenance.text import with_origin

_UNTRACKED = frozenset({"role", "type"})
"""Keys whose values control rendering and need not be rendered, so they never count as lost."""

_MEDIA = frozenset({"image", "image_url", "audio", "input_audio", "video"})
"""Types of content parts whose payload goes to the model's processor and not into the text."""


class TracedInt(int):
    """An integer from the conversation."""

    _origin: Origin


class TracedFloat(float):
    """A float from the conversation."""

    _origin: Origin


class TracedList(list[Any]):
    """A list from the conversation."""

    __slots__ = ("_origin",)

    _origin: Origin


class TracedDict(dict[str, Any]):
    """An object from the conversation. Its keys are stored as plain strings and get their origin when they are read.

    Attributes:
        _mark: for a message, the mark to write when its rendering starts.
    """

    __slots__ = ("_mark", "_origin")

    _origin: Origin
    _mark: TurnMark | None

    def _key(self, key: str) -> str:
        return with_origin(key, self._origin) if isinstance(key, str) else key

    def __iter__(self) -> Iterator[str]:
        return map(self._key, dict.keys(self))

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return cast("KeysView[str]", dict.fromkeys(self).keys())

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        key = self._key
        return {key(name): value for name, value in dict.items(self)}.items()


class InputTracer:
    """Converts inputs to values with origins, and collects the leaves that a template could render."""

    def __init__(self) -> None:
        self.leaves: list[Origin] = []

    def wrap(self, value: Any, message: int | None, field: str, key: str = "", lost: bool = True) -> Any:
        """Return plain JSON data, which are not changed, with origins: a field of a message and, if given, the last key
        of its path.

        ``lost`` says that leaves count as lost if nothing renders them.
        """
        kind = type(value)
        if kind is str:
            if not value:
                return ""
            origin = Origin(message, field)
            if lost and key not in _UNTRACKED:
                self.leaves.append(origin)
            return with_origin(value, origin)
        if kind is dict:
            return self._wrap_dict(value, message, field, lost)
        if kind is list or kind is tuple:
            items = TracedList(
                [self.wrap(item, message, f"{field}[{index}]", key, lost) for index, item in enumerate(value)]
            )
            items._origin = Origin(message, field)
            return items if kind is list else tuple(items)
        if kind is int or kind is float:
            number = TracedInt(value) if kind is int else TracedFloat(value)
            number._origin = Origin(message, field)
            if lost and key not in _UNTRACKED:
                self.leaves.append(number._origin)
            return number
        return value

    def _wrap_dict(self, value: dict[str, Any], message: int | None, field: str, lost: bool) -> TracedDict:
        part_type = value.get("type")
        lost = lost and not (isinstance(part_type, str) and part_type in _MEDIA)
        prefix = f"{field}." if field else ""
        wrapped = TracedDict(
            {key: self.wrap(item, message, f"{prefix}{key}", key, lost) for key, item in value.items()}
        )
        wrapped._origin = Origin(message, field)
        wrapped._mark = None
        return wrapped

    def wrap_messages(self, messages: list[dict[str, Any]]) -> TracedList:
        """Return messages with origins and marks; reasoning fields with equal values share one origin."""
        wrapped = TracedList()
        wrapped._origin = Origin(None, "messages")
        for index, message in enumerate(messages):
            # `reasoning_content` is the last alias and the best-known name, so it is wrapped first.
            item = TracedDict(dict.fromkeys(message))
            for key in reversed(message):
                item[key] = self._alias(message, item, key) or self.wrap(message[key], index, key, key)
            item._origin = Origin(index, None)
            item._mark = TurnMark(index, None)
            wrapped.append(item)
        return wrapped

    @staticmethod
    def _alias(message: dict[str, Any], item: TracedDict, key: str) -> Any:
        if key in ("thinking", "reasoning") and message.get("reasoning_content") == message[key]:
            return item["reasoning_content"]
        return None
