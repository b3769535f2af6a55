"""Parsing of the fixtures, from Python and from the command line."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

import pytest

from chattmpl import Conversation, Rendering, Template
from chattmpl.conversation.files import load_conversation
from chattmpl.errors import NotRepresentable, RenderError
from chattmpl.template.family import shipped_folder
from support.command import run_here
from support.goldens import UPSTREAM_FAMILIES, conversation_of, goldens, kwargs_of, render_row
from support.parsing import CLOCK, FAMILIES, differences
from support.snapshots import matches_snapshot

FIXTURES = sorted(shipped_folder("fixtures").glob("*.json"))


@lru_cache
def loaded(family: str) -> Template:
    return Template.load(family)


def _told(family: str, fixture: Path) -> str | None:
    """Return a fixture after a round trip; None if the family refuses to render it."""
    conversation = load_conversation(fixture)
    try:
        rendering = loaded(family).render(conversation, clock=CLOCK)
    except RenderError:
        return None
    try:
        parsed = _parsed(rendering)
    except NotRepresentable as error:
        return f"refused: {error.message}"
    if _roles(parsed) != _roles(conversation):
        return f"another conversation of the same text: {', '.join(_roles(parsed))}"
    differing = differences(parsed, conversation)
    lost = {_field(path) for path in differing if path in rendering.lost}
    other = {_field(path) for path in differing if path not in rendering.lost} - lost
    told = [f"{name} {', '.join(sorted(fields))}" for name, fields in (("lost", lost), ("changed", other)) if fields]
    return f"equal but for {'; '.join(told)}" if told else "equal"


def _field(path: str) -> str:
    """The field that a path leads into: parts of content and of tools are not told apart."""
    return re.sub(r"^(messages\[\d+\]\.\w+(\[\d+\]\.id)?|\w+).*", r"\1", path)


def _roles(conversation: Conversation) -> list[str]:
    return [message.role for message in conversation.messages]


def _parsed(rendering: Rendering) -> Conversation:
    """The parsed conversation; tools are given where the text does not show them as data."""
    template, tools = rendering.template, rendering.conversation.tools
    try:
        parsed = template.parse(rendering.text, clock=CLOCK)
        again = template.render(parsed, clock=CLOCK)
    except NotRepresentable:
        if not tools:
            raise
        parsed = template.parse(rendering.text, clock=CLOCK, tools=tools)
        again = template.render(parsed, clock=CLOCK, tools=tools)
        parsed = parsed.model_copy(update={"tools": tools})
    assert again.text == rendering.text
    return parsed


def test_every_fixture_comes_back_from_its_text_or_is_refused_by_name() -> None:
    lines = []
    for family in FAMILIES:
        lines.append(f"# {family}")
        told = {fixture.stem: _told(family, fixture) for fixture in FIXTURES}
        lines += [f"{name}: {what}" for name, what in told.items() if what is not None]
    matches_snapshot("parse_fixtures.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("family", UPSTREAM_FAMILIES)
def test_the_conversations_of_the_goldens_come_back_from_their_texts(family: str) -> None:
    """Refusals among them are known; each is a turn that is written as no other conversation is."""
    refused = []
    parsed = 0
    for row in goldens(family):
        try:
            rendering = render_row(loaded(family), row)
        except RenderError:
            continue
        beside = {**kwargs_of(row), **{k: v for k, v in conversation_of(row).items() if k != "messages"}}
        prompt = row["add_generation_prompt"]
        try:
            found = loaded(family).parse(rendering.text, clock=CLOCK, generation_prompt=prompt, **beside)
        except NotRepresentable:
            refused.append(row["id"])
            continue
        assert loaded(family).render(found, prompt, clock=CLOCK, **beside).text == rendering.text
        parsed += 1
    # A preamble beside a call whose analysis was dropped: harmony writes preambles only behind an analysis.
    assert refused == (["gpt_oss-018"] if family == "gpt_oss" else [])
    assert parsed > 70


FIXTURE = shipped_folder("fixtures") / "parallel_tool_calls.json"
REPLY = "<think>\nhm\n</think>\n\nOslo."


def test_what_was_rendered_is_parsed_back() -> None:
    text = run_here(["render", str(FIXTURE), "-t", "qwen3"]).out
    done = run_here(["parse", "-", "-t", "qwen3"], stdin=text.encode())
    assert (done.code, done.err) == (0, "")
    parsed = json.loads(done.out)
    assert Template.load("qwen3").render(parsed).text == text
    assert [message["role"] for message in parsed["messages"]] == ["user", "assistant", "tool", "tool", "assistant"]


def test_a_file_is_read_and_given_kwargs_count(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    options = ["-t", "gpt_oss", "--clock", "2025-01-01"]
    file.write_bytes(run_here(["render", str(FIXTURE), *options]).out.encode())
    assert run_here(["parse", str(file), *options]).code == 2
    tools = json.dumps(json.loads(FIXTURE.read_text(encoding="utf-8"))["tools"])
    assert run_here(["parse", str(file), *options, "--set", f"tools={tools}"]).code == 0


def test_a_completion_is_one_message_or_ends_its_prompt(tmp_path: Path) -> None:
    alone = json.loads(run_here(["parse", "-", "-t", "qwen3", "--completion"], stdin=REPLY.encode()).out)
    assert alone["messages"] == [{"role": "assistant", "reasoning_content": "hm", "content": "Oslo."}]
    prompt = tmp_path / "prompt.json"
    prompt.write_text('{"messages": [{"role": "user", "content": "Where?"}], "template": "qwen3"}', encoding="utf-8")
    done = run_here(["parse", "-", "--completion", "--prompt", str(prompt)], stdin=REPLY.encode())
    assert [message["content"] for message in json.loads(done.out)["messages"]] == ["Where?", "Oslo."]


def test_retention_and_the_generation_prompt_are_options() -> None:
    text = run_here(["render", str(FIXTURE), "-t", "qwen3", "--retention", "all", "--generation-prompt"]).out.encode()
    options = ["-t", "qwen3", "--retention", "all"]
    assert run_here(["parse", "-", *options, "--generation-prompt"], stdin=text).code == 0
    assert run_here(["parse", "-", *options, "--no-generation-prompt"], stdin=text).code == 2


def test_a_text_that_cannot_be_parsed_ends_with_a_message_that_points_at_it() -> None:
    done = run_here(["parse", "-", "-t", "qwen3", "--completion"], stdin=b"<think>\nhm")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: <text>:1:1: '<think>' opens a trace that is not closed")
    assert "^^^^^^^" in done.err


def test_wrong_usage_is_told(tmp_path: Path) -> None:
    (tmp_path / "two.jsonl").write_text('{"messages": [{"role": "user"}]}\n' * 2, encoding="utf-8")
    cases = {
        "--prompt needs --completion": ["parse", "-", "-t", "qwen3", "--prompt", str(FIXTURE)],
        "holds 2 conversations": ["parse", "-", "--completion", "--prompt", str(tmp_path / "two.jsonl")],
        "no such file": ["parse", str(tmp_path / "none.txt")],
        "is not UTF-8": ["parse", "-", "-t", "qwen3"],
    }
    for message, arguments in cases.items():
        done = run_here(arguments, stdin=b"\xff")
        assert done.code == 2
        assert message in done.err
