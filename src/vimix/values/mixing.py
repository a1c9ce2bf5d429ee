"""Plans of a mix: drawn once, then applied to tensors, logged, drawn as a picture or replayed."""

import numpy as np
from attrs import cmp_using, field, frozen
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

_same = cmp_using(eq=np.array_equal)


@frozen
class Cut:
    """A box for each row: cells from ``donor_start`` on of the donor replace the cells from ``start`` on.

    All three arrays are int64 [B, 4], in cells of [channel, time, height, width]. An extent of 0 is an empty box.
    """

    start: Integers = field(eq=_same)
    donor_start: Integers = field(eq=_same)
    extent: Integers = field(eq=_same)

    @property
    def volumes(self) -> Integers:
        """Number of cells replaced in each row, [B] int64."""
        volumes: Integers = self.extent.prod(axis=1)
        return volumes

    def rows(self, start: int, stop: int) -> "Cut":
        """The boxes of rows start ... stop-1."""
        return Cut(self.start[start:stop], self.donor_start[start:stop], self.extent[start:stop])


@frozen
class MixPlan:
    """Row i keeps the share ``weight[i]`` of itself and takes the rest from row ``partner[i]`` of the donor batch.

    With a ``cut`` the share is a volume. Without one the rows are interpolated: weight·own + (1 - weight)·partner's.
    """

    partner: Integers = field(eq=_same)
    """[B] int64, a permutation."""
    weight: Floats = field(eq=_same)
    """[B] float32 in [0, 1] (Eq. 3 and 5)."""
    cut: Cut | None = None

    @classmethod
    def unmixed(cls, batch: int) -> "MixPlan":
        """The plan in which every row keeps all of itself."""
        return cls(partner=np.arange(batch), weight=np.ones(batch, dtype=np.float32))

    def rows(self, start: int, stop: int) -> "MixPlan":
        """The plan of rows start ... stop-1; ``partner`` still numbers the rows of the whole batch."""
        cut = None if self.cut is None else self.cut.rows(start, stop)
        return MixPlan(self.partner[start:stop], self.weight[start:stop], cut)

    def __len__(self) -> int:
        return len(self.partner)
