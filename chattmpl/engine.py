"""The engines other than Jinja2 that serve chat templates: one class and one row of `ENGINES` each.

Each engine renders as its users see it, with the functions that every host adds: ``raise_exception`` and
``strftime_now``. A source is rendered as it is: pass an inference export, which has no generation tags.
"""

import contextlib
import functools
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chattmpl.bounds import confine
from chattmpl.budget import Budget
from chattmpl.compiler.policies import Retention
from chattmpl.compiler.program import compile_program
from chattmpl.conversation.models import Conversation
from chattmpl.errors import BudgetError, ChatTmplError, Reason, RenderError, UsageError, did_you_mean
from chattmpl.source import Source
from chattmpl.syntax.lexer import normalize_newlines, tokens
from chattmpl.template.template import Clock, Template, now_of

MINIJINJA, HUGGINGFACE, TGI = "minijinja", "huggingface-jinja", "tgi"

NODE_FOLDER = "CHATTMPL_NODE_DIR"
"""Environment variable that names the folder in which npm installed @huggingface/jinja."""

HUGGINGFACE_JINJA = "@huggingface/jinja@0.5.11"
"""The npm package to install, in the version with which the families' declared engine bugs were observed."""

_PACKAGE = Path("node_modules") / "@huggingface" / "jinja"
_SECONDS = 10.0
"""Limit of one render in another process."""

_MEMORY = 2 << 30
"""Limit of the memory of an engine's process, in bytes."""

_LONGEST_ANSWER = 256 << 20
"""Maximum length of an answer of an engine's process, in characters."""

_ENVIRONMENT = frozenset({"LANG", "LC_ALL", "LC_CTYPE", "PATH", "TZ"})
"""Variables of the environment that an engine's process gets."""


class Engine(ABC):
    """An engine other than Jinja2 that renders chat templates. Usable from several threads.

    Attributes:
        name: the name that families use in their declared engine bugs.
        version: its version, if it has one.
        emulated: true if it is not the engine's own code that runs.
        replaced: its filters that hosts replace by their own, with which `render` renders.
    """

    name: str
    version: str | None = None
    emulated: bool = False
    replaced: tuple[str, ...] = ()

    @abstractmethod
    def render(self, source: str, context: Mapping[str, object]) -> str:
        """Render a template with its variables (``messages``, ``tools``, ``bos_token``, …).

        Args:
            source: the template, in plain Jinja.
            context: JSON-like values.

        Raises:
            RenderError: if the engine cannot parse or render the template, or the template calls ``raise_exception``.
        """

    def render_unhosted(self, source: str, context: Mapping[str, object]) -> str:
        """Render a template with the engine's own filters, where `render` has those by which hosts replace them.

        Raises:
            RenderError: see `render`.
        """
        return self.render(source, context)

    def close(self) -> None:  # noqa: B027 - most engines hold no resources
        """End the engine's process, if it has one. The engine can be used again."""


@dataclass(frozen=True)
class Missing:
    """An engine that is not installed, the reason, and how to install it."""

    name: str
    why: str
    hint: str


def variables(
    template: Template, conversation: Conversation, kwargs: Mapping[str, Any], prompt: bool
) -> dict[str, Any]:
    """Return the variables of a render as JSON-like data."""
    data = conversation.to_template_input()
    given = {name: value for name, value in {**data.pop("kwargs"), **kwargs}.items() if value is not None}
    return {**template.tokens, **given, **data, "add_generation_prompt": prompt}


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


class _ProcessEngine(Engine):
    """An engine in a separate process, which reads one JSON job per line and writes one JSON answer per line.

    A template cannot reach this process, and gets a copy of its variables. The process starts with the first render. It
    is killed when a render takes too long, when this process ends, and when the engine is closed. A template that took
    too long is not rendered again.

    Args:
        command: the command line of the process.
        clock: the time that ``strftime_now`` reads.
        timeout: limit of one render, in seconds.
    """

    def __init__(self, command: list[str], clock: Clock, timeout: float) -> None:
        self._command = command
        self._clock = clock
        self._timeout = timeout
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stop: Callable[[], object] | None = None
        self._endless: set[str] = set()

    def render(self, source: str, context: Mapping[str, object]) -> str:
        """Render a template, see `Engine.render`; raise `BudgetError` if it takes too long, or the process ends."""
        return self._answer(source, context)["text"]

    def _answer(self, source: str, context: Mapping[str, object]) -> dict[str, str]:
        now = now_of(self._clock)
        moment = [now.year, now.month, now.day, now.hour, now.minute, now.second]
        try:
            line = json.dumps({"source": source, "context": dict(context), "now": moment}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise RenderError(f"{self.name}: the context is not JSON: {error}", complaint=str(error)) from error
        answer = self._ask(source, line)
        if "refused" in answer:
            complaint = answer["refused"]
            message = f"the template raised an exception: {complaint}"
            raise RenderError(message, reason=Reason.REFUSED, complaint=complaint)
        if "error" in answer:
            raise RenderError(f"{self.name}: {answer['error']}", complaint=answer["error"])
        return answer

    def _ask(self, source: str, line: str) -> dict[str, str]:
        with self._lock:
            if source in self._endless:
                raise self._too_long()
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            timer = threading.Timer(self._timeout, _kill, (process,))
            timer.start()
            try:
                process.stdin.write(line + "\n")
                process.stdin.flush()
                reply = process.stdout.readline(_LONGEST_ANSWER)
            except OSError:
                reply = ""
            finally:
                timer.cancel()
            if not reply.endswith("\n"):
                self.close()
                self._endless.add(source)
                raise self._too_long()
        answer: dict[str, str] = json.loads(reply)
        return answer

    def _too_long(self) -> BudgetError:
        complaint = f"the process ended or took more than {self._timeout:g} seconds"
        return BudgetError(f"{self.name}: {complaint}", reason=Reason.TIME, complaint=complaint)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            pipe = subprocess.PIPE
            alive, lifeline = os.pipe()
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=pipe,
                    stdout=pipe,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    encoding="utf-8",
                    cwd=os.sep,
                    env={name: value for name, value in os.environ.items() if name in _ENVIRONMENT},
                    start_new_session=True,
                    pass_fds=(alive,),
                    preexec_fn=functools.partial(confine, alive, _MEMORY),
                )
            finally:
                os.close(alive)
            self._stop = weakref.finalize(self, _end, self._process, lifeline)
        return self._process

    def close(self) -> None:
        """Kill the process; the next render starts another."""
        if self._stop is not None:
            self._stop()
        self._process = self._stop = None


def _kill(process: subprocess.Popen[str]) -> None:
    # The process leads a group of its own.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[str], lifeline: int) -> None:
    _kill(process)
    process.communicate()
    os.close(lifeline)


class Minijinja(_ProcessEngine):
    """The engine minijinja, in a process of Python.

    Its own ``tojson`` escapes ``<``, ``>``, ``&`` and ``'``, and has no option but ``indent``. Most hosts that serve
    models replace it by one that escapes nothing, such as mistral.rs and Dynamo; some do not. `render` refuses what
    either of them refuses, and has the text of the former.

    Args:
        clock: the time that ``strftime_now`` reads.
        timeout: limit of one render, in seconds.

    Raises:
        UsageError: if the package ``minijinja`` is not installed.
    """

    name = MINIJINJA
    replaced = ("tojson",)

    def __init__(self, clock: Clock = None, *, timeout: float = _SECONDS) -> None:
        try:
            self.version = importlib.metadata.version("minijinja")
        except importlib.metadata.PackageNotFoundError as error:
            raise UsageError("the engine minijinja is not installed", hint="pip install 'chattmpl[engines]'") from error
        # Isolated: neither the current folder nor the environment adds modules.
        super().__init__([sys.executable, "-I", "-c", _MINIJINJA, *map(os.path.abspath, sys.path)], clock, timeout)

    def render_unhosted(self, source: str, context: Mapping[str, object]) -> str:
        """Render a template with minijinja's own ``tojson``; see `Engine.render_unhosted`."""
        return self._answer(source, context)["own"]


_MINIJINJA = r"""
import datetime, json, sys
sys.path[:] = sys.argv[1:]
import minijinja

class Refused(Exception):
    pass

def raise_exception(message):
    raise Refused(str(message)[:10_000])

def tojson(value, indent=None, **options):
    global replaced
    replaced = True
    return json.dumps(value, ensure_ascii=False, indent=indent)

def environment():
    made = minijinja.Environment(trim_blocks=True, lstrip_blocks=True, debug=False)
    made.fuel = 20_000_000
    made.add_function("raise_exception", raise_exception)
    made.add_function("strftime_now", lambda format: moment.strftime(format))
    return made

moment = None
own, hosted = environment(), environment()
hosted.add_filter("tojson", tojson)
for line in sys.stdin:
    job = json.loads(line)
    moment = datetime.datetime(*job["now"])
    try:
        replaced = False
        text = str(hosted.render_str(job["source"], **job["context"]))
        answer = {"text": text, "own": str(own.render_str(job["source"], **job["context"])) if replaced else text}
    except Refused as error:
        answer = {"refused": str(error)}
    except BaseException as error:
        if getattr(error, "kind", None) == "OutOfFuel":
            sys.exit()
        answer = {"error": next(iter(str(error)[:10_000].splitlines()), type(error).__name__)}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
"""
"""The program of minijinja's process."""


class HuggingfaceJinja(_ProcessEngine):
    """The engine of transformers.js, in a process of node.

    Only a copy that chattmpl's own command installed, or in a folder that the user names, is run.

    Args:
        clock: the time that ``strftime_now`` reads.
        folder: the folder in which npm installs the package; `node_folder` by default.
        timeout: limit of one render, in seconds.

    Raises:
        UsageError: if node is not on PATH, or the package is missing.
    """

    name = HUGGINGFACE

    def __init__(self, clock: Clock = None, folder: Path | None = None, *, timeout: float = _SECONDS) -> None:
        node = shutil.which("node")
        if node is None:
            raise UsageError(
                "the engine huggingface-jinja runs on node, which is not on PATH", hint="install node 18 or newer"
            )
        folder = folder or node_folder()
        package = folder / _PACKAGE
        if not package.is_dir():
            raise UsageError(
                f"the engine huggingface-jinja is not installed in {folder}",
                hint=f"npm install --prefix {folder} {HUGGINGFACE_JINJA} "
                f"(or set {NODE_FOLDER} to the folder whose node_modules holds it)",
            )
        self.version = str(json.loads((package / "package.json").read_bytes())["version"])
        place = str(package.resolve())
        super().__init__([node, *_permissions(node, place), "-e", _HUGGINGFACE, place], clock, timeout)


# The engine offers no way to set the clock, so Date is replaced.
_HUGGINGFACE = r"""
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
    now[1] -= 1;  // months count from 0
    let template = parsed.get(job.source);
    if (template === undefined) {
      template = new Template(job.source);
      if (parsed.size >= 256) parsed.clear();
      parsed.set(job.source, template);
    }
    answer = { text: template.render(job.context) };
  } catch (error) {
    answer = { error: String((error && error.message) || error).slice(0, 10000) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
"""
"""The program of node's process."""


@functools.cache
def _permissions(node: str, package: str) -> tuple[str, ...]:
    """Return the options with which node may read the package and nothing else, in the versions that have them."""
    limits = (f"--max-old-space-size={_MEMORY >> 21}", "--disallow-code-generation-from-strings")
    done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    version = re.match(r"v(\d+)\.", done.stdout)
    if version is None or int(version[1]) < 20:
        return limits
    permission = "--permission" if int(version[1]) >= 24 else "--experimental-permission"
    return (*limits, permission, f"--allow-fs-read={package}/*")


def node_folder() -> Path:
    """Return the folder in which to look for @huggingface/jinja.

    It is the folder that the environment variable names, or a folder in the user's cache. The current folder and those
    above it are never searched: a model's folder could hold code in ``node_modules``.
    """
    named = os.environ.get(NODE_FOLDER)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chattmpl" / "node"


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
