"""Intervals on one axis of a grid, for all rows of a batch at once: the sides of boxes."""

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]


@frozen(eq=False)
class Interval:
    """A half-open run of cells for each row of a batch."""

    start: Integers
    """[B] int64, the first cell."""
    stop: Integers
    """[B] int64, one past the last cell."""

    @property
    def extent(self) -> Integers:
        """Number of cells, [B] int64."""
        return self.stop - self.start


def whole(size: int, rows: int) -> Interval:
    """The full axis in every row."""
    return Interval(np.zeros(rows, dtype=np.int64), np.full(rows, size, dtype=np.int64))


def centred(size: int, sides: Doubles, rng: np.random.Generator) -> Interval:
    """Runs of the given real ``sides`` [B] around centres uniform in [0, size], rounded to cells and clipped.

    Both ends are rounded, so that a run has the length ``side`` on average before clipping. Rounding the length down
    would make short sides vanish on the coarse grids of deep layers.
    """
    centres = rng.uniform(0.0, size, len(sides))
    start, stop = np.rint(centres - sides / 2), np.rint(centres + sides / 2)
    return Interval(np.clip(start, 0, size).astype(np.int64), np.clip(stop, 0, size).astype(np.int64))


def placed(size: int, donor: Interval, rng: np.random.Generator) -> tuple[Interval, Interval]:
    """Place the donor's runs around centres uniform in [0, size] (Eq. 9) and clip them to the axis.

    Returns the destinations, and the donor's runs clipped by the same offsets, so that cells correspond.
    """
    extent = donor.extent
    start = np.rint(rng.uniform(0.0, size, len(extent)) - extent / 2).astype(np.int64)
    stop = start + extent
    inside_start, inside_stop = np.clip(start, 0, size), np.clip(stop, 0, size)
    kept = Interval(donor.start + (inside_start - start), donor.stop - (stop - inside_stop))
    return Interval(inside_start, inside_stop), kept
