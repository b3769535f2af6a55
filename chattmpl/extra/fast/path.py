"""The fast path: rows that are ready to be rendered in, tokens and masks out, as one stretch of memory.

A row that it is not sure of is left to the exact path, with the reason.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chattmpl.extra.fast.characters import has_new_characters
from chattmpl.extra.fast.control import ControlScan
from chattmpl.extra.fast.jinja import Renderer
from chattmpl.extra.fast.lowering import CLOSE, OPEN, RESERVED, SEPARATOR
from chattmpl.extra.fast.placing import Placed, Stream, place, read_markers
from chattmpl.extra.fast.rows import Prepared
from chattmpl.extra.fast.tokens import TokenEngine, TokenLengths

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
        texts: for each row, the text with markers.
        left: reasons by index of the rows that are left to the exact path.
        rendered_by: how many rows each renderer rendered.
    """

    rows: list[int] = field(default_factory=list)
    ids: Any = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    mask: Any = field(default_factory=lambda: np.zeros(0, dtype=np.uint8))
    offsets: Any = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    straddles: Any = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    texts: list[str] = field(default_factory=list)
    left: dict[int, str] = field(default_factory=dict)
    rendered_by: dict[str, int] = field(default_factory=dict)


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

    def encode(self, rows: Sequence[Prepared | None]) -> FastBatch:
        """The rows that can be encoded; those that are None are passed over."""
        batch = FastBatch()
        texts: list[str] = []
        for index, row in enumerate(rows):
            if row is None:
                continue
            text = self._text(row, batch, index)
            if text is not None:
                batch.rows.append(index)
                texts.append(text)
        self._encode(batch, texts)
        return batch

    def render(self, row: Prepared, level: Level) -> str:
        """The text of a row with markers; raises anything where the renderer cannot."""
        variables: dict[str, Any] = {**self.constants, **row.kwargs, **self.overrides}
        variables["messages"] = row.messages
        variables["tools"] = row.tools
        variables["documents"] = row.documents
        variables["add_generation_prompt"] = False
        return level.renderer.render(variables)

    def left_out(self, row: Prepared, text: str) -> bool:
        """Whether a row is left to the exact path, whatever its text with markers."""
        controls = any(char < " " and char not in _KNOWN for char in set(text))
        return controls or self._doubt(row) is not None or self._recomposed(text)

    def _text(self, row: Prepared, batch: FastBatch, index: int) -> str | None:
        """The text of a row, or None, with the reason noted."""
        reason = self._doubt(row)
        if reason is None:
            for level in self.levels:
                if level.avoid & row.features:
                    continue
                try:
                    text = self.render(row, level)
                    if not self._recomposed(text):
                        name = level.renderer.name
                        batch.rendered_by[name] = batch.rendered_by.get(name, 0) + 1
                        return text
                    reason = "another form of characters"
                except Exception:  # whatever it is, the exact path says it well
                    reason = "cannot be rendered"
                break
            else:
                reason = "features"
        batch.left[index] = reason
        return None

    def _recomposed(self, text: str) -> bool:
        """Whether the tokenizer brings the text into another form."""
        return self.composes and not text.isascii() and not unicodedata.is_normalized("NFC", text)

    def _doubt(self, row: Prepared) -> str | None:
        leaves = row.leaves
        if row.flagged:
            return "flags"
        if OPEN in leaves or CLOSE in leaves or SEPARATOR in leaves:
            return "control characters"
        if self.scan is not None and self.scan.found(leaves):
            return "control tokens"
        try:
            if has_new_characters(leaves):
                return "characters"
        except UnicodeEncodeError:  # half a surrogate pair, for which minijinja writes another character
            return "characters"
        if row.kwargs and any(name.startswith(RESERVED) or type(name) is not str for name in row.kwargs):
            return "cannot be rendered"
        return None

    def _encode(self, batch: FastBatch, texts: list[str]) -> None:
        """Encodes the texts, again and without those that turn out to be bad ones, if there are such."""
        while texts:
            bad, reason = self._attempt(batch, texts)
            if not bad.any():
                return
            batch.left.update((row, reason) for row, wrong in zip(batch.rows, bad, strict=True) if wrong)
            texts = [text for text, wrong in zip(texts, bad, strict=True) if not wrong]
            batch.rows = [row for row, wrong in zip(batch.rows, bad, strict=True) if not wrong]

    def _attempt(self, batch: FastBatch, texts: list[str]) -> tuple[Any, str]:
        """Fills the batch; or tells which texts are bad, and why."""
        try:
            stream = read_markers(texts)
        except UnicodeEncodeError:
            return np.array([_has_surrogate(text) for text in texts]), "characters"
        if stream.bad.any():
            return stream.bad, "control characters"
        ids, offsets = self.engine.encode(stream.data, len(texts))
        if len(offsets) != len(texts) + 1:
            return np.ones(len(texts), dtype=bool), "offsets"
        placed = place(stream, self.lengths.of(ids), offsets, exclude=self.straddle == "exclude")
        if placed.torn.any():
            return placed.torn, "offsets"
        unsure = self._unsure(placed, stream, ids, offsets)
        if unsure.any():
            return unsure, "straddles"
        batch.texts, batch.ids, batch.mask = texts, ids.astype(np.int32), placed.mask
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
