"""The thin piece between chattmpl and trl: what the template says reaches the model, token by token."""

from __future__ import annotations

from chattmpl.training.adapter.batch_audit import Audited, AuditError, audit
from chattmpl.training.adapter.callbacks import VibeTest, count_supervised
from chattmpl.training.adapter.collator import Collator
from chattmpl.training.adapter.completions import Completion, complete, stop_ids
from chattmpl.training.adapter.prepare import prepare
from chattmpl.training.adapter.trl_config import sft_config

__all__ = [
    "AuditError",
    "Audited",
    "Collator",
    "Completion",
    "VibeTest",
    "audit",
    "complete",
    "count_supervised",
    "prepare",
    "sft_config",
    "stop_ids",
]
