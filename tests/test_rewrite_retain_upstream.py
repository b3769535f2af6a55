"""Upstream templates under another retention policy: the policy holds, and every engine renders the same."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl import Conversation, Template
from chattmpl.engine import Engine
from chattmpl.probing.corpus import CLOCK
from chattmpl.probing.shapes import shipped_conversations
from chattmpl.rewrite.refusal import CannotRetain, Refusal
from chattmpl.template.special_tokens import PLACEHOLDERS
from support.engines import minijinja
from support.fetched import trl_templates
from support.reference import transformers_render

# Reasoning in a field, in each of the ways that there are, and in the content; bench/retain.py goes through all.
IN_FIELD = (
    "qwen3",
    "qwen3_6",
    "glm4moe",
    "gptoss",
    "lfm2_2_5_v2",
    "muse_glimmer",
    "nemotron_3_nano",
)
CONTENT_ONLY = ("deepseek_r1_distill", "deepseekv3")
PAIRS = [(name, "all") for name in (*IN_FIELD, *CONTENT_ONLY)]
PAIRS += [(name, "none") for name in ("qwen3", "glm4moe", "lfm2_2_5_v2", "muse_glimmer", *CONTENT_ONLY)]
PAIRS += [(name, "last") for name in ("qwen3", "glm4moe", "muse_glimmer", *CONTENT_ONLY)]
PAIRS += [(name, "since_last_user") for name in ("muse_glimmer", *CONTENT_ONLY)]

ASK = {"role": "user", "content": "Quince"}
SAY = {"role": "assistant", "content": "Apricot", "reasoning_content": "Papaya"}
IN_CONTENT = {"role": "assistant", "content": "<think>\nPapaya\n</think>\n\nApricot"}


def _retained(name: str, policy: str) -> Template:
    source = trl_templates()[name]
    return Template.from_source(source, name=f"{name}.jinja", tokens=PLACEHOLDERS).retain(policy, examples=12).template


@pytest.mark.upstream
@pytest.mark.parametrize(("name", "policy"), PAIRS)
def test_a_policy_that_was_proven_holds_in_every_engine(name: str, policy: str) -> None:
    made = _retained(name, policy)
    say = IN_CONTENT if name in CONTENT_ONLY else SAY
    history = made.render([ASK, say, ASK], clock=CLOCK).text
    alone = made.render([ASK, say], clock=CLOCK).text
    assert ("Papaya" in history) is (policy == "all")
    assert ("Papaya" in alone) is (policy != "none")
    if policy == "all":
        assert history.startswith(alone.rstrip())
    engine = minijinja()
    before = Template.from_source(trl_templates()[name], tokens=PLACEHOLDERS)
    for conversation in shipped_conversations():
        _as_elsewhere(engine, made, before, conversation)


def _as_elsewhere(engine: Engine, made: Template, before: Template, conversation: Conversation) -> None:
    data = conversation.to_template_input()
    beside: dict[str, Any] = {**PLACEHOLDERS, **data["kwargs"]}
    try:
        text = made.render(conversation, clock=CLOCK).text
    except Exception:  # whatever a template raises
        return
    given = (data["messages"], data["tools"], data["documents"])
    assert transformers_render(made.given.text, *given, clock=CLOCK, **beside)[0] == text
    variables = {**beside, "messages": data["messages"], "add_generation_prompt": False}
    variables |= {"tools": data["tools"], "documents": data["documents"]}
    # What the engine cannot render of the template as it was, it need not render now.
    old = _rendered(engine, before.export("inference"), variables)
    if old is not None and old == before.render(conversation, clock=CLOCK).text:
        assert _rendered(engine, made.export("inference"), variables) == text


def _rendered(engine: Engine, source: str, variables: dict[str, Any]) -> str | None:
    try:
        return engine.render(source, variables)
    except Exception:  # whatever an engine raises
        return None


@pytest.mark.upstream
def test_templates_of_trl_that_render_no_reasoning_are_refused_by_name() -> None:
    for name in ("llama3", "qwen2_5", "phi3"):
        with pytest.raises(CannotRetain, match="never renders reasoning") as caught:
            _retained(name, "all")
        assert caught.value.refusal is Refusal.NO_TRACES
