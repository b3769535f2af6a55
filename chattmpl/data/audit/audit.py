"""Audit a dataset: run all checks on each row, collect the findings by key, and report them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from typing import Any, Unpack

from chattmpl.conversation.models import Conversation
from chattmpl.data.audit.check import Check, RowFinding, all_checks, check_named, chosen
from chattmpl.data.audit.row_view import Background, RowView
from chattmpl.data.audit.totals import AuditSettings, SourceTotals, Totals
from chattmpl.data.encoder import Encoder
from chattmpl.data.fast.tokens import TokenizerHandle
from chattmpl.data.job.events import Watcher
from chattmpl.data.job.options import Options, ScanOptions
from chattmpl.data.reasoning_mode import find_switch, mode_of_kwarg, shown_mode
from chattmpl.data.survey import Data, ScannedRow, require_rows, survey
from chattmpl.data.template_notes import lacking_tokens
from chattmpl.diagnostic import SEVERITIES, DataDiagnostic, Example, Severity, wording
from chattmpl.encode import template_for
from chattmpl.errors import ChatTmplError
from chattmpl.probing import facts_of


class AuditOptions(ScanOptions, total=False):
    """The options of an audit: those of `ScanOptions`, and the thresholds of `AuditSettings`."""

    max_length: int | None
    share_ratio: float
    share_points: float
    hybrid: bool | None
    examples: int
    tolerated: Mapping[str, float]


class AuditError(ChatTmplError, AssertionError):
    """An audit found something that a test does not allow."""


@dataclass(frozen=True)
class AuditReport:
    """The findings of an audit.

    Attributes:
        findings: the most severe first, then by code.
        rows: the number of conversations that were checked.
        encoded: the number of those that can be encoded.
        tokens: the number of tokens of their encoded rows.
    """

    findings: tuple[DataDiagnostic, ...]
    rows: int
    encoded: int
    tokens: int

    def __iter__(self) -> Iterator[DataDiagnostic]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    @property
    def failed(self) -> bool:
        """Whether there are errors or warnings."""
        return any(finding.severity != "info" for finding in self.findings)

    def of(self, which: str) -> tuple[DataDiagnostic, ...]:
        """Return the findings of a check, by its code or name, or of a group of codes."""
        return tuple(found for found in self.findings if found.code.startswith(which) or found.name == which)

    def count(self, which: str) -> int:
        """Return the number of rows with findings of a check, summed over its findings."""
        return sum(found.count for found in self.of(which))

    def raise_if(self, severity: Severity = "warning", *, ignore: Iterable[str] = ()) -> None:
        """Raise an error if there are findings, for use in tests.

        Args:
            severity: the lowest severity that counts.
            ignore: codes, or prefixes of codes, that do not count.

        Raises:
            AuditError: an ``AssertionError`` that lists all findings that count.
        """
        least, without = SEVERITIES.index(severity), tuple(ignore)
        counting = [
            found
            for found in self.findings
            if SEVERITIES.index(found.severity) <= least and not (without and found.code.startswith(without))
        ]
        if counting:
            listed = "".join(f"\n  {found}\n    hint: {found.hint}" for found in counting)
            raise AuditError(f"the audit found {len(counting)} in {self.rows:,} rows:{listed}")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        counts = {"rows": self.rows, "encoded": self.encoded, "tokens": self.tokens}
        return {**counts, "findings": [found.to_dict() for found in self.findings]}


def audit(
    data: Data,
    template: Any,
    tokenizer: Any,
    *,
    retention: str | None = None,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    sample: int | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
    **options: Unpack[AuditOptions],
) -> AuditReport:
    """Find defects of a data set that would harm training.

    Args:
        data: files, folders, patterns, a mixture; or records, a ``datasets.Dataset``, or several of them by name.
        template: a `Template`, or what `Template.load` takes.
        tokenizer: what `chattmpl.encode.load_tokenizer` takes.
        retention: which earlier reasoning traces are rendered.
        select: codes, prefixes of codes, or names of the checks to run; all by default.
        ignore: likewise, the checks not to run.
        sample: check only this number of rows of each source, spread over the source.
        workers: the number of processes; chosen by the size of the data if None.
        watcher: receives the progress.
        **options: see `AuditOptions`.

    Raises:
        ConversationError: data are missing, unreadable or empty.
        UsageError: an option or a check does not exist.
        TemplateError, EncodeError: the template or the tokenizer cannot be used.
    """
    given: dict[str, Any] = {**options}
    names = [setting.name for setting in fields(AuditSettings)]
    settings = AuditSettings(**{name: given.pop(name) for name in names if name in given})
    tolerated = {check_named(code).code: share for code, share in settings.tolerated.items()}
    settings = replace(settings, tolerated=tolerated)
    checks = chosen(select, ignore)
    loaded = template_for(template, tokenizer, retention)
    facts = facts_of(loaded)
    missing = lacking_tokens(loaded, TokenizerHandle(tokenizer))
    background = Background(
        settings, find_switch(loaded), facts.fixed_text.default, bool(facts.rewritten_answers), missing
    )
    visitor = _Auditor([check.code for check in checks], background)
    amount: dict[str, Any] = {"sample": sample, "workers": workers, "watcher": watcher}
    # The checks report what the notes on the template would.
    found = survey(data, loaded, tokenizer, visitor, Options(**given), template_notes=False, **amount)
    totals = found.seen.totals
    require_rows(totals.rows)
    totals.sources = {name: totals.sources[name] for name in found.sources if name in totals.sources}
    findings = [finding for check in checks for finding in _findings(check, found.seen, settings)]
    findings.sort(key=lambda finding: (SEVERITIES.index(finding.severity), finding.code))
    encoded = sum(source.encoded for source in totals.sources.values())
    return AuditReport(tuple(findings), totals.rows, encoded, totals.tokens)


def _findings(check: Check, seen: Audited, settings: AuditSettings) -> Iterator[DataDiagnostic]:
    def finding(
        key: str, count: int, severity: Severity | None, *, kind: str, detail: str = "", hint: Any = None, **more: Any
    ) -> DataDiagnostic:
        share = round(count / seen.totals.rows, 6)
        tolerated = share <= settings.tolerated.get(check.code, -1.0)
        data = {"key": key, "detail": detail}
        pattern = check.message if isinstance(check.message, str) else check.message[kind]
        return DataDiagnostic(
            code=check.code,
            severity="info" if tolerated else severity or check.severity,
            message=wording(pattern, data),
            hint=hint or check.hint,
            kind=kind,
            data=data,
            name=check.name,
            key=key,
            count=count,
            share=share,
            unit=check.unit,
            **more,
        )

    found = [(key, some) for (code, key), some in seen.findings.items() if code == check.code]
    for key, some in sorted(found, key=lambda pair: (-pair[1].rows, pair[0])):
        more: dict[str, Any] = {"amount": some.amount, "examples": tuple(some.examples), "sources": dict(some.sources)}
        yield finding(key, some.rows, some.severity, kind=key, hint=some.hint, **more)
    for one in check.check_dataset(seen.totals, settings):
        examples = one.examples[: settings.examples]
        more = {"amount": one.rows, "examples": tuple(examples), "sources": dict(one.sources)}
        kind = one.key if one.kind is None else one.kind
        yield finding(one.key, one.rows, one.severity, kind=kind, detail=one.detail, **more)


# -- the rows


@dataclass
class Gathered:
    """The findings of a check with one key.

    Attributes:
        amount: the number of occurrences.
        examples: the first rows.
        sources: the number of rows in each source.
        severity, hint: those of the first, if not those of the check.
    """

    severity: Severity | None = None
    hint: str | None = None
    rows: int = 0
    amount: int = 0
    examples: list[Example] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)


@dataclass
class Audited:
    """The result of a visit: findings by code and key, and the totals."""

    totals: Totals
    findings: dict[tuple[str, str], Gathered] = field(default_factory=dict)


class _Auditor:
    """The visitor that runs the checks.

    Args:
        codes: the codes of the checks.
        background: the values that are the same for all rows.
    """

    keep = ("text", "generated")

    def __init__(self, codes: Sequence[str], background: Background) -> None:
        self.codes, self.background = tuple(codes), background

    def start(self) -> Audited:
        return Audited(Totals(self.background.switch))

    def merge(self, seen: Audited, more: Audited) -> None:
        most = self.background.settings.examples
        for key, some in more.findings.items():
            known = seen.findings.setdefault(key, Gathered(some.severity, some.hint))
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
            if scanned.encoded:
                source.drawn += 1
                source.tokens += sum(map(len, scanned.encoded))
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
                known = seen.findings.setdefault((code, one.key), Gathered(one.severity, one.hint))
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
        totals.digests.add(view.scanned, _digest(_said(view.conversation)), _digest("\0".join(view.texts)))


def _is_multi(view: RowView) -> bool:
    """Return whether the assistant answers more than one message of the user."""
    users = list(accumulate(message.get("role") == "user" for message in view.messages))
    return len({users[index - 1] for index, _ in view.asked if index}) > 1


def _said(conversation: Conversation) -> str:
    return json.dumps(conversation.to_template_input(), sort_keys=True, default=repr)


def _digest(text: str) -> int:
    found = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "little")


def _example(scanned: ScannedRow, detail: Any = "") -> Example:
    return Example(scanned.file, scanned.line, scanned.number, str(detail))
