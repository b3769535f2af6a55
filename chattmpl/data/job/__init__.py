"""Encode jobs: whole datasets on many processes, in bounded memory, resumable."""

from chattmpl.data.job.events import JobNote, JobNoteKind, Phase, Watcher
from chattmpl.data.job.options import JobOptions, Options, RejectionLimit, RowOptions, ScanOptions
from chattmpl.data.job.record import Summary
from chattmpl.data.job.run import encode_dataset
from chattmpl.data.mixture import Mixture, MixtureSource

__all__ = [
    "JobNote",
    "JobNoteKind",
    "JobOptions",
    "Mixture",
    "MixtureSource",
    "Options",
    "Phase",
    "RejectionLimit",
    "RowOptions",
    "ScanOptions",
    "Summary",
    "Watcher",
    "encode_dataset",
]
