"""Every entry that reads rows gives the same tokens for the same conversation, and reports what it does not read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError

from support.extras import need

need("numpy", "pyarrow", "yaml", "zstandard")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from chattmpl.conversation.notes import NoteKind, ReadingNote  # noqa: E402
from chattmpl.data.audit import audit  # noqa: E402
from chattmpl.data.encoder import Encoder, UnreadDataWarning  # noqa: E402
from chattmpl.data.job import JobNote, JobNoteKind, Watcher, encode_dataset  # noqa: E402
from chattmpl.data.reading import as_counts, concerns, from_counts  # noqa: E402
from chattmpl.data.stats import stats  # noqa: E402
from chattmpl.errors import RenderError  # noqa: E402
from chattmpl.template.template import Template  # noqa: E402
from support.command import run_here  # noqa: E402

pytestmark = pytest.mark.data

TOOL = {
    "name": "tide",
    "description": "Tide",
    "parameters": {"type": "object", "properties": {"x": {"enum": ["a", 1]}}},
}
CALL = {"type": "function", "function": {"name": "tide", "arguments": {"x": 1}}}
ROWS: list[dict[str, Any]] = [
    {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}],
        "tools": [TOOL],
        "persona": "a grumpy cook",
        "id": "7f",
    },
    {
        "messages": [
            {"role": "user", "content": "Tide?"},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": "2.4"},
            {"role": "assistant", "content": "2.4 m"},
        ],
        "tools": [TOOL],
        "persona": None,
        "id": "80",
    },
]


def _write(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _encoded(path: Path, folder: Path, **options: Any) -> list[dict[str, Any]]:
    summary = encode_dataset(str(path), "hybrid", "demo", str(folder), workers=1, **options)
    return [row for file in summary.files for row in pq.read_table(file).to_pylist()]


class Notes(Watcher):
    """A watcher that keeps the notes on reading."""

    def __init__(self) -> None:
        self.found: dict[ReadingNote, int] = {}

    def note(self, note: JobNote) -> None:
        if note.kind is JobNoteKind.READING:
            self.found[note.data["note"]] = note.data["rows"]


@pytest.mark.parametrize("form", ["json", "json-strings", "datasets", "saved"])
def test_the_same_rows_give_the_same_tokens_from_every_format(tmp_path: Path, form: str) -> None:
    wanted = _encoded(_write(tmp_path, ROWS), tmp_path / "wanted")
    if form == "json":
        path = tmp_path / "rows.json"
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif form == "json-strings":
        path = tmp_path / "rows.parquet"
        stored = [{key: value if key == "id" else json.dumps(value) for key, value in row.items()} for row in ROWS]
        pq.write_table(pa.Table.from_pylist(stored), path)
    else:
        datasets = pytest.importorskip("datasets", minversion="5")
        made = datasets.load_dataset(
            "json", data_files=str(tmp_path / "rows.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
        )
        path = tmp_path / ("rows.parquet" if form == "datasets" else "saved")
        made.to_parquet(str(path)) if form == "datasets" else made.save_to_disk(str(path))
    assert _encoded(path, tmp_path / "out") == wanted


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_reports_what_is_not_read_with_the_number_of_rows(tmp_path: Path, workers: int) -> None:
    notes = Notes()
    path = _write(tmp_path, ROWS * 2)
    summary = encode_dataset(str(path), "hybrid", "demo", str(tmp_path / "out"), workers=workers, watcher=notes)
    assert notes.found == {ReadingNote(NoteKind.UNREAD_COLUMN, "persona"): 2}
    fields = {"content": {"tool": 2}, "tool_calls": {"assistant": 2}, "tools": 4}
    unread = {"unread-column": {"persona": 2}, "metadata": {"id": 4}}
    expected = {**unread, "earlier-answers": {"answers and calls": 2}, "field": fields}
    assert summary.data["reading"] == expected


def test_the_command_reports_what_is_not_read(tmp_path: Path) -> None:
    rows = [ROWS[0], {"sys_prompt": "Be brief.", "messages": ROWS[0]["messages"], "images": ["a.png"]}]
    path = _write(tmp_path, rows)
    done = run_here(
        ["encode", str(path), "-t", "hybrid", "--tokenizer", "demo", "-o", str(tmp_path / "out"), "--workers", "1"]
    )
    assert done.code == 0
    assert "note: 'sys_prompt' is read as the system message in 1 row\n" in done.err
    assert "note: the column 'persona' is not read; it has text or objects in 1 row\n" in done.err
    assert "note: 'images' is not encoded" in done.err
    found = audit(str(path), "hybrid", "demo")
    keys = {(finding.code, finding.key, finding.count) for finding in found if finding.code.startswith("AU20")}
    assert keys >= {("AU206", "persona", 1), ("AU207", "images", 1), ("AU209", "sys_prompt", 1)}


def test_every_entry_point_names_the_fields_that_the_template_drops(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Tide?"}, {"type": "file", "file": "x"}]
    traced = {"role": "assistant", "content": "2.4 m", "reasoning_content": "Look it up."}
    rows: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": parts, "name": "Ann"}, traced]},
        {"messages": [{"role": "user", "content": "Tide?"}, traced], "labels": [0, 1]},
    ]
    expected = {
        ReadingNote(NoteKind.FIELD, "reasoning_content", "assistant"): 2,
        ReadingNote(NoteKind.FIELD, "name", "user"): 1,
        ReadingNote(NoteKind.PART, "file", "no text"): 1,
        ReadingNote(NoteKind.UNREAD_FLAG, "labels"): 1,
    }
    path = str(_write(tmp_path, rows))
    notes, seen = Notes(), Notes()
    encode_dataset(path, "gemma3", "demo", str(tmp_path / "out"), workers=1, watcher=notes)
    assert notes.found == expected
    stats(path, "gemma3", "demo", watcher=seen)
    assert seen.found == expected
    with pytest.warns(UnreadDataWarning) as caught:
        Encoder("gemma3", "demo").encode_many(rows)
    assert {str(each.message) for each in caught} == {note.message() for note in expected}
    found = {finding.code for finding in audit(path, "gemma3", "demo")}
    assert found >= {"AU204", "AU206", "AU305"}
    notes.found.clear()
    encode_dataset(path, "qwen3", "demo", str(tmp_path / "other"), workers=1, watcher=notes)
    assert {note.name for note in notes.found} == {"name", "file", "labels"}, "the template renders the reasoning"


def test_calls_after_the_first_that_the_template_drops_are_named_and_counted(tmp_path: Path) -> None:
    def row(count: int) -> dict[str, Any]:
        calls = [{"type": "function", "function": {"name": f"f{at}", "arguments": {"x": at}}} for at in range(count)]
        results = [{"role": "tool", "name": f"f{at}", "content": "2"} for at in range(count)]
        calling = {"role": "assistant", "content": "", "tool_calls": calls}
        return {
            "messages": [
                {"role": "user", "content": "Tide?"},
                calling,
                *results[:1],
                {"role": "assistant", "content": "2.4 m"},
            ]
        }

    expected = ReadingNote(NoteKind.FIELD, "tool_calls[1:]", "assistant")
    rows = [row(1), row(2), row(3)]
    path, notes = str(_write(tmp_path, rows)), Notes()
    encode_dataset(path, "gpt_oss", "demo", str(tmp_path / "out"), workers=1, watcher=notes)
    assert notes.found[expected] == 2
    with pytest.warns(UnreadDataWarning) as caught:
        Encoder("gpt_oss", "demo").encode_many(rows)
    assert expected.message() in {str(each.message) for each in caught}
    for template in ("qwen3", "llama3"):  # one renders them, the other refuses them
        notes.found.clear()
        encode_dataset(path, template, "demo", str(tmp_path / template), workers=1, watcher=notes)
        assert expected not in notes.found


@pytest.mark.parametrize("fast", ["auto", "off"])
def test_an_encoder_warns_once_of_each_column_and_counts_the_rows(fast: Any) -> None:
    encoder = Encoder("hybrid", "demo", fast=fast)
    with pytest.warns(UnreadDataWarning, match="persona") as caught:
        encoder.encode_many([ROWS[0]] * 700)
    assert len(caught) == 1
    assert encoder.report().reading[ReadingNote(NoteKind.UNREAD_COLUMN, "persona")] == 700
    assert encoder.report().to_dict()["reading"]["unread-column persona"] == 700


def test_what_a_template_reads_is_no_reason_for_a_note() -> None:
    plain = Template.from_source("{% for m in messages %}{{ m.content }}{% endfor %}")
    reading = Template.from_source("{% for m in messages %}{{ m['mood'] }}{{ m.content }}{% endfor %}")
    note = ReadingNote(NoteKind.UNREAD_KEY, "mood")
    assert (concerns(note, plain), concerns(note, reading)) == (True, False)
    assert concerns(ReadingNote(NoteKind.TEXT_ARGUMENTS, "arguments"), Template.load("llama3"))
    assert not concerns(ReadingNote(NoteKind.TEXT_ARGUMENTS, "arguments"), Template.load("hybrid"))


def test_a_column_named_like_a_kwarg_of_the_template_is_noted() -> None:
    note = ReadingNote(NoteKind.METADATA, "enable_thinking")
    assert concerns(note, Template.load("qwen3"))
    assert not concerns(note, Template.load("chatml"))
    assert "put it into chat_template_kwargs" in note.message(3)
    with pytest.warns(UnreadDataWarning, match="'enable_thinking' is not passed to the template"):
        Encoder("qwen3", "demo").encode_many([{"messages": ROWS[0]["messages"], "enable_thinking": False}])


def test_counts_of_notes_are_json_and_are_read_back() -> None:
    notes = {ReadingNote(NoteKind.READ_AS, "a", "b"): 2, ReadingNote(NoteKind.READ_AS, "a", "c"): 1}
    notes[ReadingNote(NoteKind.MEDIA, "a")] = 3
    assert from_counts(json.loads(json.dumps(as_counts(notes)))) == notes


def test_decoded_arguments_are_those_of_an_object(tmp_path: Path) -> None:
    text = [{**ROWS[1], "messages": json.loads(json.dumps(ROWS[1]["messages"]))}]
    text[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] = '{"x": 1}'
    wanted = _encoded(_write(tmp_path, ROWS[1:]), tmp_path / "wanted")
    given = _write(tmp_path, text, "text.jsonl")
    assert _encoded(given, tmp_path / "decoded", arguments="decode") == wanted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        direct = Encoder("hybrid", "demo", arguments="decode").encode_many(text)
    assert direct[0].input_ids.tolist() == wanted[0]["input_ids"]  # type: ignore[union-attr]


def test_kwargs_that_come_from_a_column_are_read(tmp_path: Path) -> None:
    _write(tmp_path, [{"messages": ROWS[0]["messages"], "rules for it": "be brief and kind"}])
    (tmp_path / "mix.yaml").write_text(
        "sources: [{path: rows.jsonl, kwargs_from: {custom_instructions: rules for it}}]", encoding="utf-8"
    )
    notes = Notes()
    encode_dataset(str(tmp_path / "mix.yaml"), "smollm3", "demo", str(tmp_path / "out"), workers=1, watcher=notes)
    assert notes.found == {}


@pytest.mark.upstream
@pytest.mark.parametrize("family", ["gpt_oss", "qwen3", "llama3", "smollm3", "hybrid"])
@pytest.mark.parametrize("content", [{"t": 3, "b": [True, None]}, [1, "a"], 2.5])
def test_a_result_that_is_no_text_is_rendered_as_transformers_renders_it(family: str, content: Any) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    template = Template.load(family)
    messages = [*ROWS[1]["messages"][:2], {"role": "tool", "content": content}]
    tokens = {name: value for name, value in template.tokens.items() if value is not None}

    def ours() -> str:
        return template.render({"messages": messages}).text

    def theirs() -> str:
        source = template.export(target="inference")
        (text,), _ = utils.render_jinja_template(conversations=[messages], chat_template=source, **tokens)
        return str(text)

    assert _text_or_refusal(ours) == _text_or_refusal(theirs)


def _text_or_refusal(render: Callable[[], str]) -> str | None:
    """Return the rendered text; None if the template refuses the conversation."""
    try:
        return render()
    except (RenderError, TemplateError, TypeError):
        return None


def test_earlier_answers_that_history_rewrites_are_counted(tmp_path: Path) -> None:
    talk = [{"role": role, "content": "x"} for role in ("user", "assistant", "user", "assistant")]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"messages": messages}) for messages in (talk, talk[:2], talk)))

    def notes(template: str, *more: str) -> list[str]:
        command = ["encode", str(path), "-t", template, "--tokenizer", "demo", "-o", str(tmp_path / "out"), "--force"]
        done = run_here([*command, *more])
        assert done.code == 0, done.err
        return [line for line in done.err.splitlines() if "earlier answers" in line]

    [note] = notes("gpt_oss", "--rows", "one")
    assert "in 2 rows" in note
    assert notes("chatml") == notes("gpt_oss") == notes("gpt_oss", "--rows", "one", "--mask", "last") == []
