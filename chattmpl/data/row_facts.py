"""Facts about a template that decide how its rows are made: the ends of turns, and the verdict on its tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from chattmpl.cache import hash_of_code
from chattmpl.conversation.models import Conversation
from chattmpl.data.fast.markers import merge_touching
from chattmpl.data.sampled_rows import RowPlanner, planned_renderings
from chattmpl.errors import RenderError
from chattmpl.options import RowChoice
from chattmpl.printable import excerpt
from chattmpl.source import common_length
from chattmpl.template.special_tokens import Endings, TurnEnding
from chattmpl.template.stored_facts import recall_fact
from chattmpl.template.template import Rendering, Template

_PROBES = ("turns", "system", "reasoning_turns", "calls", "agent", "parallel")
"""The conversations of the corpus that tags are compared on."""


@dataclass(frozen=True)
class RowFacts:
    """Facts about a template that decide how rows are made.

    Attributes:
        endings: the ends of turns.
        tags: the verdict on its tags.
        continued: for an answer that does not continue its prompt in the template's history, what follows the common
            beginning there and in rows; else empty.
    """

    endings: Endings
    tags: TagVerdict
    continued: tuple[str, ...] = ()


def row_facts(template: Template) -> RowFacts:
    """Return the facts about a template, without the one for tools."""
    alone = template.alone

    def find() -> tuple[Any, Any, Any]:
        from chattmpl.probing import facts_of

        endings = facts_of(alone).turn_endings
        plain = {calls: [tuple(end) for end in some] for calls, some in endings.items()}
        return plain, tuple(judge_tags(alone)), find_continued(alone, endings)

    endings, verdict, continued = recall_fact(find, alone, "rows", hash_of_code("data"))
    ends = {calls: tuple(TurnEnding(*end) for end in some) for calls, some in endings.items()}
    return RowFacts(ends, TagVerdict(*verdict), tuple(continued))


def find_continued(template: Template, endings: Endings) -> tuple[str, ...]:
    """Return the end of an answer in history and in its row, where they differ; else nothing."""
    from chattmpl.probing import facts_of
    from chattmpl.probing.corpus import CLOCK

    facts = facts_of(template)
    for name in ("turn", "reasoning", "calls"):
        whole = facts.prober.render(name, 2)
        if whole is None:
            continue
        try:
            [row] = planned_renderings(
                RowPlanner((endings,)),
                whole.conversation,
                lambda part, prompt: facts.template.render(part, prompt, CLOCK),
                "all",
            )
        except RenderError:
            continue
        if not row.text.startswith(whole.text):
            at = common_length(row.text, whole.text)
            return whole.text[at:], row.text[at:]
    return ()


def planner_of(template: Template, rows: RowChoice) -> RowPlanner | None:
    """Return the planner of rows; None where tags mark what is sampled in one row, or ``rows`` asks for one row."""
    facts = [row_facts(each) for each in template.variants]
    if rows != "unroll" and all(each.tags.valid and (each.tags.one_row or rows == "one") for each in facts):
        return None
    return new_planner(template, rows)


def new_planner(template: Template, rows: RowChoice = "auto") -> RowPlanner:
    """Return the planner of rows for a template."""
    facts = [row_facts(each) for each in template.variants]
    return RowPlanner(tuple(each.endings for each in facts), rows, all(each.tags.valid for each in facts))


# -- tags


class TagVerdict(NamedTuple):
    """The generation tags of a template, compared with the rows that are planned without them.

    Attributes:
        tagged: true if the template has tags.
        valid: true if they mark exactly what is sampled.
        one_row: true if one row holds all turns of a conversation.
        difference: the first text that is marked and not sampled, or sampled and not marked, in words.
    """

    tagged: bool
    valid: bool
    one_row: bool
    difference: str = ""


def judge_tags(template: Template) -> TagVerdict:
    """Compare the generation tags of a template with the planned rows of small conversations."""
    if not template.program.has_generation:
        return TagVerdict(False, False, False)
    from chattmpl.probing import facts_of
    from chattmpl.probing.corpus import ASK, CLOCK, SAY, TRACES, TUSKS, call_message, result_message, with_trace

    facts = facts_of(template)
    planner = RowPlanner((facts.turn_endings,), tagged=True)
    one_row = True
    call, second = (call_message(tusks, **facts.prober.call_options) for tusks in (TUSKS[:1], TUSKS[1:]))
    loop = [ASK, with_trace(call, TRACES[0]), result_message(), second, result_message(), with_trace(SAY, TRACES[1])]
    probes = [*map(facts.prober.render, _PROBES), facts.prober.outcome(loop, tools=True)]

    def render(conversation: Conversation, prompt: bool) -> Rendering:
        return facts.template.render(conversation, prompt, CLOCK)

    for whole in probes:
        if not isinstance(whole, Rendering):
            continue
        try:
            rows = planned_renderings(planner, whole.conversation, render, "all")
        except RenderError as error:
            return TagVerdict(True, False, False, error.message)
        one_row = one_row and len(rows) == 1
        for row in rows:
            tagged = render(row.conversation, False)
            if difference := _tag_difference(tagged, row, last=len(rows) > 1 or tagged.text != row.text):
                return TagVerdict(True, False, False, difference)
    return TagVerdict(True, True, one_row)


def _tag_difference(tagged: Rendering, row: Rendering, last: bool) -> str:
    """Describe the first difference between tags and what is sampled, of the last turn alone with ``last``."""
    marked, sampled = merge_touching(tagged.generated), merge_touching(row.generated)
    if last:
        marked, sampled = marked[-1:], sampled[-1:]
        shift = len(row.text) - len(tagged.text)
        marked = tuple((start + shift, end + shift) for start, end in marked)
    for (start, end), (first, stop) in zip(marked, sampled, strict=False):
        if start < first:
            return f"they mark {excerpt(row.text[start:first], 40)}, which the prompt supplies"
        if start > first:
            return f"they do not mark {excerpt(row.text[first:start], 40)} after the prompt"
        if end > stop:
            return f"they mark {excerpt(tagged.text[stop:end], 40)} after the stop token"
        if end < stop:
            return f"they do not mark {excerpt(row.text[end:stop], 40)}"
    if len(marked) != len(sampled):
        return f"they mark {len(marked)} turns of {len(sampled)}"
    return ""
