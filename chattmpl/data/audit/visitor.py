"""The visitor of an audit: run each check on each row, and collect the findings by key."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.data.audit.check import RowFinding, all_checks
from chattmpl.data.audit.row_view import Background, RowView
from chattmpl.data.audit.totals import SourceTotals, Totals
from chattmpl.data.encoder import Encoder
from chattmpl.data.reasoning_mode import mode_of_kwarg, shown_mode
from chattmpl.data.survey import ScannedRow
from chattmpl.diagnostic import Example, Severity


@dataclass
class Gathered:
    """The findings of a check with one key.

    Attributes:
        rows: the number of rows.
        amount: the number of occurrences.
        examples: the first rows.
        sources: the number of rows in each source.
        severity: the severity, if not that of the check.
    """

    severity: Severity | None = None
    rows: int = 0
    amount: int = 0
    examples: list[Example] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)


@dataclass
class Audited:
    """The result of a visit: findings by code and key, and the totals."""

    totals: Totals
    findings: dict[tuple[str, str], Gathered] = field(default_factory=dict)


class Auditing:
    """The visitor.

    Args:
        codes: the codes of the checks.
        background: the values that are the same for all rows.
    """

    keep = ("text",)

    def __init__(self, codes: Sequence[str], background: Background) -> None:
        self.codes, self.background = tuple(codes), background

    def start(self) -> Audited:
        """Return an empty result."""
        return Audited(Totals(self.background.switch))

    def merge(self, seen: Audited, more: Audited) -> None:
        """Add the result of later rows."""
        most = self.background.settings.examples
        for key, some in more.findings.items():
            known = seen.findings.setdefault(key, Gathered(some.severity))
            known.rows, known.amount = known.rows + some.rows, known.amount + some.amount
            known.examples = [*known.examples, *some.examples][:most]
            known.sources.update(some.sources)
        for name, source in more.totals.sources.items():
            seen.totals.sources.setdefault(name, SourceTotals()).add(source, most)
        seen.totals.digests.join(more.totals.digests)

    def visit(self, seen: Audited, rows: Sequence[ScannedRow], encoder: Encoder) -> None:
        """Check some rows; rows that a mixture repeats count only for the shares."""
        checks = [all_checks()[code] for code in self.codes]
        for scanned in rows:
            source = seen.totals.sources.setdefault(scanned.source, SourceTotals())
            if scanned.row is not None:
                source.drawn += 1
                source.tokens += len(scanned.row)
            if scanned.repeated:
                continue
            view = RowView(scanned, encoder, self.background)
            self._count(seen.totals, source, view)
            for check in checks:
                if view.encodable or not check.needs_row:
                    self._gather(seen, scanned, check.code, list(check.check_row(view)))

    def _gather(self, seen: Audited, scanned: ScannedRow, code: str, found: list[RowFinding]) -> None:
        """Add the findings in a row, which counts once for each key."""
        amounts: Counter[str] = Counter()
        for one in found:
            if one.key not in amounts:
                known = seen.findings.setdefault((code, one.key), Gathered(one.severity))
                known.rows += 1
                known.sources[scanned.source] += 1
                if len(known.examples) < self.background.settings.examples:
                    known.examples.append(_example(scanned, one.detail))
            amounts[one.key] += one.amount
        for key, amount in amounts.items():
            seen.findings[code, key].amount += amount

    def _count(self, totals: Totals, source: SourceTotals, view: RowView) -> None:
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


def _is_multi(view: RowView) -> bool:
    """Return whether the assistant answers more than one message of the user."""
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
