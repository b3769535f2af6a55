"""Facts about templates, found by rendering small conversations."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl import Template, TemplateFacts
from chattmpl.capabilities import inspect_template
from chattmpl.encode import load_tokenizer
from chattmpl.lint.runner import lint
from chattmpl.probing import corpus, facts_of
from chattmpl.probing.corpus import ASK, CLOCK, CONVERSATIONS, SAY, TITLES, call_message, with_trace
from chattmpl.probing.prober import Prober, refuses
from chattmpl.source import Source
from chattmpl.template import template as core
from chattmpl.template.family import family_names
from chattmpl.template.resolver import TemplateSource

PROMPT = "{% if add_generation_prompt %}<|assistant|>{% endif %}"


def turns(body: str = "{{ m.content }}", before: str = "", prompt: str = PROMPT) -> str:
    return f"{before}{{% for m in messages %}}<|{{{{ m.role }}}}|>{body}<|end|>{{% endfor %}}{prompt}"


def facts(source: str, **tokens: str) -> TemplateFacts:
    return TemplateFacts(core.Template(TemplateSource(Source(source, "made.jinja"), tokens)))


# -- the corpus


def test_each_conversation_has_a_title() -> None:
    assert CONVERSATIONS.keys() == TITLES.keys()


def test_each_content_of_the_corpus_is_told_from_the_others() -> None:
    public = (value for name, value in vars(corpus).items() if not name.startswith("_"))
    messages = [value for value in public if isinstance(value, dict) and "role" in value]
    words = [word for message in messages for word in message["content"].lower().split() if len(word) > 4]
    assert len(words) == len(set(words))


# -- the prober


def test_a_conversation_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    render = core.Template.render

    def counted(self: core.Template, conversation: Any, *arguments: Any, **kwargs: Any) -> core.Rendering:
        rendered.append(f"{conversation} {arguments} {kwargs}")
        return render(self, conversation, *arguments, **kwargs)

    monkeypatch.setattr(core.Template, "render", counted)
    prober = Prober(core.Template.from_source(turns()))
    assert prober.text([ASK, SAY]) == prober.text([dict(ASK), dict(SAY)])
    before = len(rendered)
    assert prober.text([ASK, SAY], prompt=True) != prober.text([ASK, SAY])
    assert len(rendered) == before + 1


def test_an_error_is_a_value_that_tells_a_refusal_from_a_failure() -> None:
    refusing = Prober(core.Template.from_source("{{ raise_exception('no') }}"))
    failing = Prober(core.Template.from_source("{{ messages[0].content + 1 }}"))
    assert refuses(refusing.outcome([ASK]))
    assert not refuses(failing.outcome([ASK]))
    assert refusing.text([ASK]) is failing.text([ASK]) is None
    assert refusing.render("turn") is None
    assert list(refusing.failures) == ["turn"]


def test_a_template_that_needs_tools_gets_them() -> None:
    needy = facts("{% if not tools %}{{ raise_exception('tools!') }}{% endif %}" + turns())
    assert needy.needs == ("tools",)
    assert needy.refusal is None
    assert facts(turns()).needs == ()


def test_a_template_that_takes_only_parts_gets_parts() -> None:
    parts = facts(turns("{% for part in m.content %}{{ part.text }}{% endfor %}"))
    assert parts.only_parts
    assert SAY["content"] in (parts.prober.text([ASK, SAY]) or "")
    assert not facts(turns()).only_parts


def test_calls_take_the_form_that_is_rendered() -> None:
    called = "{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ FORM }}){% endfor %}{{ m.content or '' }}"
    as_object = facts(turns(called.replace("FORM", "c.function.arguments.tusk")))
    as_text = facts(turns(called.replace("FORM", "'{' ~ c.function.arguments.split('{')[1]")))
    assert as_object.prober.call_options["text"] is False
    assert as_text.prober.call_options["text"] is True
    assert facts(turns()).prober.call_form[0] is None


# -- facts


def test_facts_are_the_same_each_time() -> None:
    one, other = (facts_of(Template.load("qwen3")) for _ in range(2))
    names = [name for name, value in vars(TemplateFacts).items() if type(value).__name__ == "cached_property"]
    assert len(names) > 30
    for name in names:
        assert repr(getattr(one, name)) == repr(getattr(other, name)), name


def test_the_facts_of_a_template_are_found_once() -> None:
    template = Template.load("chatml")
    assert template.facts is facts_of(template)
    assert template.facts.stop_tokens is template.facts.stop_tokens


@pytest.mark.parametrize("name", family_names())
def test_the_stop_tokens_of_a_family_are_those_that_it_declares(name: str) -> None:
    template = Template.load(name)
    assert template.family is not None
    declared = set(template.family.generation.stop_tokens)
    assert set(template.facts.stop_tokens or ()) <= declared | {"<|end|>"}
    assert set(template.facts.answer_stops) == declared


def test_unknown_special_tokens_are_placeholders() -> None:
    found = facts("{{ bos_token }}" + turns("{{ m.content }}{{ eos_token }}"))
    assert found.bos == "<|bos_token|>"
    assert found.with_variables(found.bos or "") == "{bos_token}"
    assert facts("{{ bos_token }}" + turns(), bos_token="<s>").bos == "<s>"


def test_control_tokens_are_those_of_the_family_of_the_tokenizer_or_of_the_text() -> None:
    assert "<|im_end|>" in Template.load("chatml").facts.control_tokens
    template = core.Template.from_source("<|im_start|>user [UNUSED] <|nowhere|>" + turns())
    assert TemplateFacts(template).control_tokens == (
        "<|im_start|>",
        "[UNUSED]",
        "<|nowhere|>",
        "<|end|>",
        "<|assistant|>",
    )
    assert TemplateFacts(template, load_tokenizer("demo")).control_tokens == ("<|im_start|>", "<|end|>")


def test_modes_have_the_values_that_switch_them() -> None:
    source = turns(
        prompt="{% if add_generation_prompt %}<|assistant|>{% if thinking %}<think>{% endif %}"
        "{% if effort == 'high' %}!{% endif %}{{ note }}{% endif %}"
    )
    modes = facts(source).modes
    assert {name: mode.kind for name, mode in modes.items()} == {
        "effort": "choice",
        "note": "text",
        "thinking": "switch",
    }
    assert modes["thinking"].default is False
    assert facts(source).settings == [{"effort": "high"}, {"thinking": True}]
    assert modes["thinking"].changes["true"] == ["generation prompt"]


def test_where_traces_are_read_and_which_are_kept() -> None:
    kept = turns("{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}")
    found = facts(kept)
    assert (found.traces.carrier, found.reasoning_keys) == ("field", ["reasoning_content"])
    assert found.retention is not None
    assert found.retention.policy == "all"
    assert facts(turns()).traces.carrier is None


def test_an_open_tool_loop_is_told_from_the_last_question() -> None:
    call = "{% for c in m.tool_calls or [] %}{{ c.function.arguments.tusk }}{% endfor %}"
    trace = "{% if m.reasoning_content and loop.index0 > ns.at %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    last = (
        "{% set ns = namespace(at=-1) %}{% for m in messages %}{% if TEST %}{% set ns.at = loop.index0 %}"
        "{% endif %}{% endfor %}"
    )
    answered = "m.role == 'assistant' and not m.tool_calls and (add_generation_prompt or not loop.last)"
    for test, policy in (("m.role == 'user'", "since_last_user"), (answered, "open_tool_loop")):
        found = facts(turns(trace + "{{ m.content }}" + call, before=last.replace("TEST", test))).retention
        assert found is not None
        assert found.policy == policy


def test_an_answer_may_be_prompted_though_none_was_asked_for() -> None:
    assert facts(turns(prompt="<|assistant|>")).unrequested_prompt is not None
    assert facts(turns()).unrequested_prompt is None


# -- system messages in the middle, and developer messages

_LEAD = "{%- set lead = messages and messages[0].role == 'system' %}"
DROPS = (
    _LEAD + "{% for m in messages %}{% if m.role != 'system' or loop.first or not lead %}<|im_start|>{{ m.role }}\n"
    "{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
)
REFUSES = (
    _LEAD + "{% for m in messages %}{% if m.role == 'system' and not loop.first and lead %}"
    "{{ raise_exception('System message must be at the beginning.') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)
FIRST_BESIDE_TOOLS = turns(
    "{% if m.role != 'system' or loop.first or not tools %}{{ m.content }}{% endif %}{{ tools or '' }}"
)
NEVER_LAST = turns("{% if m.role != 'system' or not loop.last %}{{ m.content }}{% endif %}")
MOVES = "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}" + turns(
    "{% if m.role != 'system' %}{{ m.content }}{% endif %}"
)


@pytest.mark.parametrize(
    ("source", "state", "note"),
    [
        pytest.param(turns(), "yes", "stays where it is", id="kept"),
        pytest.param(DROPS, "no", "dropped after a leading system message", id="dropped after a leading one"),
        pytest.param(
            REFUSES,
            "no",
            "refused after a leading system message: System message must be at the beginning.",
            id="refused after a leading one",
        ),
        pytest.param(
            FIRST_BESIDE_TOOLS, "partly", "stays where it is; dropped if there are tools", id="dropped with tools"
        ),
        pytest.param(NEVER_LAST, "partly", "stays where it is; dropped as the last message", id="dropped at the end"),
        pytest.param(MOVES, "partly", "moved to the front", id="moved"),
    ],
)
def test_a_late_system_message_is_looked_for_with_and_without_a_leading_one(source: str, state: str, note: str) -> None:
    answer = inspect_template(TemplateSource(Source(source, "made.jinja"))).answer("late_system")
    assert (answer.state, answer.note) == (state, note)


def codes(source: str) -> dict[str, str]:
    return {finding.code: finding.kind for finding in lint(TemplateSource(Source(source, "made.jinja")))}


def test_lint_finds_a_second_system_message_that_is_dropped_and_not_one_that_is_refused() -> None:
    assert codes(DROPS)["CT308"] == "second"
    assert codes(FIRST_BESIDE_TOOLS)["CT308"] == "with tools"
    assert codes(NEVER_LAST)["CT308"] == "last"
    refused = codes(REFUSES)
    assert "CT308" not in refused
    assert "CT004" in refused


NOT_FIRST = turns("{% if m.role != 'developer' or loop.first %}{{ m.content }}{% endif %}")
NOT_WITH_TOOLS = turns("{% if not (m.role == 'developer' and tools) %}{{ m.content }}{% endif %}")
EMPTY_TURN = turns("{% if m.role != 'developer' %}{{ m.content }}{% endif %}")


@pytest.mark.parametrize(
    ("source", "kind"),
    [(EMPTY_TURN, "first"), (NOT_FIRST, "with a system message"), (NOT_WITH_TOOLS, "with tools")],
)
def test_lint_finds_a_developer_message_that_is_dropped(source: str, kind: str) -> None:
    assert codes(source)["CT318"] == kind


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(turns(), id="rendered"),
        pytest.param(
            turns("{% if m.role == 'developer' %}{{ raise_exception('no developers') }}{% endif %}{{ m.content }}"),
            id="refused",
        ),
    ],
)
def test_lint_leaves_developer_messages_alone_that_are_rendered_or_refused(source: str) -> None:
    assert "CT318" not in codes(source)


@pytest.mark.parametrize("name", family_names())
def test_no_family_drops_a_system_or_developer_message_without_declaring_it(name: str) -> None:
    found = lint(Template.load(name).resolved)
    wrong = [finding for finding in found if finding.code in ("CT308", "CT318") and finding.severity != "info"]
    assert wrong == []


def test_the_clock_of_probes_stands_still() -> None:
    dated = facts("{{ strftime_now('%Y-%m-%d') }}" + turns())
    assert (dated.prober.text([ASK]) or "").startswith(CLOCK.strftime("%Y-%m-%d"))
    assert with_trace(call_message(), "x")["reasoning"] == "x"
