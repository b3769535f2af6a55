"""Retention policies: which earlier reasoning is rendered, how the tags are lowered, and where they may stand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.compiler.policies import NAMES, POLICIES
from chattmpl.conversation.models import Conversation
from chattmpl.errors import RenderError, TemplateError, UsageError
from support import ROOT
from support.plain_jinja import plain_render


def message(role: str, number: int) -> dict[str, Any]:
    if role == "assistant":
        return {"role": role, "content": f"A{number}", "reasoning_content": f"R{number}"}
    if role == "call":
        call = {"type": "function", "function": {"name": "f", "arguments": {}}}
        return {**message("assistant", number), "content": f"C{number}", "tool_calls": [call]}
    return {"role": role, "content": f"{role[0].upper()}{number}"}


def conversation(roles: str) -> list[dict[str, Any]]:
    names = {"s": "system", "u": "user", "a": "assistant", "c": "call", "t": "tool"}
    return [message(names[letter], number) for number, letter in enumerate(roles)]


BODY = (
    "{% reasoning %}{% if message.reasoning_content %}({{ message.reasoning_content }}){% endif %}"
    "{% else %}-{% endreasoning %}{{ message.content }}"
)
SOURCE = "{% for message in messages %}" + BODY + "{% endfor %}"

KEPT: dict[str, dict[str, list[int]]] = {
    "all": {
        "sua": [2],
        "uaua": [1, 3],
        "uatat": [1, 3],
        "uatau": [1, 3],
        "a": [0],
        "aa": [0, 1],
        "sa": [1],
        "u": [],
        "uctct": [1, 3],
        "ucta": [1, 3],
        "uctauct": [1, 3, 5],
        "uctact": [1, 3, 4],
        "uctu": [1],
    },
    "since_last_user": {
        "sua": [2],
        "uaua": [3],
        "uatat": [1, 3],
        "uatau": [],
        "a": [0],
        "aa": [0, 1],
        "sa": [1],
        "u": [],
        "uctct": [1, 3],
        "ucta": [1, 3],
        "uctauct": [5],
        "uctact": [1, 3, 4],
        "uctu": [],
    },
    "calls_since_last_user": {
        "sua": [],
        "uaua": [],
        "uatat": [],
        "uatau": [],
        "a": [],
        "aa": [],
        "sa": [],
        "u": [],
        "uctct": [1, 3],
        "ucta": [1],
        "uctauct": [5],
        "uctact": [1, 4],
        "uctu": [],
    },
    "open_tool_loop": {
        "sua": [2],
        "uaua": [3],
        "uatat": [],
        "uatau": [],
        "a": [0],
        "aa": [1],
        "sa": [1],
        "u": [],
        "uctct": [1, 3],
        "ucta": [1, 3],
        "uctauct": [5],
        "uctact": [4],
        "uctu": [1],
    },
    "last": {
        "sua": [2],
        "uaua": [3],
        "uatat": [],
        "uatau": [],
        "a": [0],
        "aa": [1],
        "sa": [1],
        "u": [],
        "uctct": [],
        "ucta": [3],
        "uctauct": [],
        "uctact": [],
        "uctu": [],
    },
    "none": {
        "sua": [],
        "uaua": [],
        "uatat": [],
        "uatau": [],
        "a": [],
        "aa": [],
        "sa": [],
        "u": [],
        "uctct": [],
        "ucta": [],
        "uctauct": [],
        "uctact": [],
        "uctu": [],
    },
}
"""For each policy and each sequence of roles, the messages whose reasoning is kept without tools."""
KEPT["all_with_tools"] = KEPT["since_last_user"]

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]

CASES = [(policy, roles) for policy, kept in KEPT.items() for roles in kept]


def expected(roles: str, kept: list[int], skip: int = 0) -> str:
    traces = [f"(R{number})" if number in kept else "" for number in range(len(roles))]
    return "".join(f"{traces[number]}{letter.upper()}{number}" for number, letter in enumerate(roles) if number >= skip)


def without_dashes(text: str) -> str:
    """The `else` part is written for what is not an assistant's message too, according to its place."""
    return text.replace("-", "")


@pytest.mark.parametrize(("policy", "roles"), CASES)
def test_a_policy_keeps_the_reasoning_that_it_says(policy: str, roles: str) -> None:
    template = Template.from_source(SOURCE, retention=policy)
    assert without_dashes(template.render(conversation(roles)).text) == expected(roles, KEPT[policy][roles])


def test_every_policy_has_its_cases() -> None:
    assert KEPT.keys() == POLICIES.keys()


TEMPLATES = {policy: Template.from_source(SOURCE, retention=policy) for policy in NAMES}


@pytest.mark.parametrize("policy", [*POLICIES])
@given(roles=st.text("suact", min_size=1, max_size=9), prompt=st.booleans(), tools=st.booleans())
def test_a_template_renders_the_traces_that_the_policy_keeps(
    policy: str, roles: str, prompt: bool, tools: bool
) -> None:
    given = Conversation.coerce({"messages": conversation(roles), "tools": TOOLS if tools else None})
    kept = POLICIES[policy].keeps(given, prompt)
    at_run_time = TEMPLATES["runtime"].render(given, prompt, reasoning_retention=policy)
    for text in (TEMPLATES[policy].render(given, prompt).text, at_run_time.text):
        assert {number for number in range(len(roles)) if f"(R{number})" in text} == kept


@pytest.mark.parametrize("page", ["reference/dialect.md", "how-to/keep-reasoning.md"])
def test_the_pages_describe_each_policy_as_the_table_does(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for policy in POLICIES.values():
        assert f"| `{policy.name}` | {policy.summary} |" in text


@pytest.mark.parametrize(("policy", "roles"), CASES)
def test_the_else_part_stands_where_reasoning_is_dropped(policy: str, roles: str) -> None:
    text = Template.from_source(SOURCE, retention=policy).render(conversation(roles)).text
    for number, letter in enumerate(roles):
        if letter in "ac":
            assert (f"-{letter.upper()}{number}" in text) is (number not in KEPT[policy][roles])


@pytest.mark.parametrize(("policy", "roles"), CASES)
def test_the_runtime_policy_does_what_the_kwarg_says(policy: str, roles: str) -> None:
    template = Template.from_source(SOURCE, retention="runtime")
    static = Template.from_source(SOURCE, retention=policy).render(conversation(roles)).text
    assert template.render(conversation(roles), reasoning_retention=policy).text == static


@pytest.mark.parametrize(("policy", "roles"), CASES)
@pytest.mark.parametrize(
    "source",
    [
        "{% for message in messages[1:] %}" + BODY + "{% endfor %}",
        "{% set loop_messages = messages[1:] %}{% for message in loop_messages %}" + BODY + "{% endfor %}",
        "{% set tail = messages[1:] %}{% set rest = tail %}{% for message in rest %}" + BODY + "{% endfor %}",
        "{% set loop_messages = messages[1:] if true else messages %}{% for message in loop_messages %}"
        + BODY
        + "{% endfor %}",
    ],
    ids=["slice", "variable", "variable of a variable", "conditional"],
)
def test_a_loop_over_a_tail_of_the_messages_is_as_good(policy: str, roles: str, source: str) -> None:
    text = Template.from_source(source, retention=policy).render(conversation(roles)).text
    assert without_dashes(text) == expected(roles, KEPT[policy][roles], skip=1)


@pytest.mark.parametrize(("policy", "roles"), CASES)
def test_a_block_in_an_inner_loop_follows_the_message(policy: str, roles: str) -> None:
    source = "{% for message in messages -%}\n{%- for part in [1, 2] %}" + BODY + "{% endfor %}{% endfor %}"
    text = Template.from_source(source, retention=policy).render(conversation(roles)).text
    once = Template.from_source(SOURCE, retention=policy).render(conversation(roles)).text
    assert sorted(text) == sorted(once * 2)


def test_the_default_is_that_all_reasoning_stays() -> None:
    assert Template.from_source(SOURCE).retention == "all"
    assert Template.from_source(SOURCE).render(conversation("uaua")).text == "U0(R1)A1U2(R3)A3"
    assert Template.from_source("{{ messages }}").retention is None


@pytest.mark.parametrize("policy", [*NAMES])
def test_a_template_can_read_the_name_of_the_policy(policy: str) -> None:
    template = Template.from_source("{{ reasoning_retention }}:" + SOURCE, retention=policy)
    assert template.render(conversation("u")).text.partition(":")[0] == ("all" if policy == "runtime" else policy)


@pytest.mark.parametrize("policy", [*NAMES])
def test_the_export_is_plain_jinja_that_renders_the_same(policy: str) -> None:
    template = Template.from_source(SOURCE, retention=policy)
    messages = conversation("suataua")
    exported = template.export("inference")
    assert "reasoning %}" not in exported
    assert plain_render(exported, messages=messages)[0] == template.render(messages).text


def test_lowering_keeps_comments_layout_and_whitespace_signs() -> None:
    source = (
        "{# first #}\n{% for message in messages %}\n    {#- why -#}\n    {%- reasoning +%}\n  r\n"
        "    {%+ else -%}  n {% endreasoning -%}\n  {{ message.content }}\n{% endfor %}\n"
    )
    lowered = Template.from_source(source, retention="all").export("train")
    assert lowered == source.replace("reasoning +", "if true +").replace("endreasoning", "endif")
    none = Template.from_source(source, retention="none").export("train")
    assert none == source.replace("reasoning +", "if false +").replace("endreasoning", "endif")


def test_a_variable_of_the_templates_own_is_not_overwritten() -> None:
    source = "{% set retention = 'mine' %}" + SOURCE + "{{ retention }}"
    text = Template.from_source(source, retention="since_last_user").render(conversation("ua")).text
    assert text == "-U0(R1)A1mine"


def test_a_runtime_policy_that_does_not_exist_is_refused() -> None:
    template = Template.from_source(SOURCE, retention="runtime")
    with pytest.raises(UsageError, match="no retention policy 'al'") as caught:
        template.render(conversation("ua"), reasoning_retention="al")
    assert caught.value.hint == "did you mean 'all'?"
    exported = Template.from_source(template.export("inference"))
    with pytest.raises(RenderError, match=f"reasoning_retention must be one of {', '.join(POLICIES)}"):
        exported.render(conversation("ua"), reasoning_retention="al")


def test_a_policy_that_does_not_exist_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"hint: did you mean 'since_last_user'\?"):
        Template.from_source(SOURCE, retention="since_last_usr")


def test_a_policy_without_a_reasoning_block_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"no \{% reasoning %\} block"):
        Template.from_source("{{ messages }}", retention="last")


@pytest.mark.parametrize(
    ("loop", "reason"),
    [
        ("{% for message in messages if message.content %}", "leaves messages out"),
        ("{% for message in messages | selectattr('content') %}", "leaves messages out"),
        (
            "{% set chat_messages = messages | selectattr('content') | list %}{% for message in chat_messages %}",
            "leaves messages",
        ),
        ("{% for message in messages | reverse %}", "in another order"),
        ("{% for message in messages[::-1] %}", "in another order"),
        ("{% set back = messages[::-1] %}{% for message in back %}", "in another order"),
        ("{% for message in messages[:3] %}", "last message"),
        ("{% for message in messages[1:-1] %}", "last message"),
        ("{% for x in [1] %}", "outside a loop over messages"),
        ("{% for x in ns.messages %}", "outside a loop over messages"),
    ],
)
def test_a_loop_in_which_the_message_is_not_known_is_refused(loop: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason) as caught:
        Template.from_source(loop + BODY + "{% endfor %}", retention="since_last_user")
    assert caught.value.place is not None


def test_a_block_outside_a_loop_or_in_a_macro_is_refused() -> None:
    with pytest.raises(TemplateError, match="outside a loop"):
        Template.from_source("{% reasoning %}x{% endreasoning %}")
    with pytest.raises(TemplateError, match="inside a macro"):
        Template.from_source(
            "{% for m in messages %}{% macro f() %}{% reasoning %}x{% endreasoning %}{% endmacro %}{% endfor %}"
        )


def test_another_policy_of_a_template_is_another_template() -> None:
    template = Template.from_source(SOURCE)
    other = template.with_retention("none")
    assert (template.retention, other.retention) == ("all", "none")
    assert other.source == template.source
