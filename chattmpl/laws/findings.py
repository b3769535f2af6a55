"""Findings: the counterexamples of a template, one finding for each root cause."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from chattmpl.laws.outcome import Counterexample

Severity = Literal["error", "warning", "info"]

_NOTES = ("documents", "messages[].name", "messages[].tool_calls[].id", "tools[].function.parameters")
"""Fields that few formats have a place for."""

_WARNINGS = ("tools", "messages[].reasoning_content", "messages[role=developer]")
"""Fields that formats without tools, reasoning or developers have no place for."""


@dataclass(frozen=True)
class Finding:
    """One root cause.

    Attributes:
        shown: its counterexample of the first law that it breaks; that a field has no place comes before all laws.
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
        """What is wrong, where else, and which other laws it breaks."""
        more = []
        if self.lines:
            more.append(f"also in line{'s' if len(self.lines) > 1 else ''} {', '.join(map(str, self.lines))}")
        if self.also_breaks:
            more.append(f"also breaks {', '.join(self.also_breaks)}")
        return self.shown.message + (f" ({'; '.join(more)})" if more else "")

    @property
    def severity(self) -> Severity:
        """How grave it is: that a format has no place for a field is a note or a warning, all else an error."""
        if self.laws != ("lossless",) or any(found.place is not None for found in (self.shown, *self.others)):
            return "error"
        field = self.shown.field or ""
        if field.startswith(_NOTES):
            return "info"
        return "warning" if field.startswith(_WARNINGS) or field == "messages[].tool_calls" else "error"

    def to_dict(self) -> dict[str, Any]:
        """The counterexample as JSON, with the other laws and lines."""
        return {**self.shown.to_dict(), "also_breaks": list(self.also_breaks), "also_in_lines": list(self.lines)}


def grouped(counterexamples: Iterable[Counterexample], laws: Iterable[str]) -> list[Finding]:
    """One finding for each root cause: counterexamples that share a site have the same.

    Args:
        counterexamples: the smallest one for each law, place and message.
        laws: the names of the laws in their order; what breaks several is shown by the first.
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
        findings.append(Finding(members[0], tuple(members[1:])))
    return findings


def _is_lack(found: Counterexample) -> bool:
    """Whether a template has no place for a kind of field at all."""
    return found.law == "lossless" and found.place is None


def _needed(found: Counterexample) -> set[str | None]:
    """The kinds of fields that a counterexample cannot do without, or it would have been made smaller.

    What breaks a law only where there is a field that the template has no place for has that as its cause.
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
