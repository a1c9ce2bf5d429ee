"""Evaluation clips: windows over whole videos, one fixed crop or several, nothing random."""

from collections.abc import Iterator, Sequence

import torch
from attrs import frozen
from torch import Tensor
from torch.utils.data import DataLoader

from vimix.ports.clips import Frames, VideoStore
from vimix.values.clips import VideoClips
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.video import ModalityFormat
from vimix_adapters.clips.augmentation import to_network
from vimix_adapters.clips.loader import require_modality, worker_loader
from vimix_adapters.clips.views import (
    CENTRE,
    ClipShape,
    Crop,
    clip_of,
    cut_out,
    frame_indices,
    read_frames,
    vector_scale,
    window_starts,
)


@frozen(eq=False)
class WholeVideo:
    """All frames of a video, cut: a crop each uint8 [T, S, S, C], and what that did to vectors (u, v).

    Of a skeleton the whole sequence float32 [T, V, M, 3], once.
    """

    crops: Sequence[Tensor]
    scales: Sequence[tuple[float, float]]

    def pin_memory(self) -> "WholeVideo":
        """Called by the DataLoader's pinning thread."""
        return WholeVideo([frames.pin_memory() for frames in self.crops], self.scales)


@frozen(eq=False)
class WholeVideos:
    """Reads whole videos by their index in the store. Picklable; runs in the workers."""

    store: VideoStore
    modality: Modality
    size: int
    crops: Sequence[Crop]

    def __getitem__(self, video: int) -> WholeVideo | VimixError:
        """An error is returned, not raised: the DataLoader would dress it up with the worker's traceback."""
        try:
            frames = read_frames(self.store, video, self.modality)
            return _cropped(frames, self.store.formats[self.modality], self.size, self.crops)
        except VimixError as error:
            return error


class WindowedClips:
    """Implements ``vimix.ports.clips.EvaluationClips`` over the given videos of a store.

    Windows of ``clip.frames`` frames begin every ``window_stride`` frames; the last one ends with the video, if
    ``to_the_end``. A video shorter than a window is padded with its last frame (``pad_left``: before it, with its
    first). Each video is read once, in the workers, and comes once for
    each of the ``crops`` of its frames: so ten crops of a long video need no more memory on the device than one.
    Of a crop at most ``most`` windows come at a time (None: all): memory does not grow with the length of a video.
    A skeleton is one clip whatever the window and the crops.
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
        self._store, self._videos, self._format = store, tuple(videos), store.formats[modality]
        self._clip, self._window_stride, self._device = clip, window_stride, device
        self._to_the_end, self._pad_left = to_the_end, pad_left
        self._crops, self._most = tuple(crops), most
        items = WholeVideos(store, modality, clip.size, self._crops)
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
            label = self._store.videos[video].label
            for frames, scale, crop in zip(whole.crops, whole.scales, self._crops, strict=False):
                clip = clip_of(self._clip, self._format, len(frames))
                indices, starts = _windows(len(frames), clip, self._window_stride, self._to_the_end, self._pad_left)
                on_device = frames.to(self._device, non_blocking=True)
                most = self._most or len(starts)
                for first in range(0, len(starts), most):
                    part = slice(first, first + most)
                    clips = on_device[indices[part].to(self._device, non_blocking=True)]
                    yield VideoClips(video, label, to_network(clips, self._format, scale, crop.flip), starts[part])


def _cropped(frames: Frames, kind: ModalityFormat, size: int, crops: Sequence[Crop]) -> WholeVideo:
    if kind.layout is not None:  # there is nothing to cut
        return WholeVideo([torch.from_numpy(frames)], [(1.0, 1.0)])
    boxes = [crop.box(*frames.shape[1:3]) for crop in crops]
    cuts = {box: cut_out(frames, box, size) for box in dict.fromkeys(boxes)}  # a mirrored crop shares its frames
    return WholeVideo([cuts[box] for box in boxes], [vector_scale(box, size) for box in boxes])


def _windows(
    length: int, clip: ClipShape, window_stride: int, to_the_end: bool = True, pad_left: bool = False
) -> tuple[Tensor, tuple[int, ...]]:
    starts = window_starts(length, clip, window_stride, to_the_end)
    return torch.from_numpy(frame_indices(starts, length, clip, pad_left)), starts
