"""Root causes: the counterexamples of a template, grouped by their cause."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chattmpl.diagnostic import SEVERITIES, Severity, TemplateDiagnostic, without_indices
from chattmpl.laws.outcome import Counterexample
from chattmpl.template.blame import top
from chattmpl.template.template import Template

_NOTES = ("documents", "messages[].name", "messages[].tool_calls[].id", "tools[].function.parameters")
"""Fields that few formats render; their loss is a note."""

_WARNINGS = ("tools", "messages[].reasoning_content", "messages[role=developer]")
"""Fields that formats without tools, reasoning or developer messages do not render; their loss is a warning."""


@dataclass(frozen=True)
class RootCause:
    """Counterexamples with one cause.

    Attributes:
        shown: the counterexample of the first law that it breaks; a field that is never rendered comes first.
        others: counterexamples of other laws, or at other places, with the same cause.
    """

    shown: Counterexample
    others: tuple[Counterexample, ...] = ()

    @property
    def also_breaks(self) -> tuple[str, ...]:
        """The other laws that it breaks."""
        laws = dict.fromkeys(other.law for other in self.others)
        return tuple(law for law in laws if law != self.shown.law)

    @property
    def laws(self) -> tuple[str, ...]:
        """All laws that it breaks."""
        return (self.shown.law, *self.also_breaks)

    @property
    def lines(self) -> tuple[int, ...]:
        """The other lines of the template where the same law is broken in the same way."""
        own = [self.shown, *(other for other in self.others if other.law == self.shown.law)]
        lines = {found.place.line for found in own if found.place is not None}
        return tuple(sorted(lines - ({self.shown.place.line} if self.shown.place else set())))

    @property
    def message(self) -> str:
        """The message of the shown counterexample, with the other lines and laws. For people only."""
        more = []
        if self.lines:
            more.append(f"also in line{'s' if len(self.lines) > 1 else ''} {', '.join(map(str, self.lines))}")
        if self.also_breaks:
            more.append(f"also breaks {', '.join(self.also_breaks)}")
        return self.shown.message + (f" ({'; '.join(more)})" if more else "")

    @property
    def severity(self) -> Severity:
        """The worst severity of the counterexamples."""
        return min(map(_severity, (self.shown, *self.others)), key=SEVERITIES.index)

    def diagnostic(self, template: Template) -> TemplateDiagnostic:
        """Return the root cause as a diagnostic of a template."""
        return TemplateDiagnostic(
            code=self.shown.law,
            severity=self.severity,
            place=self.shown.place or top(template),
            message=self.message,
            hint=self.shown.hint or "",
            kind=self.shown.kind,
            data=self.shown.data,
            law=self.shown.law,
            counterexample=self.to_dict(),
            mode=self.shown.kwargs,
            lines=self.lines,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the counterexample as JSON types, with the other laws and lines."""
        return {**self.shown.to_dict(), "also_breaks": list(self.also_breaks), "also_in_lines": list(self.lines)}


def _severity(found: Counterexample) -> Severity:
    """Return the severity of a counterexample; the loss of a field that few formats render is a note or a warning."""
    if found.law != "lossless":
        return found.severity
    field, never = found.field or without_indices(found.path), found.place is None
    if never and field.startswith(_NOTES):
        return "info"
    # A trace that only history drops is a matter of retention.
    lenient = field.startswith(_WARNINGS) if never else field == "messages[].reasoning_content"
    return "warning" if lenient or (never and field == "messages[].tool_calls") else "error"


def grouped(counterexamples: Iterable[Counterexample], laws: Iterable[str]) -> list[RootCause]:
    """Group counterexamples, the smallest for each law, place and message, by root cause: those that share a site have
    the same.

    What breaks several laws is shown by the first, in the order of their names.
    """
    order = {law: number for number, law in enumerate(laws)}
    everything = list(counterexamples)
    unsupported = {found.field for found in everything if _is_lack(found)}
    groups: list[tuple[set[str], list[Counterexample]]] = []
    for found in everything:
        sites = found.sites | {f"field:{field}" for field in _needed(found) & unsupported}
        joined = [group for group in groups if sites and group[0] & sites]
        members = [member for group in joined for member in group[1]]
        merged = (set(sites).union(*(group[0] for group in joined)), [*members, found])
        groups = [group for group in groups if group not in joined] + [merged]
    findings = []
    for _, members in groups:
        members.sort(key=lambda found: (bool(found.kwargs), not _is_lack(found), order.get(found.law, len(order))))
        findings.append(RootCause(members[0], tuple(members[1:])))
    return findings


def _is_lack(found: Counterexample) -> bool:
    """Return whether a counterexample shows that a kind of field is never rendered."""
    return found.law == "lossless" and found.place is None


def _needed(found: Counterexample) -> set[str | None]:
    """Return the kinds of fields that a counterexample needs; otherwise it would have been shrunk further.

    A law that is broken only with a field that the template never renders has that as its cause.
    """
    if found.law not in ("sampled", "stop", "pure", "prefix"):
        return set()
    data = found.conversation.dump()
    needed: set[str | None] = {name for name in ("tools", "documents") if data.get(name)}
    for message in data["messages"]:
        if message["role"] not in ("user", "assistant"):
            needed |= {f"messages[role={message['role']}]", f"messages[role={message['role']}].content"}
        needed |= {f"messages[].{name}" for name in ("tool_calls", "reasoning_content") if message.get(name)}
    return needed
