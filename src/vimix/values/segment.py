"""A part of a video between two times."""

from attrs import frozen

from vimix.values.errors import VimixError


@frozen
class Segment:
    """The frames of a video from ``start`` to ``end``, the end not included.

    Seconds count from the first frame of the video; numbers of frames count from 0. Raises VimixError unless
    0 ≤ start < end.
    """

    start: float
    end: float
    in_frames: bool = False
    """Whether start and end are numbers of frames instead of seconds."""

    def __attrs_post_init__(self) -> None:
        """Refuse a segment without length."""
        if not 0 <= self.start < self.end < float("inf"):
            raise VimixError(f"the segment from {self.start:g} to {self.end:g}: expected 0 ≤ start < end")

    def __str__(self) -> str:
        """Return ``1.2-2.8s`` or ``30-90f``: a mark for the name of the clip."""
        return f"{self.start:.10g}-{self.end:.10g}{'f' if self.in_frames else 's'}"
