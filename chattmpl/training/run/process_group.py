"""The processes of a run: one, or those that ``accelerate launch`` and ``torchrun`` start."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from chattmpl.errors import ChatTmplError

_T = TypeVar("_T")

_PATIENCE = timedelta(days=7)
"""How long processes wait for the one that prepares data."""


class Elsewhere(ChatTmplError):
    """Another process of this run failed, and has said why."""


class World:
    """All processes of a run. The first one reads, prints and writes.

    Attributes:
        size: how many there are.
        rank: which one this is, from 0.
    """

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self._group: Any = None
        if self.size > 1:
            self._join()

    @property
    def first(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether FSDP was asked for."""
        return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"

    def _join(self) -> None:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.accelerator.is_available())
        if self.sharded and not torch.accelerator.is_available():
            _shard_on_cpus()
        # Collectives of training give up after minutes; encoding a large data set may take hours.
        self._group = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)

    def once(self, do: Callable[[], _T]) -> _T:
        """What the first process makes, which all get.

        Raises:
            Exception: in the first process, what was raised there.
            Elsewhere: in all others, if something was raised.
        """
        if self.size == 1:
            return do()
        made: list[Any] = [None, False]
        if self.first:
            try:
                made = [do(), True]
            except BaseException:
                self._send(made)
                raise
        self._send(made)
        if not made[1]:
            raise Elsewhere("the first process of this run failed")
        value: _T = made[0]
        return value

    def _send(self, made: list[Any]) -> None:
        import torch

        torch.distributed.broadcast_object_list(made, src=0, group=self._group)

    def every(self, do: Callable[[], _T]) -> list[_T]:
        """What each process makes, in the order of their ranks, which all get.

        Raises:
            Exception: in the first process that raised, what was raised there.
            Elsewhere: in all others, if something was raised in one.
        """
        if self.size == 1:
            return [do()]
        import torch

        mine: tuple[Any, bool] = (None, False)
        raised: BaseException | None = None
        try:
            mine = (do(), True)
        except Exception as error:
            raised = error
        gathered: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(gathered, mine, group=self._group)
        failed = [rank for rank, (_, good) in enumerate(gathered) if not good]
        if failed and failed[0] == self.rank and raised is not None:
            raise raised
        if failed:
            raise Elsewhere(f"process {failed[0]} of this run failed")
        return [value for value, _ in gathered]

    def leave(self) -> None:
        """Says goodbye to the others, so that none complains."""
        if self.size > 1:
            import torch

            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def _shard_on_cpus() -> None:
    """Makes accelerate shard models on CPUs.

    torch's ``fully_shard`` works there; accelerate (1.15) looks for its plugin only where the processes have
    accelerators, and would train without sharding, or not at all.
    """
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    if getattr(AcceleratorState, "_chattmpl", False):
        return
    begin = AcceleratorState.__init__

    def begun(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        begin(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is None or self.distributed_type != DistributedType.MULTI_CPU:
            return
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = begun
    AcceleratorState._chattmpl = True
