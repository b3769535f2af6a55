"""``chattmpl inspect --server``: what does not fit between a model's files and a serving engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_lint_models import model, stop_id

from chattmpl import Template
from chattmpl.capabilities.serving import check_serving, worst
from support.command import run_here

HERMES = (
    '<tool_call>\n{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>'
)
CALLS = "{% for c in m.tool_calls or [] %}" + HERMES + "{% endfor %}"
TRACE = "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
THINKS = "{% if m.reasoning_content %}" + TRACE + "{% elif m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"


def template(folder: Path, *, before: str = "", calls: str = CALLS, prompt: str = "") -> Path:
    """A template file of ChatML with what stands before the content, its calls, and the end of its prompt."""
    path = folder / "mine.jinja"
    path.write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n" + before + "{{ m.content }}" + calls + "<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n" + prompt + "{% endif %}"
    )
    return path


def checked(path: Path | str, *options: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code, and the checks by name."""
    done = run_here(["inspect", str(path), "--format", "json", "--server", *options])
    assert done.err == ""
    found: dict[str, list[dict[str, Any]]] = {}
    for check in json.loads(done.out):
        found.setdefault(check["name"], []).append(check)
    return done.code, found


def test_a_stop_token_missing_in_the_generation_config_does_not_fit(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", {"eos_token_id": [0, 1]}, eos_token="</s>")
    code, found = checked(folder, "vllm")
    (stop,) = found["stop token"]
    assert (code, stop["code"], stop["severity"]) == (1, "CT605", "error")
    assert stop["fix"] == f"add {stop_id(folder)} to eos_token_id in generation_config.json"
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stop_id(folder)}))
    code, found = checked(folder, "vllm")
    assert (code, found["stop token"][0]["severity"]) == (0, None)


def test_tokens_are_not_checked_without_a_tokenizer(tmp_path: Path) -> None:
    code, found = checked(template(tmp_path), "vllm")
    assert code == 0
    assert [found[name][0]["severity"] for name in ("stop token", "control tokens", "BOS token")] == ["info"] * 3
    code, found = checked(template(tmp_path, prompt="<|im_mart|>"), "vllm", "--tokenizer", "demo")
    assert (code, found["control tokens"][0]["code"]) == (1, "CT601")


@pytest.mark.parametrize(
    ("server", "given", "severity", "fix"),
    [
        ("vllm", None, "info", "--tool-call-parser hermes --enable-auto-tool-choice"),
        ("vllm", "hermes", None, ""),
        ("vllm", "llama3_json", "error", "--tool-call-parser hermes --enable-auto-tool-choice"),
        ("sglang", "hermes", None, ""),
        ("sglang", "llama3", "error", "--tool-call-parser qwen25"),
    ],
)
def test_the_parser_of_calls_must_read_their_format(
    tmp_path: Path, server: str, given: str | None, severity: str | None, fix: str
) -> None:
    code, found = checked(template(tmp_path), server, *(["--tool-call-parser", given] if given else []))
    (check,) = found["tool-call parser"]
    assert (code, check["severity"], check["fix"]) == (int(severity == "error"), severity, fix)


def test_a_parser_of_what_the_template_does_not_write_is_named(tmp_path: Path) -> None:
    code, found = checked(template(tmp_path, calls=""), "vllm", "--tool-call-parser", "hermes")
    assert (code, found["tool-call parser"][0]["fix"]) == (1, "remove --tool-call-parser")
    code, found = checked(template(tmp_path, calls=CALLS.replace("tool_call>", "act>")), "vllm")
    assert (code, found["tool-call parser"][0]["severity"]) == (1, "warning")
    assert found["tool-call parser"][0]["expected"] == "no parser of vLLM is known to read them"


@pytest.mark.parametrize(
    ("parts", "options", "misread"),
    [
        ({"before": TRACE}, ["vllm", "--reasoning-parser", "deepseek_r1"], "an answer has no end of a trace"),
        ({"before": TRACE}, ["sglang", "--reasoning-parser", "deepseek-r1"], "an answer has no end of a trace"),
        ({"before": TRACE}, ["sglang", "--reasoning-parser", "qwen3"], None),
        ({"before": THINKS}, ["vllm", "--reasoning-parser", "deepseek_r1"], None),
        ({"before": TRACE, "prompt": "<think>\n"}, ["vllm", "--reasoning-parser", "deepseek_r1"], None),
    ],
)
def test_a_parser_that_begins_inside_a_trace_does_not_fit_answers_without_one(
    tmp_path: Path, parts: dict[str, str], options: list[str], misread: str | None
) -> None:
    _, found = checked(template(tmp_path, **parts), *options)
    shown = [check["found"] for check in found["reasoning parser"] if check["severity"] == "warning"]
    assert shown[0].startswith(misread) if misread else not shown, shown


@pytest.mark.parametrize(("kwarg", "fits"), [("enable_thinking", True), ("thinking", False)])
def test_the_kwarg_that_closes_the_trace_must_be_the_one_of_the_parser(tmp_path: Path, kwarg: str, fits: bool) -> None:
    closed = f"{{% if {kwarg} is defined and not {kwarg} %}}<think>\n\n</think>\n\n{{% else %}}<think>\n{{% endif %}}"
    path = template(tmp_path, before=THINKS, prompt=closed)
    _, found = checked(path, "vllm", "--reasoning-parser", "qwen3")
    problems = [check for check in found["reasoning parser"] if check["severity"] in ("warning", "error")]
    assert (problems == []) is fits, problems


def test_marks_of_a_trace_that_are_no_tokens_keep_vllm_from_starting(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", eos_token="<|im_end|>")
    (folder / "chat_template.jinja").write_text(
        template(tmp_path, before=THINKS.replace("think>", "seed:think>")).read_text()
    )
    _, found = checked(folder, "vllm", "--reasoning-parser", "seed_oss")
    assert [check["found"].split(" is split")[0] for check in found["reasoning tokens"]] == [
        "<seed:think>",
        "</seed:think>",
    ]
    assert "reasoning tokens" not in checked(folder, "sglang")[1]


def test_the_engine_of_llama_cpp_is_checked_by_the_rules_about_portability(tmp_path: Path) -> None:
    path = template(tmp_path, before="{{ m.content | tojson(ensure_ascii=False, sort_keys=true) }}")
    code, found = checked(path, "llama.cpp")
    assert (code, found["engine"][0]["code"]) == (1, "CT401")
    assert "tool-call parser" not in found


def test_a_template_that_does_not_compile_is_an_error_with_its_rule(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("{% for m in messages %}")
    code, found = checked(path, "vllm")
    assert (code, found["template"][0]["code"]) == (1, "CT001")


def test_a_table_shows_each_check_and_parsers_need_an_engine(tmp_path: Path) -> None:
    path = str(template(tmp_path))
    for form, shown in (
        ("text", "error   tool-call parser   kimi_k2"),
        ("rich", "✓"),
        ("markdown", "| tool-call parser |"),
    ):
        out = run_here(["inspect", path, "--server", "vllm", "--tool-call-parser", "kimi_k2", "--format", form]).out
        assert shown in out
    done = run_here(["inspect", path, "--tool-call-parser", "hermes"])
    assert (done.code, "need --server" in done.err) == (2, True)
    assert run_here(["inspect", path, "--server", "llama.cpp", "--reasoning-parser", "x"]).code == 2


def test_the_checks_are_data_and_the_worst_counts() -> None:
    found = Template.load("qwen3").resolved
    checks = check_serving(found, "vllm", None, {"reasoning": "qwen3", "tool-call": "nothing"})
    assert worst(checks) == "error"
    assert worst([check for check in checks if check.name == "template"]) is None
