"""On a Ray cluster a job writes what it writes here, and the encoder runs unchanged wherever batches are mapped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.command import PROGRAM, run_here
from support.datasets import conversation, write_many
from support.extras import need

need("numpy", "pyarrow", "ray", "datasets", "torch", "psutil", session="ray")

from chattmpl import bounds  # noqa: E402
from chattmpl.data.encoder import Encoder, Row  # noqa: E402
from chattmpl.data.job import cluster as job  # noqa: E402
from chattmpl.data.job import encode_dataset  # noqa: E402
from chattmpl.errors import BudgetError  # noqa: E402

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

COMMON = ("-t", "qwen3", "--tokenizer", "demo", "--fast", "off")
SECONDS = 300
BAD = ('{"messages": [{"role": "asistant", "content": "x"}]}', '{"messages": [', '{"text": "no shape"}')


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough for three shards, with bad rows in the first and the last."""
    path = write_many(tmp_path_factory.mktemp("data") / "data.jsonl", 8000, words=120)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[7:7] = BAD[:2]
    path.write_text("\n".join([*lines, BAD[2]]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def here(data: Path) -> dict[str, bytes]:
    """Return the output of the local engine."""
    output = data.parent / "here"
    assert run_here(["encode", *COMMON, str(data), "-o", str(output), "--workers", "1"]).code == 1
    return contents(output)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


def started(data: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [str(PROGRAM), "encode", *COMMON, str(data), "-o", str(output), "--engine", "ray", "--workers", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def test_a_cluster_of_two_workers_writes_the_same_bytes_and_rejects_the_same_rows(
    cluster: Any, data: Path, here: dict[str, bytes], tmp_path: Path
) -> None:
    summary = encode_dataset(str(data), "qwen3", "demo", str(tmp_path / "out"), engine="ray", workers=2, fast="off")
    assert contents(tmp_path / "out") == here
    assert summary.rejected_rows == len(BAD)
    rejected = [json.loads(line) for line in here["rejected.jsonl"].splitlines()]
    assert [row["line"] for row in rejected] == [8, 9, 8003]


def test_a_worker_that_is_killed_in_mid_run_changes_nothing(data: Path, here: dict[str, bytes], tmp_path: Path) -> None:
    import psutil

    output = tmp_path / "out"
    with started(data, output) as process:
        try:
            end = time.monotonic() + SECONDS
            working: list[Any] = []
            while not working:
                assert process.poll() is None, "it was done too soon"
                assert time.monotonic() < end, "it takes too long"
                children = psutil.Process(process.pid).children(recursive=True)
                working = [child for child in children if "ray::_do" in " ".join(_command(child))]
                time.sleep(0.05)
            working[0].send_signal(signal.SIGKILL)
            assert process.wait(SECONDS) == 1, "rows were rejected"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
    assert contents(output) == here


def test_a_template_is_interrupted_on_a_worker_whose_process_is_left_as_it_was(cluster: Any) -> None:
    # Defined here, since a worker cannot import this module.
    @dataclass(frozen=True)
    class Context:
        folder: Path

    def endless(*given: Any) -> str:
        bounds.SECONDS = 0.5
        try:
            with bounds.bounded():
                while True:
                    pass
        except BudgetError as error:
            return error.message

    def state() -> list[str]:
        import resource

        return [str(signal.getsignal(signal.SIGALRM)), str(resource.getrlimit(resource.RLIMIT_AS))]

    def on_a_worker() -> tuple[str, bool]:
        before, context = state(), Context(Path())
        # In this process the state of a job is that of the test.
        job._contexts["test"] = context  # type: ignore[assignment]
        shared: Any = job.ShippedContext("test", context, (), False)  # type: ignore[arg-type]
        said, _ = job._do(shared, endless, None, [])  # type: ignore[arg-type]
        return said, state() == before

    said, same = cluster.get(cluster.remote(on_a_worker).remote(), timeout=SECONDS)
    assert said == "the template ran for more than 0.5 seconds"
    assert same


def _command(process: Any) -> list[str]:
    import psutil

    try:
        command: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return command


def test_an_address_needs_the_engine_and_a_cluster() -> None:
    outcome = run_here(["encode", *COMMON, "x.jsonl", "-o", "out", "--address", "auto"])
    assert outcome.code == 2
    assert "--engine ray" in outcome.err


# -- the encoder, unchanged, wherever batches are mapped

RECORDS = [conversation(number) for number in range(20)]


def encoder() -> Encoder:
    return Encoder("qwen3", "demo", columns=("input_ids", "labels"))


def expected() -> list[dict[str, list[int]]]:
    rows = encoder().encode_many(RECORDS)
    assert all(isinstance(row, Row) for row in rows)
    return [
        {"input_ids": row.input_ids.tolist(), "labels": row.labels().tolist()} for row in rows if isinstance(row, Row)
    ]


def as_lists(rows: Any) -> list[dict[str, list[int]]]:
    return [{name: list(map(int, row[name])) for name in ("input_ids", "labels")} for row in rows]


def test_the_encoder_runs_in_map_batches_of_ray_data(cluster: Any) -> None:
    context = cluster.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    dataset = cluster.data.from_items(RECORDS)
    assert as_lists(dataset.map_batches(encoder(), batch_size=8).take_all()) == expected()


def test_the_encoder_runs_in_a_map_over_datasets() -> None:
    from datasets import Dataset

    dataset = Dataset.from_list(RECORDS)
    mapped = dataset.map(encoder(), batched=True, batch_size=8, remove_columns=dataset.column_names)
    assert as_lists(mapped) == expected()


def test_the_encoder_runs_in_the_workers_of_a_data_loader() -> None:
    from torch.utils.data import DataLoader

    from support.streaming import Encoded

    loader = DataLoader(Encoded(RECORDS, encoder()), batch_size=None, num_workers=2, multiprocessing_context="spawn")
    rows = sorted(as_lists(loader), key=str)
    assert rows == sorted(expected(), key=str)
