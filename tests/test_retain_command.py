"""What ``chattmpl retain`` and ``chattmpl annotate`` share: where they read and write, what is kept between runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template, cache
from chattmpl.rewrite.retain import retainer as retaining
from chattmpl.rewrite.retain.refusal import CannotRetain
from support.command import run_here
from support.retaining import ALL, ALWAYS_PRINTED, LAST, here

RETAIN = ("retain", "--policy", "all", "--examples", "4")
ANNOTATE = ("annotate", "--examples", "4")


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return here(tmp_path, monkeypatch)


def test_a_file_is_rewritten_in_place_and_what_was_there_is_kept(upstream: Path) -> None:
    done = run_here([*RETAIN, str(upstream), "--in-place"])
    assert (done.code, done.out) == (0, "")
    assert upstream.read_text() == ALL
    assert Path("upstream.jinja.bak").read_text() == LAST


def test_a_model_directory_is_rewritten_in_place(upstream: Path) -> None:
    model = Path("model")
    model.mkdir()
    (model / "chat_template.jinja").write_text(LAST, encoding="utf-8")
    (model / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}', encoding="utf-8")
    assert run_here([*RETAIN, "model", "--in-place"]).code == 0
    assert (model / "chat_template.jinja").read_text() == ALL
    assert run_here([*RETAIN, "model/chat_template.jinja", "--in-place"]).err.endswith("nothing was written\n")


def test_one_of_several_templates_of_a_config_is_rewritten(upstream: Path) -> None:
    path = Path("tokenizer_config.json")
    named = [{"name": "default", "template": "{{ 1 }}"}, {"name": "tool_use", "template": LAST}]
    path.write_text(json.dumps({"chat_template": named}), encoding="utf-8")
    assert run_here([*RETAIN, str(path), "--variant", "tool_use", "--in-place"]).code == 0
    assert [one["template"] for one in json.loads(path.read_bytes())["chat_template"]] == ["{{ 1 }}", ALL]


@pytest.mark.parametrize("command", [RETAIN, ANNOTATE], ids=["retain", "annotate"])
def test_only_the_difference_is_shown_when_asked(command: tuple[str, ...], upstream: Path) -> None:
    upstream.write_text(LAST + "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}\n")
    done = run_here([*command, str(upstream), "--diff"])
    assert done.code == 0
    assert done.err == ""
    assert done.out.startswith("--- upstream.jinja\n+++ upstream.jinja")


@pytest.mark.parametrize("command", [RETAIN, ANNOTATE], ids=["retain", "annotate"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["upstream.jinja", "--in-place", "-o", "x.jinja"], "exclude each other"),
        (["upstream.jinja", "--diff", "--in-place"], "--diff writes nothing"),
        (["upstream.jinja", "--diff", "--format", "json"], "exclude each other"),
        (["model.gguf", "--in-place"], "is a GGUF file, which is not written"),
        (["qwen3", "--in-place"], "is a family, which is not written in place"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    command: tuple[str, ...], options: list[str], said: str, upstream: Path
) -> None:
    done = run_here([*command, *options])
    assert done.code == 2
    assert said in done.err
    assert upstream.read_text() == LAST


def test_a_stop_token_of_no_known_form_can_be_named(upstream: Path) -> None:
    upstream.write_text(LAST.replace("<|im_end|>", "~~~"), encoding="utf-8")
    done = run_here([*RETAIN, str(upstream), "--stop-token", "~~~"])
    assert (done.code, done.out) == (0, ALL.replace("<|im_end|>", "~~~"))


def test_a_tokenizer_is_rewritten_as_a_file_is() -> None:
    class Tokenizer:
        chat_template = LAST
        special_tokens_map = {"eos_token": "<|im_end|>"}  # noqa: RUF012
        name_or_path = "some/model"

    made = Template.load(Tokenizer()).retain("all", examples=0)
    assert made.source == ALL
    assert made.tokens == {"eos_token": "<|im_end|>"}
    assert made.proof.policy == "all"


@pytest.mark.parametrize("source", [LAST, ALWAYS_PRINTED], ids=["proven", "refused"])
def test_a_second_run_finds_its_result(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_folder", tmp_path)
    outcomes: list[tuple[Any, ...]] = []
    for _ in range(2):
        try:
            made = Template.from_source(source).retain("none", examples=4)
            outcomes.append((made.source, made.proof.to_dict()))
        except CannotRetain as refusal:
            outcomes.append((str(refusal), refusal.conversation, refusal.kwargs, refusal.expected, refusal.got))
        monkeypatch.setattr(retaining, "_retained", None)
    assert outcomes[0] == outcomes[1]


def test_another_policy_is_another_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_folder", tmp_path)
    sources = {
        policy: Template.from_source(LAST).retain(policy, examples=0).source for policy in ("all", "last", "none")
    }
    assert len(set(sources.values())) == 3
