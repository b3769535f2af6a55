"""The looker of an audit: each kind looks at each row, and what it notes is gathered."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.data.audit.check import Note, all_kinds
from chattmpl.data.audit.finding import Example
from chattmpl.data.audit.row_view import Background, View
from chattmpl.data.audit.totals import SourceTotals, Totals
from chattmpl.data.encoder import Encoder
from chattmpl.data.reasoning_mode import mode_of_kwarg, shown_mode
from chattmpl.data.survey import ScannedRow


@dataclass
class Gathered:
    """The notes of one key.

    Attributes:
        rows: in how many rows.
        amount: how often.
        examples: the first ones.
        sources: in how many rows of each source.
    """

    rows: int = 0
    amount: int = 0
    examples: list[Example] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)


@dataclass
class Audited:
    """What was seen: notes by code and key, and the totals."""

    totals: Totals
    notes: dict[tuple[str, str], Gathered] = field(default_factory=dict)


class Auditing:
    """The looker.

    Args:
        codes: of the kinds that look.
        background: what they all know.
    """

    keep = ("text",)

    def __init__(self, codes: Sequence[str], background: Background) -> None:
        self.codes, self.background = tuple(codes), background

    def start(self) -> Audited:
        """Nothing was seen."""
        return Audited(Totals(self.background.switch))

    def merge(self, seen: Audited, more: Audited) -> None:
        """Adds what was seen of the rows behind."""
        most = self.background.settings.examples
        for key, some in more.notes.items():
            known = seen.notes.setdefault(key, Gathered())
            known.rows, known.amount = known.rows + some.rows, known.amount + some.amount
            known.examples = [*known.examples, *some.examples][:most]
            known.sources.update(some.sources)
        for name, source in more.totals.sources.items():
            seen.totals.sources.setdefault(name, SourceTotals()).add(source, most)
        seen.totals.digests.join(more.totals.digests)

    def visit(self, seen: Audited, rows: Sequence[ScannedRow], encoder: Encoder) -> None:
        """Looks at some rows; at those that a mixture repeats, only for the shares."""
        looking = [all_kinds()[code] for code in self.codes]
        for scanned in rows:
            source = seen.totals.sources.setdefault(scanned.source, SourceTotals())
            if scanned.row is not None:
                source.drawn += 1
                source.tokens += len(scanned.row)
            if scanned.repeated:
                continue
            view = View(scanned, encoder, self.background)
            self._count(seen.totals, source, view)
            for kind in looking:
                if view.encodable or not kind.needs_row:
                    self._gather(seen, scanned, kind.code, list(kind.row(view)))

    def _gather(self, seen: Audited, scanned: ScannedRow, code: str, notes: list[Note]) -> None:
        """One row counts once for each key."""
        amounts: Counter[str] = Counter()
        for note in notes:
            if note.key not in amounts:
                known = seen.notes.setdefault((code, note.key), Gathered())
                known.rows += 1
                known.sources[scanned.source] += 1
                if len(known.examples) < self.background.settings.examples:
                    known.examples.append(_example(scanned, note.detail))
            amounts[note.key] += note.amount
        for key, amount in amounts.items():
            seen.notes[code, key].amount += amount

    def _count(self, totals: Totals, source: SourceTotals, view: View) -> None:
        source.rows += 1
        if not view.encodable or view.conversation is None:
            return
        source.encoded += 1
        shown = shown_mode(view.messages)
        source.modes[shown] += 1
        asked = {mode for _, mode in view.asked if mode} or {mode_of_kwarg(view.kwargs, view.switch) or shown}
        source.asked["mixed" if len(asked) > 1 else asked.pop()] += 1
        multi = _is_multi(view)
        source.multi += multi
        if view.thinking:
            source.reasoning += 1
            source.reasoning_multi += multi
            if len(source.first_reasoning) < self.background.settings.examples:
                source.first_reasoning.append(_example(view.scanned))
        totals.digests.add(view.scanned, _digest(_said(view.conversation)), _digest(view.text))


def _is_multi(view: View) -> bool:
    """Whether the assistant answers more than one message of the user."""
    answered = {
        sum(message.get("role") == "user" for message in view.messages[:index]) for index, _ in view.asked if index
    }
    return len(answered) > 1


def _said(conversation: Conversation) -> str:
    return json.dumps(conversation.to_template_input(), sort_keys=True, default=repr)


def _digest(text: str) -> int:
    found = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "little")


def _example(scanned: ScannedRow, detail: Any = "") -> Example:
    return Example(scanned.file, scanned.line, scanned.number, str(detail))
