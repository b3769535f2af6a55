"""The fast path: prepared rows in, tokens and masks out, in a few arrays.

Rows about which it is not sure are deferred to the exact path, with the reason.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from chattmpl.bounds import bounded
from chattmpl.budget import Budget
from chattmpl.data.fast.batch_masks import TextStream, TokenMasks, mask_tokens, parse_markers, split_at_spans
from chattmpl.data.fast.limits import RenderRefused
from chattmpl.data.fast.markers import CLOSE, OPEN, RESERVED, SEPARATOR
from chattmpl.data.fast.renderers import Renderer
from chattmpl.data.fast.rows import PreparedRow
from chattmpl.data.fast.text_checks import ControlTokenScanner, has_unassigned_characters
from chattmpl.data.fast.tokens import TokenEngine, TokenLengths
from chattmpl.data.rows import RowArrays
from chattmpl.data.sampled_rows import ManyTurnsError, PromptContradicted, RowPlanner, UnsureError, planned_texts
from chattmpl.errors import BudgetError

if TYPE_CHECKING:
    from chattmpl.parse.composition import Trace

_GROUP = 32
"""Number of rows that are checked together, and rendered while their texts are still in the processor's cache."""
_LONGEST = Budget.characters
"""Maximum length of a text in characters, as on the exact path."""
_FEW = 1000
"""Number of pieces of a text that are joined before it is measured."""

_ALLOWED_CONTROLS = frozenset(("\t", "\n", "\r", OPEN, CLOSE))


@dataclass
class FastBatch:
    """The result for some rows.

    Attributes:
        rows: index of the conversation of each row that was encoded, in order.
        arrays: their tokens and masks.
        data: the texts with markers in UTF-8, with `SEPARATOR` between them.
        ends: end of each text in ``data``.
        deferred: reasons by index of the rows that are left to the exact path.
        rendered_by: number of rows by renderer.
    """

    rows: list[int] = field(default_factory=list)
    arrays: RowArrays = field(default_factory=lambda: RowArrays.of([]))
    data: bytes = b""
    ends: Any = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    deferred: dict[int, str] = field(default_factory=dict)
    rendered_by: dict[str, int] = field(default_factory=dict)

    def text(self, place: int) -> str:
        """Return the text with markers of an encoded row."""
        start = self.ends[place - 1] + 1 if place else 0
        return self.data[start : self.ends[place]].decode()

    def tokens(self, place: int) -> tuple[list[int], list[int]]:
        """Return the tokens and the mask of an encoded row."""
        start, end = self.arrays.offsets[place], self.arrays.offsets[place + 1]
        return self.arrays.input_ids[start:end].tolist(), self.arrays.mask[start:end].tolist()

    def tails(self, size: int) -> list[bytes]:
        """Return the last ``size`` bytes of each text, fewer if it is shorter."""
        ends = self.ends.tolist()
        starts = chain((0,), (end + 1 for end in ends))
        return [self.data[max(start, end - size) : end] for start, end in zip(starts, ends, strict=False)]


@dataclass
class FastPath:
    """The fast path of one template with one tokenizer.

    Attributes:
        renderer: renders the texts.
        engine: encodes the texts.
        lengths: the bytes of each token.
        scanner: finds control tokens in the texts of rows; None where they are allowed.
        constants: variables of every row (special tokens), overridden by those of the row.
        overrides: variables of every row that override those of the row.
        composes: true if the tokenizer normalizes texts to NFC.
        straddle: see `chattmpl.encode.encode`.
        planner: plans the rows; None if each conversation is one row that the generation tags mark.
        trace_of: returns the texts around traces in the template, for conversations without or with tools.
        literals: the template's own texts.
        splits: leave rows to the exact path in which the tokenizer merges characters of a prompt and an earlier answer.
        runaway: true after a row that exceeded the bounds of this process; the exact path, which accounts for what a
            template does, renders all others.
    """

    renderer: Renderer
    engine: TokenEngine
    lengths: TokenLengths
    scanner: ControlTokenScanner | None
    constants: dict[str, Any]
    overrides: dict[str, Any]
    composes: bool
    straddle: str = "split"
    planner: RowPlanner | None = None
    trace_of: Callable[[bool], Trace | None] = lambda tools: None
    literals: str = ""
    splits: bool = False
    runaway: bool = False

    def encode(self, rows: Iterable[PreparedRow | None]) -> FastBatch:
        """Encode the rows that can be encoded; skip those that are None."""
        batch = FastBatch()
        texts: list[str] = []
        rest = iter(rows)
        first = 0
        while group := list(islice(rest, _GROUP)):
            contents = ["" if row is None else row.joined_texts for row in group]
            safe = self._all_safe(group, contents)
            with bounded():
                for index, (row, content) in enumerate(zip(group, contents, strict=True), first):
                    if row is None:
                        continue
                    reason = None if safe else self._reason_to_defer(row, content)
                    written = self._texts(row, len(content)) if reason is None else reason
                    if isinstance(written, str):
                        batch.deferred[index] = written
                        continue
                    texts += written
                    batch.rows += [index] * len(written)
            first += len(group)
        if batch.rows:
            self._encode(batch, SEPARATOR.join(texts))
        if batch.rows:
            batch.rendered_by = {self.renderer.name: len(set(batch.rows))}
        return batch

    def render(self, row: PreparedRow) -> list[str]:
        """Return the texts of a row with markers; raise any exception if the renderer fails."""
        return self._planned(row, self._write)

    def defers(self, row: PreparedRow, text: str | None = None) -> bool:
        """Return true if a row is left to the exact path, whatever the renderer; with ``text``, its rendered text."""
        content = row.joined_texts
        if self._reason_to_defer(row, content) is not None or self._is_recomposed(content if text is None else text):
            return True
        return text is not None and any(char < " " and char not in _ALLOWED_CONTROLS for char in set(text))

    def _planned(self, row: PreparedRow, write: Callable[[dict[str, Any]], str]) -> list[str]:
        """Return the texts of a row with markers, each rendered by ``write``."""
        variables = self._variables(row)
        if self.planner is None:
            return [write(variables)]

        def text_of(count: int, prompt: bool) -> str:
            return write({**variables, "messages": row.messages[:count], "add_generation_prompt": prompt})

        tools = row.tools is not None
        return planned_texts(
            self.planner,
            row.messages,
            text_of,
            tools=tools,
            trace_of=lambda: self.trace_of(tools),
            literals=self.literals,
        )

    def _variables(self, row: PreparedRow) -> dict[str, Any]:
        variables: dict[str, Any] = {**self.constants, **row.kwargs, **self.overrides}
        variables["messages"] = row.messages
        variables["tools"] = row.tools
        variables["documents"] = row.documents
        variables["add_generation_prompt"] = False
        return variables

    def _texts(self, row: PreparedRow, size: int) -> list[str] | str:
        """Return the texts of a row with this number of characters; or the reason if it cannot be rendered."""
        if self.runaway:
            return "cannot be rendered"
        try:
            return self._planned(row, lambda variables: self._write(variables, size))
        except PromptContradicted:
            return "prompts that history contradicts"
        except UnsureError:
            return "unclear completions"
        except ManyTurnsError:
            return "many turns"
        except Exception as error:  # the exact path reports it properly
            self.runaway = isinstance(error, (MemoryError, BudgetError))
            return "cannot be rendered"

    def _write(self, variables: dict[str, Any], size: int = 0) -> str:
        pieces: list[str] = []
        self.renderer.write(variables, pieces, size)
        if (len(pieces) > _FEW and sum(map(len, pieces)) > _LONGEST) or len(text := "".join(pieces)) > _LONGEST:
            raise RenderRefused
        return text

    def _is_recomposed(self, text: str) -> bool:
        """Return true if the tokenizer's normalization changes the text."""
        return self.composes and not text.isascii() and not unicodedata.is_normalized("NFC", text)

    # -- texts of the rows

    def _all_safe(self, rows: Sequence[PreparedRow | None], contents: list[str]) -> bool:
        """Return true if no row has a reason to be deferred; checked together, since most have none."""
        if any(row is not None and (row.flagged or row.kwargs) for row in rows):
            return False
        return self._reason_in("".join(contents)) is None

    def _reason_to_defer(self, row: PreparedRow, content: str) -> str | None:
        if row.flagged:
            return "flags"
        reason = self._reason_in(content)
        if reason is not None:
            return reason
        if row.kwargs and any(name.startswith(RESERVED) or type(name) is not str for name in row.kwargs):
            return "cannot be rendered"
        return None

    def _reason_in(self, texts: str) -> str | None:
        if OPEN in texts or CLOSE in texts or SEPARATOR in texts:
            return "control characters"
        if self.scanner is not None and self.scanner.matches(texts):
            return "control tokens"
        try:
            if has_unassigned_characters(texts):
                return "characters"
        except UnicodeEncodeError:  # a lone surrogate
            return "characters"
        return None

    # -- rendered texts

    def _encode(self, batch: FastBatch, whole: str) -> None:
        """Encode texts with markers and `SEPARATOR`s into a batch; if some are unusable, defer their rows and encode
        the others again.
        """
        texts: list[str] | None = None
        if self.composes and not whole.isascii():
            texts = whole.split(SEPARATOR)
            self._defer(batch, texts, [self._is_recomposed(text) for text in texts], "another form of characters")
        while batch.rows:
            bad, reason = self._attempt(batch, whole if texts is None else SEPARATOR.join(texts))
            if not bad.any():
                return
            texts = whole.split(SEPARATOR) if texts is None else texts
            self._defer(batch, texts, bad.tolist(), reason)

    def _defer(self, batch: FastBatch, texts: list[str], bad: list[bool], reason: str) -> None:
        """Remove the rows with bad texts."""
        if len(texts) != len(batch.rows):  # a text contains a separator, so texts cannot be assigned to rows
            bad = [True] * len(batch.rows)
            texts[:] = [""] * len(batch.rows)
        gone = {row for row, wrong in zip(batch.rows, bad, strict=True) if wrong}
        batch.deferred.update(dict.fromkeys(sorted(gone), reason))
        texts[:] = [text for text, row in zip(texts, batch.rows, strict=True) if row not in gone]
        batch.rows = [row for row in batch.rows if row not in gone]

    def _attempt(self, batch: FastBatch, whole: str) -> tuple[Any, str]:
        """Fill the batch, or return for each text whether it is bad, and the reason."""
        count = len(batch.rows)
        try:
            data = whole.encode()
        except UnicodeEncodeError:
            return np.array([_has_surrogate(text) for text in whole.split(SEPARATOR)]), "characters"
        stream = parse_markers(data, count)
        if stream.bad.any():
            return stream.bad, "control characters"
        if self.straddle == "split":
            pieces, ends = split_at_spans(stream)
            ids, offsets = self.engine.encode(pieces, int(ends[-1]))
            offsets = offsets[np.append(0, ends)] if len(offsets) == ends[-1] + 1 else offsets[:0]
        else:
            ids, offsets = self.engine.encode(stream.data, count)
        if len(offsets) != count + 1:
            return np.ones(count, dtype=bool), "offsets"
        masks = mask_tokens(stream, self.lengths.of(ids), offsets, exclude=self.straddle == "exclude")
        if masks.misaligned.any():
            return masks.misaligned, "offsets"
        undecided = self._undecided(masks)
        if undecided.any():
            return undecided, "straddles"
        if self.splits and (merged := self._merged(stream, ids, offsets)).any():
            return merged, "merged characters"
        batch.data, batch.ends = data, stream.text_ends
        # Rows with control tokens, or with text that the tokenizer does not know, were deferred.
        none = np.zeros(count, dtype=np.int64)
        batch.arrays = RowArrays(ids.astype(np.int32), masks.mask, offsets, masks.straddles, none, none)
        return undecided, ""

    def _merged(self, stream: TextStream, ids: Any, offsets: Any) -> Any:
        """Return the texts in which the prompt of the last span by itself has other tokens."""
        found = np.zeros(len(stream.sizes), dtype=bool)
        last = np.flatnonzero(np.diff(stream.rows, append=len(found)))
        several = last[np.bincount(stream.rows, minlength=len(found))[stream.rows[last]] > 1]
        if not len(several):
            return found
        rows = stream.rows[several]
        firsts = (np.cumsum(stream.sizes) - stream.sizes)[rows] + rows
        bounds = zip(firsts.tolist(), (stream.starts[several] + rows).tolist(), strict=True)
        prompts = [stream.data[first:end] for first, end in bounds]
        alone, ends = self.engine.encode(SEPARATOR.encode().join(prompts), len(prompts))
        for number, row in enumerate(rows.tolist()):
            prompt = alone[ends[number] : ends[number + 1]]
            found[row] = not np.array_equal(prompt, ids[offsets[row] : offsets[row] + len(prompt)])
        return found

    def _undecided(self, masks: TokenMasks) -> Any:
        """Return the texts whose masks depend on straddling tokens, which only the exact path can judge."""
        if self.straddle == "include":
            return np.zeros(len(masks.straddles), dtype=bool)
        if self.straddle == "exclude":
            return masks.adjacent
        return (masks.straddles > 0) | masks.adjacent


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
