"""Completions in texts that do not begin with their prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from chattmpl.cache import hash_of_code
from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.errors import UsageError
from chattmpl.source import common_length
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.stored_facts import recall_fact
from chattmpl.template.template import Rendering, Template

if TYPE_CHECKING:
    from chattmpl.parse.composition import Trace


class Completion(NamedTuple):
    """A completion in the rendering that ends with its turn, where that does not begin with the prompt.

    Attributes:
        cut: the offset of the completion, or of the rest of it.
        inserted: what the model samples before that, each text with the field that it comes from, None for text of the
            template.
    """

    cut: int
    inserted: tuple[tuple[str, str | None], ...] = ()

    @property
    def text(self) -> str:
        """The inserted text."""
        return "".join(text for text, _ in self.inserted)


def find_completion(rendering: Rendering, index: int, prompt: str, before: str, tagged: bool) -> Completion | None:
    """Return the completion in a rendering that ends with its turn; generation tags say where it begins, if any do.

    Args:
        rendering: the rendering.
        index: the message index of the turn.
        prompt: the rendering of the messages before it, with the generation prompt.
        before: the same without the generation prompt.
        tagged: true if the template has valid generation tags.
    """
    text, template = rendering.text, rendering.template
    spans = [span for span in rendering.spans if span.turn == index]
    marked = next((span.start for span in spans if span.generated), None) if tagged else None
    if marked is not None:
        return Completion(marked)
    start = spans[0].start if spans else len(before)
    fields = [span for span in rendering.spans if span.message == index and span.field not in (None, "role")]
    shown = next((span.start for span in fields if span.field in REASONING_NAMES), None)
    reasoning = rendering.conversation.messages[index].reasoning_content or ""

    def continued_header(opening: str) -> int | None:
        return _continued_header(template, opening, text[start : fields[0].start]) if fields else None

    # A template may write the prompt without being asked to, or end what is not a prompt with a text of its own.
    heads = (before,) if prompt != before and prompt.startswith(before) else (text[:start], before)
    for head in heads:
        if prompt.startswith(head):
            opening = prompt[len(head) :]
            found = continue_prompt(
                text, start, opening, lambda: trace_of(template), reasoning, shown, continued_header
            )
            if found is not None:
                return found
    return None


def continue_prompt(
    text: str,
    start: int,
    opening: str,
    trace_of: Callable[[], Trace | None],
    reasoning: str,
    shown: int | None,
    continued_header: Callable[[str], int | None] = lambda opening: None,
) -> Completion | None:
    """Return the completion in a text, whose last turn must begin with its prompt, or as its prompt ends.

    Where the prompt opens or closes a trace that the template writes otherwise in its history, the trace continues the
    prompt.

    Args:
        text: the text.
        start: where its last turn starts.
        opening: the text that the generation prompt adds.
        trace_of: returns the texts around traces.
        reasoning: the trace of the turn.
        shown: where the text has that trace; None where it has none.
        continued_header: returns the length of the header of a turn that does not begin as its prompt ends.
    """
    turn = text[start:]
    if turn.startswith(opening):
        return Completion(start + len(opening))
    trace = trace_of() if opening else None
    opened = trace is not None and trace.is_opened(opening)
    if trace is None or not (opened or trace.is_closed(opening)):
        shared = continued_header(opening)
        return None if shared is None else Completion(start + shared)
    found: int | None = _shared_header(opening, turn)
    # After the result of a tool, the prompt may go on in the same turn: it has no header, and begins with the trace.
    if not turn[:found].strip() and not opening.strip().startswith(trace.opens.strip()):
        found = continued_header(trace.cut_from(opening))
    if found is None:
        return None
    empty = trace.pattern.match(turn, found)
    rest = start + (found if empty is None else empty.end())
    if not opened:
        return None if shown is not None else Completion(rest)
    if shown is not None:
        return Completion(shown)
    pieces = ((reasoning.strip(), "reasoning_content"), (trace.closes, None))
    return Completion(rest, tuple(piece for piece in pieces if piece[0]))


def _shared_header(opening: str, turn: str) -> int:
    """Return the length of the header with which both a prompt and a turn begin, without parts of tokens."""
    from chattmpl.probing.prober import before_split_token

    return before_split_token(opening, before_split_token(turn, common_length(opening, turn)))


def _continued_header(template: Template, opening: str, header: str) -> int | None:
    """Return the length of the part of a turn's header that its prompt supplies, which begins otherwise.

    The prompt may end with the beginning of the header, or with less of it. A turn without any of the control tokens
    that the prompt and other answers begin with continues the turn before it, and has no header.
    """
    from chattmpl.probing import facts_of

    supplied = opening.strip()
    for size in range(len(header), 0, -1):
        part = header[:size].strip()
        if part and supplied and (part.endswith(supplied) or supplied.endswith(part)):
            return size
    tokens = CONTROL.findall(opening)
    if not tokens or any(token in header for token in tokens):
        return None
    answer = facts_of(template).prober.render("turn", 2)
    spans = [] if answer is None else [span for span in answer.spans if span.turn == 1]
    return 0 if answer is not None and spans and answer.text.startswith(opening, spans[0].start) else None


def trace_of(template: Template) -> Trace | None:
    """Return the texts around reasoning in a template; None if it has none."""

    def find() -> tuple[str, ...]:
        from chattmpl.parse.composition import find_trace
        from chattmpl.parse.turn_grammar import turn_grammar
        from chattmpl.probing import facts_of

        try:
            grammar = turn_grammar(template, {})
            forms, header = grammar.forms, grammar.header
        except UsageError:
            forms, header = (), facts_of(template).generation_prompt or ""
        found = find_trace(forms, header, template.program.literals)
        return () if found is None else (found.opens, found.closes)

    from chattmpl.parse.composition import Trace

    found = recall_fact(find, template, "trace", hash_of_code("parse"))
    return Trace(*found) if found else None
