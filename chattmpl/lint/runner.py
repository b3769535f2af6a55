"""Running rules over a template: what they find, less what is silenced, one finding for each cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from chattmpl.compiler.gc_pause import collector_paused
from chattmpl.errors import ChatTmplError
from chattmpl.lint.context import Subject
from chattmpl.lint.conversations import TITLES
from chattmpl.lint.declared import as_declared
from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.modes import check_in_modes
from chattmpl.lint.root_causes import one_a_cause, one_a_line
from chattmpl.lint.rule import Rule, rules
from chattmpl.lint.suppressions import directives
from chattmpl.source import Place, Source
from chattmpl.template.resolver import Found

BROKEN, UNUSED, NOT_EVALUATED = "CT001", "CT003", "CT004"
"""Rules whose findings are made here, since they are about linting itself."""


def lint(found: Found, chosen: Sequence[Rule] | None = None, tokenizer: Any = None) -> list[Diagnostic]:
    """What the rules find in one template, sorted by place.

    Args:
        found: the template; see `chattmpl.lint.inputs.find_inputs`.
        chosen: the rules; all of them by default.
        tokenizer: as `chattmpl.encode.load_tokenizer` returns it; without it the rules on tokens are left out.
    """
    return examine(found, tuple(rules().values()) if chosen is None else chosen, tokenizer)[1]


def examine(found: Found, chosen: Sequence[Rule], tokenizer: Any = None) -> tuple[Subject | None, list[Diagnostic]]:
    """The template that was looked at, None if it does not compile, and what the rules find in it; see `lint`."""
    # Linting makes many small objects, few of which the collector could free before it is done.
    with collector_paused():
        return _examine(found, chosen, tokenizer)


def _examine(found: Found, chosen: Sequence[Rule], tokenizer: Any) -> tuple[Subject | None, list[Diagnostic]]:
    codes = {rule.code for rule in chosen}
    try:
        subject = Subject(found, tokenizer)
    except ChatTmplError as error:
        return None, [_broken(found, error)] if BROKEN in codes else []
    made = one_a_cause(
        subject, as_declared(found.family, _all(subject, chosen)), partial(_again, found, chosen, tokenizer)
    )
    kept = _without_silenced(subject, made, codes)
    marked = [_marked(subject, diagnostic) for diagnostic in kept]
    return subject, sorted(marked, key=lambda diagnostic: diagnostic.order)


def every(found: Found, chosen: Sequence[Rule], tokenizer: Any = None) -> list[Diagnostic]:
    """What the rules find in one template, what only follows from something else included."""
    try:
        subject = Subject(found, tokenizer)
    except ChatTmplError as error:
        return [_broken(found, error)]
    made = one_a_line(as_declared(found.family, _all(subject, chosen)))
    return _without_silenced(subject, made, {rule.code for rule in chosen})


def _all(subject: Subject, chosen: Sequence[Rule]) -> list[Diagnostic]:
    """All that the rules find, several for a cause."""
    codes = {rule.code for rule in chosen}
    made: list[Diagnostic] = []
    for rule in chosen:
        if subject.tokenizer is not None or not rule.needs_tokenizer:
            made += _checked(rule, subject, codes)
    if NOT_EVALUATED in codes:
        made += _not_evaluated(subject)
    return made


def _again(found: Found, chosen: Sequence[Rule], tokenizer: Any, source: str) -> list[Diagnostic]:
    """What the rules find in another source."""
    other = replace(found, source=Source(source, found.source.name))
    try:
        return _all(Subject(other, tokenizer), chosen)
    except ChatTmplError as error:
        return [_broken(other, error)]


def _marked(subject: Subject, diagnostic: Diagnostic) -> Diagnostic:
    """The finding, marked if its rule offers a fix of it."""
    rule = rules().get(diagnostic.code)
    if rule is None or not rule.fixable():
        return diagnostic
    return replace(diagnostic, fixable=next(iter(rule.fix(subject, diagnostic)), None) is not None)


def _checked(rule: Rule, subject: Subject, codes: set[str]) -> list[Diagnostic]:
    try:
        return list(check_in_modes(rule, subject))
    except Exception as error:
        if NOT_EVALUATED not in codes:
            return []
        what = " ".join(str(error).split())[:200]
        message = f"{rule.code} was not evaluated, by a bug in chattmpl: {type(error).__name__}: {what}"
        return [rules()[NOT_EVALUATED].finding(subject.top(), message, "please report it, with the template")]


def _broken(found: Found, error: ChatTmplError) -> Diagnostic:
    rule = rules()[BROKEN]
    place = error.place or Place(found.source, 0, 1)
    return rule.finding(place, error.message, error.hint or "correct the syntax; no engine can use the template")


def _not_evaluated(subject: Subject) -> Iterator[Diagnostic]:
    """One finding for each cause of a probe that raised: what raises is not evaluated, which is not fine."""
    rule = rules()[NOT_EVALUATED]
    causes: dict[tuple[int, str], list[str]] = {}
    places: dict[tuple[int, str], Place] = {}
    # In the order of the conversations, whichever rule was the first to ask for one.
    for name in filter(subject.probe.failures.get, TITLES):
        error = subject.probe.failures[name]
        place = error.place or subject.top()
        key = (place.start, error.message)
        causes.setdefault(key, []).append(name)
        places[key] = place
    for key, names in causes.items():
        titles = ", ".join(TITLES[name] for name in names)
        message = f"not evaluated with {titles}: {key[1]}"
        hint = "what the rules would find there is not known; if the template is to refuse this, all is well"
        severity = "warning" if "turn" in names else None
        yield rule.finding(places[key], message, hint, severity=severity)  # type: ignore[arg-type]


def _without_silenced(subject: Subject, diagnostics: list[Diagnostic], codes: set[str]) -> list[Diagnostic]:
    kept = list(diagnostics)
    for directive in directives(subject):
        if not directive.valid:
            continue
        silenced = [diagnostic for diagnostic in kept if directive.silences(diagnostic)]
        kept = [diagnostic for diagnostic in kept if diagnostic not in silenced]
        # What was not looked for cannot be missing.
        looked = any(code.startswith(directive.codes) for code in codes)
        if not silenced and looked and UNUSED in codes:
            named = ", ".join(directive.codes)
            message = f"nothing here is found by {named}, so there is nothing to ignore"
            kept.append(rules()[UNUSED].finding(directive.place, message, "remove the comment"))
    return kept
