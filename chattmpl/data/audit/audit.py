"""The audit of a data set: all checks, and a report of their findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from chattmpl.data.audit.check import Check, check_named, chosen
from chattmpl.data.audit.row_view import Background
from chattmpl.data.audit.settings import AuditSettings
from chattmpl.data.audit.visitor import Audited, Auditing
from chattmpl.data.job import Options, Watcher
from chattmpl.data.reasoning_mode import find_switch
from chattmpl.data.survey import Data, require_rows, survey
from chattmpl.diagnostic import SEVERITIES, DataDiagnostic, Severity, wording
from chattmpl.errors import ChatTmplError
from chattmpl.probing import facts_of
from chattmpl.template.template import Template

_SETTINGS = tuple(setting.name for setting in fields(AuditSettings))


class AuditError(ChatTmplError, AssertionError):
    """An audit found something that a test does not allow."""


@dataclass(frozen=True)
class AuditReport:
    """The findings of an audit.

    Attributes:
        findings: the most severe first, then by code.
        rows: the number of rows that were checked.
        encoded: the number of rows that can be encoded.
        tokens: the number of tokens in these.
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
    **options: Any,
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
        **options: the thresholds of `AuditSettings` (``max_length``, ``share_ratio``, ``share_points``, ``hybrid``,
            ``examples``, ``tolerated``), and ``shape``, ``template_kwargs``, ``clock``, ``straddle``,
            ``control_tokens``, ``mask``, ``fast``, ``seed``, ``limit``, as for `chattmpl.data.job.encode_dataset`.

    Raises:
        ConversationError: data are missing, unreadable or empty.
        UsageError: an option or a check does not exist.
        TemplateError, EncodeError: the template or the tokenizer cannot be used.
    """
    settings = AuditSettings(**{name: options.pop(name) for name in _SETTINGS if name in options})
    tolerated = {check_named(code).code: share for code, share in settings.tolerated.items()}
    settings = replace(settings, tolerated=tolerated)
    checks = chosen(select, ignore)
    loaded = template if isinstance(template, Template) else Template.load(template)
    loaded = loaded if retention is None else loaded.with_retention(retention)
    background = Background(settings, find_switch(loaded), facts_of(loaded).fixed_text.default)
    visitor = Auditing([check.code for check in checks], background)
    found = survey(
        data, loaded, tokenizer, visitor, Options(**options), sample=sample, workers=workers, watcher=watcher
    )
    totals = found.seen.totals
    require_rows(totals.rows)
    totals.sources = {name: totals.sources[name] for name in found.sources if name in totals.sources}
    findings = [finding for check in checks for finding in _findings(check, found.seen, settings)]
    findings.sort(key=lambda finding: (SEVERITIES.index(finding.severity), finding.code))
    encoded = sum(source.encoded for source in totals.sources.values())
    return AuditReport(tuple(findings), totals.rows, encoded, totals.tokens)


def _findings(check: Check, seen: Audited, settings: AuditSettings) -> Iterator[DataDiagnostic]:
    def finding(
        key: str, count: int, severity: Severity | None, *, kind: str, detail: str = "", **more: Any
    ) -> DataDiagnostic:
        share = round(count / seen.totals.rows, 6)
        tolerated = share <= settings.tolerated.get(check.code, -1.0)
        data = {"key": key, "detail": detail}
        pattern = check.message if isinstance(check.message, str) else check.message[kind]
        return DataDiagnostic(
            code=check.code,
            severity="info" if tolerated else severity or check.severity,
            message=wording(pattern, data),
            hint=check.hint,
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
        yield finding(key, some.rows, some.severity, kind=key, **more)
    for one in check.check_dataset(seen.totals, settings):
        examples = one.examples[: settings.examples]
        more = {"amount": one.rows, "examples": tuple(examples), "sources": dict(one.sources)}
        kind = one.key if one.kind is None else one.kind
        yield finding(one.key, one.rows, one.severity, kind=kind, detail=one.detail, **more)
