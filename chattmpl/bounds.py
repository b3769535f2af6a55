"""Hard bounds on the templates that a process compiles and renders: time and memory, by the operating system.

The budget of a render (`chattmpl.budget`) accounts for what a template does, and its errors say what that was. The
bounds here hold for whatever the accounts miss. The allocation that exceeds the memory fails. At the end of the time
the template is interrupted; if Python does not respond, since it is inside one long operation, the process is killed.

A process opts in: the command line with `supervise`, its worker processes and pytest with `enforce`. Without it,
`bounded` does nothing. Only the main thread is bounded, and only Linux limits memory.
"""

import atexit
import contextlib
import mmap
import os
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from chattmpl.errors import BudgetError, Reason

SECONDS = 10.0
"""Maximum time of one compilation or render, in seconds."""

MEMORY = 1 << 30
"""Maximum number of bytes that one compilation or render can add to the process."""

HINT = "chat templates take milliseconds; read this one before you use it"
"""Hint for a template that ran for too long."""

_GRACE = 3.0
"""Seconds between the interrupt and the end of a process that does not respond to it."""

_POLL = 0.2
"""Seconds between two looks of the supervisor at its process."""

_TWICE = 0.3
"""Seconds within which two interrupts are one."""

_BEGAN = struct.Struct("d")
"""The time on the monotonic clock at which the template began, or 0: the memory shared with the supervisor."""

_BUS = (signal.SIGBUS,) if hasattr(signal, "SIGBUS") else ()

_PASSED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP} if hasattr(signal, "SIGHUP") else ())
"""Signals to the supervisor that are for its process."""

_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, *_BUS})
"""Signals with which a library written in another language ends a process."""

_SENT_BY_A_PROCESS = 0
"""The code SI_USER of a signal that was sent with ``kill``."""

_WRONG = 2
"""The exit code for invalid input."""


class _Bounds:
    """The bounds of this process."""

    def __init__(self, shared: mmap.mmap | bytearray) -> None:
        self._shared = shared
        self._thread = threading.main_thread().ident
        self._depth = 0
        self._began = 0.0
        self._soft = self._hard = -1
        self._statm = -1
        with contextlib.suppress(OSError):  # only Linux has it
            self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        with contextlib.suppress(ImportError):  # not available on Windows
            import resource

            self._resource: Any = resource
            self._soft, self._hard = resource.getrlimit(resource.RLIMIT_AS)
        self.before = signal.signal(signal.SIGALRM, self._interrupt)

    @contextmanager
    def bounded(self, *, time_too: bool) -> Iterator[None]:
        if threading.get_ident() != self._thread or self._depth:
            yield
            return
        self._depth = 1
        self._began = time.monotonic() if time_too else 0.0
        _BEGAN.pack_into(self._shared, 0, self._began)
        limited = self._limit_memory()
        try:
            yield
        finally:
            self._depth = 0
            self._began = 0.0
            _BEGAN.pack_into(self._shared, 0, 0.0)
            if limited:
                self._resource.setrlimit(self._resource.RLIMIT_AS, (self._soft, self._hard))

    def close(self) -> None:
        """Close the file of the process's size."""
        with contextlib.suppress(OSError):
            os.close(self._statm)

    def _limit_memory(self) -> bool:
        """Limit the address space; return whether this was possible.

        It is measured each time, for a module or a thread that was loaded or started since may have added any amount.
        """
        with contextlib.suppress(ValueError, OSError):
            size = int(os.pread(self._statm, 64, 0).split()[0]) * mmap.PAGESIZE
            limit = min(limit for limit in (size + MEMORY, self._soft, self._hard) if limit >= 0)
            self._resource.setrlimit(self._resource.RLIMIT_AS, (limit, self._hard))
            return True
        return False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._began and time.monotonic() - self._began >= SECONDS:
            raise BudgetError(f"the template ran for more than {SECONDS:g} seconds", hint=HINT, reason=Reason.TIME)


_bounds: _Bounds | None = None


@contextmanager
def bounded(*, time_too: bool = True) -> Iterator[None]:
    """Bound the time and memory of what runs inside, or only its memory, in a process that enforces bounds.

    Raises:
        BudgetError: after `SECONDS`.
        MemoryError: at an allocation beyond `MEMORY`.
    """
    if _bounds is None:
        yield
    else:
        with _bounds.bounded(time_too=time_too):
            yield


def enforce(*, anew: bool = False) -> None:
    """Enforce the bounds in this process until `release`. Without a supervisor, it is interrupted but never killed.

    Only the main thread can do this; in another thread it has no effect.

    Args:
        anew: also in a fork of a process that enforces them, which would share them with its parent.
    """
    global _bounds
    here = threading.current_thread() is threading.main_thread()
    if (_bounds is None or anew) and here and hasattr(signal, "setitimer"):
        _bounds = _Bounds(bytearray(_BEGAN.size))
        signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
        atexit.register(release)  # an alarm while the interpreter shuts down would kill the process


def release() -> None:
    """Enforce the bounds no longer in this process."""
    global _bounds
    if _bounds is not None:
        atexit.unregister(release)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, _bounds.before)
        _bounds.close()
        _bounds = None


@contextmanager
def enforced() -> Iterator[None]:
    """Enforce the bounds in this process for a time, unless they are enforced already; see `enforce`."""
    before = _bounds
    enforce()
    try:
        yield
    finally:
        if before is None:
            release()


def supervise(run: Callable[[], int]) -> int:
    """Run a function, which returns an exit code, in a child that enforces the bounds; exit with its code, or in the
    child return it.

    Signals to this process reach the child, and the child does not outlive this process.
    """
    global _bounds
    if not (hasattr(os, "fork") and hasattr(signal, "sigtimedwait")):
        return run()
    shared = mmap.mmap(-1, _BEGAN.size)
    alive, lifeline = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON | {signal.SIGCHLD})
    child = os.fork()
    if child:
        os.close(alive)
        code = _watch(child, shared)
        sys.stderr.flush()
        os._exit(code)  # at once: there is nothing to clean up
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(lifeline)
    _die_with(alive)
    _bounds = _Bounds(shared)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Interrupt())
    return run()


class _Interrupt:
    """The handler of interrupts in a supervised process.

    An interrupt that another process sends to the whole group arrives twice, for the supervisor passes on its own.
    """

    def __init__(self) -> None:
        self._last = -_TWICE

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        again, self._last = now - self._last < _TWICE, now
        if not again:
            signal.default_int_handler(number, frame)


def confine(alive: int, memory: int) -> None:
    """Confine this process, a child that is about to run another program: its data have a limit in bytes, and it dies
    with us.

    Only the parent holds the other end of the pipe ``alive``.
    """
    with contextlib.suppress(ImportError):
        import resource

        if hasattr(resource, "RLIMIT_DATA"):
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    _die_with(alive)


def _die_with(alive: int) -> None:
    """Have the kernel kill this process when the other end of a pipe is closed, as it is at the end of its holder."""
    import fcntl

    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(alive, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([alive], [], [], 0)[0]:
        os._exit(_WRONG)


def _watch(child: int, shared: mmap.mmap) -> int:
    """Wait for the end of a child process, interrupt templates that take too long, and return its exit code."""
    while True:
        received = signal.sigtimedwait(_PASSED_ON | {signal.SIGCHLD}, _POLL)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        # What the terminal sends reaches the child as well.
        if received is not None and received.si_signo in _PASSED_ON and received.si_code == _SENT_BY_A_PROCESS:
            os.kill(child, received.si_signo)
        began = _BEGAN.unpack_from(shared)[0]
        seconds = time.monotonic() - began if began else 0.0
        if seconds >= SECONDS + _GRACE:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            limit = SECONDS + _GRACE
            print(f"error: the template ran for more than {limit:g} seconds and did not respond", file=sys.stderr)
            print(f"hint: {HINT}", file=sys.stderr)
            return _WRONG
        if seconds >= SECONDS:
            os.kill(child, signal.SIGALRM)
    if os.WIFSIGNALED(status):
        ending = os.WTERMSIG(status)
        if ending in _CRASHES:
            name = signal.Signals(ending).name
            print(f"error: a library crashed ({name}): an input is broken in a way it does not check", file=sys.stderr)
            print("hint: leave out the files one by one to find it, and report it", file=sys.stderr)
            return _WRONG
        if ending != signal.SIGKILL:
            signal.signal(ending, signal.SIG_DFL)
        os.kill(os.getpid(), ending)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {ending})
    return os.waitstatus_to_exitcode(status)
