"""``python -m chattmpl``, and the script ``chattmpl``."""

import signal
import sys


def run() -> int:
    """Run the command line and return its exit code."""
    quiet = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if quiet:  # An interrupt while modules are being imported ends the process without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from chattmpl.cli import run as run_cli

    if quiet:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run_cli()


if __name__ == "__main__":
    sys.exit(run())
