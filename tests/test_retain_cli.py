"""``chattmpl retain``: what is read, what is written, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command import run_here
from support.retaining import ALL, ALWAYS_PRINTED, LAST, WITHOUT, here
from support.snapshots import matches_snapshot


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return here(tmp_path, monkeypatch)


def _retain(*arguments: str) -> tuple[int, str, str]:
    done = run_here(["retain", *arguments, "--examples", "6"])
    return done.code, done.out, done.err


def test_the_template_goes_to_stdout_and_the_proof_to_stderr(upstream: Path) -> None:
    code, out, err = _retain(str(upstream), "--policy", "all")
    assert (code, out) == (0, ALL)
    matches_snapshot("retain_proof.txt", err)


def test_a_file_is_written_and_what_was_there_is_kept(upstream: Path) -> None:
    code, out, err = _retain(str(upstream), "--policy", "all", "-o", str(upstream))
    assert (code, out) == (0, "")
    assert upstream.read_text() == ALL
    assert Path("upstream.jinja.bak").read_text() == LAST
    assert "wrote upstream.jinja, backup in upstream.jinja.bak" in err


def test_a_dry_run_writes_nothing(upstream: Path) -> None:
    code, _, err = _retain(str(upstream), "--policy", "all", "-o", "out.jinja", "--dry-run")
    assert code == 0
    assert "out.jinja would be created: nothing was written" in err
    assert not Path("out.jinja").exists()


def test_a_model_directory_is_read_and_written(upstream: Path) -> None:
    model = Path("model")
    model.mkdir()
    config = model / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": LAST, "eos_token": "<|im_end|>"}), encoding="utf-8")
    code, _, _ = _retain("model", "--policy", "all", "-o", "model")
    assert code == 0
    assert json.loads(config.read_text())["chat_template"] == ALL


def test_json_has_the_template_and_its_proof(upstream: Path) -> None:
    code, out, _ = _retain(str(upstream), "--policy", "none", "--format", "json")
    report = json.loads(out)
    assert (code, report["retained"], report["proof"]["policy"]) == (0, True, "none")
    assert "{%- if false -%}" in report["template"]


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
    assert (code, report["retained"]) == (1, False)
    assert report["counterexample"]["conversation"]["messages"]


def test_a_family_is_exported_under_the_policy() -> None:
    code, out, err = _retain("qwen3", "--policy", "all")
    assert (code, out) == (0, run_here(["export", "-t", "qwen3", "--retention", "all"]).out)
    assert "the policy is what it is compiled with" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("qwen3", "--policy", "alll"), "there is no retention policy 'alll'"),
        (("qwen3",), "Missing option '--policy'"),
        (("missing.jinja", "--policy", "all"), "missing.jinja"),
    ],
)
def test_wrong_usage_ends_with_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    code, out, err = _retain(*arguments)
    assert (code, out) == (2, "")
    assert said in err
