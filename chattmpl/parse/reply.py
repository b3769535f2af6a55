"""Assistant replies: the content of a turn split into reasoning trace, answer and tool calls."""

from collections.abc import Iterator, Mapping
from typing import Any

from chattmpl.parse.grammar import CallArguments, Grammar, SequenceMatch
from chattmpl.parse.refusal import ParseFailure, ParseRefusal

MessageData = dict[str, Any]
"""A message as plain data."""


def read_completion(grammar: Grammar, text: str, start: int) -> Iterator[MessageData]:
    """Yield the messages that the completion from ``start`` on may be, with or without its stop token.

    Raises:
        ParseRefusal: it is not written as the family writes replies, or continues after a stop token.
    """
    endings = (ending for ending in grammar.endings if text.endswith(ending) and len(text) - len(ending) >= start)
    for message in read_reply(grammar, text, start, len(text) - len(next(endings, ""))):
        for token in grammar.stop_tokens:
            if token in message["content"] or token in message.get("reasoning_content", ""):
                found = text.find(token, start)
                problem = "the text continues after a stop token"
                raise ParseRefusal(ParseFailure.AFTER_STOP, problem, found, found + len(token))
        yield message


def read_reply(grammar: Grammar, text: str, start: int, end: int, *, inline: bool = False) -> list[MessageData]:
    """Return the messages that the reply at ``[start, end)`` may be, the canonical one first.

    Args:
        grammar: the family's grammar.
        text: the whole text.
        start: the character offset of the reply.
        end: its end, before the stop token.
        inline: the trace may have been part of the content.

    Raises:
        ParseRefusal: the reply is not written as the family writes replies.
    """
    trace, position = _trace(grammar, text, start, end)
    candidates: list[MessageData] = []
    for answer in _answers(grammar, text, position, end):
        if trace is None:
            candidates.append(answer)
        else:
            traced = {"role": "assistant", "reasoning_content": trace, **answer}
            significant = trace or grammar.facts.reply.empty_reasoning
            candidates += [traced] if significant else [answer, traced]
    if trace is None and grammar.reasoning:
        # Content that looks like a trace is rendered as one, unless the message has an explicitly empty trace.
        candidates += [{"role": "assistant", "reasoning_content": "", **answer} for answer in candidates]
    if inline and trace is not None and not grammar.content:
        candidates += _answers(grammar, text, start, end)
    return candidates


def _trace(grammar: Grammar, text: str, start: int, end: int) -> tuple[str | None, int]:
    """Return the trace at the start of the reply, or None, and its end."""
    for pattern in grammar.reasoning:
        if (found := pattern.match(text, start, end)) is not None:
            return found.values["reasoning"], found.end
        token = next((token for token in grammar.control_tokens if pattern.start.startswith(token)), None)
        if token is None or not text.startswith(token, start) or start + len(token) > end:
            continue
        if not any(content.start.startswith(token) for content in grammar.content):
            message = f"a trace starts here but is not written as {str(pattern)!r}"
            raise ParseRefusal(ParseFailure.TRACE_FORMAT, message, start, start + len(token))
    return None, start


def _answers(grammar: Grammar, text: str, start: int, end: int) -> list[MessageData]:
    if grammar.content:
        return [_framed_answer(grammar, text, start, end)]
    calls = _final_calls(grammar, text, start, end)
    _check_call_token(grammar, text, start, calls[0] if calls else end)
    answers: list[MessageData] = []
    if calls is not None:
        content = text[start : calls[0]]
        before = grammar.facts.reply.before_calls
        if content and before and content.endswith(before):
            content = content[: -len(before)]
        answers.append(_message(grammar, content, calls[1]))
    alone = grammar.facts.reply.calls_alone
    if calls is None or not (alone or (grammar.call_token and grammar.call_token in text[calls[0] : end])):
        # Calls that no control token opens, such as code, may be content.
        answers.append(_message(grammar, text[start:end], None))
    return answers


def _check_call_token(grammar: Grammar, text: str, start: int, end: int) -> None:
    """Raise if an answer contains the token that opens calls, since that call cannot be parsed."""
    token = grammar.call_token
    found = text.find(token, start, end) if token else -1
    if token and found >= 0 and grammar.calls is not None:
        written = f"{grammar.calls.facts.opens}{grammar.calls.each[0]}"
        raise ParseRefusal(
            ParseFailure.CALL_FORMAT,
            f"a tool call starts here but is not written as {written!r} with only calls after it",
            found,
            found + len(token),
        )


def _final_calls(grammar: Grammar, text: str, start: int, end: int) -> tuple[int, SequenceMatch] | None:
    """Return the calls at the end of the reply, with their start."""
    if grammar.calls is None:
        return None
    position = start if grammar.facts.reply.calls_alone else grammar.calls.find(text, start, end)
    while 0 <= position < end:
        calls = grammar.calls.match(text, position, end)
        if calls.closed and calls.end == end:
            return position, calls
        if grammar.facts.reply.calls_alone:
            return None
        position = grammar.calls.find(text, max(position + 1, calls.starts[-1] if calls.starts else 0), end)
    return None


def _framed_answer(grammar: Grammar, text: str, start: int, end: int) -> MessageData:
    """Return the answer of a family whose answers have a frame, with its calls."""
    for pattern in grammar.content:
        found = pattern.match(text, start, end, full=True)
        if found is not None:
            return _message(grammar, found.values["content"], None)
    matches = (pattern.match(text, start, end) for pattern in grammar.content)
    before_calls = [("", start), *((match.values["content"], match.end) for match in matches if match is not None)]
    for content, position in before_calls:
        calls = grammar.calls.match(text, position, end) if grammar.calls else None
        if calls is not None and calls.closed and calls.end == end:
            return _message(grammar, content, calls)
    known = " or ".join(repr(str(pattern)) for pattern in grammar.content)
    message = f"neither an answer ({known}) nor a tool call in this family's format"
    raise ParseRefusal(ParseFailure.REPLY_FORMAT, message, start, end)


def _message(grammar: Grammar, content: str, calls: SequenceMatch | None) -> MessageData:
    message: MessageData = {"role": "assistant", "content": content}
    if calls is not None:
        message["tool_calls"] = [_tool_call(grammar, values) for values in calls.items]
    return message


def _tool_call(grammar: Grammar, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool call from the values of its pattern's placeholders."""
    if "python" in values:
        return {"type": "function", "function": {"name": "python", "arguments": {"code": values["python"]}}}
    call: dict[str, Any] = {"id": values["id"]} if "id" in values else {}
    call["type"] = values.get("type", "function")
    call["function"] = {"name": values["name"], "arguments": _arguments(grammar, values.get("arguments"))}
    if values.get("content_type", "json") != "json":
        call["function"]["content_type"] = values["content_type"]
    return call


def _arguments(grammar: Grammar, found: Any) -> Any:
    if not isinstance(found, CallArguments):
        return found
    if grammar.facts.reply.verbatim_arguments:
        return found.value if isinstance(found.value, dict) and found.canonical else found.text
    return found.value if isinstance(found.value, dict | str) else found.text
