"""Messages on stderr: the part of a rendering that plain text hides, the next step, full disks and interrupts."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chattmpl.cli.output import message
from chattmpl.template.writer import replacing
from support import ROOT
from support.command import run_here

THOUGHT = {"role": "assistant", "reasoning_content": "Hm", "content": "Ho"}
TALK = {"messages": [{"role": "user", "content": "Hi"}, THOUGHT]}


def _rows(folder: Path, count: int = 4) -> str:
    path = folder / "chats.jsonl"
    path.write_text((json.dumps(TALK) + "\n") * count, encoding="utf-8")
    return str(path)


def test_piped_text_comes_with_the_part_that_is_sampled(tmp_path: Path) -> None:
    done = run_here(["render", _rows(tmp_path), "-t", "qwen3"])
    assert "characters are sampled by the model; --format rich, html or json shows which" in done.err
    assert "tokens are trained" in run_here(["render", _rows(tmp_path), "-t", "qwen3", "--tokenizer", "demo"]).err
    assert run_here(["render", _rows(tmp_path), "-t", "qwen3", "--format", "text"]).err == ""
    assert run_here(["render", _rows(tmp_path), "-t", "qwen3", "-o", str(tmp_path / "out.txt")]).err == ""


def test_piped_text_comes_with_the_fields_that_are_lost(tmp_path: Path) -> None:
    done = run_here(["render", _rows(tmp_path), "-t", "chatml"])
    assert "note: messages[].reasoning_content is not rendered" in done.err
    assert "4 times" in done.err


def test_a_template_without_tags_is_followed_by_the_commands_that_help(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}", encoding="utf-8")
    done = run_here(["render", _rows(tmp_path), "-t", str(tmp_path / "t.jinja")])
    assert f"chattmpl annotate {tmp_path / 't.jinja'} -o FILE" in done.err
    assert "chattmpl encode" in done.err


def test_a_number_of_rows_can_be_rendered(tmp_path: Path) -> None:
    done = run_here(["render", _rows(tmp_path), "-t", "qwen3", "--limit", "2"])
    assert done.out.count("==> ") == 2
    assert "2 more rows are not shown" in done.err
    assert run_here(["render", _rows(tmp_path), "-t", "qwen3", "--limit", "2", "--row", "1"]).code == 2


@pytest.mark.data
@pytest.mark.parametrize("name", ["out", "out.jsonl", "out.parquet"])
def test_encode_says_where_it_wrote_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    done = run_here(["encode", _rows(tmp_path), "-t", "qwen3", "--tokenizer", "demo", "-o", name])
    assert done.code == 0
    assert f"in {name}" in done.err if name == "out" else f"wrote {name};" in done.err
    loaded = done.err.partition("datasets.load_dataset(")[2].partition(") gives")[0]
    assert eval(f"load({loaded})", {"load": datasets.load_dataset})["train"].num_rows == 4
    following = done.err.partition("chattmpl audit ")[2].partition(" finds")[0].split()
    assert run_here(["audit", *following]).code in (0, 1)


@pytest.mark.data
def test_one_row_of_a_dataset_is_shown_by_another_command(tmp_path: Path) -> None:
    done = run_here(["encode", _rows(tmp_path), "-t", "qwen3", "--tokenizer", "demo", "-o", "out", "--row", "2"])
    assert done.code == 2
    assert "chattmpl render DATA --row 2 --tokenizer TOKENIZER" in done.err


@pytest.mark.data
def test_a_full_disk_names_the_file_and_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chattmpl.data.job import shard

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shard, "write_json", full)
    done = run_here(["encode", _rows(tmp_path), "-t", "qwen3", "--tokenizer", "demo", "-o", str(tmp_path / "out")])
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-2:] == [
        f"error: {tmp_path / 'out'}: no space left on device",
        "hint: finished work is kept: free some space, and run the same command with --resume",
    ]
    monkeypatch.undo()
    options = ["-t", "qwen3", "--tokenizer", "demo", "-o", str(tmp_path / "out"), "--resume"]
    assert run_here(["encode", _rows(tmp_path), *options]).code == 0


def test_a_write_that_fails_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"file\.txt"), replacing(tmp_path / "file.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_under_stdout_is_one_message() -> None:
    with Path("/dev/full").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "chattmpl", "rule"], stdout=out, stderr=subprocess.PIPE, cwd=ROOT, check=False
        )
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: stdout: no space left on device\n")


def test_a_full_disk_under_a_library_in_rust_is_the_same_message() -> None:
    full = message(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert full == "no space left on device\nhint: free some space, or write to another place"
    assert message(RuntimeError("I/O error (os error 2)")).startswith("internal error of chattmpl")


def test_compare_commands_read_the_first_conversations_of_a_file(tmp_path: Path) -> None:
    path = _rows(tmp_path, 3)
    Path(path).write_text(Path(path).read_text(encoding="utf-8") + "no JSON\n", encoding="utf-8")
    for command in (["diff", "chatml", "chatml", "--no-laws"], ["engines", "chatml", "--engine", "tgi"]):
        assert run_here([*command, "--conversations", path]).code == 2
        assert run_here([*command, "--conversations", path, "--limit", "2"]).code == 0


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.3, 0.5, 0.8])
def test_an_interrupt_at_any_time_leaves_no_traceback(seconds: float) -> None:
    # Python is given the time to reach our code; before, it prints a traceback of its own.
    code = "import sys; sys.argv[0] = 'x'; import chattmpl.__main__ as m; print(flush=True); sys.exit(m.run())"
    with subprocess.Popen(
        [sys.executable, "-c", code, "check", "qwen3"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert b"Traceback" not in said
    assert process.returncode in (130, -signal.SIGINT, 0, 1)


@pytest.mark.data
@pytest.mark.skipif(not hasattr(os, "fork"), reason="memory is shared with forks only")
def test_bytes_of_forks_are_part_of_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    from chattmpl.data.job.events import Meter

    monkeypatch.setattr(Meter, "_SECONDS", -1.0)
    meter, seen = Meter(), list[int]()
    meter.add(5)
    meter.start(seen.append)
    if not (child := os.fork()):
        meter.add(30)
        os._exit(0)
    os.waitpid(child, 0)
    meter.add(10)
    assert seen == [40]
