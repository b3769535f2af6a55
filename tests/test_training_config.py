"""The configuration of a training run: short forms, paths, and one clear error for each mistake. No torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from chattmpl.errors import UsageError
from support.extras import need

need("numpy", "pyarrow", "yaml")

from chattmpl.training.config import TrainConfig, load_config  # noqa: E402
from chattmpl.training.run_folder import RunFolder  # noqa: E402

pytestmark = pytest.mark.data

PLAIN = """\
data: a.jsonl
template: hybrid
tokenizer: demo
model: base/model
output: out
"""


def loaded(folder: Path, text: str, *settings: str) -> TrainConfig:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, settings)[0]


def refused(folder: Path, text: str, problem: str, *settings: str) -> UsageError:
    with pytest.raises(UsageError, match=re.escape(problem)) as caught:
        loaded(folder, text, *settings)
    return caught.value


def test_a_model_is_not_replaced_by_what_it_becomes(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    text = "template: hybrid\nmodel: out\ntokenizer: demo\ndata: a.jsonl\noutput: ./out\n"
    refused(tmp_path, text, "output is the folder of the model that training starts from")


def test_the_weights_of_an_earlier_run_of_another_kind_go_with_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for name in ("adapter_config.json", "adapter_model.safetensors", "model-00001-of-00002.safetensors", "notes.md"):
        (tmp_path / name).write_text("x")
    folder.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.md"]


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
def test_a_mixture_is_in_a_file_or_in_the_configuration(data: str, tmp_path: Path) -> None:
    mixture = "sources: [{path: a.jsonl, share: 1}, {path: b.jsonl, share: 3}]\n"
    (tmp_path / "mixture.yaml").write_text(mixture, encoding="utf-8")
    config = loaded(tmp_path, PLAIN.replace("a.jsonl", data, 1) + "seed: 7\n")
    assert [source.paths for source in config.data.sources] == [[str(tmp_path / f"{name}.jsonl")] for name in "ab"]
    assert [source.share for source in config.data.sources] == [1, 3]
    assert config.data.seed == 7


@pytest.mark.parametrize(
    ("text", "problem", "line", "hint"),
    [
        ("tokeniser: demo\n", "unknown key 'tokeniser'", 6, "did you mean 'tokenizer'"),
        ("vibe: {prompts: [a], evry: 3}\n", "unknown key 'vibe.evry'", 6, "did you mean 'every'"),
        ("max_length: long\n", "max_length: input should be a valid integer", 6, None),
        ("max_length: 0\n", "max_length must be at least 1", 6, None),
        ("overflow: cut\n", "overflow cannot be 'cut'", 6, None),
        ("pack: 100\nmax_length: 200\n", "max_length 200 is more than the 100 tokens", 7, "drop max_length"),
        ("clock: tomorrow\n", "is not an ISO 8601 date or time", 6, "for example 2025-07-31"),
        ("audit: 0\n", "audit must be 'all' or at least 1 row", 6, None),
        ("trainer:\n  output_dir: x\n", "trainer.output_dir cannot be set", 7, "set output instead"),
        ("mask: foo\n", "mask cannot be 'foo': it must be one of all, last, flags, no-reasoning", 6, None),
        ("straddle: inclde\n", "straddle cannot be 'inclde'", 6, "did you mean 'include'"),
        ("control_tokens: allowed\n", "control_tokens cannot be 'allowed'", 6, "did you mean 'allow'"),
        ("seed: 1\nmax_rejected: lots\n", "'lots' is neither a number of rows nor a percentage", 7, "as in 10 or 1%"),
        ("trainer:\n  eos_token: <|end|>\n", "trainer.eos_token cannot be set", 7, "set stop_tokens"),
        ("trainer:\n  per_device_train_batch_size: 0\n", "batch_size must be at least 1, not 0", 7, None),
        ("trainer:\n  bf16: true\n  gradient_accumulation_steps: 0\n", "must be at least 1, not 0", 8, None),
        ("trainer:\n  num_train_epochs: -1\n", "num_train_epochs must be more than 0, not -1", 7, None),
        ("trainer:\n  max_steps: 0\n", "max_steps must be at least 1, not 0", 7, None),
        ("trainer:\n  save_steps: 0\n", "save_steps must be more than 0, not 0", 7, None),
        ("trainer:\n  packing: true\n", "trainer.packing cannot be set", 7, "set pack: N"),
        ("trainer:\n  max_length: 9\n", "trainer.max_length cannot be set", 7, "shortens rows by whole turns"),
    ],
)
def test_a_mistake_is_reported_with_its_line(
    text: str, problem: str, line: int, hint: str | None, tmp_path: Path
) -> None:
    error = refused(tmp_path, PLAIN + text, problem)
    assert error.place is not None
    assert error.place.line == line
    assert hint is None or hint in (error.hint or "")


def test_a_source_with_an_unknown_key_is_reported_with_its_line(tmp_path: Path) -> None:
    text = PLAIN.replace("data: a.jsonl", "data:\n  - path: a.jsonl\n    shpe: messages")
    error = refused(tmp_path, text, "unknown key 'data.sources.0.shpe'")
    assert (error.hint, error.place and error.place.line) == ("did you mean 'shape'?", 3)


@pytest.mark.parametrize("key", ["data", "template", "model", "output"])
def test_a_missing_key_is_reported_with_an_example(key: str, tmp_path: Path) -> None:
    text = "".join(line for line in PLAIN.splitlines(keepends=True) if not line.startswith(key))
    error = refused(tmp_path, text, f"c.yaml has no key '{key}'")
    assert error.hint
    assert "for example" in error.hint


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("{path: a, config: {model_type: llama}}", "model needs either a path or the config"),
        ("{dtype: float32}", "model needs either a path or the config"),
        ("{config: {hidden_size: 8}}", "model.config has no model_type"),
    ],
)
def test_a_model_is_one_or_the_other(model: str, problem: str, tmp_path: Path) -> None:
    refused(tmp_path, PLAIN.replace("base/model", model), problem)


SCRATCH = PLAIN.replace("base/model", "{config: {model_type: llama}}")


def test_lora_on_a_model_from_scratch_has_to_be_merged_since_its_weights_would_be_lost(tmp_path: Path) -> None:
    for lora in ("lora: {r: 4}\n", "lora: {r: 4, merge: false}\n"):
        error = refused(tmp_path, f"{SCRATCH}{lora}", "the random weights of a model from scratch would be lost")
        assert "merge: true" in (error.hint or "")
        assert (error.place and error.place.line) == 6
    assert loaded(tmp_path, f"{SCRATCH}lora: {{r: 4, merge: true}}\n").lora == {"r": 4, "merge": True}
    assert loaded(tmp_path, f"{PLAIN}lora: {{r: 4}}\n").lora == {"r": 4}


def test_keys_that_do_not_apply_to_a_model_from_scratch_are_refused(tmp_path: Path) -> None:
    text = SCRATCH.replace("{config", "\n  dtype: bfloat16\n  {key}\n  config").replace("llama}}", "llama}")
    error = refused(tmp_path, text.replace("{key}", "foo: 1"), "model.foo does not apply")
    assert (error.place and error.place.line) == 6
    config = loaded(tmp_path, text.replace("{key}", "attn_implementation: eager"))
    assert config.model.options == {"dtype": "bfloat16", "attn_implementation": "eager"}


@pytest.mark.parametrize("path", ["./nomodel", "../nomodel", "/no/such/model"])
def test_a_path_that_is_not_there_is_not_taken_for_a_hub_id(path: str, tmp_path: Path) -> None:
    for form in (path, f"{{path: {path}}}"):
        error = refused(tmp_path, PLAIN.replace("base/model", form), "there is no model at")
        assert (error.place and error.place.line) == 4
    error = refused(tmp_path, PLAIN.replace("demo", path), "no such file or folder")
    assert (error.place and error.place.line) == 3
    (tmp_path / "nomodel").mkdir()
    config = loaded(tmp_path, PLAIN.replace("base/model", "./nomodel"))
    assert config.model.path == str(tmp_path / "nomodel")


@pytest.mark.parametrize("name", ["data", "eval_data"])
def test_missing_data_are_reported_with_the_line_that_names_them(name: str, tmp_path: Path) -> None:
    from chattmpl.errors import ConversationError
    from chattmpl.training.rows import check_data_exists

    (tmp_path / "a.jsonl").touch()
    path = tmp_path / "c.yaml"
    other = "data: nope.jsonl\n" if name == "data" else "data: a.jsonl\neval_data: nope.jsonl\n"
    path.write_text(PLAIN.replace("data: a.jsonl\n", other), encoding="utf-8")
    with pytest.raises(ConversationError, match=r"nope\.jsonl") as caught:
        check_data_exists(*load_config(path))
    assert (caught.value.place and caught.value.place.line) == (1 if name == "data" else 2)


def test_the_serve_command_of_adapters_names_the_model_that_they_stand_on(tmp_path: Path) -> None:
    from chattmpl.cli.train import _serve_command

    out = tmp_path / "out"
    assert _serve_command(out, loaded(tmp_path, PLAIN)) == f"vllm serve {out}"
    assert _serve_command(out, loaded(tmp_path, f"{PLAIN}lora: {{merge: true}}\n")) == f"vllm serve {out}"
    said = _serve_command(out, loaded(tmp_path, f"{PLAIN}lora: {{r: 4}}\n"))
    assert said.startswith("vllm serve base/model ")
    assert f"--lora-modules out={out} " in said


def test_fields_that_the_template_does_not_render_are_counted(tmp_path: Path) -> None:
    from chattmpl import Template
    from chattmpl.training.rows import find_dropped_fields

    config = loaded(tmp_path, PLAIN)
    plain = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "so"}]
    traced = [plain[0], {**plain[1], "reasoning_content": "why"}]
    dropped = find_dropped_fields([plain, traced, traced], Template.load("chatml"), config, None)
    assert dropped is not None
    assert (dropped.affected, dropped.checked) == (2, 3)
    assert dropped.counts == {"messages.reasoning_content": 2}
    assert str(dropped) == (
        "2 of 3 conversations have fields that chatml does not render, so they are not trained: "
        "messages.reasoning_content (2)"
    )
    assert find_dropped_fields([plain, traced], Template.load("hybrid"), config, None) is None


def test_reasoning_of_earlier_turns_that_the_retention_leaves_out_is_not_counted(tmp_path: Path) -> None:
    from chattmpl import Template
    from chattmpl.training.rows import find_dropped_fields

    traced = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "so", "reasoning_content": "why"},
    ]
    template = Template.load("hybrid", retention="since_last_user")
    assert template.render([*traced, *traced]).lost
    assert find_dropped_fields([[*traced, *traced]], template, loaded(tmp_path, PLAIN), None) is None


def test_a_model_of_other_weights_in_files_of_the_same_sizes_is_another_run(tmp_path: Path) -> None:
    from chattmpl.training.run_folder import model_files

    weights = bytearray(5 << 20)
    (tmp_path / "model.safetensors").write_bytes(weights)
    before = model_files(str(tmp_path))
    assert before == model_files(str(tmp_path))
    for at in (3, len(weights) // 2 + 7, len(weights) - 1):
        changed = bytearray(weights)
        changed[at] = 1
        (tmp_path / "model.safetensors").write_bytes(changed)
        assert model_files(str(tmp_path)) != before


def test_a_model_from_scratch_needs_a_tokenizer(tmp_path: Path) -> None:
    text = PLAIN.replace("base/model", "{config: {model_type: llama}}").replace("tokenizer: demo\n", "")
    refused(tmp_path, text, "has no tokenizer")


def test_a_wrong_setting_of_the_command_line_is_shown_as_it_was_written(tmp_path: Path) -> None:
    error = refused(tmp_path, PLAIN, "trainer.seed cannot be set", "trainer.seed=3")
    assert "the command line:1:7" in str(error)
    assert "--set trainer.seed=3" in str(error)


def test_the_command_reports_a_wrong_key_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chattmpl.cli.train as command
    from support.command import run_here

    monkeypatch.setattr(command, "PACKAGES", ())
    (tmp_path / "c.yaml").write_text(f"{PLAIN}trainr: {{}}\n", encoding="utf-8")
    outcome = run_here(["train", str(tmp_path / "c.yaml")])
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        f"error: {tmp_path}/c.yaml:6:1: unknown key 'trainr'",
        "   6 | trainr: {}",
        "     | ^^^^^^",
        "hint: did you mean 'trainer'?",
    ]


def test_without_a_configuration_the_usage_is_printed() -> None:
    from support.command import run_here

    outcome = run_here(["train"])
    assert (outcome.code, outcome.err) == (2, "error: no configuration given\nhint: chattmpl train CONFIG.yaml\n")


def test_missing_packages_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chattmpl.cli.train as command
    from support.command import run_here

    monkeypatch.setattr(command, "PACKAGES", ("no_such_package",))
    outcome = run_here(["train", str(tmp_path / "c.yaml")])
    assert outcome.code == 2
    assert "not installed: no_such_package" in outcome.err


def test_only_the_main_process_reports_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chattmpl.cli.train as command
    from support.command import run_here

    monkeypatch.setattr(command, "PACKAGES", ())
    monkeypatch.setenv("RANK", "1")
    outcome = run_here(["train", str(tmp_path / "none.yaml")])
    assert (outcome.code, outcome.err) == (2, "")


def test_the_differences_of_two_runs_are_named() -> None:
    from chattmpl.training.run_folder import differences

    one: dict[str, Any] = {"data": 1, "trainer": {"a": 1, "b": 2}, "lora": None, "processes": 1}
    assert differences(one, dict(one)) == []
    other = {"data": 2, "trainer": {"a": 1, "b": 3, "c": 4}, "lora": {"r": 1}, "processes": 2}
    assert differences(one, other) == ["data", "trainer.b", "trainer.c", "lora", "the number of processes"]
