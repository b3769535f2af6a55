"""``python -m chattmpl``."""

from __future__ import annotations

import sys

from chattmpl.cli import run

sys.exit(run())
