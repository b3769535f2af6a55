"""``python -m chattmpl``."""

import sys

from chattmpl.cli import run

sys.exit(run())
