"""The processes that train one network together, as one of them sees the group."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class ProcessGroup(Protocol):
    """W ranks, each with B rows of a global batch of G = W·B rows; rank r holds rows r·B ... (r+1)·B - 1.

    A single process is a group of size 1. Every rank draws all random numbers for the global batch from the same
    generator, so that a group computes what one process computes with the whole batch and W times as many BatchNorm
    groups. No method passes gradients on. All ranks call the same methods in the same order.
    """

    @property
    def rank(self) -> int:
        """Number of this process, 0 ... size-1. Rank 0 writes files."""
        ...

    @property
    def size(self) -> int:
        """Number of processes, W."""
        ...

    def all_gather(self, rows: Tensor) -> Tensor:
        """The rows [B, ...] of all ranks in order of rank, [G, ...]. All ranks have equally many."""
        ...

    def all_gather_ragged(self, rows: Tensor) -> Tensor:
        """The rows [n, D] of all ranks, on the CPU; ranks may have different numbers of rows, or none."""
        ...

    def permute_rows(self, rows: Tensor, order: NDArray[np.int64]) -> Tensor:
        """The rows [B, ...] of this rank of the global batch permuted by ``order`` [G]: rows order[r·B : (r+1)·B]."""
        ...

    def any(self, flag: Tensor) -> Tensor:
        """Whether a bool scalar on the training device is true on any rank; the host does not wait for the answer."""
        ...

    def wait(self) -> None:
        """Wait until all ranks are here, for days if need be: rank 0 may have work that the others have no part in."""
        ...

    def max(self, step: int, wish: int) -> int:
        """The greatest ``wish`` of all ranks.

        Raises VimixError unless all ranks have completed the same ``step``: otherwise they train different runs.
        """
        ...
