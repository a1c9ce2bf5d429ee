"""Evaluation clips: windows over whole videos, in one fixed crop or several. Nothing is random."""

from collections.abc import Iterator, Sequence

import torch
from attrs import frozen
from torch import Tensor
from torch.utils.data import DataLoader

from vimix.ports.clips import VideoStore
from vimix.values.clip_batch import VideoClips
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters.clips.augmentation import ClipAugmentation, augmentation_of
from vimix_adapters.clips.loader import require_modality
from vimix_adapters.clips.views import CENTRE, ClipShape, Crop, View, frame_indices, read_frames, window_starts
from vimix_adapters.clips.workers import worker_loader


@frozen(eq=False)
class WholeVideos:
    """Reads whole videos by their index in the store: all frames, cut to each crop. Picklable; runs in the workers."""

    store: VideoStore
    modality: Modality
    augmentation: ClipAugmentation
    size: int
    crops: Sequence[Crop]

    def __getitem__(self, video: int) -> list[View] | VimixError:
        """Return an error instead of raising it: the DataLoader would add the worker's traceback to its message."""
        try:
            return self.augmentation.crops(read_frames(self.store, video, self.modality), self.size, self.crops)
        except VimixError as error:
            return error


class WindowedClips:
    """Implements ``vimix.ports.clips.EvaluationClips`` over the given videos of a store.

    Windows of ``clip.frames`` frames begin every ``window_stride`` frames. With ``to_the_end`` a last one ends with the
    video. A video shorter than a window is padded with its last frame or, with ``pad_left``, with its first frame at
    the beginning. A skeleton is a single clip, whatever the window and the crops.

    The workers read each video once. It is yielded once for each of the ``crops``, so ten crops of a long video need no
    more memory on the device than one, and at most ``most`` windows at a time (None: all), so memory does not grow with
    the length of a video.
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
        to_the_end: bool = True,
        pad_left: bool = False,
        crops: Sequence[Crop] = (CENTRE,),
        most: int | None = None,
        workers: int = 0,
        start_method: str | None = None,
    ) -> None:
        require_modality(store, modality)
        self._store, self._videos = store, tuple(videos)
        self._augmentation = augmentation_of(store.formats[modality])
        self._clip, self._window_stride, self._device = clip, window_stride, device
        self._to_the_end, self._pad_left, self._most = to_the_end, pad_left, most
        items = WholeVideos(store, modality, self._augmentation, clip.size, tuple(crops))
        self._whole: DataLoader[list[View] | VimixError] = worker_loader(
            items, self._videos, device, workers, start_method
        )

    def __len__(self) -> int:
        """Number of videos."""
        return len(self._videos)

    def videos(self) -> Iterator[VideoClips]:
        """Yield the videos in the order given. Raises VimixError naming the first video that cannot be read."""
        for video, views in zip(self._videos, self._whole, strict=True):
            if isinstance(views, VimixError):
                raise views
            label = self._store.videos[video].label
            for view in views:
                for clips, starts in self._windows(view):
                    yield VideoClips(video, label, clips, starts)

    def counts(self) -> list[int]:
        """Return the number of clips of each video, in each of its crops; reads nothing."""
        return [len(self.starts(self._store.videos[video].frames)) for video in self._videos]

    def starts(self, length: int) -> tuple[int, ...]:
        """The first frames of the windows of a video of ``length`` frames."""
        clip = self._augmentation.clip_shape(self._clip, length)
        return window_starts(length, clip, self._window_stride, self._to_the_end)

    def _windows(self, view: View) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
        """Network input [N, C, T, H, W] of at most ``most`` windows at a time, and their first frames."""
        length = len(view.clip)
        clip = self._augmentation.clip_shape(self._clip, length)
        starts = self.starts(length)
        indices = torch.from_numpy(frame_indices(starts, length, clip, self._pad_left))
        frames = view.clip.to(self._device, non_blocking=True)
        most = self._most or len(starts)
        for first in range(0, len(starts), most):
            part = slice(first, first + most)
            clips = frames[indices[part].to(self._device, non_blocking=True)]
            yield self._augmentation.plain(clips, view.draw), starts[part]
