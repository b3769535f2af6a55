"""``chattmpl annotate``: where it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_annotate import BAD, CHATML, WRONG

from chattmpl import Template, cache
from chattmpl.rewrite.annotate import annotator as annotating
from chattmpl.rewrite.annotate.refusal import CannotAnnotate
from support.command import run_here
from support.snapshots import matches_snapshot

_QUICK = ("--examples", "4")


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A template in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("upstream.jinja")
    path.write_bytes(CHATML.encode())
    return path


def test_the_template_goes_to_stdout_and_the_proof_to_stderr(upstream: Path) -> None:
    done = run_here(["annotate", str(upstream), *_QUICK])
    assert done.code == 0
    assert "{% generation %}" in done.out
    assert Template.from_source(done.out).render([]).text == ""
    matches_snapshot("annotate_proof.txt", done.err)


def test_a_file_is_written_and_one_that_was_there_is_kept(upstream: Path) -> None:
    training = Path("training.jinja")
    training.write_bytes(b"old")
    done = run_here(["annotate", str(upstream), "-o", str(training), *_QUICK])
    assert (done.code, done.out) == (0, "")
    assert "{% generation %}" in training.read_text(encoding="utf-8")
    assert Path("training.jinja.bak").read_bytes() == b"old"
    assert done.err.endswith("wrote training.jinja, backup in training.jinja.bak\n")


def test_a_model_directory_is_changed_in_place(tmp_path: Path) -> None:
    config = {"eos_token": {"content": "<|im_end|>"}, "chat_template": CHATML, "model_max_length": 5}
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    done = run_here(["annotate", str(tmp_path), "--in-place", *_QUICK])
    assert done.code == 0
    changed = json.loads(path.read_bytes())
    assert "{% generation %}" in changed.pop("chat_template")
    assert changed == {"eos_token": {"content": "<|im_end|>"}, "model_max_length": 5}
    assert json.loads((tmp_path / "tokenizer_config.json.bak").read_bytes()) == config


def test_one_of_several_templates_of_a_config_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer_config.json"
    named = [{"name": "default", "template": "{{ 1 }}"}, {"name": "tool_use", "template": CHATML}]
    path.write_text(json.dumps({"chat_template": named}), encoding="utf-8")
    assert run_here(["annotate", str(path), "--variant", "tool_use", "--in-place", *_QUICK]).code == 0
    default, tools = json.loads(path.read_bytes())["chat_template"]
    assert default == named[0]
    assert "{% generation %}" in tools["template"]


def test_a_dry_run_writes_nothing(upstream: Path) -> None:
    done = run_here(["annotate", str(upstream), "--in-place", "--dry-run", *_QUICK])
    assert (done.code, done.out) == (0, "")
    assert upstream.read_bytes().decode() == CHATML
    assert done.err.endswith("upstream.jinja would be changed: nothing was written\n")


def test_what_cannot_be_lawful_is_not_written(upstream: Path) -> None:
    upstream.write_bytes(BAD["rewritten"].encode())
    done = run_here(["annotate", str(upstream), "-o", "training.jinja", *_QUICK])
    assert (done.code, done.out) == (1, "")
    assert not Path("training.jinja").exists()
    matches_snapshot("annotate_refused.txt", done.err)


def test_wrong_tags_are_repaired_when_asked(upstream: Path) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        + WRONG["header"]
        + "{% else %}{{ m.content }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|a|>' }}{% endif %}"
    )
    upstream.write_bytes(source.encode())
    refused = run_here(["annotate", str(upstream), *_QUICK])
    assert (refused.code, refused.out) == (1, "")
    assert "--repair" in refused.err
    assert run_here(["annotate", str(upstream), "--repair", "--in-place", *_QUICK]).code == 0
    again = run_here(["annotate", str(upstream), "-o", str(upstream), *_QUICK])
    assert (again.code, again.out) == (0, "")
    assert "lawful already" in again.err
    assert again.err.endswith("already holds this template: nothing was written\n")


def test_the_report_is_one_json_object(upstream: Path) -> None:
    done = run_here(["annotate", str(upstream), "--format", "json", *_QUICK])
    assert done.err == ""
    report = json.loads(done.out)
    assert report["annotated"] is True
    assert "{% generation %}" in report["template"]
    assert report["proof"]["stops"] == ["<|im_end|>"]
    assert report["proof"]["independent"] > 0
    upstream.write_bytes(BAD["no_stop"].encode())
    refused = run_here(["annotate", str(upstream), "--format", "json", *_QUICK])
    report = json.loads(refused.out)
    assert (refused.code, report["annotated"], report["law"]) == (1, False, "stop")
    assert report["counterexample"]["conversation"]["messages"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["annotate", "upstream.jinja", "--in-place", "-o", "x.jinja"], "exclude each other"),
        (["annotate", "model.gguf", "--in-place"], "is a GGUF file, which is not written"),
        (["annotate", "missing.jinja"], "there is no file missing.jinja"),
        (["annotate", "qwen"], "there is no template 'qwen'"),
    ],
)
def test_wrong_usage_is_told_from_findings(arguments: list[str], said: str, upstream: Path) -> None:
    done = run_here(arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert upstream.is_file()


@pytest.mark.parametrize("name", ["good", "rewritten"])
def test_a_second_run_finds_its_result(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = CHATML if name == "good" else BAD[name]
    monkeypatch.setattr(cache, "_folder", tmp_path)
    outcomes = []
    for _ in range(2):
        try:
            made = Template.from_source(source).annotate(examples=4)
            outcomes.append((made.source, made.proof and made.proof.to_dict()))
        except CannotAnnotate as refusal:
            outcomes.append((str(refusal), refusal.counterexample and refusal.counterexample.to_dict()))
        monkeypatch.setattr(annotating, "_annotated", None)
    assert outcomes[0] == outcomes[1]
