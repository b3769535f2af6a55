"""Facts about a template that decide how its rows are made: the ends of turns, and the verdict on its tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple

from chattmpl.cache import hash_of_code
from chattmpl.conversation.models import Conversation
from chattmpl.data.fast.markers import merge_touching
from chattmpl.data.sampled_rows import RowPlanner, planned_renderings
from chattmpl.errors import NotRepresentable, RenderError, UsageError
from chattmpl.options import RowChoice
from chattmpl.printable import excerpt
from chattmpl.source import common_length
from chattmpl.template.special_tokens import CONTROL, Endings, TurnEnding
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
        readable: whether a completion that is not in the template's history is read back as the same message: for
            answers, and for calls.
    """

    endings: Endings
    tags: TagVerdict
    continued: tuple[str, ...] = ()
    readable: tuple[bool, bool] = (True, True)


def row_facts(template: Template) -> RowFacts:
    """Return the facts about a template, without the one for tools."""
    alone = template.alone

    def find() -> tuple[Any, ...]:
        from chattmpl.probing import facts_of

        endings = facts_of(alone).turn_endings
        plain = {calls: [tuple(end) for end in some] for calls, some in endings.items()}
        return plain, judge_tags(alone).to_plain(), *find_continued(alone, endings)

    endings, verdict, continued, readable = recall_fact(find, alone, "rows", hash_of_code("data", "parse"))
    ends = {calls: tuple(TurnEnding(*end) for end in some) for calls, some in endings.items()}
    return RowFacts(ends, TagVerdict.from_plain(verdict), tuple(continued), tuple(readable))


def find_continued(template: Template, endings: Endings) -> tuple[tuple[str, ...], tuple[bool, bool]]:
    """Return the end of an answer in history and in its row where they differ, and what of such rows is read back.

    The second value says so of answers, and of calls.
    """
    from chattmpl.probing import facts_of
    from chattmpl.probing.corpus import CLOCK

    facts = facts_of(template)
    continued: tuple[str, ...] = ()
    readable = [True, True]
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
            if _is_read_back(facts.template, row):
                continued = continued or (whole.text[at:], row.text[at:])
            else:
                readable[name == "calls"] = False
    return continued, (readable[0], readable[1])


def _is_read_back(template: Template, row: Rendering) -> bool:
    """Return whether the completion of a row is parsed to its message, or begins with it if turns cannot be parsed."""
    from chattmpl.parse import parse
    from chattmpl.probing.corpus import CLOCK

    *head, message = row.conversation.messages
    start, end = row.generated[0][0], row.generated[-1][1]
    text, rest = row.text[start:], row.text[end:]
    if CONTROL.search(rest) and row.text[:start].endswith(rest):  # a prompt that the template always writes
        text = row.text[start:end]
    try:
        read = parse(template, text, completion=True, prompt=row.conversation.with_messages(head), clock=CLOCK)
    except NotRepresentable:
        return False
    except UsageError:
        return not message.tool_calls and text.lstrip().startswith(str(message.content))
    found = read.messages[-1]
    for name in ("content", "reasoning_content"):
        given, wanted = ((getattr(each, name) or "").strip() for each in (found, message))
        if given != (wanted if wanted in text else ""):
            return False
    called = [call.function.name for call in message.tool_calls or () if call.function.name in text]
    return called == [call.function.name for call in found.tool_calls or ()]


def planner_of(template: Template, rows: RowChoice) -> RowPlanner | None:
    """Return the planner of rows; None where tags mark what is sampled in one row, or ``rows`` asks for one row."""
    facts = [row_facts(each) for each in template.variants]
    one_row = all(
        each.tags.valid
        and (each.tags.one_row or rows == "one")
        and not any(end.append for ends in each.endings.values() for end in ends)
        for each in facts
    )
    if one_row and rows != "unroll":
        return None
    return new_planner(template, rows)


def new_planner(template: Template, rows: RowChoice = "auto") -> RowPlanner:
    """Return the planner of rows for a template."""
    facts = [row_facts(each) for each in template.variants]
    tagged = all(each.tags.valid for each in facts)
    answers, calls = (all(each.readable[of_calls] for each in facts) for of_calls in (False, True))
    return RowPlanner(tuple(each.endings for each in facts), rows, tagged, (answers, calls))


# -- tags


class TagMistake(StrEnum):
    """The kind of a difference between tags and what is sampled."""

    PROMPT_MARKED = "prompt-marked"
    """They mark text that the prompt supplies."""
    BEGINNING_MISSING = "beginning-missing"
    """They do not mark text after the prompt."""
    MORE_MARKED = "more-marked"
    """They mark text after the stop token."""
    END_MISSING = "end-missing"
    """They do not mark text at the end of the turn."""
    OTHER_TURNS = "other-turns"
    """They mark fewer or more turns."""
    NO_ROWS = "no-rows"
    """No rows can be planned."""


class TagDifference(NamedTuple):
    """The first difference between tags and what is sampled.

    Attributes:
        mistake: its kind.
        text: the text that is marked and not sampled, or sampled and not marked, or why there are no rows.
        marked, sampled: the number of turns that are marked and sampled, if that is what differs.
    """

    mistake: TagMistake
    text: str = ""
    marked: int = 0
    sampled: int = 0

    def message(self) -> str:
        """Return the difference in words."""
        text = excerpt(self.text, 40)
        return {
            TagMistake.PROMPT_MARKED: f"they mark {text}, which the prompt supplies",
            TagMistake.BEGINNING_MISSING: f"they do not mark {text} after the prompt",
            TagMistake.MORE_MARKED: f"they mark {text} after the stop token",
            TagMistake.END_MISSING: f"they do not mark {text}",
            TagMistake.OTHER_TURNS: f"they mark {self.marked} turns of {self.sampled}",
            TagMistake.NO_ROWS: self.text,
        }[self.mistake]


class TagVerdict(NamedTuple):
    """The generation tags of a template, compared with the rows that are planned without them.

    Attributes:
        tagged: true if the template has tags.
        valid: true if they mark exactly what is sampled.
        one_row: true if one row holds all turns of a conversation.
        difference: the first difference; None if the tags are valid.
    """

    tagged: bool
    valid: bool
    one_row: bool
    difference: TagDifference | None = None

    def to_plain(self) -> tuple[Any, ...]:
        """Return the verdict as plain data."""
        different = self.difference and (self.difference.mistake.value, *self.difference[1:])
        return *self[:3], different

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> TagVerdict:
        """Return the verdict of plain data."""
        tagged, valid, one_row, different = plain
        return cls(tagged, valid, one_row, different and TagDifference(TagMistake(different[0]), *different[1:]))


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
        if facts.drops("tool_calls", "assistant") and any(each.tool_calls for each in whole.conversation.messages):
            continue
        try:
            rows = planned_renderings(planner, whole.conversation, render, "all")
        except RenderError as error:
            return TagVerdict(True, False, False, TagDifference(TagMistake.NO_ROWS, error.message))
        one_row = one_row and len(rows) == 1
        for row in rows:
            tagged = render(row.conversation, False)
            row = _without_appended(row, tagged, facts.turn_endings)
            if difference := _tag_difference(tagged, row, last=len(rows) > 1 or tagged.text != row.text):
                return TagVerdict(True, False, False, difference)
    return TagVerdict(True, True, one_row)


def _without_appended(row: Rendering, tagged: Rendering, endings: Endings) -> Rendering:
    """Return a row without the stop token that the template writes only where another turn follows."""
    for ending in chain.from_iterable(endings.values()):
        if ending.append and row.text.endswith(ending.append) and not tagged.text.endswith(ending.append):
            return row.cut(len(row.text) - len(ending.append))
    return row


def _tag_difference(tagged: Rendering, row: Rendering, last: bool) -> TagDifference | None:
    """Return the first difference between tags and what is sampled, of the last turn alone with ``last``."""
    marked, sampled = merge_touching(tagged.generated), merge_touching(row.generated)
    if last:
        marked, sampled = marked[-1:], sampled[-1:]
        shift = len(row.text) - len(tagged.text)
        marked = tuple((start + shift, end + shift) for start, end in marked)
    for (start, end), (first, stop) in zip(marked, sampled, strict=False):
        if start < first:
            return TagDifference(TagMistake.PROMPT_MARKED, row.text[start:first])
        if start > first:
            return TagDifference(TagMistake.BEGINNING_MISSING, row.text[first:start])
        if end > stop:
            return TagDifference(TagMistake.MORE_MARKED, tagged.text[stop:end])
        if end < stop:
            return TagDifference(TagMistake.END_MISSING, row.text[end:stop])
    if len(marked) != len(sampled):
        return TagDifference(TagMistake.OTHER_TURNS, "", len(marked), len(sampled))
    return None
