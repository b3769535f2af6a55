"""The command line: errors, help, and the commands `families`, `inspect` and `encode`."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from chattmpl.capabilities import inspect_template
from chattmpl.cli import cli, command_names
from chattmpl.cli.options import GROUPS, Command
from chattmpl.report.capabilities import LEGEND, write
from chattmpl.report.families import print_table
from chattmpl.report.lines import console
from chattmpl.template.family import family_names, load_family
from chattmpl.template.resolver import find_template
from support import ROOT
from support.command import Outcome, run_apart, run_here
from support.snapshots import matches_snapshot

TALK = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}'


FILES: dict[str, str | bytes] = {
    "talk.json": TALK,
    "broken.json": '{\n  "messages": [\n    {"role": "user", "content": "Hi"},\n  ]\n}\n',
    "role.jsonl": f'{TALK}\n{{"messages": [{{"role": "usr", "content": "Hi"}}]}}\n',
    "later.jsonl": f'{TALK}\n{{"messages": [{{"role": "user", "content": null}}]}}\n',
    "hostile.json": '{"messages": [{"role": "\\u001b[31mred", "content": "\\u001b]0;title\\u0007"}]}',
    "empty.json": "",
    "control.json": '{"messages": [{"role": "user", "content": "<|im_end|>"}]}',
    "unknown.json": '{"template": "qwen", "messages": [{"role": "user", "content": "Hi"}]}',
    "open.jinja": "{% for m in messages %}\n  {% generation %}{{ m.content }}\n{% endfor %}\n",
    "raise.jinja": "{% for m in messages %}\n  {{- raise_exception('only\x1b[0m users') }}\n{% endfor %}",
    "latin.json": b'{"messages": [{"role": "user", "content": "caf\xe9"}]}',
}


COMMAND_LINES = [
    "rendr talk.json",
    "render tlk.json -t qwen3",
    "render talk.json -t qwen",
    "render talk.json -t missing.jinja",
    "render talk.json -t open.jinja",
    "render talk.json -t raise.jinja",
    "render unknown.json",
    "render broken.json -t qwen3",
    "render role.jsonl -t qwen3",
    "render later.jsonl -t qwen3 --continue-final-message",
    "render hostile.json -t qwen3",
    "render empty.json -t qwen3",
    "render latin.json -t qwen3",
    "render talk.json -t qwen3 --retention al",
    "render talk.json -t gemma3 --retention all",
    "render talk.json -t qwen3 --set enable_thinkin=false",
    "render talk.json -t qwen3 --set enable_thinking=False",
    "render talk.json -t qwen3 --set enable_thinking=no",
    "render talk.json -t qwen3 --set enable_thinking={false",
    "render talk.json -t qwen3 --set enable_thinking",
    "render talk.json -t qwen3 --set clock=1",
    "render talk.json -t qwen3 --set enable_thinking=true --set enable_thinking=false",
    "render talk.json -t qwen3 --clock yesterday",
    "render talk.json -t qwen3 --generation-prompt --continue-final-message",
    "render talk.json -t qwen3 --mask last",
    "render talk.json -t qwen3 --tokenizer dmo",
    "render talk.json -t qwen3 --tokenizer missing/tokenizer.json",
    "render control.json -t qwen3 --tokenizer demo --control-tokens error",
    "render talk.json -t qwen3 --tokenizer demo --mask flags",
    "render talk.json -t qwen3 -o missing/out.json",
    "families qwen",
    "export -t qwen",
    "export -t qwen3 --dry-run",
    "export -t qwen3 -o missing.json",
    "export -t qwen3 -o .",
    "export -t qwen3 -o empty.json",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _told(line: str, done: Outcome) -> str:
    return f"$ chattmpl {line}\n{done.err}"


def test_every_error_is_one_clear_message(folder: Path) -> None:
    told = []
    for line in COMMAND_LINES:
        done = run_here(line.split())
        assert done.code == 2, line
        assert done.err.count("error: ") == 1
        assert "Traceback" not in done.err
        assert "\x1b" not in done.err
        told.append(_told(line, done).replace(str(folder), "."))
    matches_snapshot("cli_errors.txt", "\n".join(told))


@pytest.mark.parametrize("line", ["render", "render talk.json --formt text", "render talk.json --format txt", "-x"])
def test_wrong_usage_is_said_by_us_and_not_by_a_usage_text(folder: Path, line: str) -> None:
    done = run_here(line.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert "Usage:" not in done.err
    assert "--help" in done.err.splitlines()[-1]


def test_an_error_in_a_later_conversation_says_in_which(folder: Path) -> None:
    done = run_here(["render", "later.jsonl", "-t", "qwen3", "--continue-final-message"])
    assert done.out.startswith("==> later.jsonl[0] <==\n")
    assert "later.jsonl[1]: " in done.err


def test_stdin_that_is_no_text_is_an_error() -> None:
    done = run_here(["render", "-", "-t", "qwen3"], b"\xff\xfe{}")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: <stdin>: byte 0xff at offset 0 is not UTF-8")


def test_an_error_in_stdin_points_into_it() -> None:
    done = run_here(["render", "-", "-t", "qwen3"], b'{"messages": [{"role": "usr", "content": ""}]}')
    assert done.err.startswith("error: <stdin>:1:24: messages[0].role: unknown role 'usr'")


@pytest.mark.parametrize(
    "text", ["[tool.chattmpl\n", "[tool.chattmpl]\ntemplate = 3\n", '[tool.chattmpl]\ntemplate = "qwen"\n']
)
def test_a_wrong_project_file_is_an_error(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    done = run_here(["render", "talk.json"])
    assert done.code == 2
    assert "error: " in done.err
    # A file that is not TOML may name families.
    assert run_here(["render", "talk.json", "-t", "qwen3"]).code == (2 if "]" not in text else 0)


def test_an_unexpected_error_is_reported_as_internal_in_one_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattmpl.cli.render.records", lambda *_: json.loads("no json"))
    done = run_here(["render", "talk.json", "-t", "qwen3"])
    assert done.code == 2
    assert done.err.startswith("error: internal error of chattmpl: JSONDecodeError: ")
    assert "CHATTMPL_TRACEBACK=1" in done.err.splitlines()[1]
    assert len(done.err.splitlines()) == 2


def test_a_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["render", "fixtures/missing.json", "-t", "qwen3"]
    assert "Traceback" not in run_apart(arguments).err
    monkeypatch.setenv("CHATTMPL_TRACEBACK", "1")
    assert "Traceback" in run_apart(arguments).err


def test_without_a_command_the_three_most_wanted_are_shown_and_the_usage_is_wrong() -> None:
    done = run_here([])
    assert (done.code, done.out) == (2, "")
    assert re.findall(r"^  chattmpl (\w+)", done.err, re.MULTILINE) == ["render", "lint", "encode"]
    assert all(name in done.err for name in command_names())
    assert all(name in run_here(["--help"]).out for name in command_names())


@pytest.mark.parametrize("arguments", [["--help"], ["render", "-h"], ["families", "--help"], ["export", "--help"]])
def test_help_that_is_asked_for_is_no_error(arguments: list[str]) -> None:
    done = run_here(arguments)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: chattmpl")


def test_the_version_is_told() -> None:
    assert run_here(["--version"]).out.startswith("chattmpl ")


def test_the_module_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "chattmpl", "-V"], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.startswith(b"chattmpl ")


def test_piped_it_is_a_markdown_table_of_all_families() -> None:
    lines = run_here(["families"]).out.splitlines()
    assert lines[0] == "| family | upstream | supports | retention | parsers (reasoning / tool) |"
    assert [line.split()[1] for line in lines[2:]] == family_names()
    qwen = next(line for line in lines if line.startswith("| qwen3 "))
    assert "Qwen/Qwen3-0.6B | system tools calls parallel results reasoning | since_last_user |" in qwen
    assert "vllm qwen3 / hermes" in qwen


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_names_every_family_and_fits(width: int) -> None:
    file = io.StringIO()
    print_table(console(file, width=width), [load_family(name) for name in family_names()])
    printed = file.getvalue()
    assert [name for name in family_names() if name[:12] not in printed] == []
    assert max(map(cell_len, printed.splitlines())) <= width


def test_json_holds_the_facts_of_every_family() -> None:
    made = json.loads(run_here(["families", "--format", "json"]).out)
    assert [family["name"] for family in made] == family_names()
    assert all("folder" not in family for family in made)


def test_one_family_is_told_in_full() -> None:
    told = run_here(["families", "qwen3", "--format", "rich"]).out
    for heading in ("upstream", "supports", "retention", "stop tokens", "modes", "parsers", "limits"):
        assert f"\n{heading}" in told
    assert "enable_thinking = true | false, by default true" in told
    assert json.loads(run_here(["families", "qwen3", "--format", "json"]).out)["name"] == "qwen3"
    assert run_here(["families", "qwen3"]).out.startswith("# Qwen3\n\n`qwen3`: ")


def test_a_family_of_ones_own_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "template.jinja").write_text("", encoding="utf-8")
    (folder / "family.toml").write_text(
        'name = "mine"\ntitle = "Mine"\ndescription = "Mine."\n[generation]\nstop_tokens = ["<|x|>"]\n'
        "[supports]\nsystem = true\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("CHATTMPL_TEMPLATES", str(tmp_path))
    assert "| mine | none | system |  |  |\n" in run_here(["families"]).out


ASKED = [
    "name",
    "system",
    "developer",
    "tools",
    "tool_calls",
    "parallel_tool_calls",
    "tool_results",
    "reasoning",
    "documents",
    "multimodal",
    "retention",
    "modes",
    "generation_prompt",
    "stop_tokens",
    "bos",
    "prefix_preserving",
    "mask",
    "parsers",
    "not_evaluated",
]


def test_json_is_a_list_with_one_object_for_each_template() -> None:
    outcome = run_here(["inspect", "qwen3", "templates/llama3", "--format", "json"])
    assert outcome.code == 0
    records = json.loads(outcome.out)
    assert [record["name"] for record in records] == ["qwen3", "llama3"]
    assert all(name in record for name in ASKED for record in records)
    assert records[0]["parsers"]["vllm"]["tool"] == "hermes"
    assert records[0]["details"]["tools"]["answer"] == "yes"


def test_every_key_of_the_json_is_documented() -> None:
    page = (ROOT / "docs" / "how-to" / "inspect.md").read_text(encoding="utf-8")
    record = inspect_template(find_template("qwen3")).to_dict()
    documented = set(re.findall(r"`(\w+)`", page))
    assert set(record) - documented == set()
    assert set(record["mask"]) - documented == set()
    assert {key for answer in record["details"].values() for key in answer} - documented == set()


def test_a_config_with_several_templates_gives_one_object_each(tmp_path: Path) -> None:
    templates = [{"name": name, "template": "{{ messages[0].content }}"} for name in ("default", "tool_use")]
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}), encoding="utf-8")
    records = json.loads(run_here(["inspect", str(folder), "--format", "json"]).out)
    assert [record["name"] for record in records] == ["model", "model[tool_use]"]


def test_a_template_that_does_not_compile_has_a_row_and_ends_with_one(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jinja"
    broken.write_text("{% if %}", encoding="utf-8")
    outcome = run_here(["inspect", str(broken), "qwen3"])
    assert outcome.code == 1
    assert "broken" in outcome.out
    assert "qwen3" in outcome.out
    assert "? broken: system, developer" in outcome.out


def test_without_a_template_the_way_out_is_told() -> None:
    outcome = run_here(["inspect"])
    assert outcome.code == 2
    assert "no template given" in outcome.err


def test_what_is_not_there_is_an_error() -> None:
    outcome = run_here(["inspect", "qwen33"])
    assert outcome.code == 2
    assert "did you mean 'qwen3'?" in outcome.err


def test_a_few_templates_stand_side_by_side() -> None:
    matches_snapshot("inspect_two.txt", run_here(["inspect", "qwen3", "gemma3", "--width", "80"]).out)


def test_many_templates_have_a_row_each() -> None:
    matches_snapshot("inspect_all.txt", run_here(["inspect", "templates", "--width", "80"]).out)


def test_markdown_has_a_column_for_each_template() -> None:
    printed = run_here(["inspect", "qwen3", "gemma3", "--format", "markdown"]).out
    lines = printed.splitlines()
    assert lines[0] == "|  | qwen3 | gemma3 |"
    assert all(line.replace("\\|", "").count("|") == 4 for line in lines if line.startswith("|"))
    assert LEGEND in printed


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("names", [["qwen3"], ["qwen3", "llama3"], ["qwen3"] * 12])
def test_the_tables_fit(width: int, names: list[str]) -> None:
    found = [inspect_template(find_template(name)) for name in dict.fromkeys(names)] * (len(names) // len(set(names)))
    printed = write("text", found, width)
    assert max(map(cell_len, printed.splitlines())) <= width
    assert LEGEND[:10] in printed
    assert "qwen3" in printed


def test_signs_tell_what_colours_tell() -> None:
    found = [inspect_template(find_template("llama3"))]
    plain = write("text", found, 100)
    coloured = write("rich", found, 100)
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured
    bare = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in bare.splitlines()] == plain.splitlines()
    assert "✗ refused" in plain


def test_what_a_template_says_cannot_rewrite_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "evil.jinja"
    source = "{{ raise_exception('\x1b[2J\u202egone') if messages[0].role == 'system' }}{{ messages[-1].content }}"
    path.write_text(source, encoding="utf-8")
    for form in ("text", "markdown", "json"):
        out = run_here(["inspect", str(path), "--format", form]).out
        assert "\x1b" not in out
        assert "\u202e" not in out


COMMON = ("-t", "qwen3", "--tokenizer", "demo")


def test_without_its_packages_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = run_here(["encode", "data.jsonl", *COMMON, "-o", str(tmp_path / "out")])
    assert outcome.code == 2
    assert re.search(r"requires packages that are not installed: (numpy, )?pyarrow\n", outcome.err)
    assert "hint: pip install 'chattmpl[data]'\n" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data.jsonl", "-t", "qwen3", "-o", "out"), "--tokenizer is missing"),
        (("data.jsonl", *COMMON), "-o is missing"),
        ((*COMMON, "-o", "out"), "no data given"),
        (("data.jsonl", *COMMON, "-o", "out", "--resume", "--force"), "--resume and --force are mutually exclusive"),
        (("data.jsonl", *COMMON, "-o", "out", "--pack", "0"), "invalid value for '--pack'"),
        (("data.jsonl", *COMMON, "-o", "out", "--overflow", "cut"), "invalid value for '--overflow'"),
    ],
)
def test_a_command_line_that_lacks_something_is_refused_at_once(arguments: tuple[str, ...], message: str) -> None:
    outcome = run_here(["encode", *arguments])
    assert outcome.code == 2
    assert message in outcome.err


def test_the_help_tells_every_option() -> None:
    outcome = run_here(["encode", "--help"])
    assert outcome.code == 0
    for option in (
        "--max-rejected",
        "--overflow",
        "--rows",
        "--pack",
        "--resume",
        "--columns",
        "--seed",
        "--workers",
    ):
        assert option in outcome.out


def _command(name: str) -> tuple[Command, click.Context]:
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, Command)
    return command, click.Context(command, show_default=True, info_name=name)


def _options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


@pytest.mark.parametrize("name", command_names())
def test_help_says_the_default_of_every_option(name: str) -> None:
    command, context = _command(name)
    shown = [record for records in command.grouped_options(context).values() for record in records]
    assert len(shown) == len([option for option in command.get_params(context) if _is_shown(option)])
    assert [text for _, text in shown if not re.search(r"[Dd]efault: |[Rr]equired|Show this message", text)] == []


def _is_shown(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and not parameter.hidden


@pytest.mark.parametrize("name", command_names())
def test_help_has_examples_that_the_command_understands(name: str) -> None:
    command, _ = _command(name)
    assert command.examples
    for example in command.examples:
        program, called, *arguments = shlex.split(example)
        assert (program, called) == ("chattmpl", name)
        # Arguments are read, and nothing is run.
        assert command.make_context(name, list(arguments)).params
    done = run_here([name, "--help"])
    assert all(f"  {example}\n" in done.out for example in command.examples)


def test_a_long_help_has_its_options_under_headings() -> None:
    out = run_here(["encode", "--help"]).out
    headings = re.findall(r"^(\w[\w ]+):$", out, re.MULTILINE)
    assert headings == ["Examples", "Template", "Input", "Rows and masks", "Output", "Running", "Other options"]
    names = {parameter.name for name in command_names() for parameter in _command(name)[0].params}
    assert {option for options in GROUPS.values() for option in options} <= names


@pytest.mark.parametrize("name", command_names())
def test_each_phrase_of_help_stands_alone(name: str) -> None:
    command, context = _command(name)
    texts = [(option, option.get_help_record(context), option.help or "") for option in _options(command)]
    assert [text for *_, text in texts if not re.fullmatch(r"(?!(?:Of|For|As|By|That|Besides) )[A-Z].+\.", text)] == []


def test_a_module_with_a_command_of_its_name_is_a_command() -> None:
    assert {"render", "lint", "encode", "rule"} <= set(command_names())
    assert not {"options", "output", "inputs"} & set(command_names())
    assert len(command_names()) == len(set(command_names()))
