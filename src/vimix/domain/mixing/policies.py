"""Policies draw a plan: the partner of each row, the share of the row that is left, and the box that is cut.

Input space (section 3.1, Table 1): ``Mixup``, ``TemporalCutMix``, ``SpatioTemporalCutMix``, ``VideoMix``.
Hidden space (section 3.2, Table 2): ``ManifoldMixup``, ``CrossModalMixup``, ``CrossModalCutMix``.
"""

from typing import ClassVar, Protocol

import numpy as np
from attrs import field, frozen, validators
from numpy.typing import NDArray

from vimix.values.grid import AXES, Grid
from vimix.values.mixing import Cut, Integers, MixPlan


class MixPolicy(Protocol):
    """Draws a plan from sizes and a generator. No tensor is involved."""

    def plan(self, *, batch: int, grid: Grid, rng: np.random.Generator, donor: Grid | None = None) -> MixPlan:
        """A plan for ``batch`` rows of ``grid``, mixed with rows of ``donor`` (default: the same grid).

        Raises ValueError if this policy cannot mix the two grids.
        """
        ...


@frozen
class NoMix:
    """No mixing: plain MoCo."""

    def plan(self, *, batch: int, grid: Grid, rng: np.random.Generator, donor: Grid | None = None) -> MixPlan:
        """The plan in which every row keeps all of itself."""
        del grid, rng, donor
        return MixPlan.unmixed(batch)


@frozen(kw_only=True)
class _Drawn:
    """λ ~ Beta(alpha, alpha), drawn for each sample or once for the batch; partners are a random permutation."""

    alpha: float = field(default=1.0, validator=validators.gt(0))
    per_sample: bool = True

    def _weights(self, batch: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """λ of each row, or a single one for all rows."""
        return rng.beta(self.alpha, self.alpha, batch if self.per_sample else 1)


@frozen(kw_only=True)
class Mixup(_Drawn):
    """Interpolates λ·x_i + (1-λ)·x_r(i) (Zhang et al. 2018; Table 1). Both grids must be equal."""

    def plan(self, *, batch: int, grid: Grid, rng: np.random.Generator, donor: Grid | None = None) -> MixPlan:
        """Partners and weights without a box. Raises ValueError if the grids differ."""
        _require_equal(grid, donor or grid, AXES)
        weights = np.broadcast_to(self._weights(batch, rng), batch).astype(np.float32)
        return MixPlan(partner=rng.permutation(batch), weight=weights)


@frozen(kw_only=True)
class ManifoldMixup(Mixup):
    """Mixup of two hidden maps of one encoder, λ·g1 + (1-λ)·g1[r] (Verma et al. 2019; Table 2)."""


@frozen(kw_only=True)
class CrossModalMixup(Mixup):
    """Mixup of hidden maps of two encoders at the same layer, λ·g1 + (1-λ)·g2[r] (Table 2, "CM mixup")."""


@frozen(eq=False)
class Interval:
    """A half-open run of cells on one axis of a grid for each row of a batch: a side of the boxes."""

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


def centred(size: int, sides: NDArray[np.float64], rng: np.random.Generator) -> Interval:
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


@frozen(kw_only=True)
class _BoxCutMix(_Drawn):
    """Replaces a box of share 1-λ; its side along each of its d axes is (1-λ)^(1/d) of the axis, clipped."""

    axes: ClassVar[str]

    def plan(self, *, batch: int, grid: Grid, rng: np.random.Generator, donor: Grid | None = None) -> MixPlan:
        """The same box in both clips; ``weight`` is that of the clipped box. Raises ValueError if the grids differ."""
        _require_equal(grid, donor or grid, AXES)
        axes = [axis for axis in self.axes if grid.planar or axis != "w"]
        shares = (1 - self._weights(batch, rng)) ** (1 / len(axes))
        partner = rng.permutation(batch)
        boxes = [
            centred(size, size * shares, rng) if axis in axes else whole(size, len(shares))
            for axis, size in zip(AXES, grid.sizes, strict=True)
        ]
        return _plan_of(partner, grid, _cut_of(boxes, boxes))


@frozen(kw_only=True)
class TemporalCutMix(_BoxCutMix):
    """Replaces a run of 1-λ of the frames by the partner's (Table 1, "Temporal cutmix")."""

    axes: ClassVar[str] = "t"


@frozen(kw_only=True)
class SpatioTemporalCutMix(_BoxCutMix):
    """Replaces a cuboid with sides (1-λ)^(1/3) by the partner's (Table 1, "ST cutmix")."""

    axes: ClassVar[str] = "thw"


@frozen(kw_only=True)
class VideoMix(_BoxCutMix):
    """Replaces a rectangle with sides √(1-λ), the same in all frames, by the partner's (Yun et al. 2020; Table 1)."""

    axes: ClassVar[str] = "hw"


DIMS = ("hw", "thw", "cthw")
EXTENTS = ("box", "map")
_DRAWS = 100


@frozen(kw_only=True)
class CrossModalCutMix(_Drawn):
    """Cuts a tesseract of the donor's hidden map into the trained encoder's (Eq. 4-9; Fig. 1)."""

    dims: str = field(default="cthw", validator=validators.in_(DIMS))
    """Axes on which the destination is placed at random: "hw" ("s" of Table 2), "thw" ("s,t") or "cthw" ("s,t,c", the
    full method). Any other axis is taken whole and must be equally long in both maps."""
    extent: str = field(default="box", validator=validators.in_(EXTENTS))
    """Reading of the spatial extents h2, w2 in Eq. 9: "box" takes those of the box that Eq. 8 cut, so that λ acts;
    "map" takes those of the donor's whole map, as printed, so that λ has no effect."""
    least_weight: float = field(default=0.0, validator=[validators.ge(0), validators.lt(1)])
    """Least share of itself that a row keeps. A box that leaves less is drawn again, up to 100 times; then the row is
    not mixed. The paper has no such bound: 0."""

    def plan(self, *, batch: int, grid: Grid, rng: np.random.Generator, donor: Grid | None = None) -> MixPlan:
        """The source box in the donor (Eq. 8), its destination (Eq. 9), and the share that is left.

        Raises ValueError if an axis outside ``dims`` differs in length.
        """
        donor = donor or grid
        # The w axis of a skeleton numbers persons, which are always taken whole.
        random_axes = self.dims if grid.planar else self.dims.replace("w", "")
        _require_equal(grid, donor, "".join(axis for axis in AXES if axis not in random_axes))
        weights = self._weights(batch, rng)
        partner = rng.permutation(batch)
        cut = self._cut(grid, donor, weights, random_axes, rng)
        for _ in range(_DRAWS):
            low = 1 - cut.volumes / grid.volume < self.least_weight
            if not low.any():
                break
            again = self._cut(grid, donor, self._weights(batch, rng), random_axes, rng)
            for mine, drawn in (
                (cut.start, again.start),
                (cut.donor_start, again.donor_start),
                (cut.extent, again.extent),
            ):
                mine[low] = drawn[low]
        cut.extent[1 - cut.volumes / grid.volume < self.least_weight] = 0
        return _plan_of(partner, grid, cut)

    def _cut(
        self, grid: Grid, donor: Grid, weights: NDArray[np.float64], random_axes: str, rng: np.random.Generator
    ) -> Cut:
        """One box for each of ``weights``."""
        sides = (1 - weights) ** (1 / 2 if grid.planar else 1)
        sources = [
            self._source(axis, size, sides, grid.planar, rng) for axis, size in zip(AXES, donor.sizes, strict=True)
        ]
        pairs = [
            placed(size, source, rng) if axis in random_axes else (source, source)
            for axis, size, source in zip(AXES, grid.sizes, sources, strict=True)
        ]
        return _cut_of([mine for mine, _ in pairs], [donors for _, donors in pairs])

    def _source(
        self, axis: str, size: int, sides: NDArray[np.float64], planar: bool, rng: np.random.Generator
    ) -> Interval:
        """The whole channel or time axis; on an axis of space a run of the side's share, or all of it with "map"."""
        if self.extent == "map" or axis not in ("hw" if planar else "h"):
            return whole(size, len(sides))
        return centred(size, size * sides, rng)


def _cut_of(mine: list[Interval], donors: list[Interval]) -> Cut:
    """Boxes from their sides along the four axes."""
    return Cut(
        start=np.stack([interval.start for interval in mine], axis=1),
        donor_start=np.stack([interval.start for interval in donors], axis=1),
        extent=np.stack([interval.extent for interval in mine], axis=1),
    )


def _plan_of(partner: NDArray[np.int64], grid: Grid, cut: Cut) -> MixPlan:
    """A plan whose weight is 1 - (replaced volume) / (volume of the grid); a single box holds for all rows."""
    cut = Cut(
        *(np.broadcast_to(part, (len(partner), len(AXES))).copy() for part in (cut.start, cut.donor_start, cut.extent))
    )
    weight = (1 - cut.volumes / grid.volume).astype(np.float32)
    return MixPlan(partner=partner, weight=weight, cut=cut)


def _require_equal(grid: Grid, donor: Grid, axes: str) -> None:
    """Raise ValueError if the grids differ on one of ``axes``."""
    names = dict(zip(AXES, ("channel", "time", "height", "width"), strict=True))
    for axis, mine, donors in zip(AXES, grid.sizes, donor.sizes, strict=True):
        if axis in axes and mine != donors:
            raise ValueError(
                f"the {names[axis]} axis has {mine} cells here and {donors} in the donor; this policy takes it whole, "
                "which needs equal sizes: mix at the same layer, or use CrossModalCutMix with dims='cthw'"
            )
