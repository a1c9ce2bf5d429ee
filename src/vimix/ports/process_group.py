"""The processes that train one network together, seen from one of them."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class ProcessGroup(Protocol):
    """W members, each with B rows of a global batch of G = W·B; member r holds rows r·B ... (r+1)·B - 1 of it.

    One process alone is a group of one. Whatever is random is drawn for the global batch by every member from the same
    generator, so that a group does what one process does with the whole batch and W times as many BatchNorm groups.
    No method passes gradients on. All members call the same methods in the same order.
    """

    @property
    def rank(self) -> int:
        """Number of this member, 0 ... size-1. Member 0 writes."""
        ...

    @property
    def size(self) -> int:
        """W."""
        ...

    def all_gather(self, rows: Tensor) -> Tensor:
        """Everybody's rows [B, ...] in order of rank: [G, ...]. All bring equally many."""
        ...

    def all_gather_ragged(self, rows: Tensor) -> Tensor:
        """As ``gather``, for rows [n, D] on the CPU, of which members may bring differing numbers, or none."""
        ...

    def permute_rows(self, rows: Tensor, order: NDArray[np.int64]) -> Tensor:
        """The member's rows [B, ...] of the global batch permuted by ``order`` [G]: rows order[r·B : (r+1)·B]."""
        ...

    def any(self, flag: Tensor) -> Tensor:
        """A bool scalar on the training device: whether it is true for any member. Nobody waits to read it."""
        ...

    def max(self, step: int, wish: int) -> int:
        """The greatest wish of all members, who have all completed ``step``.

        Raises VimixError if they have not: then they do not train the same thing.
        """
        ...
