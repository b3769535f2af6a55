"""A run that is killed, at any time and without warning, goes on by itself and ends as one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.command import PROGRAM, run_here
from support.extras import need
from support.runs import apart, record, write_run

need("accelerate", "datasets", "numpy", "pyarrow", "torch", "transformers", "trl", session="train")

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),  # of torch, transformers and trl, which are not ours to heed
    pytest.mark.skipif(os.name == "nt", reason="other signals there"),
]

SECONDS = 300


def test_a_run_that_was_killed_goes_on_by_itself_and_ends_the_same(tmp_path: Path) -> None:
    steps = {"max_steps": 40, "save_steps": 5, "logging_steps": 5, "gradient_accumulation_steps": 2}
    path = write_run(tmp_path, rows=30, trainer=steps)
    killed, whole = tmp_path / "out", tmp_path / "whole"
    command = [str(PROGRAM), "train", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        ends = time.monotonic() + SECONDS
        while not list(killed.glob("checkpoint-*/chattmpl.json")) and process.poll() is None:
            assert time.monotonic() < ends, "no checkpoint was written"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert record(killed)["trained"] is None
    again = run_here(["train", str(path)])
    assert again.code == 0, again.err
    assert "note: going on from " in again.err
    alone = run_here(["train", str(path), "--set", f"output={whole}"])
    assert alone.code == 0, alone.err
    assert record(killed)["trained"] == record(whole)["trained"]
    assert record(killed)["trained"]["steps"] == 40
    assert apart(killed, whole) == 0
