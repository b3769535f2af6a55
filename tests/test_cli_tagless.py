"""Commands that tell what would be trained, and a template that does not say it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


def test_statistics_of_a_template_without_tags_are_those_of_what_would_be_trained(tmp_path: Path) -> None:
    outcome = run(tmp_path, "stats", TAGLESS, "--format", "json")
    assert outcome.code == 0
    assert "mine.jinja has no generation tags: it was annotated automatically" in outcome.err
    assert json.loads(outcome.out)["total"]["supervised_tokens"] > 0


def test_statistics_of_a_template_that_cannot_be_annotated_say_why_nothing_is_supervised(tmp_path: Path) -> None:
    outcome = run(tmp_path, "stats", TAGLESS.replace("<|im_end|>", ""), "--format", "json")
    assert outcome.code == 0
    assert "nothing would be trained, and none can be placed" in outcome.err
    assert json.loads(outcome.out)["total"]["supervised_tokens"] == 0


def test_the_audit_of_a_template_without_tags_is_that_of_what_would_be_trained(tmp_path: Path) -> None:
    outcome = run(tmp_path, "audit", TAGLESS, "--format", "json")
    assert "mine.jinja has no generation tags: it was annotated automatically" in outcome.err
    assert "AU101" not in {finding["code"] for finding in json.loads(outcome.out)["findings"]}


def test_the_audit_of_a_template_that_cannot_be_annotated_finds_nothing_to_train(tmp_path: Path) -> None:
    outcome = run(tmp_path, "audit", TAGLESS.replace("<|im_end|>", ""), "--format", "json")
    assert outcome.code == 1
    assert "nothing would be trained, and none can be placed" in outcome.err
    assert "AU101" in {finding["code"] for finding in json.loads(outcome.out)["findings"]}
