"""The configuration of a run: what it may say, and one clear error for what it may not. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chattmpl.errors import UsageError
from support.extras import need

need("numpy", "pyarrow", "yaml")

from chattmpl.extra.train.config import Config, load_config  # noqa: E402

pytestmark = pytest.mark.data

PLAIN = """\
data: a.jsonl
template: hybrid
tokenizer: demo
model: base/model
output: out
"""


def loaded(folder: Path, text: str, *settings: str) -> Config:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, settings)[0]


def refused(folder: Path, text: str, *settings: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        loaded(folder, text, *settings)
    return caught.value


def test_short_forms_stand_for_long_ones(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"{PLAIN}vibe: ['Hello?']\n")
    assert (config.template.name, config.model.path, config.tokenizer) == ("hybrid", "base/model", "demo")
    assert config.vibe is not None
    assert config.vibe.prompts == ["Hello?"]
    assert [source.name for source in config.data.sources] == ["a.jsonl"]


def test_paths_are_relative_to_the_file_and_those_of_the_command_line_are_not(tmp_path: Path) -> None:
    (tmp_path / "base" / "model").mkdir(parents=True)
    config = loaded(tmp_path, PLAIN)
    assert config.data.sources[0].paths == [str(tmp_path / "a.jsonl")]
    assert (config.model.path, config.output) == (str(tmp_path / "base/model"), str(tmp_path / "out"))
    config = loaded(tmp_path, PLAIN, "data=b.jsonl", "output=other")
    assert (config.data.sources[0].paths, config.output) == (["b.jsonl"], "other")


@pytest.mark.parametrize(
    "data",
    [
        "mixture.yaml",
        "[{path: a.jsonl, share: 1}, {path: b.jsonl, share: 3}]",
        "{sources: [{path: a.jsonl, share: 1}, {path: b.jsonl, share: 3}]}",
    ],
)
def test_a_mixture_stands_in_a_file_or_in_the_configuration(data: str, tmp_path: Path) -> None:
    mixture = "sources: [{path: a.jsonl, share: 1}, {path: b.jsonl, share: 3}]\n"
    (tmp_path / "mixture.yaml").write_text(mixture, encoding="utf-8")
    config = loaded(tmp_path, PLAIN.replace("a.jsonl", data, 1) + "seed: 7\n")
    assert [source.paths for source in config.data.sources] == [[str(tmp_path / f"{name}.jsonl")] for name in "ab"]
    assert [source.share for source in config.data.sources] == [1, 3]
    assert config.data.seed == 7


@pytest.mark.parametrize(
    ("text", "problem", "line", "hint"),
    [
        ("tokeniser: demo\n", "there is no key 'tokeniser'", 6, "did you mean 'tokenizer'"),
        ("vibe: {prompts: [a], evry: 3}\n", "there is no key 'vibe.evry'", 6, "did you mean 'every'"),
        ("max_length: long\n", "max_length: input should be a valid integer", 6, None),
        ("max_length: 0\n", "max_length is at least 1", 6, None),
        ("overflow: cut\n", "overflow cannot be 'cut'", 6, None),
        ("pack: 100\nmax_length: 200\n", "max_length 200 is more than the 100 tokens", 7, "drop max_length"),
        ("clock: tomorrow\n", "is no moment in ISO 8601", 6, "as in 2025-07-31"),
        ("audit: 0\n", "audit is at least 1 row, or all", 6, None),
        ("trainer:\n  output_dir: x\n", "trainer.output_dir is not to be set", 7, "it is output"),
        ("trainer:\n  packing: true\n", "trainer.packing is not to be set", 7, "it is pack: N"),
        ("trainer:\n  max_length: 9\n", "trainer.max_length is not to be set", 7, "shortens by whole turns"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    text: str, problem: str, line: int, hint: str | None, tmp_path: Path
) -> None:
    error = refused(tmp_path, PLAIN + text)
    assert problem in error.message
    assert error.place is not None
    assert error.place.line == line
    assert hint is None or hint in (error.hint or "")


def test_a_source_with_an_unknown_key_is_told_with_its_line(tmp_path: Path) -> None:
    text = PLAIN.replace("data: a.jsonl", "data:\n  - path: a.jsonl\n    shpe: messages")
    error = refused(tmp_path, text)
    assert (error.hint, error.place and error.place.line) == ("did you mean 'shape'?", 3)


@pytest.mark.parametrize("key", ["data", "template", "model", "output"])
def test_what_is_missing_is_told_with_an_example(key: str, tmp_path: Path) -> None:
    text = "".join(line for line in PLAIN.splitlines(keepends=True) if not line.startswith(key))
    error = refused(tmp_path, text)
    assert key in error.message
    assert error.hint
    assert "as in" in error.hint


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("{path: a, config: {model_type: llama}}", "model needs a path, or the config"),
        ("{dtype: float32}", "model needs a path, or the config"),
        ("{config: {hidden_size: 8}}", "model.config has no model_type"),
    ],
)
def test_a_model_is_one_or_the_other(model: str, problem: str, tmp_path: Path) -> None:
    assert problem in refused(tmp_path, PLAIN.replace("base/model", model)).message


def test_a_model_from_scratch_needs_a_tokenizer(tmp_path: Path) -> None:
    text = PLAIN.replace("base/model", "{config: {model_type: llama}}").replace("tokenizer: demo\n", "")
    assert "brings no tokenizer" in refused(tmp_path, text).message


def test_a_wrong_setting_of_the_command_line_is_shown_as_it_was_written(tmp_path: Path) -> None:
    error = refused(tmp_path, PLAIN, "trainer.seed=3")
    assert "the command line:1:7" in str(error)
    assert "--set trainer.seed=3" in str(error)


def test_the_command_tells_a_wrong_key_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chattmpl.cli.train as command
    from support.command import run_here

    monkeypatch.setattr(command, "PACKAGES", ())
    (tmp_path / "c.yaml").write_text(f"{PLAIN}trainr: {{}}\n", encoding="utf-8")
    outcome = run_here(["train", str(tmp_path / "c.yaml")])
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        f"error: {tmp_path}/c.yaml:6:1: there is no key 'trainr'",
        "   6 | trainr: {}",
        "     | ^^^^^^",
        "hint: did you mean 'trainer'?",
    ]


def test_without_a_configuration_the_usage_is_told() -> None:
    from support.command import run_here

    outcome = run_here(["train"])
    assert (outcome.code, outcome.err) == (2, "error: nothing to train\nhint: chattmpl train CONFIG.yaml\n")


def test_what_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chattmpl.cli.train as command
    from support.command import run_here

    monkeypatch.setattr(command, "PACKAGES", ("no_such_package",))
    outcome = run_here(["train", str(tmp_path / "c.yaml")])
    assert outcome.code == 2
    assert "training needs no_such_package" in outcome.err


def test_what_other_processes_say_of_the_same_error_is_not_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import chattmpl.cli.train as command
    from support.command import run_here

    monkeypatch.setattr(command, "PACKAGES", ())
    monkeypatch.setenv("RANK", "1")
    outcome = run_here(["train", str(tmp_path / "none.yaml")])
    assert (outcome.code, outcome.err) == (2, "")


def test_the_identity_of_runs_tells_in_what_they_differ() -> None:
    from chattmpl.extra.train.identity import difference

    one: dict[str, Any] = {"data": 1, "trainer": {"a": 1, "b": 2}, "lora": None, "processes": 1}
    assert difference(one, dict(one)) is None
    other = {"data": 2, "trainer": {"a": 1, "b": 3, "c": 4}, "lora": {"r": 1}, "processes": 2}
    assert difference(one, other) == "data, trainer.b, trainer.c, lora, the number of processes"
