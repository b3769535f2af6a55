"""The comparison with transformers, and the agreement of the entry points with each other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from support.reference import CLOCK
from zoo_parts.doors import FOUND_BY, MISSING, WITHOUT_ROWS, Result
from zoo_parts.models import Case
from zoo_parts.rows import Conversation

Rows = Mapping[int, "list[int] | str"]


class Verdict(StrEnum):
    """The comparison of one row with transformers."""

    EQUAL = "equal"
    """The ids are equal."""
    BOTH_REFUSE = "both refuse"
    """Both refuse the row."""
    REFUSED = "refused"
    """The row, or the case, is refused with a reason, and transformers renders it."""
    NOTED = "differs, noted"
    """The ids differ, and a note of the entry point says why."""
    ACCEPTED = "transformers refuses"
    """Only transformers refuses the row."""
    DIFFERS = "differs"
    """The ids differ, and nothing is said."""
    MISSING = "missing"
    """There is neither a row nor a reason."""
    CRASH = "crash"
    """There is an error that is not meant for users."""


WRONG = (Verdict.DIFFERS, Verdict.MISSING, Verdict.CRASH)
"""The verdicts that none of the rows may have."""

_ORDINARY = ("has no generation tags: it was annotated", "no fast path", "the template reads the clock")
"""Parts of notes that explain no difference."""


@dataclass(frozen=True)
class Judged:
    """The verdict on one row of one entry point, with the reason or the difference."""

    verdict: Verdict
    detail: str = ""


@cache
def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


class _FrozenClock(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> _FrozenClock:
        return cls(*CLOCK.timetuple()[:6], tzinfo=tz)


def reference(case: Case, conversations: list[Conversation]) -> dict[int, list[int] | str]:
    """Return the ids of transformers, or the text of its error, for each conversation."""
    import transformers.utils.chat_template_utils as utils

    tokenizer = _tokenizer(case.tokenizer)
    rows: dict[int, list[int] | str] = {}
    for index, each in enumerate(conversations):
        tools = each.get("tools")
        try:
            with mock.patch.object(utils, "datetime", _FrozenClock):
                encoded = tokenizer.apply_chat_template(
                    each["messages"], tools=tools, chat_template=case.text_for(tools), tokenize=True, return_dict=True
                )
            rows[index] = list(encoded["input_ids"])
        except Exception as error:
            rows[index] = f"{type(error).__name__}: {error}"
    return rows


def judge(case: Case, expected: Rows, result: Result) -> Iterator[tuple[int, Judged]]:
    """Yield the verdict on each conversation."""
    for index, truth in expected.items():
        yield index, _judge_row(case, index, truth, result)


def _judge_row(case: Case, index: int, truth: list[int] | str, result: Result) -> Judged:
    if result.crash is not None:
        return Judged(Verdict.CRASH, result.crash)
    reason = result.refused if result.refused is not None else result.rejected.get(index)
    if reason is not None:
        return Judged(Verdict.BOTH_REFUSE if isinstance(truth, str) else Verdict.REFUSED, reason)
    if index not in result.rows:
        return Judged(Verdict.MISSING)
    ids = result.rows[index][0]
    if isinstance(truth, str):
        return Judged(Verdict.ACCEPTED, truth)
    if ids == truth:
        return Judged(Verdict.EQUAL)
    notes = [note for note in result.notes if not any(part in note for part in _ORDINARY)]
    return Judged(Verdict.NOTED if notes else Verdict.DIFFERS, _difference(case, ids, truth) + "".join(notes[:1]))


def _difference(case: Case, ids: list[int], truth: list[int]) -> str:
    """Describe the first difference between the ids of a row and those of transformers."""
    same = next((at for at, (one, other) in enumerate(zip(ids, truth, strict=False)) if one != other), None)
    at = min(len(ids), len(truth)) if same is None else same
    tokenizer = _tokenizer(case.tokenizer)
    ours, theirs = (tokenizer.decode(each[at : at + 6]) for each in (ids, truth))
    return f"token {at}: {ours!r}, transformers {theirs!r}; "


def disagreements(results: Mapping[str, Result]) -> Iterator[str]:
    """Yield a sentence for each entry point whose rows or labels differ from those of the first."""
    yield from _other_findings(results)
    with_rows = [name for name in results if name not in WITHOUT_ROWS]
    if not with_rows:
        return
    first, *others = with_rows
    base = results[first]
    for name in others:
        other = results[name]
        if (base.refused is None) != (other.refused is None):
            refusing = first if base.refused is not None else name
            yield f"{first} and {name}: only {refusing} refuses: {base.refused or other.refused}"
        elif base.rows.keys() != other.rows.keys():
            yield f"{first} and {name}: other rows are rejected"
        elif any(base.rows[index][0] != other.rows[index][0] for index in base.rows):
            yield f"{first} and {name}: the ids differ"
        elif base.rows != other.rows:
            yield f"{first} and {name}: the labels differ"


def _other_findings(results: Mapping[str, Result]) -> Iterator[str]:
    """Yield a sentence for each difference between what ``encode``, ``train`` and ``audit`` say of the same data."""
    encode, audit, train = (results.get(name) for name in ("encode", "audit", "train"))
    if encode is None or encode.refused is not None:
        return
    if train is not None and train.refused is None and train.kinds != encode.kinds:
        yield f"encode and train: other notes: {sorted(encode.kinds ^ train.kinds)}"
    if audit is None:
        return
    if audit.refused is not None or audit.crash is not None:
        yield f"encode and audit: only audit refuses: {audit.refused or audit.crash}"
        return
    if audit.untrained != encode.untrained:
        yield f"encode and audit: other rows are not trained: {sorted(audit.untrained ^ encode.untrained)}"
    if audit.rejected.keys() != encode.rejected.keys() - encode.untrained:
        yield "encode and audit: other rows are rejected"
    if not encode.rows:
        return  # most checks of the audit need a row that can be encoded
    found = {code for codes in audit.kinds for code in codes}
    said = {code for codes in encode.kinds for code in codes}
    for codes in sorted(encode.kinds):
        if found.isdisjoint(codes):
            yield f"encode and audit: only encode reports {' or '.join(codes)}"
    comparable = {code for codes in (*FOUND_BY.values(), MISSING) for code in codes}
    serious = {codes[0] for codes in audit.kinds if "info" not in codes}
    for code in sorted(serious.intersection(comparable) - said):
        yield f"encode and audit: only audit reports {code}"
