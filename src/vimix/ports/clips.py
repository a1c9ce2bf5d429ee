"""Stores of videos, and the clips that are taken from them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from vimix.values.clip_batch import ClipBatch, VideoClips
from vimix.values.modality import Modality
from vimix.values.video import ModalityFormat, Video

Frames = NDArray[Any]
"""Pictures uint8 [T, H, W, C] or skeletons float32 [T, V, M, C]; the format of the modality says which."""


class VideoStore(Protocol):
    """Random access to the videos of a data set. Picklable; safe in forked, spawned and persistent workers."""

    @property
    def videos(self) -> Sequence[Video]:
        """All videos, in a fixed order; the index of a video is its position in this list."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Class names; labels index them."""
        ...

    @property
    def formats(self) -> Mapping[Modality, ModalityFormat]:
        """Formats of the modalities that every video of the store has."""
        ...

    @property
    def splits(self) -> Sequence[str]:
        """Names of the splits, such as ``train`` and ``test``; a video may be in several or in none."""
        ...

    @property
    def fingerprint(self) -> str:
        """A short hash of the content of the store (names, lengths, checksums), for records of results."""
        ...

    def members(self, split: str) -> Sequence[int]:
        """Indices of a split's videos, ascending. Raises VimixError for an unknown split."""
        ...

    def read(self, video: int, modality: Modality, start: int, count: int) -> Frames:
        """Frames start ... start+count-1 of a modality that is stored (``ModalityFormat.stored``).

        The channels are R, G, B; or the displacements u, v, where the byte b stands for (b/255·2 - 1)·bound pixels; or
        the coordinates x, y, z. Raises IndexError if the range leaves the video, VimixError naming the video if it
        cannot be read.
        """
        ...


class TrainingClips(Protocol):
    """Augmented training batches. They depend on seed and epoch, not on the number of worker processes."""

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last incomplete one is dropped."""
        ...

    def batches(self, epoch: int, first: int = 0) -> Iterator[ClipBatch]:
        """Batches first, first+1, ..., steps-1 of an epoch: a resumed run skips the earlier ones."""
        ...


class EvaluationClips(Protocol):
    """Clips from overlapping windows over whole videos, in fixed crops, no augmentation."""

    def __len__(self) -> int:
        """Number of videos."""
        ...

    def videos(self) -> Iterator[VideoClips]:
        """Clips of each video, in the order of the split.

        A video may come in several successive items, each with one crop or some of the windows.
        """
        ...
