"""What the playground shows: pure functions from a state to data, which need no browser and no web server."""

from __future__ import annotations
