"""The thin piece between chattmpl and trl: what the template says reaches the model, token by token."""

from __future__ import annotations

from chattmpl.extra.trainer.auditing import Audited, AuditError, audit
from chattmpl.extra.trainer.callbacks import VibeTest, count_supervised
from chattmpl.extra.trainer.collator import Collator
from chattmpl.extra.trainer.config import sft_config
from chattmpl.extra.trainer.generating import Completion, complete, stop_ids
from chattmpl.extra.trainer.preparing import prepare

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
