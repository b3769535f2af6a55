"""The engines other than Jinja2 that serve chat templates: one class and one row of `ENGINES` each.

Each engine renders as its users see it, with the functions that every host adds: ``raise_exception``, ``strftime_now``
and, for minijinja, the ``tojson`` of transformers. A source is rendered as it is: pass an inference export, which has
no generation tags.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from chattmpl.budget import Budget
from chattmpl.compiler.policies import Retention
from chattmpl.compiler.program import compile_program
from chattmpl.errors import ChatTmplError, Reason, RenderError, UsageError, did_you_mean
from chattmpl.source import Source
from chattmpl.syntax.lexer import normalize_newlines, tokens

MINIJINJA, HUGGINGFACE, TGI = "minijinja", "huggingface-jinja", "tgi"

Clock = dt.datetime | Callable[[], dt.datetime] | None
"""Time that ``strftime_now`` reads: fixed, returned by a function, or None for the local time."""

NODE_FOLDER = "CHATTMPL_NODE_DIR"
"""Environment variable that names the folder in which npm installed @huggingface/jinja."""

HUGGINGFACE_JINJA = "@huggingface/jinja@0.5.11"
"""The npm package to install, in the version with which the families' declared engine bugs were observed."""

_PACKAGE = Path("node_modules") / "@huggingface" / "jinja"
_INSTALL_SECONDS = 300


class Engine(ABC):
    """An engine other than Jinja2 that renders chat templates. Usable from several threads.

    Attributes:
        name: the name that families use in their declared engine bugs.
        version: its version, if it has one.
        emulated: true if it is not the engine's own code that runs.
    """

    name: str
    version: str | None = None
    emulated: bool = False

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


@dataclass(frozen=True)
class Missing:
    """An engine that is not installed, the reason, and how to install it."""

    name: str
    why: str
    hint: str


def engines(names: tuple[str, ...] = (), *, clock: Clock = None) -> list[Engine | Missing]:
    """Return the named engines, or all of them, in the order of the table.

    Raises:
        UsageError: for an unknown engine, and for a named engine that is not installed.
    """
    for name in names:
        if name not in ENGINES:
            hint = did_you_mean(name, ENGINES) or f"the engines are {', '.join(ENGINES)}"
            raise UsageError(f"unknown engine {name!r}", hint=hint)
    found: list[Engine | Missing] = []
    for name, start in ENGINES.items():
        if names and name not in names:
            continue
        try:
            found.append(start(clock))
        except UsageError as error:
            if names:
                raise
            found.append(Missing(name, error.message, error.hint or ""))
    return found


def now_of(clock: Clock) -> dt.datetime:
    """Return the current time of a clock."""
    if clock is None:
        return dt.datetime.now()
    return clock() if callable(clock) else clock


class Minijinja(Engine):
    """The engine minijinja, which runs in this process.

    Raises:
        UsageError: if the package ``minijinja`` is not installed.
    """

    name = MINIJINJA

    def __init__(self, clock: Clock = None) -> None:
        try:
            import minijinja
        except ImportError as error:
            raise UsageError("the engine minijinja is not installed", hint="pip install 'chattmpl[engines]'") from error
        self.version = importlib.metadata.version("minijinja")
        self._environment = minijinja.Environment(trim_blocks=True, lstrip_blocks=True, debug=False)
        self._environment.add_filter("tojson", _tojson)
        self._environment.add_function("raise_exception", _raise_exception)
        self._environment.add_function("strftime_now", lambda format: now_of(clock).strftime(format))

    def render(self, source: str, context: Mapping[str, object]) -> str:
        """Render a template; see `Engine.render`."""
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


class HuggingfaceJinja(Engine):
    """The engine of transformers.js. A node process starts with the first render and serves all others.

    Args:
        clock: the time that ``strftime_now`` reads.
        folder: the folder in which npm installs the package; `node_folder` by default.
        install: install the package with npm if it is missing.
        timeout: limit of one render, in seconds.

    Raises:
        UsageError: if node is not on PATH, or the package is missing and ``install`` is false or npm fails.
    """

    name = HUGGINGFACE

    def __init__(
        self, clock: Clock = None, folder: Path | None = None, *, install: bool = False, timeout: float = 30.0
    ) -> None:
        node = shutil.which("node")
        if node is None:
            raise UsageError(
                "the engine huggingface-jinja runs on node, which is not on PATH", hint="install node 18 or newer"
            )
        folder = folder or node_folder()
        package = folder / _PACKAGE
        if not package.is_dir():
            command = f"npm install --prefix {folder} {HUGGINGFACE_JINJA}"
            if not install:
                raise UsageError(
                    f"the engine huggingface-jinja is not installed in {folder}",
                    hint=f"{command} (or set {NODE_FOLDER} to the folder whose node_modules holds it)",
                )
            _npm_install(folder, command)
        self.version = str(json.loads((package / "package.json").read_bytes())["version"])
        self._command = [node, "-e", _DRIVER, str(package.resolve())]
        self._clock = clock
        self._timeout = timeout
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stop: Callable[[], object] | None = None

    def render(self, source: str, context: Mapping[str, object]) -> str:
        """Render a template; see `Engine.render`."""
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
        """Kill the node process; the next render starts another."""
        if self._stop is not None:
            self._stop()
        self._process = self._stop = None


def node_folder() -> Path:
    """Return the folder in which to look for @huggingface/jinja.

    The first of: the folder that the environment variable names, the nearest folder upwards that has the package in
    node_modules, a folder in the user's cache.
    """
    named = os.environ.get(NODE_FOLDER)
    if named:
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / _PACKAGE).is_dir():
            return folder
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chattmpl" / "node"


def _end(process: subprocess.Popen[str]) -> None:
    # Killed, because a process that hangs does not notice that its input was closed.
    process.kill()
    process.communicate()


def _npm_install(folder: Path, command: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError("npm is not on PATH, so the engine huggingface-jinja cannot be installed", hint=command)
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), HUGGINGFACE_JINJA]
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
    emulated = True

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


ENGINES: dict[str, Callable[[Clock], Engine]] = {MINIJINJA: Minijinja, HUGGINGFACE: HuggingfaceJinja, TGI: Tgi}
"""The engines by name, each with the class that starts it or raises a UsageError that says what is missing."""
