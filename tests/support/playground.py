"""The playground in a process of its own, and Chromium to look at it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support import ROOT
from support.cache import Unavailable, give_up

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_START_SECONDS = 120.0


def chromium() -> str:
    """The program: ``$CHATTMPL_CHROMIUM``, else the first that is on PATH; the test is skipped without one."""
    named = os.environ.get("CHATTMPL_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        give_up(Unavailable("no Chromium is on PATH (CHATTMPL_CHROMIUM can name one)"))
    return found


@dataclass(frozen=True)
class Served:
    """A playground that runs: its address, with a slash at the end."""

    address: str
    port: int


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Served]:
    """``chattmpl playground`` with these arguments, until the end of the block."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "chattmpl", "playground", *arguments, "--no-browser", "--port", port]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    said = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if "the playground is at" in line:
                said.set()
        said.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        said.wait(_START_SECONDS)
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", "".join(lines))
        if found is None:
            pytest.fail(f"the playground did not start: {''.join(lines)}")
        yield Served(found[0], int(found[1]))
    finally:
        process.terminate()
        process.wait(30)
        reader.join(10)
        assert process.stderr is not None
        process.stderr.close()
    noise = [line for line in lines if "the playground is at" not in line]
    assert noise == [], "".join(noise)


def violations(page: Any, script: str) -> list[str]:
    """Return the violations that axe finds in a page."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(script)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['html'][:160]} {node['any'][0]['message'][:160] if node['any'] else ''}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
