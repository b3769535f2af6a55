"""The law `prefix`."""

from __future__ import annotations

from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome


class Prefix(Law):
    """What was rendered stays when a message is appended.

    ``render(messages[:n])`` is a prefix of ``render(messages[:n+1])``, for every kind of message appended. Engines
    reuse what they have computed for a prefix, and training sees in one row what serving sees turn by turn.
    """

    name = "prefix"
    order = 4
    problems = {
        "rewritten": (
            "appending messages[{turn}] ({role}) changes the text before it",
            "render a message without looking at those after it",
        )
    }

    def check(self, case: Case) -> Outcome:
        """Compare each head of the conversation with the next."""
        if len(case.messages) < 2:
            return DoesNotApply("there is only one message")
        for count in range(1, len(case.messages)):
            shorter, longer = case.head(count), case.head(count + 1)
            if longer.text.startswith(shorter.text):
                continue
            if case.rewritten_by_retention(self):
                return DoesNotApply(
                    f"retention {case.template.retention!r} drops earlier reasoning; under 'all' it holds"
                )
            role = case.messages[count].role
            return self.broken(
                case,
                "rewritten",
                data={"turn": count, "role": role},
                expected=shorter.text,
                got=longer.text,
                place=case.place_of_difference(shorter, longer),
                turns=(count,),
                field=f"messages[role={role}]",
                sites=case.sites(shorter, longer),
            )
        return Holds()
