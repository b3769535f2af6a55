"""Streams: completions that arrive in pieces, cut anywhere."""

from __future__ import annotations

import codecs
import functools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_parse_derived import NOTATIONS, QUESTION, calls, template, tools_of, words

from chattmpl import Template
from chattmpl.errors import ChatTmplError, NotRepresentable
from chattmpl.parse.completion import keep_reasoning
from chattmpl.parse.stream import joined
from chattmpl.parse.turn_grammar import turn_grammar
from support.parsing import CLOCK, FAMILIES, as_sampled
from support.timing import fastest

quick = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))

OPENED = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}"
    "<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)


@functools.cache
def loaded(name: str) -> Template:
    if name == "opened":
        return Template.from_source(OPENED)
    return template(name) if name in NOTATIONS else as_sampled(name)


TEMPLATES = [*NOTATIONS, "opened", *FAMILIES]


def streamed(parser: Any, pieces: list[str]) -> tuple[list[dict[str, Any]], Any]:
    """Return the message that was shown before the end, and the final message or the refusal."""
    shown: list[dict[str, Any]] = []
    for piece in pieces:
        before = parser.messages
        parser.feed(piece)
        shown += parser.deltas()
        after = parser.messages
        assert len(before) <= len(after)
        assert all((new.content or "").startswith(old.content or "") for old, new in zip(before, after, strict=False))
    before = list(shown)
    try:
        final = parser.finish().messages[-1].dump()
    except NotRepresentable as error:
        return before, error.message
    whole = joined([*shown, *parser.deltas()])
    assert (whole.get("reasoning_content") or "") == (final.get("reasoning_content") or "")
    assert whole.get("content", "") == (final.get("content") or "")
    assert len(whole.get("tool_calls", [])) == len(final.get("tool_calls") or [])
    for mine, theirs in zip(whole.get("tool_calls", []), final.get("tool_calls") or [], strict=True):
        given = theirs["function"]["arguments"]
        arguments = mine["function"]["arguments"]
        assert mine["function"]["name"] == theirs["function"]["name"]
        assert mine.get("id") == theirs.get("id")
        assert (arguments if isinstance(given, str) else json.loads(arguments)) == given
    return before, final


def check(name: str, text: str, sizes: list[int], **options: Any) -> tuple[list[dict[str, Any]], Any]:
    """Feed a text in pieces of these sizes, by turns; check it against the parse of the whole text."""
    made, place = loaded(name), 0
    pieces: list[str] = []
    while place < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[place : place + size])
        place += size
    parser = made.parser(completion=True, clock=CLOCK, **options)
    shown, final = streamed(parser, pieces)
    grammar = turn_grammar(keep_reasoning(made), {})
    before = joined(shown)
    assert grammar.markup_in(before.get("reasoning_content", ""), before.get("content", "")) is None
    whole: Any
    try:
        whole = made.parse(text, completion=True, clock=CLOCK, **options).messages[-1].dump()
    except NotRepresentable as error:
        whole = error.message
    assert final == whole
    return shown, final


def completion_of(name: str, message: dict[str, Any]) -> str | None:
    made = loaded(name)
    prompt = made.render([QUESTION], True, clock=CLOCK).text
    try:
        text = made.render([QUESTION, message], clock=CLOCK).text
    except ChatTmplError:
        return None
    return text.removeprefix(prompt) if text.startswith(prompt) else None


def message_of(reasoning: str | None, content: str, made: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    if made:
        message["tool_calls"] = [{"type": "function", "function": {"name": n, "arguments": a}} for n, a in made]
    return message


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@pytest.mark.parametrize("name", TEMPLATES)
@given(reasoning=st.none() | words, content=st.just("") | words, made=calls, sizes=sizes)
@quick
def test_what_is_shown_of_a_rendered_completion_is_never_taken_back(
    name: str, reasoning: str | None, content: str, made: list[tuple[str, dict[str, Any]]], sizes: list[int]
) -> None:
    made = list({tool: (tool, arguments) for tool, arguments in made}.values())
    text = completion_of(name, message_of(reasoning, content, made))
    if text is not None:
        check(name, text, sizes, tools=tools_of(made))


@functools.cache
def pieces_of(name: str) -> list[str]:
    """Pieces of text that mean something to a template."""
    grammar = turn_grammar(keep_reasoning(loaded(name)), {})
    call = message_of("hm", "Hi", [("f", {"a": 1, "b": "x"})])
    bare = {**call, "reasoning_content": "", "content": ""}
    texts = [text for text in (completion_of(name, call), completion_of(name, bare)) if text]
    calls = [text[text.find(opener) :] for text in texts for opener in grammar.openers if opener in text]
    forms = [part for form in grammar.forms for part in (*form.parts, form.ending) if isinstance(part, str)]
    return sorted({*grammar.tokens, *grammar.openers, *forms, *calls, *texts} - {""})


COMMON = [
    "`",
    "```",
    "\n",
    " ",
    "a",
    "Hi",
    '{"name":"f","arguments":{}}',
    '{"a": 1}',
    "<",
    "<|eot_id|>",
    "</s>",
    "[",
    "{",
    '"',
    "\\",
]


@pytest.mark.parametrize("name", TEMPLATES)
@given(data=st.data(), sizes=sizes)
@quick
def test_no_markup_is_shown_of_any_text(name: str, data: st.DataObject, sizes: list[int]) -> None:
    piece = st.sampled_from(pieces_of(name)) | st.sampled_from(COMMON)
    text = "".join(data.draw(st.lists(piece, max_size=8)))
    check(name, text, sizes)


@pytest.mark.parametrize("name", ["json", "xml", "qwen3", "gpt_oss"])
@pytest.mark.parametrize("step", [1, 3])
def test_a_completion_is_cut_by_tokens_of_bytes(name: str, step: int) -> None:
    """A tokenizer of bytes cuts characters in two; a decoder that holds these back feeds what is whole."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    text = completion_of(name, message_of("hm é", "日本 😀 Hi", [("f", {"a": "é日"})])) or ""
    data = text.encode()
    parser = loaded(name).parser(completion=True, clock=CLOCK)
    pieces = [decoder.decode(data[place : place + step]) for place in range(0, len(data), step)]
    _, final = streamed(parser, pieces)
    assert final["reasoning_content"] == "hm é"
    assert final["tool_calls"][0]["function"]["arguments"] == {"a": "é日"}


SHOWN = {
    "a name, then arguments as they are written": (
        "json",
        'Hi<tool_call>\n{"name":"f","arguments":{"a":',
        ["Hi", "f", '{"a":'],
    ),
    "the arguments of a call by members when it is complete": (
        "xml",
        "Hi<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
        ["Hi", "f", '{"a": 1}'],
    ),
    "a trace that the prompt opened": ("opened", "hm `<thi", ["hm `"]),
    "JSON that may be a call, at the end": ("llama3", ' {"name": "f", "parameters": {}}<|eot_id|>', []),
    "half a tag": ("json", "Hi<tool_ca", ["Hi"]),
    "what is no tag": ("json", "Hi<tool_cat> x", ["Hi<tool_cat> x"]),
    "a tag in code, when the code ends": ("json", "a `<tool_call>` b", ["a `<tool_call>` b"]),
    "a tag in code that does not end": ("json", "a `<tool_call> b", ["a `"]),
    "half a stop token": ("json", "Hi<|en", ["Hi"]),
    "another end token": ("json", "Hi <|eot_id|> more", ["Hi"]),
    "a closing tag of a trace that was not opened": ("json", "hm</think>Hi", ["hm"]),
}


@pytest.mark.parametrize(("name", "text", "expected"), SHOWN.values(), ids=list(SHOWN))
def test_before_the_end_is_shown(name: str, text: str, expected: list[str]) -> None:
    parser = loaded(name).parser(completion=True)
    for letter in text:
        parser.feed(letter)
    message = joined(parser.deltas())
    functions = [call["function"] for call in message.get("tool_calls", [])]
    texts = [message.get("reasoning_content"), message.get("content")]
    assert [text for text in texts if text] + [each[key] for each in functions for key in ("name", "arguments")] == (
        expected
    )


def test_the_deltas_of_the_end_come_after_finish() -> None:
    parser = loaded("json").parser(completion=True)
    parser.feed("Hi \n")
    assert parser.deltas() == [{"content": "Hi"}]
    assert parser.deltas() == []
    assert parser.finish().messages[0].content == "Hi \n"
    assert parser.deltas() == [{"content": " \n"}]


@pytest.mark.parametrize("text", ["word " * 40_000, "a < b\n" * 30_000, " " * 200_000], ids=["words", "signs", "space"])
def test_the_time_of_a_stream_is_linear(text: str) -> None:
    def seconds(part: str) -> float:
        def run() -> None:
            parser = loaded("json").parser(completion=True)
            for place in range(0, len(part), 4):
                parser.feed(part[place : place + 4])

        return fastest(run)

    loaded("json").parser(completion=True)
    assert seconds(text) < 12 * seconds(text[: len(text) // 4])
