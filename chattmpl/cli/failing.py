"""How a command ends: an exit code, and one clear message where something is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from chattmpl.errors import ChatTmplError

OK, WRONG, INTERRUPTED = 0, 2, 130
TRACEBACK = "CHATTMPL_TRACEBACK"
"""The environment variable that asks for the whole traceback of an error."""


def guarded(run: Callable[[], Any]) -> int:
    """Runs a command, and returns its exit code; an error becomes one message on stderr."""
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has seen enough (`| head`). Without this the interpreter would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if os.environ.get(TRACEBACK, "0") not in ("", "0"):
            raise
        say(f"error: {message(error)}")
        return WRONG
    return code if isinstance(code, int) else OK


def message(error: Exception) -> str:
    """What a person is told about an error: what is wrong, where, and the way out."""
    if isinstance(error, ChatTmplError):
        return str(error)
    if isinstance(error, click.ClickException):
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "chattmpl"
        return f"{error.format_message()}\nhint: {command} --help tells how it is used"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror.lower()
    what = " ".join(str(error).split())[:200]
    return (
        f"this is a bug in chattmpl: {type(error).__name__}{f': {what}' if what else ''}\n"
        f"hint: please report it, with what {TRACEBACK}=1 makes the same command print"
    )


def say(text: str) -> None:
    """A line for the person, on stderr, with nothing in it that a terminal would obey."""
    from chattmpl.report.visible import visible

    print(visible(text), file=sys.stderr)
