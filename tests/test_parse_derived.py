"""Parsing of completions by grammars that are derived from renderings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.errors import NotRepresentable

HEADER = """{% for m in messages %}<|{{ m.role }}|>
{%- if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif -%}
"""
FOOTER = """{% if m.role == 'assistant' %}<|end|>{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""
CONTENT = "{{ m.content or '' }}"
EACH = "{% for c in m.tool_calls or [] %}{% set f = c.function %}"
CALLS = CONTENT + EACH
MEMBERS = "{% for k, v in f.arguments.items() %}"
VALUE = "{{ v if v is string else v | tojson }}"

NOTATIONS = {
    "json": CALLS
    + """<tool_call>
{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}
</tool_call>{% endfor %}""",
    "xml": f"""{CALLS}<tool_call>
<function={{{{ f.name }}}}>
{MEMBERS}<parameter={{{{ k }}}}>
{VALUE}
</parameter>
{{% endfor %}}</function>
</tool_call>{{% endfor %}}""",
    "keys and values": f"{CALLS}<tool_call>{{{{ f.name }}}}{MEMBERS}<arg_key>{{{{ k }}}}</arg_key>"
    f"<arg_value>{VALUE}</arg_value>{{% endfor %}}</tool_call>{{% endfor %}}",
    "pythonic": f"{CONTENT}{{% if m.tool_calls %}}<|calls|>[{EACH}{{{{ f.name }}}}({MEMBERS}"
    "{{ k }}={{ v | tojson }}{{ ', ' if not loop.last }}{% endfor %})"
    "{{ ', ' if not loop.last }}{% endfor %}]<|calls_end|>{% endif %}",
    "name and arguments": f"{CALLS}[TOOL_CALLS]{{{{ f.name }}}}[ARGS]{{{{ f.arguments | tojson }}}}{{% endfor %}}",
    "python": f"{CALLS}<call>{{{{ f.name }}}} {{{{ f.arguments }}}}</call>{{% endfor %}}",
}
"""Templates by the notation of their calls."""


def template(notation: str) -> Template:
    return Template.from_source(HEADER + NOTATIONS[notation] + FOOTER)


QUESTION = {"role": "user", "content": "Hi"}

words = st.text("abcdé日.,'\"\\/ \n-", min_size=1, max_size=12).map(str.strip).filter(bool)
values = st.recursive(
    words | st.integers(-(10**6), 10**6) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=6,
)
arguments = st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), values, max_size=4)
calls = st.lists(st.tuples(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), arguments), max_size=3)

TYPES = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}


def tools_of(made: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Definitions of the tools that are called, with the types of the arguments."""
    return [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {
            key: {"type": TYPES[type(value)]} for key, value in given.items()}}}}
        for name, given in made
    ]  # fmt: skip


@pytest.mark.parametrize("notation", NOTATIONS)
@given(content=st.just("") | words, reasoning=st.none() | words, made=calls)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_a_rendered_completion_is_read_back(
    notation: str, content: str, reasoning: str | None, made: list[tuple[str, dict[str, Any]]]
) -> None:
    made = list({name: (name, given) for name, given in made}.values())
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    if made:
        message["tool_calls"] = [{"type": "function", "function": {"name": n, "arguments": a}} for n, a in made]
    loaded = template(notation)
    prompt = loaded.render([QUESTION], True).text
    text = loaded.render([QUESTION, message]).text.removeprefix(prompt)
    found = loaded.parse(text, completion=True, exact=True, tools=tools_of(made))
    assert found.messages[0].dump() == loaded.render([QUESTION, message]).conversation.messages[1].dump()


SPELLINGS = {
    "compact": '<tool_call>{"name":"f","arguments":{"a":"é","n":1.5}}</tool_call>',
    "keys in another order": '<tool_call>\n{"arguments": {"a": "é", "n": 1.5}, "name": "f"}\n</tool_call>',
    "escapes": '<tool_call>\n{"name": "f", "arguments": {"a": "\\u00e9", "n": 15e-1}}\n</tool_call>',
    "more space": '  <tool_call>\n\n{\n  "name": "f",\n  "arguments": {"a": "é", "n": 1.5}\n}\n</tool_call>\n',
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=list(SPELLINGS))
@pytest.mark.parametrize("stop", ["", "<|end|>"])
def test_serving_reads_each_spelling_of_a_call_and_says_what_differs(text: str, stop: str) -> None:
    parsed = template("json").parse(text + stop, completion=True)
    (call,) = parsed.messages[0].tool_calls or []
    assert (call.function.name, call.function.arguments) == ("f", {"a": "é", "n": 1.5})
    assert parsed.messages[0].content == ""
    differs = getattr(parsed, "differs", None)
    assert isinstance(differs, NotRepresentable)
    assert "where the template writes" in differs.message
    with pytest.raises(NotRepresentable, match="where the template"):
        template("json").parse(text + stop, completion=True, exact=True)


WHY = "markup|neither an answer|ends inside|trace|tool call|stop token"
"""The beginnings of the reasons for refusals."""

REFUSED = {
    "a call that is cut off": ("json", '<tool_call>\n{"name": "f", "argu'),
    "a call without its closing tag": ("json", '<tool_call>\n{"name": "f", "arguments": {}}'),
    "a trace that is not closed": ("json", "<think>hm"),
    "a second trace": ("json", "<think>hm</think><think>hm</think>Hi"),
    "a closing tag of a trace that was not opened": ("json", "hm</think>Hi"),
    "the end token of another model": ("json", "Hi<|eot_id|>"),
    "text after the stop token": ("json", "Hi<|end|>Ho"),
    "a parameter that is cut off": ("xml", "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parame"),
    "a call after which text follows": ("keys and values", "<tool_call>f</tool_call> and"),
}


@pytest.mark.parametrize(("notation", "text"), REFUSED.values(), ids=list(REFUSED))
def test_markup_is_never_content(notation: str, text: str) -> None:
    for exact in (False, True):
        with pytest.raises(NotRepresentable, match=WHY) as caught:
            template(notation).parse(text, completion=True, exact=exact)
        assert caught.value.place is not None


def test_a_quoted_tag_stays_text() -> None:
    text = 'Write `<tool_call>` first.<tool_call>\n{"name": "f", "arguments": {"a": "</tool_call>"}}\n</tool_call>'
    message = template("json").parse(text, completion=True).messages[0]
    assert message.content == "Write `<tool_call>` first."
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == {"a": "</tool_call>"}


@pytest.mark.parametrize(("kind", "value"), [("string", "12"), ("integer", 12)])
def test_the_schema_of_a_tool_decides_what_bare_digits_are(kind: str, value: object) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": kind}}}}}]
    text = "<tool_call>\n<function=f>\n<parameter=a>\n12\n</parameter>\n</function>\n</tool_call><|end|>"
    message = template("xml").parse(text, completion=True, tools=tools).messages[0]
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == {"a": value}


def test_what_the_prompt_opens_belongs_to_the_turn() -> None:
    opened = Template.from_source(
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}"
        "<think>\n{{ m.reasoning_content }}\n</think>\n{% endif %}{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
    )
    message = opened.parse("hm\n</think>\nHi<|end|>", completion=True).messages[0]
    assert (message.reasoning_content, message.content) == ("hm", "Hi")


OPENED = """{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}
{{- m.content.split('</think>')[-1] }}<|end|>
{%- else %}{{ m.content }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{{ '<think>' if thinking else '' }}
{%- endif %}"""
"""A template whose prompt opens a trace where it is asked to, and that renders none."""


def test_a_trace_that_only_the_prompt_knows_is_read_where_the_prompt_opens_it() -> None:
    opened = Template.from_source(OPENED)
    message = opened.parse("hm</think>Hi<|end|>", completion=True, thinking=True).messages[0]
    assert (message.reasoning_content, message.content) == ("hm", "Hi")
    with pytest.raises(NotRepresentable, match="the prompt opens a trace, which '</think>' does not close"):
        opened.parse("hm", completion=True, thinking=True)


def test_a_mode_is_parsed_as_its_prompt_begins_the_turn() -> None:
    closed = Template.from_source(
        "{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning_content and thinking %}"
        "<think>{{ m.reasoning_content }}</think>{% elif m.role == 'assistant' %}</think>{% endif %}"
        "{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{{ '<think>' if thinking else '</think>' }}{% endif %}"
    )
    assert closed.parse("Hi<|end|>", completion=True).messages[0].content == "Hi"
    message = closed.parse("hm</think>Hi<|end|>", completion=True, thinking=True).messages[0]
    assert (message.reasoning_content, message.content) == ("hm", "Hi")
    with pytest.raises(NotRepresentable, match="'</think>' closes a trace that the prompt does not open"):
        closed.parse("hm</think>Hi<|end|>", completion=True)


def test_white_space_between_parameters_does_not_join_them() -> None:
    text = "<tool_call>\n<function=f>\n<parameter=a>\nx</parameter>\n\n<parameter=b>\n2\n</parameter>\n"
    text += "</function>\n</tool_call>"
    message = template("xml").parse(text, completion=True).messages[0]
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == {"a": "x", "b": 2}


BETWEEN = "<tool_call>{0}f{0}<arg_key>{0}a{0}</arg_key>{0}<arg_value>2</arg_value>{0}</tool_call>"


@pytest.mark.parametrize("space", ["", " ", "\n", "\n\n"])
def test_white_space_between_tags_means_nothing(space: str) -> None:
    message = template("keys and values").parse(BETWEEN.format(space), completion=True).messages[0]
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.name == "f"
    assert message.tool_calls[0].function.arguments == {"a": 2}


@pytest.mark.parametrize(("kind", "value"), [("string", "\n2"), ("integer", 2), ("number", 2), ("boolean", "\n2")])
def test_a_value_is_of_the_type_that_the_schema_expects_also_after_white_space(kind: str, value: object) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": kind}}}}}]
    text = "<tool_call>f<arg_key>a</arg_key><arg_value>\n2</arg_value></tool_call>"
    message = template("keys and values").parse(text, completion=True, tools=tools).messages[0]
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == {"a": value}


def test_json_that_is_a_call_in_another_spelling_is_a_call() -> None:
    for text, called in (('{"name": "f", "parameters": {"a":1}}', True), ('{"name": "Bob"}', False)):
        message = Template.load("llama3").parse(text, completion=True).messages[0]
        assert bool(message.tool_calls) is called


@pytest.mark.parametrize("value", ["1e400", "[" * 900 + "]" * 900])
def test_a_value_that_no_message_can_hold_is_refused(value: str) -> None:
    text = f'<tool_call>\n{{"name": "f", "arguments": {{"a": {value}}}}}\n</tool_call>'
    with pytest.raises(NotRepresentable, match=WHY):
        template("json").parse(text, completion=True)


def test_a_trace_that_the_prompt_closes_precedes_any_answer() -> None:
    closed = Template.from_source(
        "{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>"
        "{% endif %}{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|><think></think>{% endif %}"
    )
    assert closed.parse("Hi", completion=True).messages[0].content == "Hi"
