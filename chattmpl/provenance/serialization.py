"""Text forms of values with an origin for each character: JSON, Python notation, and escaped HTML.

The texts are those of `json.dumps` and `str`. Strings and numbers inside keep their origin; brackets, quotes and keys
have the origin of the object that they belong to.

Chat templates are not HTML, but some on the hub use ``|safe`` and ``|escape``; ``"…"|safe + text`` escapes the text.
"""

import json
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from markupsafe import Markup, escape

from chattmpl.budget import METER, VIEWS, charge, check_size, weigh
from chattmpl.errors import RenderError
from chattmpl.provenance.containers import TracedDict, TracedFloat, TracedInt, TracedList
from chattmpl.provenance.origin import Origin
from chattmpl.provenance.text import UNKNOWN, Traced, concat, derive, runs_of, with_origin

_CONTAINERS = (dict, list, tuple)

_ITEMS_PER_STEP = 2
"""Number of items of a list or dict that are written in the time of one step."""


def to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Return the text that ``json.dumps`` writes when called as in transformers' ``tojson`` filter.

    Raises:
        TypeError: JSON cannot express the value.
    """
    if isinstance(value, str):
        return _json_string(value, None, encode_basestring_ascii if ensure_ascii else encode_basestring)
    if not isinstance(value, _CONTAINERS):
        return _scalar(json.dumps(value, ensure_ascii=ensure_ascii), value, None)
    return _JsonWriter(ensure_ascii, indent, separators, sort_keys).write(value)


def to_text(value: Any) -> str:
    """Return the text that ``str`` gives, as a template prints a value."""
    kind = type(value)
    if kind is str or kind is Traced:
        return value  # type: ignore[no-any-return]
    if kind is TracedInt or kind is TracedFloat:
        return with_origin(str(value), value._origin)
    if kind in (dict, list, tuple) or kind is TracedDict or kind is TracedList:
        pieces: list[str] = []
        _write_repr(value, pieces, None, set())
        return concat(pieces)
    return _derived_text(value)


def _derived_text(value: Any) -> str:
    """Return the text of a value of unknown origin."""
    weigh(value)
    text = str(value)
    if type(text) is Traced or not text:
        return text
    if isinstance(value, str) and len(value) == len(text):
        return with_origin(_plain(text), runs_of(value))  # a result of `|safe`
    inputs: Any = value
    return derive(text, inputs if type(value) in VIEWS or isinstance(value, tuple) else (inputs,))


def _scalar(text: str, value: Any, parent: Origin | None) -> str:
    """Return the text of a number, a boolean or null, with its own origin, that of its container, or `UNKNOWN`."""
    origin = getattr(value, "_origin", parent)
    return with_origin(text, UNKNOWN if origin is None else origin)


def _plain(text: str) -> str:
    return str.__getitem__(text, slice(None))


def _json_string(value: str, quotes: Origin | None, encode: Callable[[str], str]) -> str:
    encoded = encode(value)
    charge(len(encoded))
    if type(value) is str:
        return with_origin(encoded, quotes) if quotes is not None else encoded
    origin = value._origin if type(value) is Traced else runs_of(value)
    quote = with_origin('"', quotes) if quotes is not None else '"'
    if type(origin) is not tuple:
        return concat((quote, with_origin(encoded[1:-1], origin), quote))
    pieces = [quote]
    position = 0
    for length, source, statement in runs_of(value):
        part = encode(str.__getitem__(value, slice(position, position + length)))[1:-1]
        pieces.append(with_origin(part, ((len(part), source, statement),)))
        position += length
    return concat([*pieces, quote])


class _JsonWriter:
    """One call of ``tojson``: its options, and the parts written so far."""

    def __init__(self, ensure_ascii: bool, indent: Any, separators: Any, sort_keys: bool) -> None:
        self.encode = encode_basestring_ascii if ensure_ascii else encode_basestring
        if isinstance(indent, int):
            check_size(indent)
        self.indent = " " * indent if isinstance(indent, int) else indent
        default = (", " if indent is None else ",", ": ")
        given: tuple[str, str] = default if separators is None else separators
        self.comma, self.colon = given
        self.sort_keys = sort_keys
        self.pieces: list[str] = []
        self.open: set[int] = set()

    def write(self, value: Any) -> str:
        self._value(value, None, 0)
        return concat(self.pieces)

    def _value(self, value: Any, parent: Origin | None, depth: int) -> None:
        if isinstance(value, str):
            self.pieces.append(_json_string(value, parent, self.encode))
        elif isinstance(value, dict):
            self._container(value, getattr(value, "_origin", parent), depth, "{}")
        elif isinstance(value, (list, tuple)):
            self._container(value, getattr(value, "_origin", parent), depth, "[]")
        else:
            self.pieces.append(_scalar(json.dumps(value), value, parent))

    def _container(self, value: Any, origin: Origin | None, depth: int, brackets: str) -> None:
        _enter(value, self.open, "JSON")
        write = self.pieces.append
        if not value:
            write(with_origin(brackets, origin) if origin is not None else brackets)
        else:
            if self.indent is not None:
                charge(len(self.indent) * (depth + 1))
            newline = "" if self.indent is None else "\n" + self.indent * (depth + 1)
            self._structure(brackets[0] + newline, origin)
            between = self.comma + newline
            items: Iterable[Any] = self._items(value) if brackets == "{}" else enumerate(value)
            for index, (key, item) in enumerate(items):
                if index:
                    self._structure(between, origin)
                if brackets == "{}":
                    write(_json_string(key, origin, self.encode))
                    self._structure(self.colon, origin)
                self._value(item, origin, depth + 1)
            self._structure(("" if self.indent is None else "\n" + self.indent * depth) + brackets[1], origin)
        self.open.discard(id(value))

    def _structure(self, text: str, origin: Origin | None) -> None:
        charge(len(text))
        self.pieces.append(with_origin(text, origin) if origin is not None else text)

    def _items(self, value: dict[Any, Any]) -> Iterable[tuple[str, Any]]:
        items = dict.items(value)
        for key, item in sorted(items) if self.sort_keys else items:
            yield (key if isinstance(key, str) else _json_key(key)), item


def _json_key(key: Any) -> str:
    """Convert a key that is not a string as ``json.dumps`` does."""
    return next(iter(json.loads(json.dumps({key: 0}))))  # type: ignore[no-any-return]


def _enter(value: Any, containers: set[int], notation: str) -> None:
    meter = METER.get()
    if meter is not None:
        meter.tick(1 + len(value) // _ITEMS_PER_STEP)
    if id(value) in containers:
        raise RenderError(f"a value that contains itself cannot be written as {notation}")
    containers.add(id(value))


def _write_repr(value: Any, pieces: list[str], parent: Origin | None, containers: set[int]) -> None:
    """Append the Python notation of a value inside a container."""
    kind = type(value)
    origin: Origin | None = getattr(value, "_origin", parent) if kind is not Traced else parent
    if kind is str or kind is Traced:
        pieces.append(_repr_string(value, parent))
    elif kind is dict or kind is TracedDict:
        _write_items(pieces, origin, "{}", dict.items(value), containers, value)
    elif kind in (list, tuple, TracedList):
        brackets = "()" if kind is tuple else "[]"
        _write_items(pieces, origin, brackets, ((None, item) for item in value), containers, value)
    elif value is None or isinstance(value, (bool, int, float)):
        pieces.append(_scalar(repr(value), value, parent))
    else:
        pieces.append(derive(repr(weigh(value)), (value,)))


def _write_items(
    pieces: list[str], origin: Origin | None, brackets: str, items: Iterable[Any], containers: set[int], value: Any
) -> None:
    _enter(value, containers, "text")
    structure = [*brackets, ", ", ": ", ","]
    left, right, comma, colon, lone = (with_origin(s, origin) if origin is not None else s for s in structure)
    pieces.append(left)
    for index, (key, item) in enumerate(items):
        if index:
            pieces.append(comma)
        if brackets == "{}":
            _write_repr(key, pieces, origin, containers)
            pieces.append(colon)
        _write_repr(item, pieces, origin, containers)
    if brackets == "()" and len(value) == 1:
        pieces.append(lone)
    pieces.append(right)
    containers.discard(id(value))


def _repr_string(value: str, quotes: Origin | None) -> str:
    shown = repr(_plain(value))
    charge(len(shown))
    if type(value) is not Traced:
        return with_origin(shown, quotes) if quotes is not None else shown
    quote = with_origin(shown[0], quotes) if quotes is not None else shown[0]
    if type(value._origin) is not tuple:
        return concat((quote, with_origin(shown[1:-1], value._origin), quote))
    # `repr` chooses the quote by the whole string, so each part must be written with that quote.
    pieces = [quote]
    position = 0
    for length, source, statement in runs_of(value):
        part = str.__getitem__(value, slice(position, position + length))
        written = _repr_part(part, shown[0])
        pieces.append(with_origin(written, ((len(written), source, statement),)))
        position += length
    return concat([*pieces, quote])


def _repr_part(part: str, quote: str) -> str:
    """Return a part of a string as `repr` writes it between these quotes."""
    if quote == '"':
        return repr(part + "'")[1:-2]
    # Adding a double quote, which is removed again, makes `repr` choose single quotes.
    return repr(part + '"')[1:-2] if "'" in part else repr(part)[1:-1]


# -- safe HTML


class TracedMarkup(Markup):
    """The result of ``|safe``. Its ``+`` keeps origins; the results of its other methods count as derived."""

    _origin: Any

    def __add__(self, other: Any) -> Any:
        if not (isinstance(other, str) or hasattr(other, "__html__")):
            return NotImplemented
        return mark_safe(concat((_unmarked(self), _unmarked(escape_html(other)))))

    def __radd__(self, other: Any) -> Any:
        if not (isinstance(other, str) or hasattr(other, "__html__")):
            return NotImplemented
        return mark_safe(concat((_unmarked(escape_html(other)), _unmarked(self))))

    def __mod__(self, values: Any) -> Any:
        text = super().__mod__(values)
        return mark_safe(derive(text, (self, *(values if isinstance(values, tuple) else (values,)))))


def mark_safe(value: Any) -> Markup:
    """Return the text of a value marked as safe HTML, unchanged."""
    text = to_text(value)
    markup = TracedMarkup(text)
    markup._origin = text._origin if type(text) is Traced else None
    return markup


def escape_html(value: Any) -> Markup:
    """Return the text of a value with HTML characters escaped, unless it is marked as safe."""
    if isinstance(value, TracedMarkup):
        return value
    if hasattr(value, "__html__"):
        return escape(value)
    text = to_text(value)
    pieces: list[str] = []
    position = 0
    for length, origin, statement in runs_of(text):
        written = str(escape(str.__getitem__(text, slice(position, position + length))))
        pieces.append(with_origin(written, ((len(written), origin, statement),)))
        position += length
    return mark_safe(concat(pieces))


def _unmarked(markup: Markup) -> str:
    return with_origin(str.__getitem__(markup, slice(None)), runs_of(markup))
