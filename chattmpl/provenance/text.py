"""Strings that remember where each of their characters came from.

A template is rendered over a conversation whose strings are `Traced`: a `str` in every respect, with an origin that
survives what templates do to strings. Concatenation, slicing, splitting, stripping, replacing, joining and case
changes keep the origin of each character; what cannot be followed character by character (a ``%`` format, say) gets an
origin that says *derived*, and is never taken for the template's own text.

A plain `str` is text of the template. An empty string has no characters and so no origin: it is always plain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, SupportsIndex, cast

from chattmpl.budget import charge, check_size
from chattmpl.provenance.origin import Origin, Run

UNKNOWN = Origin(None, None, True)
"""The origin of characters that were computed from nobody knows what."""

_new = str.__new__
_plain_join = "".join


class Traced(str):
    """A string with an origin for each character. See the module's docstring."""

    __slots__ = ("_origin",)

    _origin: Origin | tuple[Run, ...] | None
    """One origin for all characters, or the runs."""

    # ``str(x)`` is how Jinja's filters make sure of a string; it must not lose the origin.
    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        return concat((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return concat((other, self)) if isinstance(other, str) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> str:
        count = max(0, times.__index__())
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
            return make(text, origin)
        indices = range(len(self))[key] if isinstance(key, slice) else range(len(self))[key:][:1]
        if isinstance(indices, range) and indices.step == 1:
            return make(text, cut(origin, indices.start, indices.start + len(text)))
        return concat([make(str.__getitem__(self, i), cut(origin, i, i + 1)) for i in indices])

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

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
        before, found, _ = str.rpartition(self, sep)
        end = len(before) + len(found)
        return self[: len(before)], self[len(before) : end], self[end:]

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._located(str.split(self, sep, maxsplit), forward=True, gap=len(sep) if sep else None)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._located(str.rsplit(self, sep, maxsplit), forward=False, gap=len(sep) if sep else None)

    def splitlines(self, keepends: bool = False) -> list[str]:
        kept = str.splitlines(self, True)
        starts = _starts(kept)
        return [self[s : s + len(k if keepends else k.splitlines()[0])] for s, k in zip(starts, kept, strict=True)]

    def _located(self, parts: list[str], *, forward: bool, gap: int | None) -> list[str]:
        """The parts of a split, as slices of self. With no separator the gaps are runs of whitespace."""
        if type(self._origin) is not tuple:
            return [make(part, self._origin) for part in parts]
        if gap is not None:
            starts = [start + gap * i for i, start in enumerate(_starts(parts))]
            return [self[start : start + len(part)] for start, part in zip(starts, parts, strict=True)]
        located = []
        position = 0 if forward else len(self)
        for part in parts if forward else reversed(parts):
            position = str.index(self, part, position) if forward else str.rindex(self, part, 0, position)
            located.append(self[position : position + len(part)])
            position += len(part) if forward else 0
        return located if forward else located[::-1]

    # -- the same characters with others between or around them

    def replace(self, old: str, new: str, count: SupportsIndex = -1) -> str:
        limit = count.__index__()
        found = (len(self) + 1) if not old else str.count(self, old)
        check_size(len(self) + (found if limit < 0 else min(found, limit)) * len(new))
        if not found or limit == 0:
            return self
        if not old:
            return derive(str.replace(self, old, new, limit), (self, new))
        return traced(new).join(self.split(old, limit))

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
        check_size(width.__index__())
        padded = str.zfill(self, width)
        zeros = len(padded) - len(self)
        sign = 1 if zeros and padded[0] in "+-" else 0
        return concat((self[:sign], padded[sign : sign + zeros], self[sign:]))

    def _padded(self, pad: Any, width: SupportsIndex, fill: str) -> str:
        check_size(width.__index__())
        # Padding with a character that self does not have shows where self stands in the result.
        other = "\0" if "\0" not in self else "\1"
        shown = cast(str, pad(self, width, other))
        left = len(shown) - len(shown.lstrip(other))
        right = len(shown) - len(self) - left
        return concat((traced(fill) * left, self, traced(fill) * right)) if len(fill) == 1 else pad(self, width, fill)

    def expandtabs(self, tabsize: SupportsIndex = 8) -> str:
        check_size(tabsize.__index__() * str.count(self, "\t"))
        return derive(str.expandtabs(self, tabsize), (self,))

    # -- other characters in the same places

    def upper(self) -> str:
        return self._mapped(str.upper)

    def lower(self) -> str:
        return self._mapped(str.lower)

    def casefold(self) -> str:
        return self._mapped(str.casefold)

    def swapcase(self) -> str:
        return self._mapped(str.swapcase)

    def capitalize(self) -> str:
        return self._mapped(str.capitalize)

    def title(self) -> str:
        return self._mapped(str.title)

    def translate(self, table: Any, /) -> str:
        return self._mapped(lambda text: str.translate(text, table))

    def _mapped(self, change: Any) -> str:
        """A change that keeps the order of the characters; where it changes their number, runs change one by one."""
        text = cast(str, change(self))
        check_size(len(text))
        origin = self._origin
        if type(origin) is not tuple or len(text) == len(self):
            return make(text, origin)
        pieces = [_of_run(change(piece), run) for piece, run in _pieces(self, origin)]
        joined = concat(pieces)
        return joined if joined == text else derive(text, (self,))

    # -- no telling which character went where

    def format(self, *args: Any, **kwargs: Any) -> str:
        return derive(str.format(self, *args, **kwargs), (self, *args, *kwargs.values()))

    def format_map(self, mapping: Any, /) -> str:
        return derive(str.format_map(self, mapping), (self, mapping))

    def __reduce__(self) -> Any:
        return (str, (_plain(self),))


def _plain(text: str) -> str:
    # A full slice of a subclass is an exact `str`.
    return str.__getitem__(text, slice(None))


def make(text: str, origin: Origin | tuple[Run, ...] | None) -> str:
    """A string whose characters have this origin; an empty one has none."""
    if not text:
        return ""
    result = _new(Traced, text)
    result._origin = origin
    return result


def traced(text: str) -> str:
    """The string as one that keeps track: text of the template, if nothing else is known of it."""
    if type(text) is Traced:
        return text
    result = _new(Traced, text)
    result._origin = getattr(text, "_origin", None)
    return result


def runs_of(text: str) -> tuple[Run, ...]:
    """The runs of any string. A subclass of `str` that is not ours was computed by something that we do not follow."""
    kind = type(text)
    if kind is str:
        return ((len(text), None, None),) if text else ()
    origin: Origin | tuple[Run, ...] | None = getattr(text, "_origin", None if kind is Traced else UNKNOWN)
    if type(origin) is tuple:
        return origin
    return ((len(text), cast("Origin | None", origin), None),) if text else ()


def cut(runs: tuple[Run, ...], start: int, stop: int) -> tuple[Run, ...]:
    """The runs of a slice."""
    position = 0
    kept: list[Run] = []
    for length, origin, statement in runs:
        end = position + length
        if end > start or (not length and position >= start):
            if position >= stop:
                break
            kept.append((min(end, stop) - max(position, start), origin, statement))
        position = end
    return tuple(kept)


def concat(parts: Sequence[str]) -> str:
    """The parts one after the other."""
    text = _plain_join(parts)
    size = len(text)
    if size > 1024:
        charge(size)
    runs: list[Run] = []
    last: Run | None = None
    known = False
    for part in parts:
        if type(part) is str:
            if not part:
                continue
            new: tuple[Run, ...] = ((len(part), None, None),)
        else:
            new = runs_of(part)
            known = True
        for run in new:
            if last is not None and last[1] is run[1] and last[2] is run[2]:
                last = (last[0] + run[0], last[1], last[2])
                runs[-1] = last
            else:
                last = run
                runs.append(run)
    if not known:
        return text
    if len(runs) == 1 and runs[0][2] is None:
        return make(text, runs[0][1])
    return make(text, tuple(runs))


def _starts(parts: Iterable[str]) -> list[int]:
    starts = []
    position = 0
    for part in parts:
        starts.append(position)
        position += len(part)
    return starts


def _pieces(text: str, runs: tuple[Run, ...]) -> Iterator[tuple[str, Run]]:
    """Each run with its characters."""
    position = 0
    for run in runs:
        yield str.__getitem__(text, slice(position, position + run[0])), run
        position += run[0]


def _of_run(text: str, run: Run) -> str:
    return make(text, ((len(text), run[1], run[2]),))


def derive(text: str, inputs: Iterable[Any]) -> str:
    """A string computed from others in a way that cannot be followed: its origin says so, and names what it can."""
    if not text:
        return ""
    sources = tuple(dict.fromkeys(_origins(inputs)))
    if not sources:
        return text if type(text) is not Traced else _plain(text)
    messages = {source.message for source in sources}
    fields = list(dict.fromkeys(source.field for source in sources if source.field))
    message = messages.pop() if len(messages) == 1 else None
    if message is None and len(sources) > 1:
        fields = [source.path() for source in sources]
    origin = Origin(message, "+".join(fields) or None, True, sources)
    return make(_plain(text), origin)


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
            yield from _origins(value.values())


def percent(template: Any, values: Any) -> Any:
    """``template % values``, with an origin that says *derived* where it makes a string."""
    if not isinstance(template, str):
        return template % values
    _check_widths(template, values)
    inputs = values if isinstance(values, tuple) else (values,)
    return derive(str.__mod__(template, values), (template, *inputs))


def _check_widths(template: str, values: Any) -> None:
    """Refuse ``'%999999999d'`` before Python makes the string."""
    number = ""
    for char in template:
        if char.isdigit():
            number += char
            check_size(int(number[:12]))
        elif char == "*":
            check_size(sum(v for v in (values if isinstance(values, tuple) else (values,)) if isinstance(v, int)))
        else:
            number = ""
