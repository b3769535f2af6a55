"""Strings that record the origin of each character.

A template is rendered over a conversation whose strings are `Traced`: a `str` in every respect, with an origin that
survives the string operations of templates. Concatenation, slicing, splitting, stripping, replacing, joining and case
changes keep the origin of each character. The result of an operation that cannot be followed character by character,
such as ``%`` formatting, gets a *derived* origin and never counts as the template's own text.

A plain `str` is the template's own text. An empty string has no characters and no origin, so it is always plain.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import index
from typing import Any, SupportsIndex, cast

from chattmpl.budget import charge, check_items, check_search_from_right, check_size, weigh
from chattmpl.provenance.origin import RUN_BYTES, Origin, Run, merge_runs, slice_runs

UNKNOWN = Origin(None, None, True)
"""The origin of characters computed from unknown values."""

_ITEMS = 8
"""A character or part that becomes a separate string takes as much memory as this number of list items."""

_CONVERSION = re.compile(r"%(?:\([^)]*\))?[-#0 +]*(\*|\d+)?(?:\.(\*|\d+))?")

_new = str.__new__
_plain_join = "".join


def _mapped(change: Callable[[str], str]) -> Callable[[str], str]:
    """Return a method that applies a change which keeps the order of characters; run by run if their number changes."""

    def mapped(self: Any) -> str:
        text = change(self)
        check_size(len(text))
        origin = self._origin
        if type(origin) is not tuple or len(text) == len(self):
            return with_origin(text, origin)
        joined = concat([_of_run(change(piece), run) for piece, run in _with_runs(self, origin)])
        return joined if joined == text else derive(text, (self,))

    return mapped


class Traced(str):
    """A string with an origin for each character; see the module's docstring."""

    __slots__ = ("_origin",)

    _origin: Origin | tuple[Run, ...] | None
    """The origin of all characters, or the runs."""

    # Jinja's filters call ``str(x)`` to ensure a string, which must not lose the origin.
    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        # Markup escapes the string that it is added to.
        return concat((self, other)) if isinstance(other, str) and not hasattr(other, "__html__") else NotImplemented

    def __radd__(self, other: str) -> str:
        return concat((other, self)) if isinstance(other, str) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> str:
        count = max(0, index(times))
        check_size(count * len(self))
        return concat((self,) * count)

    __rmul__ = __mul__

    def __mod__(self, values: Any) -> str:
        return cast(str, percent(self, values))

    def __rmod__(self, template: Any) -> str:
        return percent(template, self) if isinstance(template, str) else NotImplemented

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        text = str.__getitem__(self, key)
        origin = self._origin
        if type(origin) is not tuple:
            return with_origin(text, origin)
        if not isinstance(key, slice):
            start = range(len(self))[key]
            return with_origin(text, slice_runs(origin, start, start + 1))
        indices = range(len(self))[key]
        if indices.step == 1:
            return with_origin(text, slice_runs(origin, indices.start, indices.start + len(text)))
        check_items(_ITEMS * len(text))
        ascending = indices if indices.step > 0 else indices[::-1]
        chars = list(self._slices((i, i + 1) for i in ascending))
        return concat(chars if indices.step > 0 else chars[::-1])

    def __iter__(self) -> Iterator[str]:
        check_items(_ITEMS * len(self))
        return self._slices((i, i + 1) for i in range(len(self)))

    def _slices(self, bounds: Iterable[tuple[int, int]]) -> Iterator[str]:
        """Yield slices at ascending bounds, in one pass over the runs."""
        runs = self._origin if type(self._origin) is tuple else None
        first = position = 0
        for start, end in bounds:
            text = str.__getitem__(self, slice(start, end))
            if runs is None:
                yield with_origin(text, cast("Origin | None", self._origin))
                continue
            while first < len(runs) and position + runs[first][0] <= start and (runs[first][0] or position < start):
                position += runs[first][0]
                first += 1
            last, stop = first, position
            while last < len(runs) and stop < end:
                stop += runs[last][0]
                last += 1
            yield with_origin(text, slice_runs(runs[first:last], start - position, end - position))

    def __format__(self, spec: str) -> str:
        return derive(str.__format__(self, spec), (self,)) if spec else self

    # -- slices of self

    def strip(self, chars: str | None = None) -> str:
        return self.lstrip(chars).rstrip(chars)

    def lstrip(self, chars: str | None = None) -> str:
        text = str.lstrip(self, chars)
        return self if len(text) == len(self) else self[len(self) - len(text) :]

    def rstrip(self, chars: str | None = None) -> str:
        text = str.rstrip(self, chars)
        return self if len(text) == len(self) else self[: len(text)]

    def removeprefix(self, prefix: str, /) -> str:
        return self[len(prefix) :] if self.startswith(prefix) else self

    def removesuffix(self, suffix: str, /) -> str:
        return self[: len(self) - len(suffix)] if suffix and self.endswith(suffix) else self

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        before, found, _ = str.partition(self, sep)
        end = len(before) + len(found)
        return self[: len(before)], self[len(before) : end], self[end:]

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        check_search_from_right(self, sep)
        before, found, _ = str.rpartition(self, sep)
        end = len(before) + len(found)
        return self[: len(before)], self[len(before) : end], self[end:]

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        self._check_parts(sep, maxsplit)
        return self._located(str.split(self, sep, maxsplit), forward=True, gap=len(sep) if sep else None)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        self._check_parts(sep, maxsplit)
        check_search_from_right(self, sep or "")
        return self._located(str.rsplit(self, sep, maxsplit), forward=False, gap=len(sep) if sep else None)

    def _check_parts(self, sep: str | None, maxsplit: SupportsIndex) -> None:
        """Charge for the parts of a split before they exist."""
        most = str.count(self, sep) if sep else len(self) // _ITEMS
        limit = index(maxsplit)
        check_items(_ITEMS * (most if limit < 0 else min(most, limit)))

    def splitlines(self, keepends: bool = False) -> list[str]:
        check_items(len(self))
        kept = str.splitlines(self, True)
        ends = [len(line if keepends else line.splitlines()[0]) for line in kept]
        return list(self._slices((start, start + end) for start, end in zip(_starts(kept), ends, strict=True)))

    def _located(self, parts: list[str], *, forward: bool, gap: int | None) -> list[str]:
        """Return the parts of a split as slices of self; ``gap`` is None between parts separated by white space."""
        if type(self._origin) is not tuple:
            return [with_origin(part, self._origin) for part in parts]
        if gap is not None:
            starts = [start + gap * i for i, start in enumerate(_starts(parts))]
        else:
            starts = []
            position = 0 if forward else len(self)
            for part in parts if forward else reversed(parts):
                position = str.index(self, part, position) if forward else str.rindex(self, part, 0, position)
                starts.append(position)
                position += len(part) if forward else 0
            starts = starts if forward else starts[::-1]
        return list(self._slices((start, start + len(part)) for start, part in zip(starts, parts, strict=True)))

    # -- the same characters with others between or around them

    def replace(self, old: str, new: str, count: SupportsIndex = -1) -> str:
        limit = index(count)
        found = (len(self) + 1) if not old else str.count(self, old)
        check_size(len(self) + (found if limit < 0 else min(found, limit)) * len(new))
        if not found or limit == 0:
            return self
        if not old:
            return derive(str.replace(self, old, new, limit), (self, new))
        return as_traced(new).join(self.split(old, limit))

    def join(self, parts: Iterable[str], /) -> str:
        pieces = list(parts)
        check_size(sum(map(len, pieces)) + len(self) * max(0, len(pieces) - 1))
        if not len(self):
            return concat(pieces)
        spaced: list[str] = []
        for piece in pieces:
            spaced += (self, piece)
        return concat(spaced[1:])

    def ljust(self, width: SupportsIndex, fill: str = " ", /) -> str:
        return self._padded(str.ljust, width, fill)

    def rjust(self, width: SupportsIndex, fill: str = " ", /) -> str:
        return self._padded(str.rjust, width, fill)

    def center(self, width: SupportsIndex, fill: str = " ", /) -> str:
        return self._padded(str.center, width, fill)

    def zfill(self, width: SupportsIndex, /) -> str:
        check_size(index(width))
        padded = str.zfill(self, width)
        zeros = len(padded) - len(self)
        sign = 1 if zeros and padded[0] in "+-" else 0
        return concat((self[:sign], padded[sign : sign + zeros], self[sign:]))

    def _padded(self, pad: Any, width: SupportsIndex, fill: str) -> str:
        check_size(index(width))
        if not isinstance(fill, str) or len(fill) != 1:
            return cast(str, pad(self, width, fill))  # raises
        # A string of the same length without white space shows the position of self in the result.
        shown = cast(str, pad("x" * len(self), width, " "))
        left = len(shown) - len(shown.lstrip())
        right = len(shown) - len(self) - left
        return concat((as_traced(fill) * left, self, as_traced(fill) * right))

    def expandtabs(self, tabsize: SupportsIndex = 8) -> str:
        check_size(index(tabsize) * str.count(self, "\t"))
        return derive(str.expandtabs(self, tabsize), (self,))

    # -- other characters in the same places

    upper = _mapped(str.upper)
    lower = _mapped(str.lower)
    casefold = _mapped(str.casefold)
    swapcase = _mapped(str.swapcase)
    capitalize = _mapped(str.capitalize)
    title = _mapped(str.title)

    def translate(self, table: Any, /) -> str:
        values = table.values() if isinstance(table, dict) else table
        check_size(len(self) * max((len(value) for value in values if isinstance(value, str)), default=1))
        text = str.translate(self, table)
        origin = self._origin
        if type(origin) is not tuple:
            return with_origin(text, origin)
        # A table maps each character independently of its position.
        return concat([_of_run(str.translate(piece, table), run) for piece, run in _with_runs(self, origin)])

    # -- results whose characters cannot be assigned

    def format(self, *args: Any, **kwargs: Any) -> str:
        return derive(str.format(self, *args, **kwargs), (self, *args, *kwargs.values()))

    def format_map(self, mapping: Any, /) -> str:
        return derive(str.format_map(self, mapping), (self, mapping))

    def __reduce__(self) -> Any:
        return (str, (_plain(self),))


def _plain(text: str) -> str:
    # A full slice of a subclass is an exact `str`.
    return str.__getitem__(text, slice(None))


def with_origin(text: str, origin: Origin | tuple[Run, ...] | None) -> str:
    """Return a string whose characters have this origin; an empty string has none."""
    if not text:
        return ""
    result = _new(Traced, text)
    result._origin = origin
    return result


def as_traced(text: str) -> str:
    """Return the string as a `Traced` one, as text of the template if it has no known origin."""
    if type(text) is Traced:
        return text
    result = _new(Traced, text)
    result._origin = getattr(text, "_origin", None)
    return result


def runs_of(text: str) -> tuple[Run, ...]:
    """Return the runs of any string; a foreign subclass of `str` was computed in a way that is not followed."""
    kind = type(text)
    if kind is str:
        return ((len(text), None, None),) if text else ()
    origin: Origin | tuple[Run, ...] | None = getattr(text, "_origin", None if kind is Traced else UNKNOWN)
    if type(origin) is tuple:
        return origin
    return ((len(text), cast("Origin | None", origin), None),) if text else ()


def concat(parts: Sequence[str]) -> str:
    """Concatenate strings, keeping origins."""
    check_size(sum(map(len, parts)))
    text = _plain_join(parts)
    known = False
    unmerged: list[Run] = []
    for part in parts:
        if type(part) is not str:
            known = True
            unmerged += runs_of(part)
        elif part:
            unmerged.append((len(part), None, None))
    runs = merge_runs(unmerged) if known else []
    charge(str.__sizeof__(text) + RUN_BYTES * len(runs))
    if not known:
        return text
    if len(runs) == 1 and runs[0][2] is None:
        return with_origin(text, runs[0][1])
    return with_origin(text, tuple(runs))


def _starts(parts: Iterable[str]) -> list[int]:
    return list(accumulate(map(len, parts), initial=0))[:-1]


def _with_runs(text: str, runs: tuple[Run, ...]) -> Iterator[tuple[str, Run]]:
    """Yield each run with its characters."""
    position = 0
    for run in runs:
        yield str.__getitem__(text, slice(position, position + run[0])), run
        position += run[0]


def _of_run(text: str, run: Run) -> str:
    return with_origin(text, ((len(text), run[1], run[2]),))


def derive(text: str, inputs: Iterable[Any]) -> str:
    """Return a string computed from inputs in a way that cannot be followed, with a derived origin that names them.

    Text computed only from the template's own text is the template's own. A number may come from anywhere.
    """
    if not text:
        return ""
    inputs = tuple(inputs)
    charge(str.__sizeof__(text))
    sources = tuple(dict.fromkeys(_origins(inputs)))
    if not sources:
        return with_origin(
            _plain(text), None if inputs and all(isinstance(value, str) for value in inputs) else UNKNOWN
        )
    messages = {source.message for source in sources}
    fields = list(dict.fromkeys(source.field for source in sources if source.field))
    message = messages.pop() if len(messages) == 1 else None
    if message is None and len(sources) > 1:
        fields = [source.path() for source in sources]
    origin = Origin(message, "+".join(fields) or None, True, sources)
    return with_origin(_plain(text), origin)


def _origins(values: Iterable[Any]) -> Iterator[Origin]:
    for value in values:
        origin = getattr(value, "_origin", None)
        if origin is not None:
            if type(origin) is tuple:
                yield from (run[1] for run in origin if run[1] is not None and run[0])
            else:
                yield origin
        elif type(value) in (list, tuple):
            yield from _origins(value)
        elif type(value) is dict:
            yield from _origins((*value, *value.values()))


def percent(template: Any, values: Any) -> Any:
    """Compute ``template % values``; a resulting string gets a derived origin."""
    if not isinstance(template, str):
        return template % values
    inputs = values if isinstance(values, tuple) else (values,)
    weigh(inputs)
    for conversion in _CONVERSION.finditer(template):
        for width in conversion.groups():
            check_size(sum(abs(v) for v in inputs if isinstance(v, int)) if width == "*" else int((width or "0")[:12]))
        # A mapping can be written once per conversion.
        weigh(inputs)
    if hasattr(template, "__html__"):
        return template % values
    return derive(str.__mod__(template, values), (template, *inputs))
