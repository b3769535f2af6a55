"""Encoded rows: one row, a rejection, and many rows in a few arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np

from chattmpl.conversation.validation_errors import FieldError, dotted
from chattmpl.encode.encoding import IGNORE_INDEX
from chattmpl.errors import BudgetError, ChatTmplError, ConversationError, EncodeError, RenderError, RunawayError


class RejectionReason(StrEnum):
    """The kind of reason for which a conversation, or a part of it, gives no row."""

    JSON = "json"
    """The line is not JSON."""
    CONVERSATION = "conversation"
    """It is not a conversation, or a field is wrong."""
    RENDER = "render"
    """The template refuses it."""
    BUDGET = "budget"
    """It needs more time, memory or depth than is available."""
    ENCODE = "encode"
    """The text cannot be encoded."""
    TOO_LONG = "too-long"
    """The row has more tokens than allowed."""
    NOTHING_TO_TRAIN = "nothing-to-train"
    """No token of the row is trained."""
    ERROR = "error"
    """Any other error."""


_REASONS: tuple[tuple[type[ChatTmplError], RejectionReason], ...] = (
    (BudgetError, RejectionReason.BUDGET),
    (ConversationError, RejectionReason.CONVERSATION),
    (RenderError, RejectionReason.RENDER),
    (EncodeError, RejectionReason.ENCODE),
)

_LIMITS: tuple[tuple[type[Exception], str], ...] = (
    (MemoryError, "it needs more memory than is available"),
    (RecursionError, "it is nested too deeply"),
)

_Made = TypeVar("_Made")


@dataclass(slots=True, eq=False)
class Row:
    """An encoded conversation, or a part of one.

    Attributes:
        input_ids: the tokens, an array of int32.
        mask: 1 for each token that is trained, else 0, an array of uint8.
        straddles: number of edges of generated spans inside a token.
        escaped: number of control tokens in the texts of messages that were encoded as ordinary text.
        unknown: number of texts that the tokenizer does not know.
        text: the rendered text, if the encoder was asked to keep it.
        generated: the generated character ranges, if the encoder was asked to keep them.
        message_index: for each token the index of the message in whose turn it starts, -1 outside of turns, an array
            of int32, if the encoder was asked to keep it.
    """

    input_ids: Any
    mask: Any
    straddles: int = 0
    escaped: int = 0
    unknown: int = 0
    text: str | None = None
    generated: tuple[tuple[int, int], ...] | None = None
    message_index: Any = None

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def trained(self) -> int:
        """Number of trained tokens."""
        return int(self.mask.sum())

    def labels(self, ignore_index: int = IGNORE_INDEX) -> Any:
        """Return the ids of trained tokens and ``ignore_index`` for the others, an array of int32."""
        return np.where(self.mask, self.input_ids, np.int32(ignore_index))

    def cut(self, length: int) -> Row:
        """Return the first tokens."""
        index = None if self.message_index is None else self.message_index[:length]
        return replace(self, input_ids=self.input_ids[:length], mask=self.mask[:length], message_index=index)


@dataclass(frozen=True, slots=True)
class Rejection:
    """The reason why a conversation, or a part of it, gives no row.

    Attributes:
        reason: the kind of reason.
        message: what is wrong, for people.
        place: the wrong field, as in ``messages[1].content``, or the place in the template that refused the
            conversation.
        hint: how to fix it, if known.
    """

    reason: RejectionReason
    message: str
    place: str | None = None
    hint: str | None = None

    @classmethod
    def from_error(cls, error: BaseException) -> Rejection:
        """Return the rejection for any error that a row caused."""
        if not isinstance(error, ChatTmplError):
            for kind, problem in _LIMITS:
                if isinstance(error, kind):
                    return cls(RejectionReason.BUDGET, problem)
            # These say what is wrong with a value. All others are bugs, which must not stop the other rows.
            hint = None if isinstance(error, (OverflowError, UnicodeError)) else "please report it"
            return cls(RejectionReason.ERROR, f"{type(error).__name__}: {error}", hint=hint)
        reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), RejectionReason.ERROR)
        place = str(error.place) if error.place is not None else None
        if isinstance(error, FieldError) and error.path:
            place = dotted(error.path)
        return cls(reason, error.message, place, error.hint)


def attempt(step: Callable[..., _Made], *given: Any) -> _Made | Rejection:
    """Take one step of the work on one row: the boundary at which any error becomes the rejection of that row.

    Raises:
        RunawayError: the step exceeded its budget, as those of the rows before.
    """
    try:
        return step(*given)
    except RunawayError:
        raise
    except Exception as error:
        return Rejection.from_error(error)
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":  # a panic of a library in Rust is no exit of the process
            raise
        return Rejection.from_error(error)


NOTHING_TO_TRAIN = Rejection(
    RejectionReason.NOTHING_TO_TRAIN,
    "no token of the row is trained",
    hint="remove conversations without an answer, and check flags such as train: false",
)


class RowEncoder(Protocol):
    """An encoder of conversations, such as `chattmpl.data.encoder.Encoder`."""

    def encode_rows(self, conversations: Iterable[Any]) -> Sequence[list[Row] | Rejection]:
        """Return the rows of each conversation, or its rejection, in order."""


@dataclass(frozen=True)
class RowArrays:
    """Many rows in a few arrays, which can be written without a step in Python for each row.

    Attributes:
        input_ids: the tokens of all rows, one row after another, int32.
        mask: 1 for each token that is trained, else 0, uint8.
        offsets: offsets of the rows in these arrays, one more than there are rows, int64.
        straddles, escaped, unknown: for each row; see `Row`.
        extras: for each row, its optional attributes; empty if the encoder was asked to keep none.
    """

    input_ids: Any
    mask: Any
    offsets: Any
    straddles: Any
    escaped: Any
    unknown: Any
    extras: Sequence[dict[str, Any]] = field(default=())

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, rows: Sequence[Row], keep: Iterable[str] = ()) -> RowArrays:
        """Return rows as arrays, with the optional attributes named in ``keep``."""
        keep = tuple(keep)
        return cls(
            np.concatenate([np.zeros(0, dtype=np.int32), *(row.input_ids for row in rows)]),
            np.concatenate([np.zeros(0, dtype=np.uint8), *(row.mask for row in rows)]),
            np.cumsum([0, *map(len, rows)], dtype=np.int64),
            np.array([row.straddles for row in rows], dtype=np.int64),
            np.array([row.escaped for row in rows], dtype=np.int64),
            np.array([row.unknown for row in rows], dtype=np.int64),
            [{name: getattr(row, name) for name in keep} for row in rows] if keep else (),
        )

    @classmethod
    def join(cls, parts: Sequence[RowArrays]) -> RowArrays:
        """Join rows, at least one part."""

        def joined(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls(
            joined("input_ids"),
            joined("mask"),
            np.append(0, np.cumsum(joined("lengths"))),
            joined("straddles"),
            joined("escaped"),
            joined("unknown"),
            [extra for part in parts for extra in part.extras],
        )

    @property
    def lengths(self) -> Any:
        """The number of tokens of each row."""
        return np.diff(self.offsets)

    @property
    def trained(self) -> Any:
        """The number of trained tokens of each row."""
        sums = np.concatenate(([0], np.cumsum(self.mask, dtype=np.int64)))
        return np.diff(sums[self.offsets])

    def labels(self, ignore_index: int = IGNORE_INDEX) -> Any:
        """Return the ids of trained tokens and ``ignore_index`` for the others, for all rows."""
        return np.where(self.mask, self.input_ids, np.int32(ignore_index))

    def split(self, values: Any) -> list[Any]:
        """Split values of all tokens into rows, without a copy."""
        return [values[start:end] for start, end in pairwise(self.offsets.tolist())]

    def rows(self) -> list[Row]:
        """Return the rows one by one."""
        counts = (self.straddles.tolist(), self.escaped.tolist(), self.unknown.tolist())
        parts = zip(self.split(self.input_ids), self.split(self.mask), *counts, strict=True)
        if not self.extras:
            return [Row(*part) for part in parts]
        return [Row(*part, **extra) for part, extra in zip(parts, self.extras, strict=True)]

    def take(self, indices: Any) -> RowArrays:
        """Return some rows, in the order of their indices."""
        indices = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[indices]
        offsets = np.append(0, np.cumsum(lengths))
        tokens = np.arange(offsets[-1]) + np.repeat(self.offsets[indices] - offsets[:-1], lengths)
        extras = [self.extras[index] for index in indices.tolist()] if self.extras else ()
        counts = (self.straddles[indices], self.escaped[indices], self.unknown[indices])
        return RowArrays(self.input_ids[tokens], self.mask[tokens], offsets, *counts, extras)


def merge_rows(rows: Sequence[Row]) -> list[Row]:
    """Merge each row into a later one that begins with its tokens up to its last trained one."""
    merged: list[Row] = []
    for row in reversed(rows):
        end = int(np.flatnonzero(row.mask)[-1]) + 1 if row.trained else 0
        host = next((host for host in merged if np.array_equal(host.input_ids[:end], row.input_ids[:end])), None)
        if host is None:
            merged.append(row)
        else:
            host.mask[:end] |= row.mask[:end]
    return merged[::-1]


@dataclass(frozen=True)
class EncodedBatch:
    """The result for a batch of conversations.

    Attributes:
        count: number of conversations.
        kept: index of the conversation of each row, in order; a conversation may have several rows.
        rejected: the conversations that gave no row, by index.
    """

    count: int
    kept: list[int]
    rows: RowArrays
    rejected: dict[int, Rejection]

    def __len__(self) -> int:
        return len(self.kept)

    def in_order(self) -> list[list[Row] | Rejection]:
        """Return the rows of each conversation, or its rejection."""
        result: list[Any] = [self.rejected.get(index, []) for index in range(self.count)]
        for index, row in zip(self.kept, self.rows.rows(), strict=True):
            result[index].append(row)
        return result

    def with_rows(self, rows: dict[int, list[Row]], keep: Iterable[str]) -> EncodedBatch:
        """Insert rows, by the index of their conversation."""
        kept = [*self.kept, *(index for index, some in rows.items() for _ in some)]
        joined = RowArrays.join([self.rows, RowArrays.of([row for some in rows.values() for row in some], keep)])
        return replace(self, kept=sorted(kept), rows=joined.take(np.argsort(kept, kind="stable")))


def join_batches(parts: Sequence[EncodedBatch]) -> EncodedBatch:
    """Join batches of consecutive conversations."""
    if len(parts) == 1:
        return parts[0]
    kept: list[int] = []
    rejected: dict[int, Rejection] = {}
    first = 0
    for part in parts:
        kept += [first + index for index in part.kept]
        rejected.update((first + index, rejection) for index, rejection in part.rejected.items())
        first += part.count
    return EncodedBatch(first, kept, RowArrays.join([part.rows for part in parts]), rejected)
