"""Drivers for engines other than Jinja2 that serve chat templates.

Each engine renders as its users see it, with the functions that every host adds: ``raise_exception``, ``strftime_now``
and, for minijinja, the ``tojson`` of transformers. A source is rendered as it is: pass an inference export, which has
no generation tags.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import subprocess
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from chattmpl.budget import Budget
from chattmpl.compiler.policies import Retention
from chattmpl.compiler.program import compile_program
from chattmpl.errors import ChatTmplError, Reason, RenderError, UsageError
from chattmpl.source import Source
from chattmpl.syntax.lexer import normalize_newlines, tokens

MINIJINJA, HUGGINGFACE, TGI = "minijinja", "huggingface-jinja", "tgi"

Clock = dt.datetime | Callable[[], dt.datetime] | None
"""Time that ``strftime_now`` reads: fixed, returned by a function, or None for the local time."""

HUGGINGFACE_JINJA = "@huggingface/jinja@0.5.11"
"""The npm package to install, in the version with which the families' declared engine bugs were observed."""

_INSTALL_SECONDS = 300


class Engine(ABC):
    """An engine other than Jinja2 that renders chat templates. Usable from several threads.

    Attributes:
        name: the name that families use in their declared engine bugs.
    """

    name: str

    @abstractmethod
    def render(self, source: str, context: Mapping[str, object]) -> str:
        """Render a template with its variables (``messages``, ``tools``, ``bos_token``, …).

        Args:
            source: the template, in plain Jinja.
            context: JSON-like values.

        Raises:
            RenderError: if the engine cannot parse or render the template, or the template calls ``raise_exception``.
        """

    def close(self) -> None:  # noqa: B027 - most engines hold no resources
        """End the engine's process, if it has one. The engine can be used again."""


class EngineNotInstalled(UsageError):
    """An engine that is not installed, with the shell command that installs it."""

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message, hint=command)
        self.command = command


def minijinja_engine(*, clock: Clock = None) -> Engine:
    """Return the minijinja engine, which runs in this process.

    Args:
        clock: the time that ``strftime_now`` reads.

    Raises:
        UsageError: if the package ``minijinja`` is not installed.
    """
    try:
        import minijinja
    except ImportError as error:
        raise UsageError("the engine minijinja is not installed", hint="pip install 'chattmpl[engines]'") from error
    return _Minijinja(minijinja, clock)


def huggingface_jinja_engine(
    cache_dir: Path, *, install: bool = False, clock: Clock = None, timeout: float = 30.0
) -> Engine:
    """Return the engine of transformers.js. A node process starts with the first render and serves all others.

    Args:
        cache_dir: the folder in which npm installs the package.
        install: install the package with npm if it is missing.
        clock: the time that ``strftime_now`` reads.
        timeout: limit of one render, in seconds.

    Raises:
        UsageError: if node is not on PATH, or the package is missing and ``install`` is false or npm fails.
    """
    node = shutil.which("node")
    if node is None:
        raise UsageError(
            "the engine huggingface-jinja runs on node, which is not on PATH", hint="install node 18 or newer"
        )
    package = cache_dir / "node_modules" / "@huggingface" / "jinja"
    if not package.is_dir():
        command = f"npm install --prefix {cache_dir} {HUGGINGFACE_JINJA}"
        if not install:
            raise EngineNotInstalled(f"the engine huggingface-jinja is not installed in {cache_dir}", command)
        _npm_install(cache_dir, command)
    return _HuggingfaceJinja(node, package, clock, timeout)


def now_of(clock: Clock) -> dt.datetime:
    """Return the current time of a clock."""
    if clock is None:
        return dt.datetime.now()
    return clock() if callable(clock) else clock


class _Minijinja(Engine):
    name = MINIJINJA

    def __init__(self, minijinja: Any, clock: Clock) -> None:
        self._environment = minijinja.Environment(trim_blocks=True, lstrip_blocks=True, debug=False)
        self._environment.add_filter("tojson", _tojson)
        self._environment.add_function("raise_exception", _raise_exception)
        self._environment.add_function("strftime_now", lambda format: now_of(clock).strftime(format))

    def render(self, source: str, context: Mapping[str, object]) -> str:
        try:
            return str(self._environment.render_str(source, **context))
        except RenderError:
            raise
        # Errors of any type raised by Python filters and functions pass through the engine.
        except Exception as error:
            raise RenderError(f"minijinja: {_first_line(error)}", complaint=_first_line(error)) from error


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    pair = None if separators is None else (separators[0], separators[1])
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=pair, sort_keys=sort_keys)


def _raise_exception(message: object) -> NoReturn:
    raise RenderError(f"the template raised an exception: {message}", reason=Reason.REFUSED, complaint=str(message))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


# One JSON request and one JSON answer per line. The engine offers no way to set the clock, so Date is replaced.
_DRIVER = r"""
const { Template } = require(process.argv[1]);
const Wall = Date;
let now = null;
globalThis.Date = class extends Wall {
  constructor(...args) { if (args.length === 0) super(...now); else super(...args); }
};
const parsed = new Map();
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  let answer;
  try {
    const job = JSON.parse(line);
    now = job.now;
    let template = parsed.get(job.source);
    if (template === undefined) {
      template = new Template(job.source);
      if (parsed.size >= 256) parsed.clear();
      parsed.set(job.source, template);
    }
    answer = { text: template.render(job.context) };
  } catch (error) {
    answer = { error: String((error && error.message) || error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
"""


class _HuggingfaceJinja(Engine):
    name = HUGGINGFACE

    def __init__(self, node: str, package: Path, clock: Clock, timeout: float) -> None:
        self._command = [node, "-e", _DRIVER, str(package.resolve())]
        self._clock = clock
        self._timeout = timeout
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stop: Callable[[], object] | None = None

    def render(self, source: str, context: Mapping[str, object]) -> str:
        now = now_of(self._clock)
        moment = [now.year, now.month - 1, now.day, now.hour, now.minute, now.second]  # months count from 0 in node
        try:
            line = json.dumps({"source": source, "context": dict(context), "now": moment}, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RenderError(f"huggingface-jinja: the context is not JSON: {error}", complaint=str(error)) from error
        answer = self._ask(line)
        if "error" in answer:
            raise RenderError(f"huggingface-jinja: {answer['error']}", complaint=str(answer["error"]))
        return str(answer["text"])

    def _ask(self, line: str) -> dict[str, object]:
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            timer = threading.Timer(self._timeout, process.kill)
            timer.start()
            try:
                process.stdin.write(line + "\n")
                process.stdin.flush()
                reply = process.stdout.readline()
            except OSError:
                reply = ""
            finally:
                timer.cancel()
            if not reply:
                self.close()
                complaint = f"node exited or took more than {self._timeout:g} seconds"
                raise RenderError(f"huggingface-jinja: {complaint}", complaint=complaint)
        answer: dict[str, object] = json.loads(reply)
        return answer

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
            )
            self._stop = weakref.finalize(self, _end, self._process)
        return self._process

    def close(self) -> None:
        if self._stop is not None:
            self._stop()
        self._process = self._stop = None


def _end(process: subprocess.Popen[str]) -> None:
    # Killed, because a process that hangs does not notice that its input was closed.
    process.kill()
    process.communicate()


def _npm_install(cache_dir: Path, command: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError("npm is not on PATH, so the engine huggingface-jinja cannot be installed", hint=command)
    cache_dir.mkdir(parents=True, exist_ok=True)
    arguments = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(cache_dir), HUGGINGFACE_JINJA]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"npm took more than {_INSTALL_SECONDS} seconds", hint=command) from error
    if done.returncode != 0:
        raise UsageError(f"npm failed to install huggingface-jinja: {done.stderr.strip()[-300:]}", hint=command)


_TGI_TAGS = ("{% generation %}", "{% endgeneration %}")
_TAG_ENDS = {"block_end": "%}", "comment_end": "#}", "raw_end": "%}"}
_TAG_BEGINS = {"block_begin": "{%", "comment_begin": "{#", "raw_begin": "{%"}


class Tgi(Engine):
    """An emulation of text-generation-inference, which sets neither trim_blocks nor lstrip_blocks.

    The engine removes exactly ``{% generation %}`` and ``{% endgeneration %}`` before it renders. The sign ``+`` turns
    trim_blocks and lstrip_blocks off for a tag, so the template runs in the sandbox with a ``+`` in each tag that has
    no sign.
    """

    name = TGI

    def __init__(self, clock: Clock = None) -> None:
        self._clock = clock

    def render(self, source: str, context: Mapping[str, object]) -> str:
        """Render a template; see `Engine.render`."""
        for tag in _TGI_TAGS:
            source = source.replace(tag, "")
        if re.search(r"\{%[-+]?\s*(?:end)?generation\b", source):
            raise RenderError("tgi: unknown tag: generation", complaint="unknown tag: generation")
        try:
            program = compile_program(Source(_with_signs(source), TGI), Retention("all"))
            return program.run(dict(context), lambda: now_of(self._clock), Budget())[0]
        except ChatTmplError as error:
            complaint = error.complaint or error.message
            raise RenderError(f"tgi: {error.message}", reason=error.reason, complaint=complaint) from error


def _with_signs(source: str) -> str:
    """Return the source with ``+`` in each tag that has no sign."""
    source = normalize_newlines(source)
    pieces: list[str] = []
    position = 0
    for offset, kind, value in tokens(source):
        if kind in _TAG_BEGINS and not re.search(r"\{[%#][-+]", value):
            at = offset + value.index(_TAG_BEGINS[kind]) + 2
        elif kind in _TAG_ENDS and not re.search(r"[-+][%#]\}", value):
            at = offset + value.index(_TAG_ENDS[kind])
        else:
            continue
        pieces.append(source[position:at] + "+")
        position = at
    return "".join(pieces) + source[position:]
