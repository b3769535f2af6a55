"""``chattmpl parse``: a text in, a conversation out, or one message that says where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

from chattmpl import Template
from chattmpl.template.family import shipped_folder
from support.command import run_here

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
    assert done.err.startswith("error: <text>:1:1: a trace starts here")
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
