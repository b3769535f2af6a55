"""Whether the fast path may be trusted with a template and a tokenizer: both paths on the same conversations.

Renderers are tried first, by their texts and generated spans; then the whole path, by its ids and masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from chattmpl.data.fast.markers import CLOSE, OPEN, Unfit
from chattmpl.data.fast.path import FastPath, Level
from chattmpl.data.fast.rows import FEATURE_NAMES, Prepared, prepare
from chattmpl.errors import ChatTmplError


@dataclass(frozen=True)
class Expected:
    """What the exact path makes of a probe.

    Attributes:
        record: the conversation.
        row: the same, ready to be rendered.
        text: what it renders to; None if it is refused.
        generated: the character ranges that the model samples, neighbours joined.
        ids, mask: its tokens; None if it is refused.
    """

    record: Any
    row: Prepared
    text: str | None
    generated: tuple[tuple[int, int], ...] = ()
    ids: list[int] | None = None
    mask: list[int] | None = None


Exact = Callable[[Any], tuple[str, tuple[tuple[int, int], ...], list[int], list[int]]]
"""The exact path: text, generated ranges, ids and mask of a record; raises errors of ours."""


def expectations(records: Iterable[Any], exact: Exact, path: FastPath) -> list[Expected]:
    """What the exact path makes of the probes, but for those that it will get anyway."""
    found = []
    for record in records:
        row = prepare(record)
        if path.passes_over(row):
            continue
        try:
            text, generated, ids, mask = exact(record)
        except ChatTmplError:
            found.append(Expected(record, row, None))
        else:
            found.append(Expected(record, row, text, joined(generated), ids, mask))
    return found


def trust(path: FastPath, expected: list[Expected]) -> list[str]:
    """Takes out of a path what it gets wrong: whole renderers, or features of rows.

    Returns:
        What was taken out, in words; nothing if all is well.

    Raises:
        Unfit: if nothing is left, or tokens differ.
    """
    notes: list[str] = []
    for level in list(path.levels):
        problem = _blame(path, level, expected, notes)
        if problem is not None:
            path.levels.remove(level)
            notes.append(f"{level.renderer.name} is not used: {problem}")
    if not path.levels:
        raise Unfit("; ".join(notes) or "there is no renderer")
    batch = path.encode([probe.row for probe in expected])
    if not batch.rows:
        raise Unfit(f"no row could be encoded ({', '.join(sorted(set(batch.left.values())))})")
    for place, index in enumerate(batch.rows):
        start, end = batch.offsets[place], batch.offsets[place + 1]
        difference = differs(expected[index], batch.ids[start:end].tolist(), batch.mask[start:end].tolist())
        if difference:
            raise Unfit(f"{path.engine.name} gives {difference}")
    return notes


def differs(probe: Expected, ids: list[int], mask: list[int]) -> str | None:
    """How tokens differ from what is expected, in words, or None."""
    if probe.ids is None or probe.mask is None:
        return "tokens for a conversation that the exact path refuses"
    if ids != probe.ids:
        at = next(
            (i for i, (a, b) in enumerate(zip(ids, probe.ids, strict=False)) if a != b), min(len(ids), len(probe.ids))
        )
        return f"other tokens, from token {at} on"
    if mask != probe.mask:
        at = next(i for i, (a, b) in enumerate(zip(mask, probe.mask, strict=True)) if a != b)
        return f"another mask, from token {at} on"
    return None


def _blame(path: FastPath, level: Level, expected: list[Expected], notes: list[str]) -> str | None:
    """Makes a level avoid the features of rows that it renders wrongly; says what is wrong if plain rows are."""
    wrong = [(probe, said) for probe in expected if (said := _wrong(path, level, probe)) is not None]
    right = [probe.row.features for probe in expected if not any(probe is other for other, _ in wrong)]
    for probe, said in sorted(wrong, key=lambda item: item[0].row.features.bit_count()):
        features = probe.row.features
        if level.avoid & features:
            continue
        # A feature is to blame if no row that has it was rendered well; else the rarest one is.
        bits = [bit for bit in FEATURE_NAMES if features & bit]
        if not bits:
            return said
        never = [bit for bit in bits if not any(other & bit for other in right)]
        blamed = (never or bits)[-1]
        level.avoid |= blamed
        notes.append(f"{level.renderer.name} is not used for rows with {FEATURE_NAMES[blamed]}: {said}")
    return None


def _wrong(path: FastPath, level: Level, probe: Expected) -> str | None:
    """What is wrong with the text of a probe; None if nothing is, or if the renderer refuses it by itself."""
    try:
        text = path.render(probe.row, level)
    except Exception:  # it goes to the exact path
        return None
    if path.left_out(probe.row, text):
        return None
    if probe.text is None:
        return f"it renders what the exact path refuses: {_shown(text)}"
    plain, generated = read_spans(text)
    if plain != probe.text:
        at = next((i for i, (a, b) in enumerate(zip(plain, probe.text, strict=False)) if a != b), 0)
        return f"it writes {_shown(plain[at:])} where the exact path writes {_shown(probe.text[at:])}"
    if generated != probe.generated:
        return f"the generated spans differ: {generated} and {probe.generated}"
    return None


def read_spans(text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """A text without its markers, and the character ranges between them, neighbours joined."""
    ranges: list[tuple[int, int]] = []
    pieces: list[str] = []
    length = 0
    for index, outside in enumerate(text.split(OPEN)):
        inside, _, rest = outside.partition(CLOSE) if index else ("", "", outside)
        if inside:
            ranges.append((length, length + len(inside)))
        pieces += [inside, rest]
        length += len(inside) + len(rest)
    return "".join(pieces), joined(ranges)


def joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges in order, those that touch made one."""
    result: list[tuple[int, int]] = []
    for start, end in ranges:
        if result and result[-1][1] == start:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return tuple(result)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
