"""Clips on their way into an encoder."""

from collections.abc import Mapping

from attrs import frozen
from torch import Tensor

from vimix.values.modality import Modality


@frozen(eq=False)
class ClipBatch:
    """A training batch: augmented views of the same B videos, by modality.

    ``views[m]`` holds one float32 tensor ``[B, C, T, H, W]`` (skeletons: ``[B, 3, T, V, M]``) a view, on the training
    device.
    ``videos`` [B] int64 are indices into the store, ``sources`` [B] int64 number the recordings: siblings share one.
    ``labels`` [B] int64 are there for supervised baselines only; no pretext task reads them.
    """

    views: Mapping[Modality, tuple[Tensor, ...]]
    videos: Tensor
    sources: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.videos)


@frozen(eq=False)
class VideoClips:
    """Clips of one video, all or some, in order of time: ``clips`` float32 ``[N, C, T, H, W]`` on the device.

    ``starts`` are the first frames of the N windows.
    """

    video: int
    label: int
    clips: Tensor
    starts: tuple[int, ...]
