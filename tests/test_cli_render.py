"""``chattmpl render``: what it writes, to whom, and how it ends."""

from __future__ import annotations

import gzip
import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.conversation.files import load_conversation
from support import ROOT
from support.command import PROGRAM, run_apart, run_here

FIXTURES = ROOT / "fixtures"
TOOLS = str(FIXTURES / "tool_call.json")
TALK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi é"}, {"role": "assistant", "content": "Ho"}]}


def _text(fixture: str, template: str = "qwen3", **kwargs: Any) -> str:
    return Template.load(template).render(load_conversation(FIXTURES / f"{fixture}.json"), **kwargs).text


def _file(folder: Path, *talks: dict[str, Any], name: str = "conv.json") -> str:
    path = folder / name
    path.write_text("".join(f"{json.dumps(talk)}\n" for talk in talks), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("fixture", sorted(path.stem for path in FIXTURES.glob("*.json")))
def test_what_is_piped_is_exactly_the_text(fixture: str) -> None:
    done = run_here(["render", str(FIXTURES / f"{fixture}.json"), "-t", "chatml"])
    if done.code == 0:
        assert done.out == _text(fixture, "chatml")
        assert all(line.startswith("note: ") for line in done.err.splitlines())
    else:
        assert done.err.startswith("error: ")


def test_a_process_of_its_own_does_the_same() -> None:
    done = run_apart(["render", "fixtures/unicode.json", "-t", "qwen3", "--format", "text"])
    assert (done.code, done.out, done.err) == (0, _text("unicode"), "")


def test_json_is_one_object_with_the_promised_keys() -> None:
    done = run_here(["render", TOOLS, "-t", "qwen3", "--format", "json"])
    made = json.loads(done.out)
    assert done.out.count("\n") == 1
    assert list(made) == ["text", "spans", "generated", "lost"]
    assert made["text"] == _text("tool_call")
    assert [made["text"][start:end][-10:] for start, end in made["generated"]] == ["<|im_end|>"] * 2


def test_a_tokenizer_adds_ids_and_mask() -> None:
    made = json.loads(run_here(["render", TOOLS, "-t", "qwen3", "--format", "json", "--tokenizer", "demo"]).out)
    encoding = Template.load("qwen3").render(load_conversation(TOOLS)).encode("demo")
    assert made["input_ids"] == encoding.input_ids
    assert made["assistant_masks"] == encoding.assistant_masks
    assert (made["straddles"], made["escaped"]) == ([], [])


def test_encoding_is_as_the_options_say() -> None:
    options = ["--tokenizer", "demo", "--mask", "last", "--control-tokens", "allow", "--straddle", "split"]
    made = json.loads(run_here(["render", TOOLS, "-t", "qwen3", "--format", "json", *options]).out)
    rendering = Template.load("qwen3").render(load_conversation(TOOLS))
    encoding = rendering.encode("demo", mask="last", control_tokens="allow", straddle="split")
    assert made["assistant_masks"] == encoding.assistant_masks
    assert sum(made["assistant_masks"]) < sum(rendering.encode("demo").assistant_masks)


def test_every_line_of_a_jsonl_gives_one_object_in_its_order(tmp_path: Path) -> None:
    talks = [{"messages": [{"role": "user", "content": f"Number {index}"}]} for index in range(5)]
    path = _file(tmp_path, *talks, name="conv.jsonl")
    lines = run_here(["render", path, "-t", "qwen3", "--format", "json"]).out.splitlines()
    assert [f"Number {index}" in json.loads(line)["text"] for index, line in enumerate(lines)] == [True] * 5


def test_several_texts_have_headings_and_a_single_one_has_none(tmp_path: Path) -> None:
    one = run_here(["render", _file(tmp_path, TALK, name="one.jsonl"), "-t", "qwen3"])
    two = run_here(["render", _file(tmp_path, TALK, TALK, name="two.jsonl"), "-t", "qwen3"])
    assert two.out == f"==> two.jsonl[0] <==\n{one.out}\n==> two.jsonl[1] <==\n{one.out}\n"


def test_several_pictures_have_headings_and_share_a_page(tmp_path: Path) -> None:
    path = _file(tmp_path, TALK, TALK, name="two.jsonl")
    rich = run_here(["render", path, "-t", "qwen3", "--format", "rich"]).out
    assert "─ two.jsonl[0] ─" in rich
    assert "─ two.jsonl[1] ─" in rich
    page = run_here(["render", path, "-t", "qwen3", "--format", "html"]).out
    assert (page.count("<html"), page.count("<section>"), page.count("</html>")) == (1, 2, 1)


@pytest.mark.parametrize("indent", [None, 2])
def test_stdin_may_be_one_conversation_in_any_layout(indent: int | None) -> None:
    done = run_here(["render", "-", "-t", "qwen3"], json.dumps(TALK, indent=indent).encode())
    assert (done.code, done.out) == (0, Template.load("qwen3").render(TALK).text)


def test_stdin_may_have_a_conversation_on_each_line_and_a_byte_order_mark() -> None:
    lines = ("\ufeff" + f"{json.dumps(TALK)}\n\n" * 3).encode()
    assert run_here(["render", "-", "-t", "qwen3"], lines).out.count("==> stdin[") == 3


def test_the_template_is_the_one_of_the_file_then_of_the_project_then_hybrid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "project" / "data"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    plain, named = _file(inner, TALK), _file(inner, {**TALK, "template": "chatml"}, name="named.json")
    assert (
        run_here(["render", plain, "--format", "text"]).err
        == "template: hybrid (the default; choose another one with -t)\n"
    )
    project = tmp_path / "project" / "pyproject.toml"
    project.write_text('[tool.chattmpl]\ntemplate = "own.jinja"\n', encoding="utf-8")
    (tmp_path / "project" / "own.jinja").write_text("own", encoding="utf-8")
    done = run_here(["render", plain, "--format", "text"])
    assert done.out == "own"
    assert done.err == f"template: {project.parent / 'own.jinja'} (from [tool.chattmpl] in {project})\n"
    done = run_here(["render", named, "--format", "text"])
    assert done.err == f"template: chatml (named by {named})\n"
    assert run_here(["render", named, "-t", "qwen3", "--format", "text"]).err == ""


def test_a_template_that_a_file_names_may_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside.jinja").write_text("beside", encoding="utf-8")
    done = run_here(["render", _file(tmp_path, {**TALK, "template": "beside.jinja"})])
    assert (done.code, done.out) == (0, "beside")


@pytest.mark.parametrize(
    "name", ["{other}", "../other/secret.jinja", "link.jinja", "here/../../other/secret.jinja", "away"]
)
def test_a_conversation_names_no_template_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    inside, outside = tmp_path / "data", tmp_path / "other"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.jinja").write_text("secret", encoding="utf-8")
    (inside / "link.jinja").symlink_to(outside / "secret.jinja")
    (inside / "away").symlink_to(outside)
    named = name.format(other=outside / "secret.jinja")
    done = run_here(["render", _file(inside, {**TALK, "template": named})])
    assert (done.code, done.out) == (2, "")
    assert "outside of its folder" in done.err


def test_the_line_that_names_the_template_is_said_once_for_each(tmp_path: Path) -> None:
    talks = [TALK, {**TALK, "template": "chatml"}, TALK, {**TALK, "template": "chatml"}]
    done = run_here(["render", _file(tmp_path, *talks, name="conv.jsonl"), "--format", "text"])
    assert [line.split()[1] for line in done.err.splitlines()] == ["hybrid", "chatml"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("x=true", "True"),
        ("x=null", "none"),
        ("x=3", "3"),
        ("x=2025-07-31", "2025-07-31"),
        ("x=two words", "two words"),
        ("x=", ""),
        ('x="3"', "'3'"),
        ('x={"a": [1]}', "{'a': [1]}"),
        ("x=NaN", "NaN"),
    ],
)
def test_a_kwarg_is_json_or_else_a_string(setting: str, value: str, tmp_path: Path) -> None:
    source = "{% if x is not defined %}none{% elif x == '3' %}'3'{% else %}{{ x }}{% endif %}"
    (tmp_path / "t.jinja").write_text(source, encoding="utf-8")
    done = run_here(
        ["render", _file(tmp_path, TALK), "-t", str(tmp_path / "t.jinja"), "--format", "text", "--set", setting]
    )
    assert (done.code, done.out, done.err) == (0, value, "")


def test_options_reach_the_template(tmp_path: Path) -> None:
    prompted = run_here(["render", TOOLS, "-t", "qwen3", "--generation-prompt", "--set", "enable_thinking=false"])
    assert prompted.out == _text("tool_call", add_generation_prompt=True, enable_thinking=False)
    continued = run_here(["render", TOOLS, "-t", "qwen3", "--continue-final-message"])
    assert continued.out == _text("tool_call", continue_final_message=True)
    reasoning = str(FIXTURES / "multi_turn_reasoning.json")
    kept = run_here(["render", reasoning, "-t", "qwen3", "--retention", "all"])
    assert kept.out.count("<think>") == 3
    (tmp_path / "t.jinja").write_text("{{ strftime_now('%Y-%m-%d %H') }}", encoding="utf-8")
    clock = run_here(["render", TOOLS, "-t", str(tmp_path / "t.jinja"), "--clock", "2024-02-29T12:00"])
    assert clock.out == "2024-02-29 12"


def test_a_variant_is_one_of_several_named_templates(tmp_path: Path) -> None:
    named = [{"name": "default", "template": "plain"}, {"name": "rag", "template": "with documents"}]
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": named}), encoding="utf-8")
    assert run_here(["render", TOOLS, "-t", str(config), "--variant", "rag"]).out == "with documents"


def test_a_shape_that_the_keys_do_not_show_can_be_said(tmp_path: Path) -> None:
    both = {**TALK, "prompt": "P", "completion": "C"}
    path = _file(tmp_path, both)
    assert run_here(["render", path, "-t", "qwen3"]).code == 2
    assert "user\nP<" in run_here(["render", path, "-t", "qwen3", "--shape", "prompt-completion"]).out


@pytest.mark.parametrize(
    ("name", "beginning"), [("a.html", "<!doctype"), ("a.json", '{"text"'), ("a.txt", "<|im_start|>"), ("a", "<|im_st")]
)
def test_the_suffix_of_the_output_chooses_the_format(name: str, beginning: str, tmp_path: Path) -> None:
    done = run_here(["render", TOOLS, "-t", "qwen3", "-o", str(tmp_path / name)])
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(beginning)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_output_that_cannot_be_made_leaves_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    output.write_text("old", encoding="utf-8")
    path = _file(tmp_path, TALK, {"messages": [{"role": "usr", "content": ""}]}, name="conv.jsonl")
    assert run_here(["render", path, "-t", "qwen3", "-o", str(output)]).code == 2
    assert output.read_text(encoding="utf-8") == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conv.jsonl", "out.json"]


def test_a_device_is_written_to_and_not_replaced() -> None:
    done = run_apart(["render", "fixtures/single_turn.json", "-t", "qwen3", "-o", "/dev/stdout"])
    assert (done.code, done.out) == (0, _text("single_turn"))


def _in_a_terminal(arguments: list[str], **environment: str) -> str:
    """Return the output of ``chattmpl`` in a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
    env = {name: value for name, value in env.items() if value}
    process = subprocess.Popen([PROGRAM, *arguments], stdout=theirs, stderr=theirs, cwd=ROOT, env=env)
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return written.decode()


def test_a_terminal_gets_the_picture() -> None:
    shown = _in_a_terminal(["render", "fixtures/tool_call.json", "-t", "qwen3"], NO_COLOR="")
    assert "╭─" in shown
    assert "48;2;20;83;45m" in shown


def test_a_terminal_without_colours_gets_it_too() -> None:
    shown = _in_a_terminal(["render", "fixtures/tool_call.json", "-t", "qwen3"], NO_COLOR="1")
    assert "▌" in shown
    assert "48;2;" not in shown


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    path = _file(tmp_path, *[{"messages": [{"role": "user", "content": "x" * 1000}]}] * 500, name="conv.jsonl")
    with subprocess.Popen(
        [PROGRAM, "render", path, "-t", "qwen3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_rich_is_loaded_only_to_draw() -> None:
    code = (
        "import sys; from chattmpl.cli import main; main({}); "
        "sys.stderr.write(str({{'rich', 'tokenizers'}} & {{*sys.modules}}))"
    )
    base = ["render", "fixtures/single_turn.json", "-t", "qwen3"]
    for form, loaded in (("text", "set()"), ("json", "set()"), ("html", "set()"), ("rich", "{'rich'}")):
        done = subprocess.run(
            [PROGRAM.parent / "python", "-c", code.format([*base, "--format", form])],
            capture_output=True, text=True, cwd=ROOT, check=True,
        )  # fmt: skip
        assert done.stderr == loaded


# Data files


DATA_ROWS = [{"prompt": f"number {number}", "completion": "yes"} for number in range(5)]


@pytest.mark.data
@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.jsonl.gz", "folder"])
def test_any_data_file_is_rendered_and_a_row_of_it_can_be_chosen(tmp_path: Path, name: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = "".join(json.dumps(row) + "\n" for row in DATA_ROWS)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rows.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "rows.csv").write_text("prompt,completion\n" + "".join(f"number {n},yes\n" for n in range(5)))
    parquet.write_table(pyarrow.Table.from_pylist(DATA_ROWS), tmp_path / "rows.parquet")
    every = run_here(["render", str(tmp_path / name), "-t", "chatml"])
    assert [f"number {number}<|im_end|>" in every.out for number in range(6)] == [True] * 5 + [False]
    one = run_here(["render", str(tmp_path / name), "-t", "chatml", "--row", "3"])
    text = "<|im_start|>user\nnumber 3<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
    assert (one.code, one.out) == (0, text)
    none = run_here(["render", str(tmp_path / name), "-t", "chatml", "--row", "5"])
    assert (none.code, "has no row 5" in none.err) == (2, True)


def test_a_chosen_row_is_rendered_whatever_the_others_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{\n" + json.dumps({"messages": [{"role": "user", "content": "Hi"}]}) + "\n", encoding="utf-8")
    assert run_here(["render", str(path), "-t", "chatml", "--row", "1"]).code == 0
    assert run_here(["render", str(path), "-t", "chatml", "--row", "0"]).code == 2


def test_the_first_rows_are_shown_in_a_terminal_with_the_number_of_the_others(tmp_path: Path) -> None:
    shown = run_here(["render", _file(tmp_path, *DATA_ROWS, name="rows.jsonl"), "-t", "chatml", "--format", "rich"])
    assert [f"number {number}" in shown.out for number in range(5)] == [True] * 3 + [False] * 2
    assert "more rows are not shown; choose one with --row N" in shown.err or "further rows" in shown.err


def test_what_is_not_read_in_a_row_is_a_note(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "Hi"}], "persona": "a grumpy cook", "id": "7f3a"}
    done = run_here(["render", _file(tmp_path, row), "-t", "chatml"])
    assert done.err == "note: the column 'persona' is not read; it has text or objects in 1 row\n"


def test_a_large_file_of_one_list_is_read_element_by_element(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chattmpl.cli.inputs.LARGEST_VALUE", 100)
    path = tmp_path / "conv.json"
    path.write_text(json.dumps([TALK] * 50), encoding="utf-8")
    whole = run_here(["render", str(path), "-t", "chatml"])
    assert (whole.code, whole.out.count("Ho<|im_end|>")) == (0, 50)
    assert run_here(["render", str(path), "-t", "chatml", "--row", "49"]).out.count("Ho<|im_end|>") == 1
    path.write_text(json.dumps({**TALK, "x": "y" * 100}), encoding="utf-8")
    assert "Ho<|im_end|>" in run_here(["render", str(path), "-t", "chatml"]).out
    path.write_text("x" * 200, encoding="utf-8")
    refused = run_here(["render", str(path), "-t", "chatml"])
    assert (refused.code, refused.err.count("not JSON")) == (2, 1)


TAGLESS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_rows_show_what_encode_trains_without_tags(tmp_path: Path) -> None:
    (tmp_path / "stock.jinja").write_text(TAGLESS, encoding="utf-8")
    answers = [{"role": "assistant", "reasoning_content": f"r{n}", "content": f"a{n}"} for n in (1, 2)]
    ask = {"role": "user", "content": "q"}
    arguments = ["render", _file(tmp_path, {"messages": [ask, answers[0], ask, answers[1]]})]
    arguments += ["-t", str(tmp_path / "stock.jinja")]
    assert "chattmpl render --rows auto shows its rows" in run_here(arguments).err

    rows = [json.loads(line) for line in run_here([*arguments, "--rows", "auto", "--format", "json"]).out.splitlines()]
    sampled = ["".join(row["text"][start:end] for start, end in row["generated"]) for row in rows]
    assert sampled == ["<think>r1</think>a1<|im_end|>", "<think>r2</think>a2<|im_end|>"]

    made = run_here([*arguments, "--rows", "auto"])
    assert "conv.json, row 1 of 2 <==" in made.out
    assert "nothing is generated" not in made.err
    [row] = run_here([*arguments, "--rows", "one", "--format", "json"]).out.splitlines()
    assert json.loads(row)["text"] == json.loads(run_here([*arguments, "--format", "json"]).out)["text"]


def test_rows_end_with_an_answer_and_not_with_a_prompt() -> None:
    refused = run_here(["render", TOOLS, "-t", "qwen3", "--rows", "auto", "--generation-prompt"])
    assert refused.code == 2
    assert "--rows and --generation-prompt are mutually exclusive" in refused.err


def test_rows_are_encoded_as_by_encode_or_a_note_says_that_it_writes_more(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text(
        "{% for m in messages %}[|{{ m.role }}|]\n{{ m.content }}[|end|]\n{% endfor %}"
        "{% if add_generation_prompt %}[|assistant|]\n{% endif %}",
        encoding="utf-8",
    )
    ask, say = ({"role": role, "content": "Hi é"} for role in ("user", "assistant"))
    arguments = ["render", _file(tmp_path, {"messages": [ask, say, ask, say]}), "-t", str(tmp_path / "mine.jinja")]
    arguments += ["--tokenizer", "demo", "--format", "json"]
    told = "demo merges prompts with answers, for which chattmpl encode writes further rows"
    made = run_here([*arguments, "--rows", "auto"])
    assert told in made.err
    assert json.loads(made.out)["straddles"] == []
    assert told not in run_here([*arguments, "--rows", "unroll"]).err
    assert "Default: include, or split with --rows." in " ".join(run_here(["render", "--help"]).out.split())
