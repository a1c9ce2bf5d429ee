"""The process group that torchrun started: NCCL for tensors on GPUs, gloo for tensors on CPUs."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import distributed as dist

from vimix.app.parallel import SINGLE_PROCESS
from vimix.ports.process_group import ProcessGroup
from vimix.values.errors import VimixError

_CONTACT = re.compile(r"gloo|nccl|process ?group|connection|socket|timed? ?out|collective", re.IGNORECASE)
"""Words in the messages of torch.distributed when a process is gone; gloo raises a plain RuntimeError."""
PATIENCE = timedelta(days=7)
"""Longest work of rank 0 that the other ranks wait for. A rank that ends is noticed at once."""


class TorchProcessGroup:
    """Implements ``vimix.ports.process_group.ProcessGroup`` over the default process group, which must exist."""

    def __init__(self) -> None:
        patient = dist.new_group(backend="gloo", timeout=PATIENCE)
        assert isinstance(patient, dist.ProcessGroup)
        self._patient = patient
        self.completed = 0
        """The last step that this process completed."""

    @property
    def rank(self) -> int:
        """Number of this process, 0 ... size-1."""
        return dist.get_rank()

    @property
    def size(self) -> int:
        """Number of processes."""
        return dist.get_world_size()

    @torch.no_grad()
    def all_gather(self, rows: Tensor) -> Tensor:
        """The rows of all ranks in order of rank."""
        rows = rows.detach().contiguous()
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @torch.no_grad()
    def all_gather_ragged(self, rows: Tensor) -> Tensor:
        """The same for different numbers of rows, which are padded to the longest and cut again."""
        shapes = self.all_gather(torch.tensor([rows.shape]))
        longest, width = shapes.amax(dim=0).tolist()
        padded = rows.new_zeros(longest, width)
        padded[: rows.shape[0], : rows.shape[1]] = rows
        parts = torch.split(self.all_gather(padded), longest)
        return torch.cat([part[:count] for part, count in zip(parts, shapes[:, 0].tolist(), strict=True)])

    @torch.no_grad()
    def permute_rows(self, rows: Tensor, order: NDArray[np.int64]) -> Tensor:
        """The rows of this rank after a permutation; each row is sent once, from its rank to the rank that needs it."""
        count, rank = len(rows), self.rank
        wanted = order.reshape(self.size, count)
        owners = wanted // count
        sent = [numbers[owner == rank] - rank * count for numbers, owner in zip(wanted, owners, strict=True)]
        received = torch.empty_like(rows, memory_format=torch.contiguous_format)
        dist.all_to_all_single(
            received,
            _at(rows.detach(), np.concatenate(sent)).contiguous(),
            output_split_sizes=np.bincount(owners[rank], minlength=self.size).tolist(),
            input_split_sizes=[len(numbers) for numbers in sent],
        )
        # Rows arrive sorted by owner; the rows of one owner are in the wanted order.
        return _at(received, np.argsort(np.argsort(owners[rank], kind="stable"), kind="stable"))

    @torch.no_grad()
    def any(self, flag: Tensor) -> Tensor:
        """Whether the flag is true on any rank."""
        number = flag.to(torch.int32)
        dist.all_reduce(number, dist.ReduceOp.MAX)
        return number.bool()

    def wait(self) -> None:
        """Wait until all ranks are here."""
        dist.barrier(self._patient)

    def max(self, step: int, wish: int) -> int:
        """The greatest wish of all ranks. Raises VimixError unless all have completed ``step``."""
        self.completed = step
        wishes = self.all_gather(torch.tensor([[step, wish]]))
        steps: list[int] = wishes[:, 0].tolist()
        if len(set(steps)) > 1:
            raise VimixError(
                f"the {self.size} processes stand at the steps {steps}: they must see the same RUN folder and recipe"
            )
        return int(wishes[:, 1].max())


def _at(rows: Tensor, numbers: NDArray[np.int64]) -> Tensor:
    return rows[torch.from_numpy(numbers).to(rows.device, non_blocking=True)]


def local_rank() -> int | None:
    """Number of this process on its machine; None if torchrun did not start it."""
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ else None


@contextmanager
def join_process_group(device: torch.device, timeout: float) -> Iterator[ProcessGroup]:
    """The group that torchrun started, while the context lasts; without torchrun a group of this process alone.

    Raises VimixError if other processes are gone or do not answer within ``timeout`` seconds.
    """
    if local_rank() is None or os.environ["WORLD_SIZE"] == "1":
        yield SINGLE_PROCESS
        return
    group = None
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
        group = TorchProcessGroup()
        yield group
    except RuntimeError as error:
        if not _CONTACT.search(str(error)):
            raise
        raise VimixError(_lost(group.completed if group else 0, error)) from error
    dist.destroy_process_group()


def _lost(completed: int, error: RuntimeError) -> str:
    reason = " ".join(str(error).split())[:200]
    return (
        f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} lost the others after its step {completed}: "
        f"one of them ended or hangs; see the output of the process that ended first for the cause ({reason})"
    )
