"""Suppression of warnings, logs and progress bars of other libraries."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, logs and progress bars of other libraries."""
    import datasets
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), datasets.utils.logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
        if bars:
            datasets.utils.logging.enable_progress_bar()
