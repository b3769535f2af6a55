"""How a command ends: an exit code, and one clear message where something is wrong."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any

import click

from chattmpl.errors import ChatTmplError

OK, FOUND, WRONG, INTERRUPTED = 0, 1, 2, 130
TRACEBACK = "CHATTMPL_TRACEBACK"
"""The environment variable that asks for the whole traceback of an error."""

_OPTIONS = {"add_generation_prompt": "--generation-prompt", "continue_final_message": "--continue-final-message"}
_ARGUMENT = re.compile(r"\b(straddle|control_tokens|mask|variant)='?([\w-]+)?'?")


def guarded(run: Callable[[], Any]) -> int:
    """Runs a command, and returns its exit code; an error becomes one message on stderr."""
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:
        return hushed()
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if os.environ.get(TRACEBACK, "0") not in ("", "0"):
            raise
        say(f"error: {message(error)}")
        return WRONG
    return code if isinstance(code, int) else OK


def hushed() -> int:
    """The exit code when whoever read us has seen enough (``| head``); from here on stdout goes nowhere."""
    # Without this the interpreter would complain when it flushes.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def message(error: Exception) -> str:
    """What a person is told about an error: what is wrong, where, and the way out."""
    if isinstance(error, ChatTmplError):
        error.hint = error.hint and _in_options(error.hint)
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


def _in_options(hint: str) -> str:
    """A hint of the library, which speaks of arguments, in words of the command line."""
    for argument, option in _OPTIONS.items():
        hint = hint.replace(argument, option)
    return _ARGUMENT.sub(lambda match: " ".join(filter(None, (_option(match[1]), match[2]))), hint)


def _option(argument: str) -> str:
    return f"--{argument.replace('_', '-')}"


def say(text: str) -> None:
    """A line for the person, on stderr, with nothing in it that a terminal would obey."""
    from chattmpl.printable import visible

    print(visible(text), file=sys.stderr)
