"""The law `pure`."""

from __future__ import annotations

from chattmpl.laws.law import Case, Law, site
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome


class Pure(Law):
    """Generated spans hold all that comes from assistant messages, and nothing that comes from elsewhere.

    No character that comes from a system, user, developer or tool message, from tools or from documents is inside a
    generated span; every character that comes from an assistant field and is rendered is inside one. The role, which
    headers print, is not meant.
    """

    name = "pure"
    order = 3

    def check(self, case: Case) -> Outcome:
        """Look at the origin of every span."""
        if not case.template.program.has_generation:
            return DoesNotApply("the template has no generation tag")
        for span in case.rendering.spans:
            if span.literal or span.field == "role":
                continue
            role = None if span.message is None else case.messages[span.message].role
            if span.generated == (role == "assistant"):
                continue
            origin = f"messages[{span.message}].{span.field}" if span.message is not None else span.field
            piece = case.rendering.text[span.start : span.end]
            shown = repr(piece if len(piece) <= 40 else piece[:39] + "…")
            place = case.place_at(case.rendering, span.start)
            field = f"messages[role={role}].{span.field}" if role else span.field
            if span.generated:
                block = case.block_at(case.rendering, span.start)
                sites = {site("tag-start", block), site("tag-end", block), "foreign text is trained"}
                return self.broken(
                    case,
                    f"{origin} is trained, though the model does not sample it: {shown}",
                    place=place,
                    hint="keep the generation tag to the assistant's turns",
                    field=field,
                    sites=frozenset(sites),
                )
            return self.broken(
                case,
                f"{origin} is rendered outside of the generated span: {shown}",
                place=place,
                hint="put all that the model samples inside the generation tag",
                field=field,
                sites=frozenset({site("untrained", place)}),
            )
        return Holds()
