"""Exit codes, messages on stderr, data on stdout, files and progress bars."""

from __future__ import annotations

import errno
import gc
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl.errors import ChatTmplError, UsageError

if TYPE_CHECKING:
    from chattmpl.data.job import JobNote, Phase, Watcher
    from chattmpl.diagnostic import Diagnostic
    from chattmpl.rule_registry import Documented
    from chattmpl.template.writer import Change

OK, FOUND, WRONG, INTERRUPTED = 0, 1, 2, 130
TRACEBACK = "CHATTMPL_TRACEBACK"
"""Environment variable that asks for the traceback of an error."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The errors of a full disk."""

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""The number of a system error in messages of libraries in Rust, such as safetensors, which raise no `OSError`."""

_OPTIONS = {"add_generation_prompt": "--generation-prompt", "continue_final_message": "--continue-final-message"}
_ARGUMENT = re.compile(r"\b(straddle|control_tokens|mask|variant)='?([\w-]+)?'?")


def guarded(run: Callable[[], Any]) -> int:
    """Run a command and return its exit code. An error becomes one message on stderr."""
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:
        return silence_stdout()
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if os.environ.get(TRACEBACK, "0") not in ("", "0"):
            raise
        say(f"error: {message(error)}")
        return WRONG
    return code if isinstance(code, int) else OK


class Failures:
    """Errors about single inputs, after which a command goes on with the others: printed once, and counted."""

    def __init__(self) -> None:
        self._printed: set[str] = set()

    def __call__(self, error: ChatTmplError) -> None:
        """Print and count an error."""
        text = message(error)
        if text not in self._printed:
            say(f"error: {text}")
        self._printed.add(text)

    @property
    def count(self) -> int:
        """The number of different errors."""
        return len(self._printed)

    def or_else(self, code: int) -> int:
        """Return the exit code of the command, which has this one if no input failed."""
        return WRONG if self.count else code

    def code_for(self, found: Iterable[Diagnostic], exit_zero: bool) -> int:
        """Return the exit code of a command that reports findings; notes do not count."""
        failed = any(diagnostic.severity != "info" for diagnostic in found)
        return self.or_else(FOUND if failed and not exit_zero else OK)


def silence_stdout() -> int:
    """Discard all further output and return the exit code, after the reader closed the pipe (``| head``)."""
    # Otherwise the interpreter would report the broken pipe when it flushes stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def message(error: Exception) -> str:
    """Return the text of an error: what is wrong, where, and how to fix it."""
    if isinstance(error, ChatTmplError):
        error.hint = error.hint and _with_options(error.hint)
        return str(error)
    if isinstance(error, click.ClickException):
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "chattmpl"
        text = error.format_message()
        return f"{text[:1].lower()}{text[1:].removesuffix('.')}\nhint: see {command} --help"
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror.lower()
        return f"{text}\nhint: free some space, or write to another place" if error.errno in FULL else text
    if (code := _SYSTEM_ERROR.search(str(error))) and int(code[1]) in FULL:
        return message(OSError(int(code[1]), os.strerror(int(code[1]))))
    details = " ".join(str(error).split())[:200]
    return (
        f"internal error of chattmpl: {type(error).__name__}{f': {details}' if details else ''}\n"
        f"hint: please report it with the output of the same command under {TRACEBACK}=1"
    )


def _with_options(hint: str) -> str:
    """Replace the arguments that a hint of the library names by the options of the command line."""
    for argument, option in _OPTIONS.items():
        hint = hint.replace(argument, option)
    return _ARGUMENT.sub(lambda match: " ".join(filter(None, (option_of(match[1]), match[2]))), hint)


def option_of(argument: str) -> str:
    """Return the option for an argument of the library: ``--control-tokens`` for ``control_tokens``."""
    return f"--{argument.replace('_', '-')}"


def say(text: str) -> None:
    """Print a line for the user on stderr, with control characters made visible."""
    from chattmpl.printable import visible

    print(visible(text), file=sys.stderr)


def note(text: str) -> None:
    """Print a note for the user on stderr."""
    say(f"note: {text}")


def write(text: str) -> None:
    """Write text to stdout as UTF-8, whatever the locale."""
    # A template can write a lone surrogate, which UTF-8 cannot encode.
    try:
        sys.stdout.buffer.write(text.encode("utf-8", errors="backslashreplace"))
        sys.stdout.buffer.flush()
    except OSError as error:  # a full disk; a closed pipe stays what it is
        raise OSError(error.errno, error.strerror, "stdout") from None


def write_file(path: str | Path, text: str) -> None:
    """Write text to a file as UTF-8, in one step."""
    from chattmpl.template.writer import replacing

    with replacing(Path(path)) as file:
        file.write(text.encode("utf-8", errors="backslashreplace"))


def choose_format(form: str | None, piped: str = "text") -> str:
    """Return the format that was asked for, or else ``rich`` in a terminal and ``piped`` elsewhere."""
    return form or ("rich" if sys.stdout.isatty() else piped)


def write_diagnostics(
    form: str,
    found: Sequence[Diagnostic],
    documented: Mapping[str, Documented],
    *,
    tool: str = "chattmpl",
    rest: str = "",
) -> None:
    """Write findings to stdout; see `chattmpl.report.diagnostics`."""
    from chattmpl.report import diagnostics as report
    from chattmpl.report.lines import write_lines

    if form in ("rich", "text"):
        write_lines(report.lines(found, rest), form)
    else:
        write(report.document(form, found, documented, tool))


def write_change(change: Change, *, dry_run: bool, what: str = "this template") -> None:
    """Write a planned change unless it is a dry run, and print what was done to stderr."""
    from chattmpl.template.writer import write as write_file

    if not change.needed:
        say(f"{change.path} already holds {what}: nothing was written")
    elif dry_run:
        say(f"{change.path} would be {'created' if change.old is None else 'changed'}: nothing was written")
    else:
        backup = write_file(change)
        say(f"wrote {change.path}" + (f", backup in {backup}" if backup else ""))


def require_packages(what: str, packages: Sequence[str], extras: str) -> None:
    """Check that the packages that a command, or a part of one, imports are installed.

    Raises:
        UsageError: if some are not.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        hint = f"pip install 'chattmpl[{extras}]'"
        raise UsageError(f"{what} requires packages that are not installed: {names}", hint=hint)


class Bars:
    """Progress bars on stderr for phases of work, shown in a terminal only.

    Args:
        lines: without a terminal, print a line at the start of each phase.
    """

    def __init__(self, *, lines: bool = False) -> None:
        self._lines = lines
        self._shown = sys.stderr.isatty()
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bars:
        return self

    def update(self, phase: str, done: int, total: int) -> None:
        """Set the progress of a phase."""
        if not self._shown:
            if self._lines and phase not in self._tasks:
                self._tasks[phase] = None
                say(f"{phase} …")
            return
        if self._bars is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bars = Progress(console=Console(stderr=True), transient=True)
            self._bars.start()
        if phase not in self._tasks:
            self._tasks[phase] = self._bars.add_task(phase, total=total)
        self._bars.update(self._tasks[phase], completed=done)

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()


def collect_garbage() -> None:
    """Enable the garbage collector for a long command, without the objects up to now, most of which are modules."""
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()


@contextmanager
def job_progress() -> Iterator[Watcher]:
    """Show the progress of a job on stderr: a bar in a terminal, and otherwise only notes."""
    from chattmpl.data.job import JobNoteKind, Watcher
    from chattmpl.data.template_notes import TemplateNoteKind
    from chattmpl.report.encoded import note_text

    collect_garbage()

    class Notes(Watcher):
        def note(self, note: JobNote) -> None:
            # The command has said so when it loaded the template.
            if not (note.kind is JobNoteKind.TEMPLATE and note.data["note"].kind is TemplateNoteKind.NO_GENERATION):
                say(f"note: {note_text(note)}")

    if not sys.stderr.isatty():
        yield Notes()
        return
    import time

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    texts = [TextColumn(text) for text in ("{task.description}", "{task.fields[speed]}")]
    columns = (texts[0], BarColumn(), DownloadColumn(), texts[1], TimeRemainingColumn())
    # Refreshed by events, since a thread would forbid to fork workers.
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as progress:

        class Bar(Notes):
            task = progress.add_task("reading", total=None, speed="")
            rows = done = before = 0
            start = time.monotonic()

            def reading(self, name: str, size: int) -> None:
                self.done = self.before = 0
                progress.reset(self.task, total=size or None, description=f"reading {name}", speed="")
                progress.refresh()

            def begins(self, phase: Phase, total: int, done: int) -> None:
                self.start, self.done, self.before = time.monotonic(), done, done
                progress.reset(self.task, total=total, completed=done, description=phase, speed="")
                progress.refresh()

            def advances(self, weight: int, counts: dict[str, Any]) -> None:
                self.rows += sum(some.get("drawn", 0) for some in counts.get("sources", {}).values())
                speed = self.rows / max(time.monotonic() - self.start, 0.1)
                shown = f"{self.rows:,} rows, {speed:,.0f} per second" if self.rows else ""
                self.done += weight
                self._show(self.done, speed=shown)

            def reads(self, size: int) -> None:
                self._show(self.before + size)

            def _show(self, size: int, **shown: Any) -> None:
                task = progress.tasks[self.task]
                progress.update(self.task, completed=min(max(size, task.completed), task.total or size), **shown)
                progress.refresh()

        yield Bar()
