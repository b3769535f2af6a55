"""Two processes train as one does: `accelerate launch`, data-parallel and with FSDP2, on CPUs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import ROOT
from support.command import Outcome, run_here
from support.extras import need
from support.training import apart, record, write_run

need("accelerate", "datasets", "numpy", "pyarrow", "torch", "transformers", "trl", session="train")

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),  # warnings of torch, transformers and trl
]

SECONDS = 600
FSDP2 = (
    *("--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
    *("--fsdp_transformer_layer_cls_to_wrap", "LlamaDecoderLayer"),
)
WAYS = {"data-parallel": ("--multi_gpu",), "fsdp2": FSDP2}
"""Options of accelerate; multi_gpu also starts processes on CPUs."""


def launched(way: str, path: Path, *options: str) -> Outcome:
    """Run `accelerate launch -m chattmpl train` in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "accelerate.commands.launch", *WAYS[way], "--num_processes", "2"]
    launch += ["--num_machines", "1", "--main_process_port", str(port), "--mixed_precision", "no"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*launch, "-m", "chattmpl", "train", str(path), *options],
        capture_output=True,
        env=environment,
        timeout=SECONDS,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of a run in one process."""
    path = write_run(tmp_path_factory.mktemp("alone"))
    outcome = run_here(["train", str(path)])
    assert outcome.code == 0, outcome.err
    return path.parent / "out"


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_train_as_one(way: str, alone: Path, tmp_path: Path) -> None:
    trainer = {"per_device_train_batch_size": 2}
    path = write_run(tmp_path, trainer=trainer, vibe={"prompts": ["Say it."], "every": 3, "max_new_tokens": 2})
    outcome = launched(way, path)
    assert outcome.code == 0, outcome.err
    both, one = record(tmp_path / "out"), record(alone)
    assert both["run"]["processes"] == 2
    assert both["run"]["fsdp"] == (way == "fsdp2")
    same: list[Any] = [said["trained"]["supervised_tokens"] for said in (both, one)]
    assert same[0] == same[1]
    assert both["audit"]["supervised"] == one["audit"]["supervised"]
    for name in ("first_loss", "loss"):
        assert both["trained"][name] == pytest.approx(one["trained"][name], rel=1e-5)
    assert apart(tmp_path / "out", alone) < 1e-5
    # Only the main process prints.
    assert outcome.out.count("audit of all rows") == 1
    assert outcome.err.count("step 4 of 4, loss") == 1
    assert outcome.err.count("sampled completions") == 1


def test_a_sharded_run_resumes_from_its_checkpoint(alone: Path, tmp_path: Path) -> None:
    import json
    import shutil

    path = write_run(tmp_path, trainer={"per_device_train_batch_size": 2, "save_steps": 2})
    assert launched("fsdp2", path).code == 0
    out = tmp_path / "out"
    shutil.rmtree(out / "checkpoint-4")
    (out / "model.safetensors").unlink()
    (out / "chattmpl.json").write_text(json.dumps({**record(out), "trained": None}), encoding="utf-8")
    again = launched("fsdp2", path)
    assert again.code == 0, again.err
    assert again.err.count("resuming from ") == 1
    assert record(out)["trained"]["supervised_tokens"] == record(alone)["trained"]["supervised_tokens"]
    assert apart(out, alone) < 1e-5


def test_an_error_is_reported_once_and_ends_all_processes(tmp_path: Path) -> None:
    outcome = launched("data-parallel", write_run(tmp_path), "--set", "data=/no/such.jsonl")
    assert outcome.code != 0
    assert outcome.err.count("cannot read /no/such.jsonl") == 1
