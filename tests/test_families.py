"""Families are folders: what their files say is true of their templates, and adding one touches no Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chattmpl import Rendering, Template
from chattmpl.errors import FamilyError, RenderError, UsageError
from chattmpl.template.family import family_keys, family_names, load_family, shipped_folder
from support import ROOT
from support.command import run_here

FAMILIES = family_names()
FIXTURES = sorted(shipped_folder("fixtures").glob("*.json"))

NEW_FAMILY = """\
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


def write_family(root: Path, name: str = "mine", facts: str = "") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "family.toml").write_text(facts or NEW_FAMILY.replace("mine", name))
    (folder / "template.jinja").write_text(NEW_TEMPLATE)
    return folder


COMMANDS = {
    "families": ["families", "mine"],
    "render": ["render", "chats.jsonl", "-t", "mine"],
    "lint": ["lint", "mine"],
    "check": ["check", "mine", "--examples", "0"],
    "inspect": ["inspect", "mine"],
    "parse": ["parse", "text.txt", "-t", "mine"],
    "diff": ["diff", "mine", "chatml"],
    "engines": ["engines", "mine", "--engine", "tgi"],
    "export": ["export", "-t", "mine", "-o", "out.jinja"],
}


@pytest.mark.parametrize("named", ['"own"', '["own"]'])
def test_families_of_a_project_are_used_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    write_family(tmp_path / "own")
    (tmp_path / "pyproject.toml").write_text(f"[tool.chattmpl]\nfamilies = {named}\n")
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    assert {"mine", "chatml"} <= {*family_names()}
    assert Template.load("mine").family == load_family("mine")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_family_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    write_family(tmp_path / "own")
    (tmp_path / "pyproject.toml").write_text('[tool.chattmpl]\nfamilies = ["own"]\n')
    (tmp_path / "chats.jsonl").write_text('{"messages": [{"role": "user", "content": "Hi"}]}\n')
    (tmp_path / "text.txt").write_text("user: Hi<end>\n")
    monkeypatch.chdir(tmp_path)
    done = run_here(COMMANDS[command])
    assert "there is no" not in done.err
    # Findings are fine; a family without [parse] has no grammar.
    assert done.code < 2 or (command == "parse" and "no grammar" in done.err), done.err


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('families = "nowhere"', r"families in .*pyproject\.toml names .*nowhere, which is not a folder"),
        ('families = ["own/mine"]', r"families in .*pyproject\.toml names .*mine, which is a family"),
        ("families = 3", r"pyproject\.toml: families must be a list of strings"),
    ],
)
def test_a_wrong_folder_of_families_is_an_error_that_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, complaint: str
) -> None:
    write_family(tmp_path / "own")
    (tmp_path / "pyproject.toml").write_text(f"[tool.chattmpl]\n{table}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=complaint):
        family_names()


def test_a_variable_that_names_no_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATTMPL_TEMPLATES", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"the environment variable CHATTMPL_TEMPLATES names .*nowhere"):
        family_names()


def test_a_family_does_not_replace_a_shipped_one_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_family(tmp_path, "qwen3")
    monkeypatch.setenv("CHATTMPL_TEMPLATES", str(tmp_path))
    with pytest.raises(FamilyError, match="several families are named 'qwen3'"):
        Template.load("qwen3")


def test_a_family_is_named_as_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_family(tmp_path, "other", NEW_FAMILY)
    monkeypatch.setenv("CHATTMPL_TEMPLATES", str(tmp_path))
    with pytest.raises(FamilyError, match=r"family\.toml:1:1: name must be 'other', as its folder is named"):
        Template.load("other")


WRONG_FACTS = {
    "no title": (NEW_FAMILY.replace("title", "titel"), r"family\.toml: title is missing"),
    "a list is empty": (NEW_FAMILY.replace('["<end>"]', "[]"), r"family\.toml:5:1: generation\.stop_tokens: "),
    "a string is a number": (
        NEW_FAMILY.replace('["<end>"]', '["<end>", 3]'),
        r"family\.toml:5:1: generation\.stop_tokens\[1\]: must be a valid string, not 3",
    ),
    "an unknown key": (
        NEW_FAMILY.replace("stop_tokens", "stop_token = 1\nstop_tokens"),
        r"family\.toml:5:1: there is no key generation\.stop_token\n(.*\n)*hint: did you mean 'stop_tokens'",
    ),
    "an unknown policy": (
        NEW_FAMILY + '\n[retention]\ndefault = "lst"\n',
        r"family\.toml:\d+:1: retention\.default: there is no retention policy 'lst'",
    ),
    "a table is missing": (NEW_FAMILY.split("[generation]")[0], r"family\.toml: generation is missing"),
    "not TOML": ("name = ", r"family\.toml is not TOML"),
}


@pytest.mark.parametrize("case", WRONG_FACTS)
def test_an_error_in_the_facts_names_the_file_and_the_key(tmp_path: Path, case: str) -> None:
    facts, complaint = WRONG_FACTS[case]
    folder = write_family(tmp_path, "mine", facts)
    with pytest.raises(FamilyError, match=complaint):
        Template.load(folder)


def test_the_page_lists_every_key() -> None:
    page = (ROOT / "docs" / "reference" / "family-toml.md").read_text(encoding="utf-8")
    assert {key for key in family_keys() if f"`{key}`" not in page} == set()


def test_a_fact_of_the_wrong_kind_is_an_error_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "family.toml").write_text(NEW_FAMILY.replace('["<end>"]', "[]"))
    (folder / "template.jinja").write_text(NEW_TEMPLATE)
    with pytest.raises(FamilyError, match=r"generation\.stop_tokens") as caught:
        Template.load(folder)
    assert caught.value.place is not None
    assert caught.value.place.line == 5


def test_a_misspelt_family_gets_a_suggestion() -> None:
    with pytest.raises(FamilyError, match="did you mean 'qwen3'"):
        load_family("qwen33")


def test_the_fixtures_are_json() -> None:
    assert len(FIXTURES) >= 14
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in FIXTURES)
