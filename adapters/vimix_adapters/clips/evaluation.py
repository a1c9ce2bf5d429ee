"""Evaluation clips: windows over whole videos, the largest centred square, nothing random."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from vimix.ports.clips import VideoStore
from vimix.values.clips import VideoClips
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.video import ModalityFormat
from vimix_adapters.clips.augmentation import to_network
from vimix_adapters.clips.loader import require_modality, worker_loader
from vimix_adapters.clips.views import (
    ClipShape,
    centre_square,
    cut_out,
    frame_indices,
    read_frames,
    vector_scale,
    window_starts,
)


@frozen(eq=False)
class WholeVideo:
    """All frames of a video cut to their centred square: uint8 [T, S, S, C], and what that did to vectors (u, v)."""

    frames: Tensor
    scale: tuple[float, float]

    def pin_memory(self) -> "WholeVideo":
        """Called by the DataLoader's pinning thread."""
        return WholeVideo(self.frames.pin_memory(), self.scale)


@frozen(eq=False)
class WholeVideos:
    """Reads whole videos by their index in the store. Picklable; runs in the workers."""

    store: VideoStore
    modality: Modality
    size: int

    def __getitem__(self, video: int) -> WholeVideo | VimixError:
        """An error is returned, not raised: the DataLoader would dress it up with the worker's traceback."""
        try:
            return _squared(read_frames(self.store, video, self.modality), self.size)
        except VimixError as error:
            return error


class WindowedClips:
    """Implements ``vimix.ports.clips.EvaluationClips`` over the given videos of a store.

    Windows of ``clip.frames`` frames begin every ``window_stride`` frames; the last one ends with the video. A video
    shorter than a window is padded with its last frame. Each video is read once, in the workers.
    """

    def __init__(
        self,
        store: VideoStore,
        videos: Sequence[int],
        *,
        modality: Modality,
        clip: ClipShape,
        window_stride: int,
        device: torch.device,
        workers: int = 0,
        start_method: str | None = None,
    ) -> None:
        require_modality(store, modality)
        self._store, self._videos, self._format = store, tuple(videos), store.formats[modality]
        self._clip, self._window_stride, self._device = clip, window_stride, device
        items = WholeVideos(store, modality, clip.size)
        self._frames: DataLoader[WholeVideo | VimixError] = worker_loader(
            items, self._videos, device, workers, start_method
        )

    def __len__(self) -> int:
        """Number of videos."""
        return len(self._videos)

    def videos(self) -> Iterator[VideoClips]:
        """One by one, in the order given. Raises VimixError naming the first video that cannot be read."""
        for video, whole in zip(self._videos, self._frames, strict=True):
            if isinstance(whole, VimixError):
                raise whole
            clips, starts = _windows(whole, self._format, self._clip, self._window_stride, self._device)
            yield VideoClips(video, self._store.videos[video].label, clips, starts)


def windows_of(
    frames: NDArray[np.uint8], kind: ModalityFormat, clip: ClipShape, window_stride: int, device: torch.device
) -> tuple[Tensor, tuple[int, ...]]:
    """The evaluation clips of a video that is in no store, from its frames uint8 [T, H, W, C].

    Returns float32 [N, C, clip.frames, size, size] on the device and the first frames of the N windows: what
    ``WindowedClips`` gives for the same frames.
    """
    return _windows(_squared(frames, clip.size), kind, clip, window_stride, device)


def _squared(frames: NDArray[np.uint8], size: int) -> WholeVideo:
    box = centre_square(*frames.shape[1:3])
    return WholeVideo(cut_out(frames, box, size), vector_scale(box, size))


def _windows(
    whole: WholeVideo, kind: ModalityFormat, clip: ClipShape, window_stride: int, device: torch.device
) -> tuple[Tensor, tuple[int, ...]]:
    length = len(whole.frames)
    starts = window_starts(length, clip, window_stride)
    indices = torch.from_numpy(frame_indices(starts, length, clip)).to(device, non_blocking=True)
    frames = whole.frames.to(device, non_blocking=True)
    return to_network(frames[indices], kind, whole.scale), starts
