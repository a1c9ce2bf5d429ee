"""One video in memory, read as a store is."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.video import ModalityFormat, Video


@frozen(eq=False)
class ArrayStore:
    """Implements ``vimix.ports.clips.VideoStore`` for one video without a label and in no split.

    ``frames`` are uint8 [T, H, W, C], of a skeleton float32 [T, V, M, C], as ``kind`` says.
    """

    frames: Frames
    kind: ModalityFormat
    classes: Sequence[str] = ()
    splits: Sequence[str] = ()
    fingerprint: str = ""

    @property
    def videos(self) -> Sequence[Video]:
        """The one video."""
        return (Video("the video", -1, "", len(self.frames), 30.0),)

    @property
    def formats(self) -> Mapping[Modality, ModalityFormat]:
        """The format of the only modality."""
        return {self.kind.modality: self.kind}

    def members(self, split: str) -> Sequence[int]:
        """Raises VimixError: there are no splits."""
        raise VimixError(f"a video in memory has no split {split!r}")

    def read(self, video: int, modality: Modality, start: int, count: int) -> Frames:
        """Frames start ... start+count-1. Raises IndexError outside the video, VimixError for another modality."""
        if video != 0 or not (start >= 0 and count > 0 and start + count <= len(self.frames)):
            raise IndexError(f"one video of {len(self.frames)} frames; {start} to {start + count} were asked for")
        if modality != self.kind.stored:
            raise VimixError(f"the video in memory is {self.kind.stored}, not {modality}")
        frames: Frames = self.frames[start : start + count]
        return frames
