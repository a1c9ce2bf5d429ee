"""Batches of clips, the input of an encoder."""

from collections.abc import Mapping

from attrs import frozen
from torch import Tensor

from vimix.values.modality import Modality


@frozen(eq=False)
class ClipBatch:
    """A training batch: augmented views of the same B videos."""

    views: Mapping[Modality, tuple[Tensor, ...]]
    """Views by modality, each float32 [B, C, T, H, W] (skeletons: [B, 3, T, V, M]) on the training device."""
    videos: Tensor
    """[B] int64, indices into the store."""
    sources: Tensor
    """[B] int64, numbers of the recordings: siblings share one."""
    labels: Tensor
    """[B] int64, for training with labels only; no pretext task reads them."""

    def __len__(self) -> int:
        return len(self.videos)


@frozen(eq=False)
class VideoClips:
    """All or some of the clips of one video, in order of time."""

    video: int
    """Index into the store."""
    label: int
    """Class of the video, -1 if unknown."""
    clips: Tensor
    """[N, C, T, H, W] float32 on the device."""
    starts: tuple[int, ...]
    """First frame of each of the N windows."""
