"""The field reports are what lint finds in published templates today, each finding confirmed by transformers."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from support import ROOT
from support.tools import tool


def _call(tusk: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "find_walrus", "arguments": {"tusk": tusk}}}


TURNS = [
    {"role": "user", "content": "Question"},
    {"role": "assistant", "content": "Answer"},
    {"role": "user", "content": "Other"},
    {"role": "assistant", "content": "Again"},
]
CALLS = [
    {"role": "user", "content": "Question"},
    {"role": "assistant", "content": "", "tool_calls": [_call("lefttusk"), _call("righttusk")]},
]
VALID = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ (m.tool_calls or '') | string }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    pytest.importorskip("transformers")
    return tool("make_field_report")


@pytest.mark.upstream
@pytest.mark.parametrize("number", range(2))
def test_a_field_report_is_up_to_date_and_every_error_is_confirmed(maker: ModuleType, number: int) -> None:
    report = maker.reports()[number]
    page = (ROOT / "docs" / "evidence" / report.file).read_text(encoding="utf-8")
    assert page == report.page(maker.Transformers()), "python tools/make_field_report.py writes it anew"


@pytest.mark.upstream
def test_no_check_confirms_a_finding_in_a_template_without_it(maker: ModuleType) -> None:
    transformers = maker.Transformers()
    of_calls = {"CT303", "CT307"}
    for messages, codes in ((TURNS, maker.CAUSES.keys() - of_calls), (CALLS, of_calls)):
        seen = transformers.see(VALID, {"messages": messages})
        for kind in ("", "nameless"):
            finding = SimpleNamespace(counterexample={"conversation": {"messages": messages}}, kind=kind)
            assert {code for code in codes if maker.CAUSES[code][2](seen, finding)} == set()
    late_system = [TURNS[0], {"role": "system", "content": "Behave"}, TURNS[1]]
    finding = SimpleNamespace(counterexample={"conversation": {"messages": late_system}}, kind="")
    seen = transformers.see(VALID.replace("%}<|im", "if m.role != 'system' %}<|im", 1), {"messages": late_system})
    assert maker.CAUSES["CT301"][2](seen, finding)


@pytest.mark.upstream
def test_what_transformers_does_not_show_is_not_reported(maker: ModuleType) -> None:
    """A mask that begins where the prompt ends confirms nothing."""
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>{% generation %}{{ m.content }}<|im_end|>"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>"
        "{% endif %}"
    )
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    transformers = maker.Transformers()
    valid = transformers.see(source, {"messages": messages})
    assert (valid.prompt, valid.trained) == ("Hi<|im_start|>", "Yes<|im_end|>")
    assert not maker.prompt_is_trained(valid, None)
    assert not maker.prompt_is_no_prefix(valid, None)
    planted = source.replace("<|im_start|>{% generation %}", "{% generation %}<|im_start|>")
    assert maker.prompt_is_trained(transformers.see(planted, {"messages": messages}), None)
    planted = source.replace("%}<|im_start|>{% endif", "%}<|im_start|>x{% endif")
    assert maker.prompt_is_no_prefix(transformers.see(planted, {"messages": messages}), None)
