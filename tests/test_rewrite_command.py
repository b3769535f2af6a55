"""``chattmpl annotate`` and ``chattmpl retain``: what they read and write, what they print, and how they end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_rewrite_annotate import BAD, CHATML, WRONG

from chattmpl import Template
from support.command import run_here
from support.snapshots import matches_snapshot

LAST = """{%- for m in messages -%}
{{- '<|im_start|>' + m.role + '\\n' -}}
{%- if m.reasoning_content and loop.last -%}
{{- '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' -}}
{%- endif -%}
{{- m.content + '<|im_end|>\\n' -}}
{%- endfor -%}
"""
ALL = LAST.replace(" and loop.last", "")
WITHOUT = "{%- for m in messages -%}{{- m.role + m.content + '<|im_end|>' -}}{%- endfor -%}"
ALWAYS_PRINTED = WITHOUT.replace("{{- m.role", "{{- (m.reasoning_content or '') + m.role")


def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with `LAST` in a folder, which becomes the working directory."""
    monkeypatch.chdir(folder)
    path = Path("upstream.jinja")
    path.write_text(LAST, encoding="utf-8")
    return path


_QUICK = ("--examples", "4")
RETAIN = ("retain", "--policy", "all", *_QUICK)
ANNOTATE = ("annotate", *_QUICK)


@pytest.fixture
def untagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A template without tags in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("upstream.jinja")
    path.write_bytes(CHATML.encode())
    return path


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A template that renders the last trace only, in the current folder."""
    return here(tmp_path, monkeypatch)


def test_the_annotated_template_goes_to_stdout_and_its_proof_to_stderr(untagged: Path) -> None:
    done = run_here(["annotate", str(untagged), *_QUICK])
    assert done.code == 0
    assert "{% generation %}" in done.out
    assert Template.from_source(done.out).render([]).text == ""
    # Hypothesis draws from the imported modules, so some numbers vary with them.
    matches_snapshot("annotate_proof.txt", re.sub(r"\d+ (times|of them)", r"N \1", done.err))


def test_annotate_writes_a_file_and_keeps_the_old_one(untagged: Path) -> None:
    training = Path("training.jinja")
    training.write_bytes(b"old")
    done = run_here(["annotate", str(untagged), "-o", str(training), *_QUICK])
    assert (done.code, done.out) == (0, "")
    assert "{% generation %}" in training.read_text(encoding="utf-8")
    assert Path("training.jinja.bak").read_bytes() == b"old"
    assert done.err.endswith("wrote training.jinja, backup in training.jinja.bak\n")


def test_annotate_changes_a_model_directory_in_place(tmp_path: Path) -> None:
    config = {"eos_token": {"content": "<|im_end|>"}, "chat_template": CHATML, "model_max_length": 5}
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    done = run_here(["annotate", str(tmp_path), "--in-place", *_QUICK])
    assert done.code == 0
    changed = json.loads(path.read_bytes())
    assert "{% generation %}" in changed.pop("chat_template")
    assert changed == {"eos_token": {"content": "<|im_end|>"}, "model_max_length": 5}
    assert json.loads((tmp_path / "tokenizer_config.json.bak").read_bytes()) == config


def test_annotate_changes_one_of_several_templates_of_a_config(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer_config.json"
    named = [{"name": "default", "template": "{{ 1 }}"}, {"name": "tool_use", "template": CHATML}]
    path.write_text(json.dumps({"chat_template": named}), encoding="utf-8")
    assert run_here(["annotate", str(path), "--variant", "tool_use", "--in-place", *_QUICK]).code == 0
    default, tools = json.loads(path.read_bytes())["chat_template"]
    assert default == named[0]
    assert "{% generation %}" in tools["template"]


def test_a_dry_run_of_annotate_writes_nothing(untagged: Path) -> None:
    done = run_here(["annotate", str(untagged), "--in-place", "--dry-run", *_QUICK])
    assert (done.code, done.out) == (0, "")
    assert untagged.read_bytes().decode() == CHATML
    assert done.err.endswith("upstream.jinja would be changed: nothing was written\n")


def test_annotate_writes_nothing_where_no_tags_are_valid(untagged: Path) -> None:
    untagged.write_bytes(BAD["rewritten"].encode())
    done = run_here(["annotate", str(untagged), "-o", "training.jinja", *_QUICK])
    assert (done.code, done.out) == (1, "")
    assert not Path("training.jinja").exists()
    matches_snapshot("annotate_refused.txt", done.err)


def test_wrong_tags_are_repaired_when_asked(untagged: Path) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        + WRONG["header"]
        + "{% else %}{{ m.content }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|a|>' }}{% endif %}"
    )
    untagged.write_bytes(source.encode())
    refused = run_here(["annotate", str(untagged), *_QUICK])
    assert (refused.code, refused.out) == (1, "")
    assert "--repair" in refused.err
    assert run_here(["annotate", str(untagged), "--repair", "--in-place", *_QUICK]).code == 0
    again = run_here(["annotate", str(untagged), "-o", str(untagged), *_QUICK])
    assert (again.code, again.out) == (0, "")
    assert "the generation tags are valid" in again.err
    assert again.err.endswith("already holds this template: nothing was written\n")


def test_the_report_of_annotate_is_one_json_object(untagged: Path) -> None:
    done = run_here(["annotate", str(untagged), "--format", "json", *_QUICK])
    assert done.err == ""
    report = json.loads(done.out)
    assert report["annotated"] is True
    assert "{% generation %}" in report["template"]
    assert report["proof"]["stops"] == ["<|im_end|>"]
    assert report["proof"]["independent"] > 0
    untagged.write_bytes(BAD["no_stop"].encode())
    refused = run_here(["annotate", str(untagged), "--format", "json", *_QUICK])
    report = json.loads(refused.out)
    assert (refused.code, report["annotated"], report["law"], report["refusal"]) == (1, False, "stop", "no-stop-token")
    assert report["counterexample"]["conversation"]["messages"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["annotate", "upstream.jinja", "--in-place", "-o", "x.jinja"], "are mutually exclusive"),
        (["annotate", "model.gguf", "--in-place"], "is a GGUF file, which cannot be rewritten in place"),
        (["annotate", "missing.jinja"], "there is no file missing.jinja"),
        (["annotate", "qwen"], "there is no template 'qwen'"),
    ],
)
def test_wrong_usage_of_annotate_ends_with_exit_code_2(arguments: list[str], said: str, untagged: Path) -> None:
    done = run_here(arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert untagged.is_file()


def _retain(*arguments: str) -> tuple[int, str, str]:
    done = run_here(["retain", *arguments, "--examples", "6"])
    return done.code, done.out, done.err


def test_the_retained_template_goes_to_stdout_and_its_proof_to_stderr(upstream: Path) -> None:
    code, out, err = _retain(str(upstream), "--policy", "all")
    assert (code, out) == (0, ALL)
    matches_snapshot("retain_proof.txt", err)


def test_retain_writes_a_file_and_keeps_the_old_one(upstream: Path) -> None:
    code, out, err = _retain(str(upstream), "--policy", "all", "-o", str(upstream))
    assert (code, out) == (0, "")
    assert upstream.read_text() == ALL
    assert Path("upstream.jinja.bak").read_text() == LAST
    assert "wrote upstream.jinja, backup in upstream.jinja.bak" in err


def test_a_dry_run_of_retain_writes_nothing(upstream: Path) -> None:
    code, _, err = _retain(str(upstream), "--policy", "all", "-o", "out.jinja", "--dry-run")
    assert code == 0
    assert "out.jinja would be created: nothing was written" in err
    assert not Path("out.jinja").exists()


def test_retain_reads_and_writes_a_model_directory(upstream: Path) -> None:
    model = Path("model")
    model.mkdir()
    config = model / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": LAST, "eos_token": "<|im_end|>"}), encoding="utf-8")
    code, _, _ = _retain("model", "--policy", "all", "-o", "model")
    assert code == 0
    assert json.loads(config.read_text())["chat_template"] == ALL


def test_the_report_of_retain_is_one_json_object(upstream: Path) -> None:
    code, out, _ = _retain(str(upstream), "--policy", "none", "--format", "json")
    report = json.loads(out)
    assert (code, report["retained"], report["proof"]["policy"]) == (0, True, "none")
    assert "reasoning_content" not in report["template"]


def test_a_template_without_reasoning_is_refused_with_exit_code_1(upstream: Path) -> None:
    upstream.write_text(WITHOUT, encoding="utf-8")
    code, out, err = _retain(str(upstream), "--policy", "all", "-o", "out.jinja")
    assert (code, out) == (1, "")
    assert not Path("out.jinja").exists()
    matches_snapshot("retain_refused.txt", err)


def test_what_cannot_be_proven_is_refused_with_the_conversation(upstream: Path) -> None:
    upstream.write_text(ALWAYS_PRINTED, encoding="utf-8")
    code, _, err = _retain(str(upstream), "--policy", "none")
    assert code == 1
    matches_snapshot("retain_unproven.txt", err)
    code, out, _ = _retain(str(upstream), "--policy", "none", "--format", "json")
    report = json.loads(out)
    assert (code, report["retained"], report["policy"], report["refusal"]) == (1, False, "none", "no-change")
    assert report["counterexample"]["conversation"]["messages"]


def test_a_family_is_exported_under_the_policy() -> None:
    code, out, err = _retain("qwen3", "--policy", "all")
    assert (code, out) == (0, run_here(["export", "-t", "qwen3", "--retention", "all"]).out)
    assert "it is compiled with the policy" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("qwen3", "--policy", "alll"), "there is no retention policy 'alll'"),
        (("qwen3",), "missing option '--policy'"),
        (("missing.jinja", "--policy", "all"), "missing.jinja"),
    ],
)
def test_wrong_usage_of_retain_ends_with_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    code, out, err = _retain(*arguments)
    assert (code, out) == (2, "")
    assert said in err


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
        (["upstream.jinja", "--in-place", "-o", "x.jinja"], "are mutually exclusive"),
        (["upstream.jinja", "--diff", "--in-place"], "--diff writes nothing"),
        (["upstream.jinja", "--diff", "--format", "json"], "are mutually exclusive"),
        (["model.gguf", "--in-place"], "is a GGUF file, which cannot be rewritten in place"),
        (["qwen3", "--in-place"], "is a family, which cannot be rewritten in place"),
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
