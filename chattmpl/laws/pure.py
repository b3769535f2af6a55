from typing import Any

from chattmpl.diagnostic import Quoted
from chattmpl.laws.law import Case, Law, site
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome
from chattmpl.provenance.origin import field_path
from chattmpl.template.spans import Span


class Pure(Law):
    """Generated spans contain all text of assistant messages and no other text of the conversation.

    No character of a system, user, developer or tool message, of tools or of documents is inside a generated span.
    Every rendered character of an assistant field is inside one, except for the role, which headers print, and for what
    the prompt of the turn supplies.
    """

    name = "pure"
    order = 3
    problems = {
        "input-trained": (
            "{origin} is trained, but the model does not sample it: {text}",
            "use the generation tag only for the assistant's turns",
        ),
        "outside-span": (
            "{origin} is rendered outside the generated span: {text}",
            "put everything that the model samples inside the generation tag",
        ),
    }

    def check(self, case: Case) -> Outcome:
        """Check the origin of every span."""
        if not case.template.program.has_generation:
            return DoesNotApply("the template has no generation tag")
        for span in case.rendering.spans:
            if span.literal or span.field == "role":
                continue
            role = None if span.message is None else case.messages[span.message].role
            if span.generated == (role == "assistant") or _is_prompted(case, span):
                continue
            origin = field_path(span.message, span.field)
            data = {"origin": origin, "text": Quoted(case.rendering.text[span.start : span.end], 40)}
            details: dict[str, Any] = {"path": origin, "turns": () if span.message is None else (span.message,)}
            place = case.place_at(case.rendering, span.start)
            field = f"messages[role={role}].{span.field}" if role else span.field
            if span.generated:
                block = case.block_at(case.rendering, span.start)
                sites = {site("tag-start", block), site("tag-end", block), "foreign text is trained"}
                return self.broken(
                    case, "input-trained", data=data, place=place, field=field, sites=frozenset(sites), **details
                )
            return self.broken(
                case,
                "outside-span",
                data=data,
                place=place,
                field=field,
                sites=frozenset({site("untrained", place)}),
                **details,
            )
        return Holds()


def _is_prompted(case: Case, span: Span) -> bool:
    """Return whether a text of an assistant message is what its prompt supplies, such as ``<think>`` in a content."""
    if span.generated or span.message is None or span.message != span.turn:
        return False
    prompt = case.head(span.message, prompt=True).text
    return span.end <= len(prompt) and case.rendering.text.startswith(prompt)
