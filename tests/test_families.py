"""Families are folders: what their files say is true of their templates, and adding one touches no Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chattmpl import Rendering, Template
from chattmpl.errors import FamilyError, RenderError
from chattmpl.template.family import family_names, load_family, shipped_folder

FAMILIES = family_names()
FIXTURES = sorted(shipped_folder("fixtures").glob("*.json"))

NEW_FAMILY = """
name = "mine"
title = "Mine"
description = "A family of one's own."
[generation]
stop_tokens = ["<end>"]
[supports]
system = true
"""
NEW_TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {% generation %}{{ m.content }}<end>{% endgeneration %}\n\n{% endfor %}"
)


def test_the_families_that_the_project_promises_are_there() -> None:
    assert {
        "chatml", "command_a_reasoning", "deepseek_r1", "gemma3", "gpt_oss", "hybrid", "llama3", "qwen3", "smollm3",
    } <= set(FAMILIES)  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_the_facts_of_a_family_are_true_of_its_template(name: str) -> None:
    family = load_family(name)
    template = Template.load(name)
    text = "\n".join(template.program.literals)
    assert family.name == name
    assert template.program.has_generation
    assert template.program.has_reasoning == (family.retention is not None)
    assert template.retention == (family.retention.default if family.retention else None)
    read = template.program.variables
    assert {*family.modes, *family.kwargs} <= read, "each declared kwarg is read"
    undeclared = read - {*family.modes, *family.kwargs, *family.tokens}
    given = {"messages", "tools", "documents", "add_generation_prompt", "reasoning_retention"}
    assert {name for name in undeclared if not name.endswith("_token")} <= given, "each kwarg that is read is declared"
    tokens = {*family.generation.control_tokens, *family.generation.stop_tokens} - {*family.tokens.values()}
    assert all(token in text for token in tokens if "<|START_" not in token), "control tokens are the template's own"


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_every_fixture_renders_in_every_family_or_is_refused_by_name(name: str, fixture: Path) -> None:
    from chattmpl.conversation.files import load_conversation

    conversation = load_conversation(fixture)
    outcome: Rendering | RenderError
    try:
        outcome = Template.load(name).render(conversation)
    except RenderError as error:
        outcome = error
    if isinstance(outcome, RenderError):
        assert outcome.message.startswith("the template refuses this conversation: ")
    else:
        assert outcome.text
        assert outcome.generated or not any(m.role == "assistant" for m in conversation.messages)


def test_a_new_family_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "family.toml").write_text(NEW_FAMILY)
    (folder / "template.jinja").write_text(NEW_TEMPLATE)
    messages = [{"role": "user", "content": "Hi"}]
    assert Template.load(folder).render(messages).text == "user: Hi<end>\n"
    with pytest.raises(FamilyError, match="there is no family 'mine'"):
        load_family("mine")
    monkeypatch.setenv("CHATTMPL_TEMPLATES", str(tmp_path))
    assert "mine" in family_names()
    assert Template.load("mine").render(messages).text == "user: Hi<end>\n"


def test_a_fact_of_the_wrong_kind_is_an_error_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "family.toml").write_text(NEW_FAMILY.replace('["<end>"]', "[]"))
    (folder / "template.jinja").write_text(NEW_TEMPLATE)
    with pytest.raises(FamilyError, match=r"generation\.stop_tokens") as caught:
        Template.load(folder)
    assert caught.value.place is not None
    assert caught.value.place.line == 6


def test_a_misspelt_family_gets_a_suggestion() -> None:
    with pytest.raises(FamilyError, match="did you mean 'qwen3'"):
        load_family("qwen33")


def test_the_fixtures_are_json() -> None:
    assert len(FIXTURES) >= 14
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in FIXTURES)
