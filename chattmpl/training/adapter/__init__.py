"""The adapter between chattmpl and trl: what the template marks reaches the model, token by token."""

from chattmpl.training.adapter.batch_audit import BatchAudit, BatchAuditError, audit_batches
from chattmpl.training.adapter.callbacks import VibeTest, count_supervised
from chattmpl.training.adapter.collator import Collator
from chattmpl.training.adapter.completions import Completion, MissingStopTokens, complete, stop_ids
from chattmpl.training.adapter.prepare import prepare
from chattmpl.training.adapter.sft import sft_config, sft_trainer

__all__ = [
    "BatchAudit",
    "BatchAuditError",
    "Collator",
    "Completion",
    "MissingStopTokens",
    "VibeTest",
    "audit_batches",
    "complete",
    "count_supervised",
    "prepare",
    "sft_config",
    "sft_trainer",
    "stop_ids",
]
