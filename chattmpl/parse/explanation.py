"""Explanations of refused completions: the cause, its place, and what would help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chattmpl.parse.composition import Trace
from chattmpl.parse.forms import Calls
from chattmpl.parse.harmony import writes_harmony
from chattmpl.parse.refusal import ParseFailure, ParseRefusal
from chattmpl.parse.turn_grammar import TurnGrammar, outside_code
from chattmpl.parse.values import words_of

CUT_OFF = "raise the limit of tokens to sample"
"""The hint for a completion that was cut off."""


def explain(text: str, start: int, grammar: TurnGrammar, prompts: Mapping[str, str]) -> ParseRefusal:
    """Return the refusal of a completion that no form reads.

    Args:
        text: the text, which contains the completion from ``start`` on.
        start: the offset of the completion.
        grammar: the grammar of the turns after its prompt.
        prompts: other generation prompts of the template, by the setting that brings them.
    """
    end = start + grammar.end_of(text[start:])
    tokens = [(match[0], match.start()) for match in outside_code(grammar.markup, text, start, end)]
    if writes_harmony(grammar.texts) and (last := text.rfind("<|channel|>", start)) >= 0:
        problem = "the turn has no complete call, and no answer in the channel 'final'"
        return ParseRefusal(ParseFailure.REPLY_FORMAT, problem, last, len(text))
    refusal = _trace(text, start, tokens, grammar, prompts) or _call(text, end, tokens, grammar)
    if refusal is not None:
        return refusal
    if tokens:
        token, place = tokens[0]
        if token not in grammar.ends:
            return quoted(token, place)
        problem = f"the text continues after the stop token {token!r}"
        return ParseRefusal(ParseFailure.AFTER_STOP, problem, place, place + len(token))
    problem = "neither an answer nor a tool call in this template's format"
    return ParseRefusal(ParseFailure.REPLY_FORMAT, problem, start, len(text))


def quoted(token: str, place: int) -> ParseRefusal:
    """Return the refusal of a text that contains a token at a place where markup has no meaning."""
    problem = f"{token!r} stands where the template writes no markup"
    return ParseRefusal(ParseFailure.REPLY_FORMAT, problem, place, place + len(token))


def _trace(
    text: str, start: int, tokens: list[tuple[str, int]], grammar: TurnGrammar, prompts: Mapping[str, str]
) -> ParseRefusal | None:
    """Return the refusal of a completion whose trace does not fit the prompt; None if it does."""
    trace = grammar.trace
    if trace is None:
        return None
    opens, closes = words_of(trace.opens)[0], words_of(trace.closes)[-1]
    found = [(token, place) for token, place in tokens if token in (opens, closes)]
    opened, closed = trace.is_opened(grammar.header), trace.is_closed(grammar.header)
    if opened and not found:
        return ParseRefusal(
            ParseFailure.TRACE_FORMAT,
            f"the prompt opens a trace, which {closes!r} does not close",
            start,
            len(text),
            _hint(prompts, trace, opened=False) or CUT_OFF,
        )
    if found and not opened and found[0][0] == closes:
        (token, place), problem = found[0], "closes a trace that the prompt does not open"
        hint = _hint(prompts, trace, opened=True)
    elif found and (opened or closed) and found[0][0] == opens:
        (token, place), problem = found[0], f"opens a trace, but the prompt has {'closed' if closed else 'opened'} one"
        hint = _hint(prompts, trace, opened=False)
    elif not opened and len(found) == 1:
        (token, place), problem, hint = found[0], "opens a trace that is not closed", CUT_OFF
    elif len(found) > (1 if opened else 2):
        (token, place), problem, hint = found[1 if opened else 2], "belongs to a second trace", None
    else:
        return None
    return ParseRefusal(ParseFailure.TRACE_FORMAT, f"{token!r} {problem}", place, place + len(token), hint)


def _hint(prompts: Mapping[str, str], trace: Trace, *, opened: bool) -> str | None:
    """Return a hint that names the setting whose prompt opens a trace, or leaves it to the model."""
    for setting, prompt in prompts.items():
        if trace.is_opened(prompt) is opened and (opened or not trace.is_closed(prompt)):
            return f"if the prompt was rendered with {setting}, pass it"
    return None


def _call(text: str, end: int, tokens: list[tuple[str, int]], grammar: TurnGrammar) -> ParseRefusal | None:
    """Return the refusal of a completion with a call that is not complete, or with text after it."""
    first = {word for calls in _calls(grammar) for word in words_of(calls.start)[:1] if grammar.markup.fullmatch(word)}
    begun = next(((token, place) for token, place in tokens if token in first), None)
    if begun is None:
        return None
    token, place = begun
    closing = [words_of(calls.closes or str(calls.call[-1])) for calls in _calls(grammar)]
    last = {words[-1] for words in closing if words and grammar.markup.fullmatch(words[-1])}
    ends = [text.rfind(word, place, end) + len(word) for word in last if word in text[place:end]]
    if last and not ends:
        problem, hint = "a tool call begins here, but is cut off", CUT_OFF
    elif ends and text[max(ends) : end].strip():
        rest = max(ends) + len(text[max(ends) : end]) - len(text[max(ends) : end].lstrip())
        return ParseRefusal(ParseFailure.CALL_FORMAT, "text follows the tool calls", rest, end)
    else:
        cut = "" if last else "is cut off or "
        problem, hint = f"a tool call begins here, but {cut}is not written as the template writes calls", None
    return ParseRefusal(ParseFailure.CALL_FORMAT, problem, place, place + len(token), hint)


def _calls(grammar: TurnGrammar) -> Iterable[Calls]:
    """Return the forms of calls, without a trace before them where there are such."""
    found = [
        [part for form in forms for part in form.parts if isinstance(part, Calls)]
        for forms in (grammar.composed, grammar.forms)
    ]
    return found[0] or found[1]
