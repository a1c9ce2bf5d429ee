"""The size of a clip or of a hidden map, without its batch axis."""

from collections.abc import Sequence

from attrs import field, frozen

AXES = "cthw"
"""Names of the axes of a grid. The joints of a skeleton lie on ``h``, its persons on ``w``."""


@frozen
class Grid:
    """Numbers of cells along the axes of a clip or map."""

    sizes: tuple[int, int, int, int] = field()
    """[channel, time, height, width]; for skeletons [channel, time, joint, person]."""
    planar: bool = True
    """Whether both ``h`` and ``w`` are axes of space. For skeletons ``w`` numbers persons, who are always taken whole:
    a box of share s then has the side s instead of √s."""

    @sizes.validator
    def _check(self, _: object, sizes: tuple[int, ...]) -> None:
        if len(sizes) != 4 or min(sizes) < 1:
            raise ValueError(f"a grid has four sizes of at least 1, [C, T, H, W], not {sizes}")

    @classmethod
    def of(cls, shape: Sequence[int], *, planar: bool = True) -> "Grid":
        """The grid of a batch of shape [B, C, T, H, W] or, with a single axis of space, [B, C, T, V].

        Raises ValueError for any other number of axes.
        """
        if len(shape) == 4:
            return cls((shape[1], shape[2], shape[3], 1), planar=False)
        if len(shape) != 5:
            raise ValueError(f"expected a batch [B, C, T, H, W] or [B, C, T, V], got shape {tuple(shape)}")
        return cls((shape[1], shape[2], shape[3], shape[4]), planar=planar)

    @property
    def volume(self) -> int:
        """Number of cells, channels included."""
        c, t, h, w = self.sizes
        return c * t * h * w
