"""The processes of a training run: a single one, or those that ``accelerate launch`` and ``torchrun`` start."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from chattmpl.errors import ChatTmplError

_T = TypeVar("_T")

_TIMEOUT = timedelta(days=7)
"""Longest time that processes wait for the one that prepares data."""


class OtherProcessFailed(ChatTmplError):
    """Another process of this run failed and reported the error."""


class ProcessGroup:
    """All processes of a run. The main one reads, prints and writes.

    Attributes:
        size: number of processes.
        rank: rank of this process, from 0.
    """

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self._group: Any = None
        if self.size > 1:
            self._join()

    @property
    def is_main(self) -> bool:
        """True in the process of rank 0."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """True if FSDP was requested."""
        return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"

    def _join(self) -> None:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.accelerator.is_available())
        if self.sharded and not torch.accelerator.is_available():
            _enable_fsdp_on_cpus()
        # The default group of torch times out after minutes; encoding a large dataset may take hours.
        self._group = torch.distributed.new_group(backend="gloo", timeout=_TIMEOUT)

    def on_main(self, function: Callable[[], _T]) -> _T:
        """Call a function in the main process, and return its value in all processes.

        Raises:
            Exception: in the main process, what the function raised.
            OtherProcessFailed: in the other processes, if the function raised.
        """
        if self.size == 1:
            return function()
        result: list[Any] = [None, False]
        if self.is_main:
            try:
                result = [function(), True]
            except BaseException:
                self._broadcast(result)
                raise
        self._broadcast(result)
        if not result[1]:
            raise OtherProcessFailed("the main process of this run failed")
        value: _T = result[0]
        return value

    def _broadcast(self, result: list[Any]) -> None:
        import torch

        torch.distributed.broadcast_object_list(result, src=0, group=self._group)

    def on_all(self, function: Callable[[], _T]) -> list[_T]:
        """Call a function in each process, and return all values, ordered by rank, in each process.

        Raises:
            Exception: in the process of the lowest rank in which the function raised, what it raised.
            OtherProcessFailed: in the other processes, if the function raised in any.
        """
        if self.size == 1:
            return [function()]
        import torch

        mine: tuple[Any, bool] = (None, False)
        raised: BaseException | None = None
        try:
            mine = (function(), True)
        except Exception as error:
            raised = error
        gathered: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(gathered, mine, group=self._group)
        failed = [rank for rank, (_, succeeded) in enumerate(gathered) if not succeeded]
        if failed and failed[0] == self.rank and raised is not None:
            raise raised
        if failed:
            raise OtherProcessFailed(f"process {failed[0]} of this run failed")
        return [value for value, _ in gathered]

    def leave(self) -> None:
        """Destroy the process group, so that no other process reports a lost connection."""
        if self.size > 1:
            import torch

            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def _enable_fsdp_on_cpus() -> None:
    """Patch accelerate to shard models on CPUs.

    torch's ``fully_shard`` works on CPUs, but accelerate (1.15) honors its plugin only in processes with accelerators;
    elsewhere it would train without sharding, or fail.
    """
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    if getattr(AcceleratorState, "_chattmpl", False):
        return
    original = AcceleratorState.__init__

    def patched(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        original(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is None or self.distributed_type != DistributedType.MULTI_CPU:
            return
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = patched
    AcceleratorState._chattmpl = True
