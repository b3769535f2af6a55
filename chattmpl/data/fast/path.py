"""The fast path: rows that are ready to be rendered in, tokens and masks out, as one stretch of memory.

A row that it is not sure of is left to the exact path, with the reason.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np

from chattmpl.data.fast.control_tokens import ControlScan
from chattmpl.data.fast.jinja_renderers import Renderer
from chattmpl.data.fast.markers import CLOSE, OPEN, RESERVED, SEPARATOR
from chattmpl.data.fast.mask_arrays import Placed, Stream, place, read_markers
from chattmpl.data.fast.rows import Prepared, leaves_of
from chattmpl.data.fast.tokens import TokenEngine, TokenLengths
from chattmpl.data.fast.unassigned_characters import has_new_characters

_AT_ONCE = 32
"""Rows that are looked through together, and rendered while their texts are still in the processor's cache."""
_KNOWN = frozenset(("\t", "\n", "\r", OPEN, CLOSE))


@dataclass
class Level:
    """A renderer, and the features of rows (bits) that it gets wrong with this template."""

    renderer: Renderer
    avoid: int = 0


@dataclass
class FastBatch:
    """What became of some rows.

    Attributes:
        rows: indices of the rows that were encoded, in order.
        ids, mask: their tokens, one row behind the other, and 1 for each that is trained.
        offsets: ``len(rows) + 1`` offsets of the rows in them.
        straddles: for each row, the number of edges of generated spans inside a token.
        data: the texts with markers, in UTF-8, with `SEPARATOR` between them.
        ends: where each of them ends.
        left: reasons by index of the rows that are left to the exact path.
        rendered_by: how many rows each renderer rendered.
    """

    rows: list[int] = field(default_factory=list)
    ids: Any = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    mask: Any = field(default_factory=lambda: np.zeros(0, dtype=np.uint8))
    offsets: Any = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    straddles: Any = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    data: bytes = b""
    ends: Any = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    left: dict[int, str] = field(default_factory=dict)
    rendered_by: dict[str, int] = field(default_factory=dict)

    def text(self, place: int) -> str:
        """The text with markers of a row that was encoded."""
        start = self.ends[place - 1] + 1 if place else 0
        return self.data[start : self.ends[place]].decode()

    def tails(self, size: int) -> list[bytes]:
        """The last bytes of each text, less if it is shorter."""
        ends = self.ends.tolist()
        starts = chain((0,), (end + 1 for end in ends))
        return [self.data[max(start, end - size) : end] for start, end in zip(starts, ends, strict=False)]


@dataclass
class FastPath:
    """One template with one tokenizer.

    Attributes:
        levels: the renderers, the fastest first.
        engine: encodes the texts.
        lengths: the bytes of each token.
        scan: finds control tokens in the texts of rows; None where they are allowed.
        constants: variables that every row gets (special tokens), under those of the row.
        overrides: variables that every row gets, over those of the row.
        composes: the tokenizer brings texts into the form NFC.
        straddle: as for `chattmpl.encode.encode`.
    """

    levels: list[Level]
    engine: TokenEngine
    lengths: TokenLengths
    scan: ControlScan | None
    constants: dict[str, Any]
    overrides: dict[str, Any]
    composes: bool
    straddle: str = "include"

    def encode(self, rows: Iterable[Prepared | None]) -> FastBatch:
        """The rows that can be encoded; those that are None are passed over."""
        batch = FastBatch()
        pieces: list[str] = []
        slower: dict[int, str] = {}
        rest = iter(rows)
        fastest = self.levels[0]
        first = 0
        while some := list(islice(rest, _AT_ONCE)):
            harmless = self._harmless(some)
            for index, row in enumerate(some, first):
                if row is None:
                    continue
                found = (None if harmless else self._doubt(row)) or self._write(row, pieces)
                if isinstance(found, str):
                    batch.left[index] = found
                    continue
                batch.rows.append(index)
                pieces.append(SEPARATOR)
                if found is not fastest:
                    slower[index] = found.renderer.name
            first += len(some)
        if batch.rows:
            pieces.pop()
            self._encode(batch, "".join(pieces), slower)
        return batch

    def render(self, row: Prepared, level: Level) -> str:
        """The text of a row with markers; raises anything where the renderer cannot."""
        pieces: list[str] = []
        level.renderer.write(self._variables(row), pieces)
        return "".join(pieces)

    def passes_over(self, row: Prepared) -> bool:
        """Whether a row is left to the exact path, whatever the template makes of it."""
        return self._doubt(row) is not None or self._recomposed(row.leaves)

    def left_out(self, row: Prepared, text: str) -> bool:
        """Whether a row is left to the exact path, whatever its text with markers."""
        controls = any(char < " " and char not in _KNOWN for char in set(text))
        return controls or self._doubt(row) is not None or self._recomposed(text)

    def _variables(self, row: Prepared) -> dict[str, Any]:
        variables: dict[str, Any] = {**self.constants, **row.kwargs, **self.overrides}
        variables["messages"] = row.messages
        variables["tools"] = row.tools
        variables["documents"] = row.documents
        variables["add_generation_prompt"] = False
        return variables

    def _write(self, row: Prepared, pieces: list[str]) -> Level | str:
        """Adds the pieces of a row's text, and tells the renderer; or the reason why it cannot."""
        for level in self.levels:
            if level.avoid & row.features:
                continue
            before = len(pieces)
            try:
                level.renderer.write(self._variables(row), pieces)
            except Exception:  # whatever it is, the exact path says it well
                del pieces[before:]
                return "cannot be rendered"
            return level
        return "features"

    def _recomposed(self, text: str) -> bool:
        """Whether the tokenizer brings the text into another form."""
        return self.composes and not text.isascii() and not unicodedata.is_normalized("NFC", text)

    def _harmless(self, rows: Sequence[Prepared | None]) -> bool:
        """Whether no row gives rise to a doubt; seen at once, for most have none."""
        if any(row is not None and (row.flagged or row.kwargs) for row in rows):
            return False
        return self._doubt_of(leaves_of([text for row in rows if row is not None for text in row.texts])) is None

    def _doubt(self, row: Prepared) -> str | None:
        if row.flagged:
            return "flags"
        doubt = self._doubt_of(row.leaves)
        if doubt is not None:
            return doubt
        if row.kwargs and any(name.startswith(RESERVED) or type(name) is not str for name in row.kwargs):
            return "cannot be rendered"
        return None

    def _doubt_of(self, leaves: str) -> str | None:
        if OPEN in leaves or CLOSE in leaves or SEPARATOR in leaves:
            return "control characters"
        if self.scan is not None and self.scan.found(leaves):
            return "control tokens"
        try:
            if has_new_characters(leaves):
                return "characters"
        except UnicodeEncodeError:  # half a surrogate pair, for which minijinja writes another character
            return "characters"
        return None

    def _encode(self, batch: FastBatch, whole: str, slower: dict[int, str]) -> None:
        """Encodes the texts, again and without those that turn out to be bad ones, if there are such.

        Args:
            batch: is filled.
            whole: the texts with markers, with `SEPARATOR` between them.
            slower: the renderers of the rows that the fastest one did not render.
        """
        texts: list[str] | None = None
        if self.composes and not whole.isascii():
            texts = whole.split(SEPARATOR)
            self._drop(batch, texts, [self._recomposed(text) for text in texts], "another form of characters")
        while batch.rows:
            bad, reason = self._attempt(batch, whole if texts is None else SEPARATOR.join(texts))
            if not bad.any():
                counted = Counter(slower[row] for row in slower.keys() & {*batch.rows}) if slower else Counter()
                counted[self.levels[0].renderer.name] += len(batch.rows) - counted.total()
                batch.rendered_by = {name: count for name, count in counted.items() if count}
                return
            texts = whole.split(SEPARATOR) if texts is None else texts
            self._drop(batch, texts, bad.tolist(), reason)

    def _drop(self, batch: FastBatch, texts: list[str], bad: list[bool], reason: str) -> None:
        """Takes out the rows whose texts are bad."""
        if len(texts) != len(batch.rows):  # a text holds a separator, so nobody knows where which row is
            bad = [True] * len(batch.rows)
            texts[:] = [""] * len(batch.rows)
        batch.left.update((row, reason) for row, wrong in zip(batch.rows, bad, strict=True) if wrong)
        texts[:] = [text for text, wrong in zip(texts, bad, strict=True) if not wrong]
        batch.rows = [row for row, wrong in zip(batch.rows, bad, strict=True) if not wrong]

    def _attempt(self, batch: FastBatch, whole: str) -> tuple[Any, str]:
        """Fills the batch; or tells which texts are bad, and why."""
        count = len(batch.rows)
        try:
            data = whole.encode()
        except UnicodeEncodeError:
            return np.array([_has_surrogate(text) for text in whole.split(SEPARATOR)]), "characters"
        stream = read_markers(data, count)
        if stream.bad.any():
            return stream.bad, "control characters"
        ids, offsets = self.engine.encode(stream.data, count)
        if len(offsets) != count + 1:
            return np.ones(count, dtype=bool), "offsets"
        placed = place(stream, self.lengths.of(ids), offsets, exclude=self.straddle == "exclude")
        if placed.torn.any():
            return placed.torn, "offsets"
        unsure = self._unsure(placed, stream, ids, offsets)
        if unsure.any():
            return unsure, "straddles"
        batch.data, batch.ends = data, stream.text_ends
        batch.ids, batch.mask = ids.astype(np.int32), placed.mask
        batch.offsets, batch.straddles = offsets, placed.straddles
        return unsure, ""

    def _unsure(self, placed: Placed, stream: Stream, ids: Any, offsets: Any) -> Any:
        """The texts in which straddling decides: the exact path knows what is next to what."""
        if self.straddle == "include":
            return np.zeros(len(placed.straddles), dtype=bool)
        if self.straddle == "exclude":
            return placed.seams
        return (placed.straddles > 0) | placed.seams


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
