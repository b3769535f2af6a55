"""Lint on models: what stands beside a template is used, and the files of models are read as they are in the wild."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken

from chattmpl.template.resolver import find_templates
from support.command import run_here
from support.small_tokenizers import byte_level_bpe, lint_tokenizer, with_control

TEMPLATE = """{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.role == 'assistant' -%}
{%- generation -%}{{- message.content + '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- message.content + '<|im_end|>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def model(folder: Path, generation: dict[str, Any] | None = None, **config: Any) -> Path:
    """A model directory with a tokenizer of ChatML."""
    folder.mkdir(exist_ok=True)
    raw = with_control(byte_level_bpe())
    raw.add_special_tokens([AddedToken("</s>", normalized=False)])
    raw.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def stop_id(folder: Path) -> int:
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("<|im_end|>")
    assert isinstance(found, int)
    return found


def found_in(*arguments: str) -> list[dict[str, Any]]:
    done = run_here(["lint", *arguments, "--select", "CT6", "--format", "json"])
    assert done.err == ""
    listed: list[dict[str, Any]] = json.loads(done.out)
    return listed


def test_the_tokenizer_beside_a_template_is_used_by_itself(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", eos_token="</s>")
    for path in (folder, folder / "chat_template.jinja"):
        assert [(item["code"], item["severity"]) for item in found_in(str(path))] == [("CT605", "warning")]
    (folder / "tokenizer.json").unlink()
    assert found_in(str(folder)) == []


def test_a_config_with_the_template_inside_uses_the_tokenizer_beside_it(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", eos_token="</s>", chat_template=TEMPLATE)
    (folder / "chat_template.jinja").unlink()
    (item,) = found_in(str(folder / "tokenizer_config.json"))
    assert item["code"] == "CT605"
    assert "the tokenizer's EOS token is </s>" in item["message"]


def test_a_stop_token_that_ends_generation_is_fine_whatever_the_eos_is(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", eos_token="</s>")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, stop_id(folder)]}))
    assert found_in(str(folder)) == []
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stop_id(folder)}))
    assert found_in(str(folder)) == []


def test_a_stop_token_at_which_generation_does_not_end_is_an_error(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", {"eos_token_id": [0, 1]}, eos_token="</s>")
    (item,) = found_in(str(folder))
    assert (item["code"], item["severity"]) == ("CT605", "error")
    assert "generation_config.json stops at 0, 1" in item["message"]
    assert f"add {stop_id(folder)} to eos_token_id" in item["hint"]


@pytest.mark.parametrize("name", ["generation_config.json", "config.json"])
def test_generation_ends_where_the_config_of_the_model_says_whatever_the_eos_is(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "m", eos_token="<|im_end|>")
    (folder / name).write_text(json.dumps({"eos_token_id": stop_id(folder) + 1}))
    (item,) = found_in(str(folder))
    assert item["code"] == "CT605"
    assert f"{name} stops at {stop_id(folder) + 1}" in item["message"]
    assert item["hint"] == f"add {stop_id(folder)} to eos_token_id in {name}"
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stop_id(folder)}))
    assert found_in(str(folder)) == []


def test_the_stop_tokens_that_a_family_declares_are_trusted_without_a_generation_config() -> None:
    assert [item["code"] for item in found_in("gemma3", "--tokenizer", "demo")] == []


def test_an_eos_that_is_the_stop_token_is_fine_and_a_padding_token_is_not(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", eos_token={"content": "<|im_end|>"})
    assert found_in(str(folder)) == []
    model(folder, eos_token="<|im_end|>", pad_token="<|im_end|>")
    assert [item["code"] for item in found_in(str(folder))] == ["CT606"]


def test_a_bos_that_only_the_config_adds_is_known(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", bos_token="</s>", eos_token="<|im_end|>", add_bos_token=True)
    assert [item["code"] for item in found_in(str(folder))] == ["CT604"]
    (folder / "chat_template.jinja").write_text("{{- bos_token -}}" + TEMPLATE)
    assert [item["code"] for item in found_in(str(folder))] == ["CT603"]


def test_special_tokens_come_from_the_folder_of_a_tokenizer_that_is_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", eos_token="</s>")
    alone = tmp_path / "alone.jinja"
    alone.write_text(TEMPLATE)
    for tokenizer in (folder, folder / "tokenizer.json"):
        assert [item["code"] for item in found_in(str(alone), "--tokenizer", str(tokenizer))] == ["CT605"]
    assert found_in(str(alone)) == []


def test_a_special_token_that_the_template_reads_must_be_in_the_vocabulary(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", bos_token="<s_o_s>", eos_token="<|im_end|>")
    (folder / "chat_template.jinja").write_text("{{- bos_token -}}" + TEMPLATE)
    assert found_in(str(folder)) == [], "the config adds it to the tokenizer"
    other = model(tmp_path / "other", eos_token="<|im_end|>")
    (item,) = found_in(str(folder), "--tokenizer", str(other / "tokenizer.json"))
    assert (item["code"], item["line"], item["column"]) == ("CT601", 1, 5)
    assert "bos_token <s_o_s> from the config is not a token" in item["message"]


def test_a_stop_token_of_any_form_must_be_in_the_vocabulary(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", eos_token="<|im_end|>")
    (folder / "chat_template.jinja").write_text(TEMPLATE.replace("<|im_end|>", "<end_of_turn>"))
    (item,) = found_in(str(folder))
    assert item["message"].startswith("the stop token <end_of_turn> is not a token of the tokenizer: it is split into ")


@pytest.mark.parametrize("name", ["generation_config.json", "config.json"])
@pytest.mark.parametrize(
    "text", ["{", "[]", '{"eos_token_id": "2"}', '{"eos_token_id": [2.0]}', '{"eos_token_id": true}']
)
def test_a_config_that_cannot_be_read_is_one_finding_beside_the_others(tmp_path: Path, name: str, text: str) -> None:
    folder = model(tmp_path / "m", bos_token="</s>", eos_token="<|im_end|>", add_bos_token=True)
    (folder / name).write_text(text)
    found = found_in(str(folder))
    assert sorted(item["code"] for item in found) == ["CT604", "CT605"]
    assert any(str(folder / name) in item["message"] for item in found)
    (folder / "tokenizer.json").unlink()
    assert [item["code"] for item in found_in(str(folder))] == ["CT605"]


def test_a_tokenizer_that_cannot_be_used_does_not_hide_findings_in_others(tmp_path: Path) -> None:
    broken = model(tmp_path / "broken", eos_token="<|im_end|>", split_special_tokens=True)
    other = model(tmp_path / "other", bos_token="</s>", eos_token="<|im_end|>", add_bos_token=True)
    result = run_here(["lint", str(broken), str(other), "--select", "CT6", "--format", "text"])
    assert result.code == 2
    assert "split_special_tokens is true" in result.err
    assert "CT604" in result.out
    assert str(other) in result.out


def test_placeholders_for_special_tokens_are_named(tmp_path: Path) -> None:
    alone = tmp_path / "alone.jinja"
    alone.write_text("{{ bos_token }}{{ my_token }}" + TEMPLATE)
    folder = model(tmp_path / "m", bos_token="<s>", eos_token="<|im_end|>")
    assert "placeholders stand for bos_token, my_token" in run_here(["lint", str(alone)]).err
    assert "placeholders stand for my_token where" in run_here(["lint", str(alone), "--tokenizer", str(folder)]).err


def test_a_tokenizer_of_the_fixtures_is_one_of_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="there is no tokenizer"):
        lint_tokenizer("none")


@pytest.mark.upstream
def test_a_real_gguf_file_has_its_templates_and_tokens(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_chat_template([{"name": "default", "template": TEMPLATE}, {"name": "tool_use", "template": "{{ é }}"}])
    writer.add_token_list(["<unk>", "<s>", "</s>"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    found = list(find_templates([str(path)]))
    assert [item.source.text for item in found] == [TEMPLATE, "{{ é }}"]
    assert found[0].tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    done = run_here(["lint", str(path), "--select", "CT101,CT702", "--format", "json"])
    assert [item["file"] for item in json.loads(done.out)] == [f"{path}:tokenizer.chat_template.tool_use"]


def test_a_gguf_file_without_a_template_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF\x03" + bytes(19))
    done = run_here(["lint", str(path)])
    assert (done.code, done.out) == (2, "")
    assert "holds no chat template" in done.err


@pytest.mark.parametrize("command", ["lint", "check", "inspect"])
def test_a_file_that_cannot_be_read_does_not_hide_the_others(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("templates").mkdir()
    Path("templates/b.jinja").write_text("{{ messages[0].content }}")
    Path("templates/a.gguf").write_bytes(b"GGUF")
    Path("templates/tokenizer_config.json").write_text("{")
    Path("latin.jinja").write_bytes(b"\xe9")
    options = ["--law", "steady"] if command == "check" else []
    done = run_here([command, "latin.jinja", "a.gguf", "templates/b.jinja", "nowhere", "templates/*.json", *options])
    assert done.code == 2
    assert re.search(r"\bb\b", done.out)
    assert done.err.count("error: ") == 4
    alone = run_here([command, "latin.jinja", *options])
    assert (alone.code, alone.out, alone.err.count("error: ")) == (2, "", 1)


def test_settings_take_paths_and_ignore_rules_in_some_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.chattmpl.lint]\npaths = ["t"]\nselect = ["CT404", "CT101"]\n'
        'per-file-ignores = { "t/old/*" = ["CT404"], "b.jinja" = ["CT1"] }\n'
    )
    for name in ("a.jinja", "b.jinja", "old/c.jinja"):
        path = tmp_path / "t" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{{- strftime_now('%Y') ~ messages[0].content -}}")
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    listed = json.loads(run_here(["lint", "--format", "json"]).out)
    assert sorted((Path(item["file"]).name, item["code"]) for item in listed) == [
        ("a.jinja", "CT101"),
        ("a.jinja", "CT404"),
        ("b.jinja", "CT404"),
        ("c.jinja", "CT101"),
    ]


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("[tool.chattmpl.lint]\nper-file-ignore = {}", "has no 'per-file-ignore'", "did you mean 'per-file-ignores'?"),
        ("[tool.chattmpl]\nlnt = {}", "[tool.chattmpl] has no 'lnt'", "did you mean 'lint'?"),
        ("[tool.chattmpl]\ntemplates = 1", "has no 'templates'", "did you mean 'template'?"),
        ("[tool.chattmpl]\nlint = 1", "tool.chattmpl.lint must be a table", "write [tool.chattmpl.lint]"),
        ("[tool]\nchattmpl = 1", "tool.chattmpl must be a table", "write [tool.chattmpl]"),
        ('[tool.chattmpl.lint]\npaths = "t"', "paths must be a list of strings", 'as in paths = ["templates"]'),
        ('[tool.chattmpl.lint]\nselect = ["CT999"]', "there is no rule 'CT999'", "did you mean 'CT"),
        ('[tool.chattmpl.lint.per-file-ignores]\n"a" = "CT1"', "must be a list of strings", '["CT403"]'),
        ("[tool.chattmpl.lint", "is not TOML", "correct it"),
    ],
)
def test_settings_that_are_wrong_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str, hint: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    (tmp_path / "a.jinja").write_text("a")
    monkeypatch.chdir(tmp_path)
    done = run_here(["lint", "a.jinja"])
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert hint in done.err.partition("hint: ")[2]
