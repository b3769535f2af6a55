"""Accepted limits and baselines of `check`, which make it usable on a template that is as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from chattmpl import Template
from chattmpl.encode.tokenizer_loader import DEMO_FILE
from chattmpl.laws import laws_named
from chattmpl.laws.law import Case
from chattmpl.laws.outcome import DoesNotApply
from chattmpl.laws.settings import KEYS, AcceptedLimit
from chattmpl.lint.settings import KEYS as LINT_KEYS
from chattmpl.project_file import SHARED_KEYS, TABLES
from support import ROOT
from support.command import run_here

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.jinja").write_text(TEMPLATE, encoding="utf-8")
    return tmp_path


def settings(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.chattmpl.check]\n{text}\n", encoding="utf-8")


def test_accepted_limits_are_no_findings(folder: Path) -> None:
    before = run_here(["check", "t.jinja", "--law", "lossless"])
    assert before.code == 1
    assert "warning lossless: tools are not rendered" in before.out
    settings(folder, 'paths = ["t.jinja"]\nlaws = ["lossless"]\naccept = ["lossless:tools"]')
    some = run_here(["check"])
    assert "tools are not rendered" not in some.out
    assert "lossless:tools is accepted in pyproject.toml" in some.out
    assert some.code == 1, "other fields are lost, too"
    settings(folder, 'paths = ["t.jinja"]\nlaws = ["lossless"]\naccept = ["lossless"]')
    assert run_here(["check"]).code == 0
    # The command line overrides the file.
    assert run_here(["check", "--accept", "lossless:documents"]).code == 1


def test_findings_of_a_baseline_do_not_count_and_new_ones_do(folder: Path) -> None:
    written = run_here(["check", "t.jinja", "--law", "lossless", "--write-baseline"])
    assert (written.code, Path(".chattmpl-check-baseline.json").is_file()) == (0, True)
    again = run_here(["check", "t.jinja", "--law", "lossless", "--format", "json"])
    assert (again.code, json.loads(again.out)) == (0, [])
    (folder / "t.jinja").write_text(TEMPLATE.replace("<|end|>{% endgen", "{% endgen"), encoding="utf-8")
    assert run_here(["check", "t.jinja", "--law", "stop", "--law", "lossless"]).code == 1
    assert run_here(["check", "t.jinja", "--law", "stop", "--exit-zero"]).code == 0


def test_the_loss_of_traces_in_history_is_a_warning_and_that_of_text_an_error(folder: Path) -> None:
    source = TEMPLATE.replace(
        "{% generation %}", "{% generation %}{% if loop.last %}{{ m.reasoning_content }}{% endif %}"
    )
    (folder / "t.jinja").write_text(source, encoding="utf-8")
    found = json.loads(run_here(["check", "t.jinja", "--law", "lossless", "--format", "json"]).out)
    worst = {each["severity"] for each in found if "reasoning_content" in each["message"]}
    assert worst == {"warning"}
    (folder / "t.jinja").write_text(TEMPLATE.replace("{{ m.content }}<|end|>{% endgen", "<|end|>{% endgen"))
    found = json.loads(run_here(["check", "t.jinja", "--law", "lossless", "--format", "json"]).out)
    assert "error" in {each["severity"] for each in found}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('accept = ["lossles"]', "there is no law 'lossles'"),
        ("accept = 3", "accept must be a list of strings"),
        ('acept = ["lossless"]', "[tool.chattmpl.check] has no 'acept'"),
        ("baseline = 3", "baseline must be a string"),
    ],
)
def test_a_wrong_setting_is_an_error(folder: Path, text: str, message: str) -> None:
    settings(folder, text)
    done = run_here(["check", "t.jinja"])
    assert done.code == 2
    assert message in done.err


def test_the_tables_of_one_command_do_not_disturb_the_other(folder: Path) -> None:
    settings(folder, 'accept = ["lossless"]')
    assert run_here(["lint", "t.jinja", "--exit-zero"]).code == 0


def test_the_page_on_settings_lists_every_key() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    for key in (*LINT_KEYS, *KEYS, *SHARED_KEYS, *TABLES):
        assert f"`{key}`" in page or f"[tool.chattmpl.{key}]" in page, key
    assert str(AcceptedLimit.parse("lossless:documents")) == "lossless:documents"


def test_an_empty_conversation_is_not_parsed() -> None:
    (law,) = laws_named(["roundtrip"])
    outcome = law.check(Case(Template.load("chatml"), {"messages": []}))
    assert outcome == DoesNotApply("there is no message")


def test_the_tokenizer_of_a_model_directory_is_used(folder: Path) -> None:
    shutil.copy(DEMO_FILE, folder / "tokenizer.json")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    assert "it needs a tokenizer" in run_here(["check", "t.jinja", "--law", "inert"]).out
    assert "it needs a tokenizer" not in run_here(["check", ".", "--law", "inert"]).out
