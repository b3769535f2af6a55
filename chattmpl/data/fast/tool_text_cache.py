"""What was written of tools: most rows of a data set have the tools of another row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from chattmpl.data.fast.jinja_renderers import tojson

_KEPT = 64


class KnownTools:
    """The filter ``tojson``, and macros that read nothing but their argument, which remember what they wrote of tools.

    Each value is known by its identity, so nobody may change tools while they are known.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, frozenset[int], dict[Any, str]]] = {}
        self._ids: frozenset[int] = frozenset()
        self._written: dict[Any, str] = {}

    def know(self, tools: Any) -> None:
        """Tells which tools the row has; what is no list is not remembered."""
        if not isinstance(tools, list):
            self._ids = frozenset()
            return
        seen = self._seen.get(id(tools))
        if seen is None:
            if len(self._seen) >= _KEPT:
                self._seen.clear()
            # that they are kept keeps others from getting their ids
            seen = self._seen[id(tools)] = (tools, frozenset(_ids(tools)), {})
        _, self._ids, self._written = seen

    def tojson(self, value: Any, **options: Any) -> str:
        """The value as JSON, as transformers writes it."""
        if id(value) not in self._ids:
            return tojson(value, **options)
        key = (id(value), *options.items()) if options else id(value)
        text = self._written.get(key)
        if text is None:
            text = self._written[key] = tojson(value, **options)
        return text

    def written_by(self, call: str, value: Any, macro: Callable[..., str], *arguments: Any) -> str:
        """What a macro writes.

        Args:
            call: names the call, whose arguments are always the same but for one.
            value: that one.
            macro: the macro.
            arguments: all its arguments.
        """
        if id(value) not in self._ids:
            return macro(*arguments)
        key = (call, id(value))
        text = self._written.get(key)
        if text is None:
            text = self._written[key] = macro(*arguments)
        return text


def _ids(value: Any) -> Iterator[int]:
    """The ids of all objects and lists in a value."""
    if isinstance(value, (dict, list)):
        yield id(value)
        for item in value.values() if isinstance(value, dict) else value:
            yield from _ids(item)
