"""An audit from its data to its report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from chattmpl.data.audit.check import Kind, chosen, kind_named
from chattmpl.data.audit.finding import SEVERITIES, Finding, Report, Severity
from chattmpl.data.audit.row_view import Background
from chattmpl.data.audit.settings import Settings
from chattmpl.data.audit.visitor import Audited, Auditing
from chattmpl.data.job import Options, Watcher
from chattmpl.data.reasoning_mode import find_switch
from chattmpl.data.survey import Data, require_rows, survey
from chattmpl.errors import ChatTmplError
from chattmpl.template.template import Template

_SETTINGS = tuple(setting.name for setting in fields(Settings))
_PROSE = re.compile(r"[A-Za-z][\w'’-]*(?:[,;:]? [\w'’-]+){2,}")
_QUESTION, _SYSTEM = "Question quince", "Behave like a badger"


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
) -> Report:
    """Finds what would go wrong in training on a data set.

    Args:
        data: files, folders, patterns, a mixture; or records, a ``datasets.Dataset``, or several of them by name.
        template: a `Template`, or what `Template.load` takes.
        tokenizer: what `chattmpl.encode.load_tokenizer` takes.
        retention: which earlier reasoning traces are rendered.
        select: codes, beginnings of codes, or names of the kinds of findings that are looked for; all if none.
        ignore: likewise those that are not.
        sample: look at so many rows of each source only, spread over all of it.
        workers: how many processes; as many as pay if None.
        watcher: is told how it goes.
        **options: the thresholds of `Settings` (``max_length``, ``share_ratio``, ``share_points``, ``hybrid``,
            ``examples``, ``tolerated``), and ``shape``, ``template_kwargs``, ``clock``, ``straddle``,
            ``control_tokens``, ``mask``, ``fast``, ``seed``, ``limit``, as for `chattmpl.data.job.encode`.

    Raises:
        ConversationError: data are missing, unreadable or empty.
        UsageError: something is asked for that does not exist.
        TemplateError, EncodeError: the template or the tokenizer cannot be used.
    """
    settings = Settings(**{name: options.pop(name) for name in _SETTINGS if name in options})
    settings = Settings(
        **{
            **{name: getattr(settings, name) for name in _SETTINGS},
            "tolerated": {kind_named(code).code: share for code, share in settings.tolerated.items()},
        }
    )
    looking = chosen(select, ignore)
    loaded = template if isinstance(template, Template) else Template.load(template)
    loaded = loaded if retention is None else loaded.with_retention(retention)
    background = Background(settings, find_switch(loaded), default_system(loaded))
    looker = Auditing([kind.code for kind in looking], background)
    found = survey(data, loaded, tokenizer, looker, Options(**options), sample=sample, workers=workers, watcher=watcher)
    totals = found.seen.totals
    require_rows(totals.rows)
    totals.sources = {name: totals.sources[name] for name in found.sources if name in totals.sources}
    findings = [finding for kind in looking for finding in _findings(kind, found.seen, settings)]
    findings.sort(key=lambda finding: (SEVERITIES.index(finding.severity), finding.code))
    encoded = sum(source.encoded for source in totals.sources.values())
    return Report(tuple(findings), totals.rows, encoded, totals.tokens)


def _findings(kind: Kind, seen: Audited, settings: Settings) -> Iterator[Finding]:
    rows = seen.totals.rows

    def finding(key: str, count: int, severity: Severity, message: str, **more: Any) -> Finding:
        share = round(count / rows, 6)
        if share <= settings.tolerated.get(kind.code, -1.0):
            severity = "info"
        return Finding(
            kind.code,
            kind.name,
            severity,
            key,
            message,
            count,
            share,
            hint=kind.hint_of(key),
            unit=kind.unit,
            **_whole(more),
        )

    noted = [(key, some) for (code, key), some in seen.notes.items() if code == kind.code]
    for key, some in sorted(noted, key=lambda pair: (-pair[1].rows, pair[0])):
        more = {"amount": some.amount, "examples": some.examples, "sources": some.sources}
        yield finding(key, some.rows, kind.severity_of(key), kind.message(key), **more)
    for one in kind.whole(seen.totals, settings):
        message = kind.message(one.key, one.detail)
        more = {"amount": one.rows, "examples": one.examples[: settings.examples], "sources": one.sources}
        yield finding(one.key, one.rows, one.severity or kind.severity, message, **more)


def _whole(more: Mapping[str, Any]) -> dict[str, Any]:
    return {**more, "examples": tuple(more["examples"]), "sources": dict(more["sources"])}


def default_system(template: Template) -> str | None:
    """The first sentence that a template writes only where there is no system message; None if it writes none."""
    turn = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": "x"}]
    try:
        without = template.render(turn)
        given = template.render([{"role": "system", "content": _SYSTEM}, *turn])
    except ChatTmplError:
        return None
    question = without.text.find(_QUESTION)
    for span in without.spans:
        sentence = _PROSE.search(without.text, span.start, span.end)
        if span.literal and span.end <= question and sentence is not None and sentence[0] not in given.text:
            return sentence[0]
    return None
