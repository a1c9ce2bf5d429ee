"""What is mixed with what: drawn once, then applied, logged, drawn as a picture or replayed."""

import numpy as np
from attrs import cmp_using, field, frozen
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

_same = cmp_using(eq=np.array_equal)


@frozen
class Cut:
    """One box a row: cells ``donor_start ... donor_start + extent`` of the donor replace those at ``start``.

    All three are int64 ``[B, 4]`` in cells of ``[channel, time, height, width]``; an extent of 0 is an empty box.
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

    ``partner`` [B] int64 is a permutation, ``weight`` [B] float32 lies in [0, 1] (Eq. 3 and 5).
    With ``cut`` the share is a volume, without it the rows are interpolated: weight·own + (1 - weight)·partner's.
    """

    partner: Integers = field(eq=_same)
    weight: Floats = field(eq=_same)
    cut: Cut | None = None

    @classmethod
    def unmixed(cls, batch: int) -> "MixPlan":
        """Every row stays itself."""
        return cls(partner=np.arange(batch), weight=np.ones(batch, dtype=np.float32))

    def rows(self, start: int, stop: int) -> "MixPlan":
        """The plan of rows start ... stop-1; ``partner`` still numbers the rows of the whole batch."""
        cut = None if self.cut is None else self.cut.rows(start, stop)
        return MixPlan(self.partner[start:stop], self.weight[start:stop], cut)

    def __len__(self) -> int:
        return len(self.partner)
