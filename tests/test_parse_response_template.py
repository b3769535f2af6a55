"""transformers' response_template: derived from the forms of turns, written beside the template, read as we read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_parse_derived import QUESTION, template
from test_parse_gbnf import message as answer
from test_parse_gbnf import turn

from chattmpl import Template
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.laws.checker import settings_to_check
from chattmpl.probing.corpus import CLOCK
from chattmpl.probing.shapes import shipped_conversations
from chattmpl.template.family import family_names
from support.command import run_here
from support.fetched import hub_templates
from support.snapshots import matches_snapshot

CONFIG = '{\n  "added": true,\n  "chat_template": "old"\n}\n'


def config(folder: Path, text: str = CONFIG) -> Path:
    path = folder / "tokenizer_config.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_response_templates_of_the_families_are_these() -> None:
    made = {name: Template.load(name).response_template() for name in family_names()}
    shown = {name: {"data": found.data, "left_out": found.left_out} for name, found in made.items()}
    matches_snapshot("response_templates.json", json.dumps(shown, ensure_ascii=False, indent=2) + "\n")


def test_a_template_that_renders_no_answer_has_none() -> None:
    with pytest.raises(UsageError, match="has no response_template: it renders no part of an answer"):
        Template.from_source("x").response_template()


def test_an_export_into_a_config_carries_it_and_changes_nothing_else(tmp_path: Path) -> None:
    path = config(tmp_path)
    done = run_here(["export", "-t", "qwen3", "-o", str(path)])
    assert done.code == 0
    text = path.read_bytes().decode()
    after = json.loads(text)
    assert after["response_template"] == Template.load("qwen3").response_template().data
    assert after["chat_template"] == Template.load("qwen3").export()
    assert text.startswith('{\n  "added": true,\n  "chat_template": ')
    assert list(after) == ["added", "chat_template", "response_template"]
    assert "nothing was written" in run_here(["export", "-t", "qwen3", "-o", str(path)]).err


def test_in_a_model_directory_it_goes_into_the_config_beside_the_template(tmp_path: Path) -> None:
    path = config(tmp_path, '{"a":1,"response_template":{"old":1},"z":2}')
    (tmp_path / "chat_template.jinja").write_text("old")
    assert run_here(["export", "-t", "chatml", "-o", str(tmp_path)]).code == 0
    assert (tmp_path / "chat_template.jinja").read_text() == Template.load("chatml").export()
    after = path.read_text()
    value = json.dumps(Template.load("chatml").response_template().data)
    assert after == f'{{"a":1,"response_template":{value},"z":2}}'
    assert (tmp_path / "tokenizer_config.json.bak").read_text() == '{"a":1,"response_template":{"old":1},"z":2}'


def test_a_dry_run_and_a_variant_write_none(tmp_path: Path) -> None:
    path = config(tmp_path)
    assert run_here(["export", "-t", "qwen3", "-o", str(path), "--dry-run"]).code == 0
    assert path.read_text() == CONFIG
    path = config(tmp_path, '{"chat_template": {"default": "a", "rag": "b"}}')
    assert run_here(["export", "-t", "qwen3", "-o", str(path), "--into-variant", "rag"]).code == 0
    assert "response_template" not in path.read_text()


def test_the_export_says_what_cannot_be_expressed(tmp_path: Path) -> None:
    foreign = tmp_path / "x.jinja"
    foreign.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    done = run_here(["export", "-t", str(foreign), "-o", str(config(tmp_path))])
    assert "no response_template was written: write one for this template with" in done.err
    done = run_here(["export", "-t", "hybrid", "--format", "response-template"])
    assert json.loads(done.out) == Template.load("hybrid").response_template().data


def completions(template: Template) -> list[tuple[str, str, dict[str, Any]]]:
    """The prompt of each assistant turn of the fixtures, what is sampled, and how we read it."""
    whole = template.with_retention("all") if template.program.has_reasoning else template
    found = []
    for kwargs in settings_to_check(template):
        for chat in shipped_conversations():
            for index in (index for index, message in enumerate(chat.messages) if message.role == "assistant"):
                head = chat.with_messages(chat.messages[:index])
                try:
                    row = whole.render(chat.with_messages(chat.messages[: index + 1]), clock=CLOCK, **kwargs)
                    prompt = whole.render(head, True, CLOCK, **kwargs).text
                    end = max(span.end for span in row.spans if span.generated and span.turn == index)
                    sampled = row.text[len(prompt) : end]
                    if not row.text.startswith(prompt):
                        continue
                    ours = whole.parse(sampled, completion=True, prompt=head.dump(), clock=CLOCK, **kwargs)
                except ChatTmplError:
                    continue
                found.append((prompt, sampled, ours.dump()["messages"][-1]))
    return found


def compared(message: dict[str, Any]) -> tuple[Any, ...]:
    """Return a message as both sides must agree on it: an absent field and an empty one are the same."""
    calls = [(call.get("id"), call["function"]) for call in message.get("tool_calls") or []]
    return message.get("content") or "", message.get("reasoning_content") or "", calls


@pytest.mark.upstream
@pytest.mark.parametrize("name", family_names())
def test_parse_response_of_transformers_reads_what_we_read(name: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    template = Template.load(name)
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.response_template = template.response_template().data
    checked = completions(template)
    assert len(checked) >= 20
    for prompt, sampled, ours in checked:
        theirs = tokenizer.parse_response(sampled, prefix=prompt)
        assert compared(theirs) == compared(ours), sampled


@pytest.mark.upstream
@pytest.mark.parametrize("notation", ["json", "name and arguments", "xml"])
def test_parse_response_reads_the_turns_of_any_template(notation: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    loaded = template(notation)
    response = loaded.response_template()
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.response_template = response.data
    read_calls = "tool_calls" in response.data["fields"]
    assert read_calls is (response.left_out == ())
    assert read_calls is (notation == "json")
    prompt = loaded.render([QUESTION], True).text
    for content in ("", "Look."):
        for reasoning in (None, "hm"):
            for calls in ([], [("f", {"city": "Oslo"})], [("f", {"n": 1}), ("g", {})]) if read_calls else ([],):
                asked = answer(content, calls, reasoning)
                text = turn(loaded, asked)
                assert text is not None
                theirs = tokenizer.parse_response(text, prefix=prompt)
                functions = [call["function"] for call in theirs.get("tool_calls") or []]
                assert functions == [call["function"] for call in asked.get("tool_calls", [])], text
                assert (theirs.get("reasoning_content") or None) == reasoning
                assert theirs["content"] == content


@pytest.mark.upstream
@pytest.mark.parametrize(
    "name",
    ["kakaocorp-kanana-1.5-8b-instruct-2505", "NousResearch-Kimi-K2-Thinking-Alternate-Tokenizer"],
)
def test_no_answer_is_lost_where_the_prompt_or_white_space_opens_it(name: str) -> None:
    parser = pytest.importorskip("transformers.utils.chat_parsing.response_parser")
    loaded = Template.from_source(
        hub_templates()[name], name=name, tokens={"bos_token": "<s>", "eos_token": "<|eot_id|>"}
    )
    prompt = loaded.render([QUESTION], True).text
    for reasoning in (None, "hm"):
        text = turn(loaded, answer("Look here.", [], reasoning))
        assert text is not None
        found = parser.parse_response(text, loaded.response_template().data, prefix=prompt)
        assert found["content"].strip() == "Look here."
