"""Commands that tell what would be trained, and a template that does not say it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from chattmpl.encode.tokenizer_loader import DEMO_FILE
from support.command import Outcome, run_here
from support.datasets import conversation, write_jsonl
from support.extras import need

need("numpy", "pyarrow", "yaml", "zstandard")

pytestmark = pytest.mark.data

TAGLESS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def run(folder: Path, command: str, source: str, *arguments: str) -> Outcome:
    (folder / "mine.jinja").write_text(source, encoding="utf-8")
    write_jsonl(folder / "rows.jsonl", [conversation(number) for number in range(0, 12, 2)])
    paths = (str(folder / "rows.jsonl"), "-t", str(folder / "mine.jinja"))
    return run_here([command, *paths, "--tokenizer", "demo", "--fast", "off", *arguments])


@pytest.mark.parametrize("source", [TAGLESS, TAGLESS.replace("<|im_end|>", "")], ids=["stop", "no-stop"])
def test_statistics_of_a_template_without_tags_count_what_is_sampled(tmp_path: Path, source: str) -> None:
    outcome = run(tmp_path, "stats", source, "--format", "json")
    assert outcome.code == 0
    assert ("ends the last turn without a stop token" in outcome.err) is ("<|im_end|>" not in source)
    assert json.loads(outcome.out)["total"]["supervised_tokens"] > 0


@pytest.mark.parametrize("source", [TAGLESS, TAGLESS.replace("<|im_end|>", "")], ids=["stop", "no-stop"])
def test_the_audit_of_a_template_without_tags_is_that_of_what_is_sampled(tmp_path: Path, source: str) -> None:
    outcome = run(tmp_path, "audit", source, "--format", "json")
    assert "AU101" not in {finding["code"] for finding in json.loads(outcome.out)["findings"]}


def test_tags_that_are_to_be_obeyed_are_placed_first_or_the_reason_is_printed(tmp_path: Path) -> None:
    outcome = run(tmp_path, "stats", TAGLESS, "--format", "json", "--mask-from", "tags")
    assert outcome.code == 0
    assert "mine.jinja has no generation tags: it was annotated automatically" in outcome.err
    outcome = run(tmp_path, "stats", TAGLESS.replace("<|im_end|>", ""), "--mask-from", "tags")
    assert outcome.code == 2
    assert "nothing would be trained, and none can be placed" in outcome.err


def test_a_model_directory_needs_no_other_option(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    shutil.copy(DEMO_FILE, model / "tokenizer.json")
    (model / "chat_template.jinja").write_text(TAGLESS, encoding="utf-8")
    (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}), encoding="utf-8")
    write_jsonl(tmp_path / "rows.jsonl", [conversation(number) for number in range(0, 12, 2)])
    outcome = run_here(["encode", str(tmp_path / "rows.jsonl"), "-t", str(model), "-o", str(tmp_path / "out")])
    assert outcome.code == 0, outcome.err
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["rows"]["encoded"] == 6


STRICT = TAGLESS.replace("{{ m.content }}", "{{ m.content + '' }}")


@pytest.mark.parametrize("command", ["encode", "audit"])
def test_the_first_rejected_row_is_named_with_its_fix(tmp_path: Path, command: str) -> None:
    (tmp_path / "strict.jinja").write_text(STRICT, encoding="utf-8")
    asked = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}]
    write_jsonl(tmp_path / "nulls.jsonl", [{"messages": asked}])
    arguments = [str(tmp_path / "nulls.jsonl"), "-t", str(tmp_path / "strict.jinja"), "--tokenizer", "demo"]
    outcome = run_here([command, *arguments, *(["-o", str(tmp_path / "out")] if command == "encode" else [])])
    told = outcome.out + outcome.err
    assert outcome.code == 1
    assert "nulls.jsonl:1" in told
    assert ("than --max-rejected 0 allows" in told) is (command == "encode")
    assert "has no attribute 'content' (at " in told
    assert "content may be null or absent in a message; write an empty text into the data, or" in told


def test_a_template_that_does_not_exist_is_reported_before_a_missing_tokenizer(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [conversation(0)])
    for command in ("stats", "audit"):
        outcome = run_here([command, str(tmp_path / "rows.jsonl"), "-t", "Qwen/Qwen3-0.6B"])
        assert outcome.code == 2
        assert "there is no template 'Qwen/Qwen3-0.6B'" in outcome.err


def test_encoded_rows_are_no_conversations(tmp_path: Path) -> None:
    assert run(tmp_path, "encode", TAGLESS, "-o", str(tmp_path / "rows")).code == 0
    assert f"{tmp_path / 'rows'} is the output of chattmpl encode" in run_here(["render", str(tmp_path / "rows")]).err
    assert run(tmp_path, "encode", TAGLESS, "-o", str(tmp_path / "rows.parquet")).code == 0
    again = run_here(["render", str(tmp_path / "rows.parquet"), "-t", "qwen3"])
    assert again.code == 2
    assert "the row is encoded already" in again.err
    assert "hint: give the conversations that it was made of; chattmpl render --rows auto shows their rows" in again.err
