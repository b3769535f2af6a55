"""From conversations to training rows: one callable, batch in, batch out."""

from __future__ import annotations

from chattmpl.extra.encoder.encoded import Encoded
from chattmpl.extra.encoder.encoder import Encoder, FastPathWarning
from chattmpl.extra.encoder.report import Report
from chattmpl.extra.encoder.row import Rejected, Row

__all__ = ["Encoded", "Encoder", "FastPathWarning", "Rejected", "Report", "Row"]
