"""From conversations to training rows: one callable, batch in, batch out."""

from __future__ import annotations

from chattmpl.data.encoder.encoded_batch import Encoded
from chattmpl.data.encoder.encoder import Encoder, FastPathWarning
from chattmpl.data.encoder.report import Report
from chattmpl.data.encoder.row import Rejected, Row

__all__ = ["Encoded", "Encoder", "FastPathWarning", "Rejected", "Report", "Row"]
