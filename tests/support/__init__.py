"""What several test modules share: things fetched and kept, references to compare with, and the repository's root."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""
