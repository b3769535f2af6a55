"""Structural tags for xgrammar, and the flags of servers: what they accept, and what they refuse."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from test_parse_derived import CONTENT, FOOTER, HEADER, NOTATIONS, template
from test_parse_gbnf import OPENERS, SAMPLES, message, turn

from chattmpl import Template
from chattmpl.errors import UsageError
from chattmpl.parse.server_flags import server_flags
from chattmpl.parse.structural_tag import structural_tag
from chattmpl.template.family import family_names
from support.command import run_here
from support.extras import need

TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": name, "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
    for name in ("f", "g")
]  # fmt: skip


def accepts(tag: dict[str, Any], text: str) -> bool:
    need("xgrammar", session="xgrammar")
    xgrammar, testing = importlib.import_module("xgrammar"), importlib.import_module("xgrammar.testing")
    return bool(testing._is_grammar_accept_string(xgrammar.Grammar.from_structural_tag(tag), text))


@pytest.mark.upstream
@pytest.mark.parametrize("notation", NOTATIONS)
def test_xgrammar_accepts_rendered_calls_and_rejects_mutants(notation: str) -> None:
    loaded = template(notation)
    opener = OPENERS.get(notation, "<tool_call>")
    tag = structural_tag(loaded)
    for made in ([], [("f", SAMPLES[0])], [("f", SAMPLES[1]), ("g", SAMPLES[2]), ("f", {})]):
        text = turn(loaded, message("Look.", made, "hm"))
        assert text is not None
        end = text.removesuffix("<|end|>")
        assert accepts(tag, end), end
        if made:
            last = len(text) - len(text.rpartition(opener)[2])
            assert [end[:at] for at in range(last, len(end), 5) if accepts(tag, end[:at])] == []
            assert not accepts(tag, end + end[-8:])


@pytest.mark.upstream
@pytest.mark.parametrize("notation", ["json", "name and arguments"])
def test_only_the_tools_of_the_list_are_called_as_their_schemas_say(notation: str) -> None:
    loaded = template(notation)
    tag = structural_tag(loaded, TOOLS)
    for name, given, expected in (
        ("f", {"city": "Oslo"}, True),
        ("g", {"city": "Oslo"}, True),
        ("h", {"city": "Oslo"}, False),
        ("f", {"city": 1}, False),
        ("f", {}, False),
    ):
        text = turn(loaded, message("", [(name, given)]))
        assert text is not None
        assert accepts(tag, text.removesuffix("<|end|>")) is expected, text


def test_the_trigger_is_the_text_that_opens_calls() -> None:
    made = structural_tag(template("json"))["format"]
    assert made["triggers"] == ["<tool_call>"]
    assert made["tags"][0]["end"] == ["\n</tool_call>", "\n</tool_call><|end|>"]


def test_calls_without_an_opening_text_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="has no structural tag: its calls begin with"):
        structural_tag(Template.load("llama3"))
    with pytest.raises(UsageError, match="has no structural tag: it renders no calls"):
        structural_tag(Template.from_source(HEADER + CONTENT + FOOTER, name="mine"))


def test_the_command_writes_the_tag_of_a_list_of_tools(tmp_path: Path) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps(TOOLS))
    done = run_here(["export", "-t", "qwen3", "--format", "structural-tag", "--tools", str(tools)])
    assert json.loads(done.out) == structural_tag(Template.load("qwen3"), TOOLS)
    tools.write_text("{}")
    done = run_here(["export", "-t", "qwen3", "--format", "structural-tag", "--tools", str(tools)])
    assert (done.code, "expected a list of tools" in done.err) == (2, True)
    assert run_here(["export", "-t", "qwen3", "--tools", str(tools)]).code == 2


@pytest.mark.parametrize("name", family_names())
def test_the_flags_of_a_family_are_the_parsers_that_it_declares(name: str) -> None:
    loaded = Template.load(name)
    assert loaded.family is not None
    for engine, parsers in loaded.family.parsers.items():
        text = server_flags(loaded, engine).text
        for flag, own in (("--reasoning-parser", parsers.reasoning), ("--tool-call-parser", parsers.tool)):
            assert own is None or f"{flag} {own}" in text


def test_the_command_writes_flags_and_warns_where_no_parser_fits() -> None:
    assert run_here(["export", "-t", "qwen3", "--format", "vllm"]).out == (
        "--reasoning-parser qwen3 --tool-call-parser hermes --enable-auto-tool-choice\n"
    )
    found = server_flags(template("keys and values"), "sglang")
    assert found.warnings == ()
    odd = Template.from_source(template("python").source.replace("call>", "act>"), name="mine")
    assert server_flags(odd, "vllm").warnings == (
        "an answer has no end of a trace, so deepseek_r1 returns it as reasoning",
        "no parser of vLLM reads the tool calls of mine",
    )
    assert server_flags(odd, "sglang").text == "--reasoning-parser qwen3"  # It begins outside of a trace.
