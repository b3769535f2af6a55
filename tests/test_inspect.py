"""`chattmpl inspect` on small templates, with and without each capability, and on the families."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.capabilities import Capabilities, inspect_template
from chattmpl.capabilities.answers import FLAGS
from chattmpl.compiler.policies import POLICIES
from chattmpl.lint.runner import lint
from chattmpl.source import Source
from chattmpl.template.family import family_names, load_family
from chattmpl.template.resolver import TemplateSource, find_template

PROMPT = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
CALLS = (
    '{% for c in m.tool_calls or [] %}<tool_call>\n{"name": "{{ c.function.name }}", "arguments": '
    "{{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}"
)
TRACE = "<think>{{ m.reasoning_content }}</think>"
CONDITIONS = {
    "all": "m.reasoning_content",
    "last": "m.reasoning_content and loop.last",
    "since_last_user": "m.reasoning_content and loop.index0 > ns.user",
    "other": "m.reasoning_content and not m.tool_calls",
}
LAST_USER = (
    "{% set ns = namespace(user=-1) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.user = loop.index0 %}{% endif %}{% endfor %}"
)


def turns(body: str = "{{ m.content }}", before: str = "", head: str = "<|{{ m.role }}|>", prompt: str = PROMPT) -> str:
    """A template of plain frames."""
    return before + "{% for m in messages %}" + head + body + "<|end|>{% endfor %}" + prompt


def inspected(source: str, **tokens: str) -> Capabilities:
    return inspect_template(TemplateSource(Source(source, "made.jinja"), tokens))


PLAIN = turns()
KNOWN_ONLY = (
    "{% for m in messages if m.role in ['user', 'assistant'] %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
)
ALTERNATING = turns(
    before="{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}"
)
TOOLS = "{% if tools %}<|tools|>{% for t in tools %}{{ t | tojson }}{% endfor %}<|end|>{% endif %}"
DOCUMENTS = "{% for d in documents or [] %}<|document|>{{ d.title }}: {{ d.text }}{% endfor %}"
PARTS = (
    "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
    "{% if p.type == 'text' %}{{ p.text }}{% elif p.type == 'image' %}<|image|>{% endif %}{% endfor %}{% endif %}"
)
FIRST_CALL = CALLS.replace("m.tool_calls or []", "(m.tool_calls or [])[:1]")

TWINS: dict[str, tuple[str, str]] = {
    "system": (PLAIN, KNOWN_ONLY + PROMPT),
    "developer": (PLAIN, KNOWN_ONLY + PROMPT),
    "alternation": (ALTERNATING, PLAIN),
    "tools": (TOOLS + PLAIN, PLAIN),
    "tool_calls": (turns("{{ m.content }}" + CALLS), PLAIN),
    "parallel_tool_calls": (turns("{{ m.content }}" + CALLS), turns("{{ m.content }}" + FIRST_CALL)),
    "tool_results": (PLAIN, KNOWN_ONLY + PROMPT),
    "reasoning": (turns("{% if m.reasoning_content %}" + TRACE + "{% endif %}{{ m.content }}"), PLAIN),
    "documents": (DOCUMENTS + PLAIN, PLAIN),
    "multimodal": (turns(PARTS), PLAIN),
    "late_system": (PLAIN, KNOWN_ONLY + PROMPT),
    "prefix_preserving": (PLAIN, turns("{% if loop.last %}(last){% endif %}{{ m.content }}")),
    "mask": (
        turns("{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}{% endif %}"),
        PLAIN,
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_template_that_has_a_capability_is_told_from_one_that_has_not(name: str) -> None:
    with_it, without = (inspected(source) for source in TWINS[name])
    assert with_it.answer(name).value is True
    assert without.answer(name).value is False


def test_a_system_message_is_told_to_be_merged_into_the_question() -> None:
    merged = (
        "{% set first = messages[0].content ~ '\n\n' if messages[0].role == 'system' else '' %}"
        "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ first if m.role == 'user' and "
        "loop.index0 == 0 }}{{ m.content }}<|end|>{% endfor %}"
    )
    assert inspected(merged).answer("system").facts["place"] == "user"
    assert inspected(PLAIN).answer("system").facts["place"] == "own"


def test_a_system_prompt_that_nobody_wrote_is_quoted() -> None:
    injects = "{% if messages[0].role != 'system' %}<|system|>You are a helpful model.<|end|>{% endif %}" + PLAIN
    assert inspected(injects).answer("system").facts["default"] == "You are a helpful model."
    assert inspected(PLAIN).answer("system").facts["default"] is None


def test_a_refusal_is_a_no_with_its_reason_and_a_failure_is_not_evaluated() -> None:
    refuses = turns("{% if m.role == 'developer' %}{{ raise_exception('no developers') }}{% endif %}{{ m.content }}")
    fails = turns("{% if m.role == 'developer' %}{{ 1 + m.content }}{% endif %}{{ m.content }}")
    refused, failed = inspected(refuses), inspected(fails)
    assert refused.answer("developer").state == "no"
    assert refused.answer("developer").note == "refused: no developers"
    assert refused.not_evaluated == []
    assert failed.answer("developer").state == "unknown"
    assert failed.to_dict()["developer"] is None
    assert [item["what"] for item in failed.not_evaluated] == ["developer"]


def test_a_template_that_refuses_everything_is_said_not_to_be_evaluated() -> None:
    found = inspected("{{ raise_exception('never') }}")
    record = found.to_dict()
    assert {record[name] for name in ("system", "tools", "reasoning", "multimodal")} == {None}
    assert record["generation_prompt"] is record["stop_tokens"] is record["retention"] is None
    whats = {item["what"] for item in record["not_evaluated"]}
    assert whats >= {"system", "tools", "parsers", "stop_tokens", "generation_prompt", "modes"}
    assert all("never" in item["why"] for item in record["not_evaluated"] if item["what"] == "system")


def test_a_template_that_does_not_compile_has_a_record_too() -> None:
    found = inspected("{% for m in messages %}")
    assert found.error
    assert found.to_dict()["system"] is None


def test_a_fault_of_ours_leaves_the_template_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("chattmpl.probing.roles.find_first_message", fail)
    found = inspected(PLAIN)
    assert found.error == "a bug in chattmpl, please report it: ZeroDivisionError: oops"
    assert found.to_dict()["tools"] is None


def test_a_template_that_runs_away_is_not_evaluated() -> None:
    found = inspected("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}")
    assert {item["what"] for item in found.not_evaluated} >= {"system", "tools"}


def test_what_needs_tools_beside_the_messages_is_inspected_with_tools() -> None:
    found = inspected("{% for t in tools %}{{ t | tojson }}{% endfor %}" + PLAIN)
    assert found.needs == ("tools",)
    assert found.answer("system").state == "yes"
    assert inspected(PLAIN).needs == ()


@pytest.mark.parametrize("policy", CONDITIONS)
def test_the_retention_policy_is_recognised(policy: str) -> None:
    body = "{% if " + CONDITIONS[policy] + " %}" + TRACE + "{% endif %}{{ m.content }}" + CALLS
    assert inspected(turns(body, before=LAST_USER)).retention == policy


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "none"])  # of none, no trace is seen
def test_each_policy_of_the_table_is_recognised_in_its_own_export(policy: str) -> None:
    trace = "{% reasoning %}{% if m.reasoning_content %}" + TRACE + "{% endif %}{% endreasoning %}"
    dialect = turns(trace + "{{ m.content }}" + CALLS)
    assert inspected(Template.from_source(dialect, retention=policy).export("inference")).retention == policy


def test_a_template_that_keeps_traces_in_the_open_tool_loop_only_drops_that_of_the_final_answer() -> None:
    before = (
        "{% set ns = namespace(answer=-1) %}{% for m in messages %}"
        "{% if m.role == 'assistant' and not m.tool_calls %}{% set ns.answer = loop.index0 %}{% endif %}{% endfor %}"
    )
    body = "{% if m.reasoning_content and loop.index0 > ns.answer %}" + TRACE + "{% endif %}{{ m.content }}" + CALLS
    found = inspected(turns(body, before=before))
    assert found.retention == "open_tool_loop"
    assert found.answer("retention").note == "the final answer drops its own trace"


def test_an_open_tool_loop_that_keeps_its_traces_is_told_beside_the_policy() -> None:
    body = (
        "{% if m.reasoning_content and (loop.last or (m.tool_calls and loop.index0 > ns.user and not ns.done)) %}"
        + TRACE
        + "{% endif %}{{ m.content }}"
        + CALLS
    )
    done = "{% set ns.done = messages[-1].role == 'assistant' %}"
    found = inspected(turns(body, before=LAST_USER + done))
    assert found.retention == "last"
    assert found.answer("retention").note == "an open tool loop keeps its own"


def test_the_policy_under_another_value_of_a_kwarg_is_named_beside_the_usual_one() -> None:
    condition = "m.reasoning_content and (preserve_thinking or loop.index0 > ns.user)"
    body = "{% if " + condition + " %}" + TRACE + "{% endif %}{{ m.content }}" + CALLS
    found = inspected(turns(body, before=LAST_USER))
    assert found.retention == "since_last_user"
    assert found.answer("retention").note == "all with preserve_thinking=true"
    assert found.answer("retention").facts["by_kwarg"] == {"preserve_thinking=true": "all"}


def test_traces_in_the_content_are_seen_where_history_drops_them() -> None:
    cuts = turns("{{ m.content if loop.last else m.content.split('</think>')[-1] }}")
    always = turns("{{ m.content.split('</think>')[-1] }}")
    found = inspected(cuts)
    assert (found.retention, found.answer("reasoning").state) == ("last", "partly")
    assert (inspected(always).retention, inspected(always).answer("reasoning").state) == ("none", "no")


def test_a_prompt_that_asks_for_reasoning_that_is_never_rendered_is_told_from_one_that_does_not() -> None:
    asks = "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
    assert inspected(turns(prompt=asks)).retention == "drops reasoning"
    assert inspected(turns(prompt=asks)).prefill == "<think>\n"
    assert inspected(PLAIN).retention == "no reasoning"
    assert inspected(PLAIN).prefill is None


def test_reasoning_that_needs_a_kwarg_is_found_with_it() -> None:
    body = "{% if thinking and m.reasoning_content %}" + TRACE + "{% endif %}{{ m.content }}"
    found = inspected(turns(body))
    assert found.answer("reasoning").facts["needs"] == {"thinking": True}
    assert found.retention == "all"


MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "a switch that is on": (
        "{% if enable_thinking is defined and not enable_thinking %}<|quick|>{% endif %}" + PLAIN,
        {"kind": "switch", "values": [True, False], "default": True, "changes": {"true": [], "false": ["start"]}},
    ),
    "a switch that is off": (
        PLAIN.replace("<|assistant|>", "<|assistant|>{% if enable_thinking %}<think>{% endif %}"),
        {
            "kind": "switch",
            "values": [True, False],
            "default": False,
            "changes": {"true": ["generation prompt"], "false": []},
        },
    ),
    "a choice": (
        "{% set kind = enable_thinking | default('short') %}{% if kind == 'long' %}<|long|>{% endif %}" + PLAIN,
        {
            "kind": "choice",
            "values": ["long", "short"],
            "default": "short",
            "changes": {'"long"': ["start"], '"short"': []},
        },
    ),
    "a text": (
        "<|date|>{{ enable_thinking | default('today') }}" + PLAIN,
        {"kind": "text", "values": [], "default": "today", "changes": {"…": ["start"]}},
    ),
    "data": (
        "{% for t in enable_thinking or [] %}{{ t.function.name }}{% endfor %}" + PLAIN,
        {"kind": "data", "values": [], "default": None, "changes": {"…": ["start"]}},
    ),
    "nothing": (
        "{% if enable_thinking %}{% endif %}" + PLAIN,
        {"kind": "no effect", "values": [], "default": None, "changes": {}},
    ),
}


@pytest.mark.parametrize("name", MODES)
def test_a_kwarg_is_found_with_its_values_and_what_they_change(name: str) -> None:
    source, expected = MODES[name]
    assert inspected(source).modes == {"enable_thinking": {**expected, "with": {}}}


def test_a_kwarg_that_does_something_only_beside_another_is_found() -> None:
    body = "{% if thinking and m.reasoning_content and keep %}" + TRACE + "{% endif %}{{ m.content }}"
    prompt = PROMPT.replace("<|assistant|>", "<|assistant|>{% if thinking %}<think>{% endif %}")
    found = inspected(turns(body, prompt=prompt))
    assert found.modes["keep"]["with"] == {"thinking": True}
    assert found.modes["thinking"]["with"] == {}


def test_the_variables_that_a_template_sets_itself_are_no_modes() -> None:
    assert inspected("{% set greeting = 'Hi' %}{{ greeting }}" + PLAIN).modes == {}


def test_each_mode_has_its_generation_prompt() -> None:
    found = inspected(PLAIN.replace("<|assistant|>", "<|assistant|>{% if enable_thinking %}<think>{% endif %}"))
    assert found.generation_prompt == "<|assistant|>"
    assert found.generation_prompts == {"enable_thinking=true": "<|assistant|><think>"}


STOPS: dict[str, tuple[str, list[str]]] = {
    "the same for every turn": (PLAIN, ["<|end|>"]),
    "another one for the last turn": (
        turns("{{ m.content }}{% if loop.last and m.role == 'assistant' %}<|return|>{% endif %}").replace(
            "<|end|>", "{% if not loop.last %}<|end|>{% endif %}"
        ),
        ["<|return|>", "<|end|>"],
    ),
    "one that is written with the next turn": (
        "{% for m in messages %}{% if not loop.first %}<|end|>{% endif %}<|{{ m.role }}|>{{ m.content }}{% endfor %}",
        ["<|end|>"],
    ),
    "one for calls": (
        turns("{{ m.content }}" + CALLS + "{% if m.tool_calls %}<|call|>{% endif %}").replace(
            "<|end|>", "{% if not m.tool_calls %}<|end|>{% endif %}"
        ),
        ["<|end|>", "<|call|>"],
    ),
    "none": ("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}", []),
    "a variable": (turns().replace("<|end|>", "{{ eos_token }}"), ["{eos_token}"]),
}


@pytest.mark.parametrize("name", STOPS)
def test_the_stop_tokens_are_found(name: str) -> None:
    source, expected = STOPS[name]
    assert inspected(source).stop_tokens == expected


def test_the_bos_token_is_found() -> None:
    assert inspected("{{ bos_token }}" + PLAIN).bos == "{bos_token}"
    assert inspected("{{ bos_token }}" + PLAIN, bos_token="<s>").bos == "<s>"
    assert inspected("<|begin_of_text|>" + PLAIN).bos == "<|begin_of_text|>"
    assert inspected(PLAIN).bos is None


def test_what_breaks_the_prefix_is_named() -> None:
    found = inspected(turns("{{ m.content }}{% if loop.last and m.role == 'tool' %}<|results_end|>{% endif %}"))
    exceptions = found.to_dict()["prefix_exceptions"]
    assert "a question after a tool loop" in [item["appended"] for item in exceptions]
    assert "a question" not in [item["appended"] for item in exceptions]
    assert found.to_dict()["prefix_preserving"] is False


COVERED = (
    "{% if m.role == 'assistant' %}{% generation %}BODY{% endgeneration %}{% else %}{{ m.content }}<|end|>{% endif %}"
)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("{{ m.content }}<|end|>", {}),
        ("{{ m.content }}{% endgeneration %}<|end|>{% generation %}", {"stop_token": False}),
        ("{{ m.content }}<|end|>\n", {"after_stop": True}),
    ],
)
def test_the_mask_is_told_with_what_is_wrong(body: str, wrong: dict[str, bool]) -> None:
    source = "{% for m in messages %}<|{{ m.role }}|>" + COVERED.replace("BODY", body) + "{% endfor %}" + PROMPT
    facts = inspected(source, eos_token="<|end|>").answer("mask").facts
    right = {"content": True, "stop_token": True, "after_stop": False, "header": False, "input": False}
    expected: dict[str, bool | None] = {**right, **wrong}
    if wrong.get("stop_token") is False:
        expected["after_stop"] = None
    assert {name: facts[name] for name in right} == expected


def test_a_header_in_the_loss_is_told() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}<|assistant|>{{ m.content }}<|end|>"
        "{% endgeneration %}{% else %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}" + PROMPT
    )
    found = inspected(source).answer("mask")
    assert found.facts["header"] is True
    assert "header" in found.note
    assert found.facts["laws"]["sampled"].startswith("messages[1] trains '<|assistant|>'")


FORMATS: dict[str, tuple[str, str | None, str | None]] = {
    "hermes": (CALLS, "hermes", "qwen25"),
    "hermes on one line": (CALLS.replace("\n", ""), "hermes", "hermes"),
    "mistral": ("{% for c in m.tool_calls or [] %}[TOOL_CALLS][{{ c.function | tojson }}]{% endfor %}",)
    + ("mistral",) * 2,
    "qwen3 coder": (
        "{% for c in m.tool_calls or [] %}<tool_call>\n<function={{ c.function.name }}>\n"
        "{% for k, v in c.function.arguments.items() %}<parameter={{ k }}>\n{{ v }}\n</parameter>\n{% endfor %}"
        "</function>\n</tool_call>{% endfor %}",
        "qwen3_coder",
        "qwen3_coder",
    ),
    "none that is known": (
        "{% for c in m.tool_calls or [] %}CALL {{ c.function.arguments.tusk }}{% endfor %}",
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_tool_parsers_are_told_by_the_format_of_calls(name: str) -> None:
    calls, vllm, sglang = FORMATS[name]
    parsers = inspected(turns("{{ m.content }}" + calls)).parsers
    assert (parsers["vllm"]["tool"], parsers["sglang"]["tool"]) == (vllm, sglang)


@pytest.mark.parametrize(
    ("kwarg", "vllm", "sglang"),
    [
        ("enable_thinking", "qwen3", "qwen3"),
        ("thinking", "deepseek_v3", "deepseek-v3"),
        ("other", "deepseek_r1", "deepseek-r1"),
    ],
)
def test_the_reasoning_parser_depends_on_the_kwarg_that_switches_reasoning(kwarg: str, vllm: str, sglang: str) -> None:
    prompt = "{% if add_generation_prompt %}<|assistant|>{% if KWARG is defined %}<think>{% endif %}{% endif %}"
    body = "{% if m.reasoning_content %}" + TRACE + "{% endif %}{{ m.content }}"
    parsers = inspected(turns(body, prompt=prompt.replace("KWARG", kwarg))).parsers
    assert (parsers["vllm"]["reasoning"], parsers["sglang"]["reasoning"]) == (vllm, sglang)


def test_arguments_that_are_encoded_twice_are_told() -> None:
    twice = inspected(turns("{{ m.content }}" + CALLS)).answer("tool_calls").facts["arguments"]
    once = inspected(
        turns("{{ m.content }}" + CALLS.replace("| tojson", "if c.function.arguments is string else '{}'"))
    )
    assert twice == {"object": "rendered", "string": "encoded twice"}
    assert once.answer("tool_calls").facts["arguments"]["string"] == "rendered"


def test_ids_of_calls_are_told_to_be_kept_or_not() -> None:
    with_ids = turns("{{ m.content }}" + CALLS + "{{ m.tool_call_id }}")
    assert inspected(with_ids).answer("tool_calls").facts["ids"] is True
    assert inspected(turns("{{ m.content }}" + CALLS)).answer("tool_calls").facts["ids"] is False


_TOOLS_WITH_SYSTEM = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}"
    "{% if m.role == 'system' and tools %}{{ tools | tojson }}{% endif %}{{ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_NO_TOOLS = _TOOLS_WITH_SYSTEM.replace("{{ tools | tojson }}", "")
_CLOSING = (
    "{% for m in messages %}{{ '<|user|>' + m.content + '<|/user|>' if m.role == 'user'"
    " else '<|assistant|>' + m.content + '<|/assistant|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def _linted(source: str, code: str) -> list[str]:
    return [one.message for one in lint(TemplateSource(Source(source, "made.jinja"))) if one.code == code]


def test_tools_that_are_rendered_beside_a_system_message_only_are_no_lost_tools() -> None:
    answer = inspected(_TOOLS_WITH_SYSTEM).answer("tools")
    assert (answer.state, answer.note) == ("partly", "only with a system message")
    assert answer.facts["form"] == "JSON"
    assert inspected(_NO_TOOLS).answer("tools").state == "no"


def test_lint_tells_where_tools_are_dropped() -> None:
    assert _linted(_TOOLS_WITH_SYSTEM, "CT302") == ["tools are silently dropped if there is no system message"]
    assert _linted(_NO_TOOLS, "CT302") == ["tools are silently dropped"]


def test_a_closing_token_is_no_misspelling_of_the_opening_one() -> None:
    assert _linted(_CLOSING, "CT706") == []
    misspelt = _CLOSING.replace("'<|user|>' + m.content", "'<|user|>' + m.content + '<|users|>'")
    assert _linted(misspelt, "CT706") == ["<|users|> resembles <|user|>, which the template writes elsewhere"]


NO_POLICY = {"no reasoning", "drops reasoning"}
"""The names of the retention of families that declare none."""

FAMILIES = family_names()


@lru_cache
def inspected_family(name: str) -> Capabilities:
    return inspect_template(find_template(name))


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_family_supports_is_found(name: str, flag: str) -> None:
    assert inspected_family(name).answer(flag).value is getattr(load_family(name).supports, flag)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_default_retention_of_a_family_is_found(name: str) -> None:
    declared = load_family(name).retention
    found = inspected_family(name).retention
    assert found == declared.default if declared else found in NO_POLICY


@pytest.mark.parametrize("name", FAMILIES)
def test_the_modes_of_a_family_are_found(name: str) -> None:
    family = load_family(name)
    record = inspected_family(name).to_dict()
    assert set(record["modes"]) == set(family.modes)
    assert set(record["kwargs"]) == set(family.kwargs)
    for mode, declared in family.modes.items():
        found: dict[str, Any] = record["modes"][mode]
        assert found["default"] == declared.default, mode
        # A value that is declared and not found does what the default does.
        assert set(found["values"]) <= set(declared.values), mode


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tokens_of_a_family_are_found(name: str) -> None:
    family = load_family(name)
    found = inspected_family(name)
    assert set(found.stop_tokens or ()) == set(family.generation.stop_tokens)
    assert (found.bos or "") == family.tokens.get("bos_token", "")


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_parsers_of_a_family_are_found(name: str, engine: str) -> None:
    declared = load_family(name).parsers.get(engine)
    found = inspected_family(name).parsers[engine]
    assert found["reasoning"] == (declared.reasoning if declared else None)
    assert found["tool"] == (declared.tool if declared else None)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_trains_what_is_sampled_and_nothing_else(name: str) -> None:
    mask = inspected_family(name).answer("mask")
    assert mask.state == "yes", mask.note


@pytest.mark.parametrize("name", FAMILIES)
def test_all_of_a_family_is_evaluated_but_for_what_it_refuses(name: str) -> None:
    assert inspected_family(name).not_evaluated == []
