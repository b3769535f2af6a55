"""Processes that enforce bounds on templates: interrupted, killed or refused memory, with one message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import ROOT
from support.extras import ON_LINUX

pytestmark = ON_LINUX

PROGRAM = """
import os, signal, sys, time
from chattmpl import bounds
from chattmpl.errors import BudgetError
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
bounds.SECONDS, bounds._GRACE = 0.5, 0.5

def run():
    try:
        with bounds.bounded():
            {work}
    except BudgetError as error:
        print(error.reason, flush=True)
        return 2
    except MemoryError:
        print("memory", flush=True)
        return 2
    return 0

{start}
"""


def outcome(work: str, start: str = "sys.exit(bounds.supervise(run))") -> subprocess.CompletedProcess[str]:
    """Run a program whose template does this work."""
    program = PROGRAM.format(work=work, start=start)
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_template_that_loops_is_interrupted() -> None:
    done = outcome("while True: pass")
    assert (done.returncode, done.stdout, done.stderr) == (2, "time\n", "")


def test_a_process_without_a_supervisor_interrupts_itself() -> None:
    done = outcome("while True: pass", "bounds.enforce(); sys.exit(run())")
    assert (done.returncode, done.stdout, done.stderr) == (2, "time\n", "")


def test_a_process_that_does_not_respond_is_killed() -> None:
    done = outcome("sum(range(10 ** 11))")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the template ran for more than 1 seconds and did not respond\nhint: ")
    assert done.stderr.count("\n") == 2


def test_memory_is_refused_and_available_again_afterwards() -> None:
    done = outcome("b'a' * (3 << 29)")
    assert (done.returncode, done.stdout, done.stderr) == (2, "memory\n", "")
    again = outcome("pass", "code = bounds.supervise(lambda: run() or len(b'a' * (3 << 29)) % 7); sys.exit(code)")
    assert (again.returncode, again.stderr) == ((3 << 29) % 7, "")


def test_memory_that_was_added_since_the_last_template_does_not_count() -> None:
    added = "import mmap; run(); held = mmap.mmap(-1, 2 << 30)"
    done = outcome("bytes(64 << 20)", f"bounds.enforce(); {added}; sys.exit(run())")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_time_outside_a_template_is_not_bounded() -> None:
    done = outcome("pass", "sys.exit(bounds.supervise(lambda: run() or time.sleep(1.5) or 5))")
    assert done.returncode == 5


def test_a_process_that_is_killed_passes_on_its_signal() -> None:
    assert outcome("os.kill(os.getpid(), 9)").returncode == -signal.SIGKILL
    assert outcome("os.kill(os.getpid(), 15)").returncode == -signal.SIGTERM


def test_an_interrupt_that_is_sent_to_the_command_alone_reaches_its_process() -> None:
    start = "sys.exit(bounds.supervise(lambda: run() or time.sleep(30)))"
    program = PROGRAM.format(work="print(1, flush=True)", start=start)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_an_interrupt_that_is_sent_to_the_whole_group_arrives_once() -> None:
    work = "\n".join(
        [
            "def work():",
            "    try:",
            "        print(1, flush=True)",
            "        time.sleep(30)",
            "    finally:",
            "        time.sleep(1)",
            "        print('cleaned up', flush=True)",
            "sys.exit(bounds.supervise(work))",
        ]
    )
    program = PROGRAM.format(work="pass", start=work)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "cleaned up\n"
    assert err.count("KeyboardInterrupt") == 1
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_command(number: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    work = f"open({str(file)!r}, 'w').write(str(os.getpid())); time.sleep(0.2)"
    program = PROGRAM.format(work=work, start="sys.exit(bounds.supervise(lambda: run() or time.sleep(60)))")
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    deadline = time.monotonic() + 30
    while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(30) == -number
    child = int(file.read_text())
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _alive(child)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"


def test_without_enforcement_nothing_is_bounded() -> None:
    done = outcome("time.sleep(1)", "sys.exit(run())")
    assert (done.returncode, done.stdout) == (0, "")
    restored = outcome(
        "pass", "signal.signal(14, print)\nwith bounds.enforced(): run()\nsys.exit(signal.getsignal(14) is print)"
    )
    assert restored.returncode == 1
    released = outcome("time.sleep(1)", "bounds.enforce(); bounds.release(); sys.exit(run())")
    assert (released.returncode, released.stdout) == (0, "")
