"""Where clips come from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from vimix.values.clips import ClipBatch, VideoClips
from vimix.values.modality import Modality
from vimix.values.video import ModalityFormat, Video

Frames = NDArray[Any]
"""Pictures uint8 [T, H, W, C] or skeletons float32 [T, V, M, 3], as the modality's format tells."""


class VideoStore(Protocol):
    """Random access to the videos of a data set. Picklable; safe in forked, spawned and persistent workers."""

    @property
    def videos(self) -> Sequence[Video]:
        """All videos, in a fixed order; a video's index is its position here."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Class names; labels index them."""
        ...

    @property
    def formats(self) -> Mapping[Modality, ModalityFormat]:
        """The modalities that every video of the store has."""
        ...

    @property
    def splits(self) -> Sequence[str]:
        """Names of the splits, such as ``train`` and ``test``; a video may be in several or in none."""
        ...

    @property
    def fingerprint(self) -> str:
        """A short hash of what the store holds (names, lengths, checksums), for the record of a result."""
        ...

    def members(self, split: str) -> Sequence[int]:
        """Indices of a split's videos, ascending. Raises VimixError for an unknown split."""
        ...

    def read(self, video: int, modality: Modality, start: int, count: int) -> Frames:
        """Frames start ... start+count-1 of a modality that is stored (``ModalityFormat.stored``).

        RGB as R, G, B. Flow as (u, v), 128/255·2·bound - bound being about no motion. Skeletons as x, y, z.
        Raises IndexError if the range leaves the video, VimixError naming the video if it cannot be read.
        """
        ...


class TrainingClips(Protocol):
    """Augmented training batches. The same (seed, epoch) gives the same batches whatever the number of workers."""

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last incomplete one is dropped."""
        ...

    def batches(self, epoch: int, first: int = 0) -> Iterator[ClipBatch]:
        """Batches first, first+1, ..., steps-1 of an epoch (resuming is skipping)."""
        ...


class EvaluationClips(Protocol):
    """Clips from overlapping windows over whole videos, in fixed crops, no augmentation."""

    def __len__(self) -> int:
        """Number of videos."""
        ...

    def videos(self) -> Iterator[VideoClips]:
        """One by one, in the order of the split. A video may come in several items in a row: a crop or some of its
        windows each.
        """
        ...
