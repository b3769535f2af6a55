"""Support shared by test modules: fetched files, references to compare with, and the root of the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""
