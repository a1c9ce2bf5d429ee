"""Training batches from a store: read and cut in workers, augmented on the training device."""

import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import structlog
import torch
from attrs import define, field, frozen
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from vimix.ports.clips import VideoStore
from vimix.values.clip_batch import ClipBatch
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters.clips.augmentation import ClipAugmentation
from vimix_adapters.clips.prefetch import prefetched
from vimix_adapters.clips.views import (
    PAIR,
    WINDOWS,
    ClipShape,
    View,
    WindowDraw,
    draw_start,
    read_clip,
    view_generator,
)
from vimix_adapters.clips.workers import worker_loader

_log = structlog.get_logger(__name__)

ViewKey = tuple[Modality, int]
"""A modality and the number of one of its views."""

_Batches = Generator[tuple[Mapping[int, str], ClipBatch], None, None]
"""Batches, each with the videos that could not be read and the reasons."""

_ORDER = 0x0DE4
"""Separates the permutations' random stream from others of the same seed, such as the mixing's (seed, step)."""


@frozen(eq=False)
class CutBatch:
    """A batch as the workers send it."""

    views: Mapping[ViewKey, tuple[Tensor, Sequence[Any]]]
    """Clips uint8 [B, T, S, S, C] (skeletons float32 [B, T, V, M, C]) and their B draws. Empty if too many failed."""
    videos: Tensor
    """The videos that were read, [B] int64."""
    failures: Mapping[int, str]
    """Videos that could not be read, and the reasons."""

    def pin_memory(self) -> "CutBatch":
        """Return the batch in pinned memory. The DataLoader's pinning thread calls this."""
        views = {key: (clips.pin_memory(), draws) for key, (clips, draws) in self.views.items()}
        return CutBatch(views, self.videos.pin_memory(), self.failures)


@define(eq=False)
class CutBatches:
    """The batches of all epochs by (epoch, step), as pure functions of the seed. Picklable; runs in the workers."""

    store: VideoStore
    members: Sequence[int]
    views: Mapping[Modality, int]
    clip: ClipShape
    batch: int
    seed: int
    augmentations: Mapping[Modality, ClipAugmentation]
    bad_limit: int
    """Number of unreadable videos in a row that a row of the batch may replace."""
    share: tuple[int, int] = (0, 1)
    """(rank, W): these are rows rank·batch ... (rank+1)·batch - 1 of global batches of W·batch rows."""
    _order: tuple[int, NDArray[np.int64]] | None = field(default=None, init=False)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the permutation of the split's videos in an epoch."""
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch, _ORDER))
            self._order = (epoch, rng.permutation(np.asarray(self.members, dtype=np.int64)))
        return self._order[1]

    def __getitem__(self, request: tuple[int, int]) -> CutBatch:
        """Cut batch ``step`` of ``epoch``. The next video of the permutation replaces one that cannot be read."""
        epoch, step = request
        failures: dict[int, str] = {}
        rows = []
        rank, size = self.share
        first = (step * size + rank) * self.batch
        for position in range(first, first + self.batch):
            row = self._row(epoch, position, failures)
            if row is None:
                return CutBatch({}, torch.empty(0, dtype=torch.int64), failures)
            rows.append(row)
        views = {key: _stacked([views[key] for _, views in rows]) for key in rows[0][1]}
        return CutBatch(views, torch.tensor([video for video, _ in rows]), failures)

    def _row(self, epoch: int, position: int, failures: dict[int, str]) -> tuple[int, dict[ViewKey, View]] | None:
        order = self.order(epoch)
        for attempt in range(min(self.bad_limit + 1, len(order))):
            video = int(order[(position + attempt) % len(order)])
            if video in failures:
                continue
            try:
                # The randomness is that of the video replaced. If the replacement has its own row in the epoch too,
                # it is cut differently there.
                return video, self._views(epoch, int(order[position]), video)
            except VimixError as error:
                failures[video] = str(error)
        return None

    def _views(self, epoch: int, drawn_for: int, video: int) -> dict[ViewKey, View]:
        views = {}
        length = self.store.videos[video].frames
        for modality, count in self.views.items():
            augmentation = self.augmentations[modality]
            clip = augmentation.clip_shape(self.clip, length)
            windows: Sequence[WindowDraw] = ()
            if (draw := WINDOWS.get(augmentation.views)) is not None:
                windows = draw(length, clip, view_generator(self.seed, epoch, drawn_for, modality, PAIR))
            for number in range(count):
                rng = view_generator(self.seed, epoch, drawn_for, modality, number)
                window = windows[number] if windows else WindowDraw(draw_start(length, clip, rng))
                frames = read_clip(self.store, video, modality, window.start, clip)
                views[modality, number] = augmentation.view(frames, clip.size, rng, window.colour)
        return views


class TrainingLoader:
    """Implements ``vimix.ports.clips.TrainingClips`` over the videos of a split.

    ``views`` is the number of views of a video that each modality needs: independent random crops in time and space, or
    the two of ``coclr_windows`` or ``cvrl_windows`` if the augmentation says so.
    Each view is drawn from (seed, epoch, video, modality, view), so batches depend neither on ``workers`` nor on what
    was loaded before. Workers cut uint8 clips of equal size; the rest of the augmentation runs on ``device``. On a CPU
    a thread makes the next batch during the step. Worker processes send uint8 only, a fourth of the bytes of float32.

    With ``share`` = (rank, W) it yields rows rank·batch ... (rank+1)·batch - 1 of the batches of W·batch rows that a
    single process would yield: W processes see each video once an epoch, and all make the same number of steps.

    A video that cannot be read is replaced by the next one of the permutation and logged once. Raises VimixError if
    the store lacks a modality, if the split does not fill a batch, or if more than ``max_bad_fraction`` of its videos
    fail within an epoch.
    """

    def __init__(
        self,
        store: VideoStore,
        split: str,
        *,
        views: Mapping[Modality, int],
        clip: ClipShape,
        batch: int,
        seed: int,
        augmentations: Mapping[Modality, ClipAugmentation],
        device: torch.device,
        workers: int = 0,
        max_bad_fraction: float = 0.05,
        start_method: str | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        members = store.members(split)
        require_clips(store, split, views, batch * share[1])
        self._store, self._split, self._videos = store, split, len(members)
        self._device = device
        self._augmentations = augmentations
        self._max_bad_fraction = max_bad_fraction
        self._labels = torch.tensor([video.label for video in store.videos])
        _, sources = np.unique([video.source for video in store.videos], return_inverse=True)
        self._sources = torch.from_numpy(sources.astype(np.int64))
        self.steps = batches_of_epoch(store, split, batch * share[1])
        # The DataLoader's sampler: (epoch, step) of each batch of the current epoch.
        self._requests: list[tuple[int, int]] = []
        self._logged: set[int] = set()
        # A weak reference, because the generator refers to this loader.
        self._last: Callable[[], _Batches | None] = lambda: None
        limit = int(max_bad_fraction * len(members))
        cuts = CutBatches(store, members, views, clip, batch, seed, augmentations, limit, share)
        self._cut_batches: DataLoader[CutBatch] = worker_loader(cuts, self._requests, device, workers, start_method)

    def batches(self, epoch: int, first: int = 0) -> Iterator[ClipBatch]:
        """Yield batches first, first+1, ..., steps-1 of an epoch. Starting another epoch ends this one."""
        if (last := self._last()) is not None:
            last.close()
        self._requests[:] = [(epoch, step) for step in range(first, self.steps)]
        # Evaluating this expression starts the DataLoader's iterator, so the caller's thread forks the workers.
        made = ((cut.failures, self._augmented(cut)) for cut in self._cut_batches)
        running = prefetched(made) if self._device.type == "cpu" else made
        self._last = weakref.ref(running)
        bad: dict[int, str] = {}
        try:
            for failures, batch in running:
                self._account(failures, bad)
                yield batch
        finally:
            running.close()

    def _augmented(self, cut: CutBatch) -> ClipBatch:
        views: dict[Modality, tuple[Tensor, ...]] = {}
        for (modality, _), (clips, draws) in cut.views.items():
            on_device = clips.to(self._device, non_blocking=True)
            view = self._augmentations[modality].apply(on_device, draws)
            views[modality] = (*views.get(modality, ()), view)
        videos, sources, labels = (
            values.to(self._device, non_blocking=True)
            for values in (cut.videos, self._sources[cut.videos], self._labels[cut.videos])
        )
        return ClipBatch(views, videos, sources, labels)

    def _account(self, failures: Mapping[int, str], bad: dict[int, str]) -> None:
        for video, reason in failures.items():
            if video not in self._logged:
                _log.warning("video_replaced", video=self._store.videos[video].name, reason=reason)
        self._logged.update(failures)
        bad.update(failures)
        if len(bad) > self._max_bad_fraction * self._videos or len(bad) == self._videos:
            raise VimixError(
                f"{len(bad)} of {self._videos} videos of split {self._split!r} could not be read in this epoch, above "
                f"the allowed share of {self._max_bad_fraction:g} ({bad[min(bad)]}, ...): prepare the store again"
            )


def _stacked(views: Sequence[View]) -> tuple[Tensor, list[Any]]:
    return torch.stack([view.clip for view in views]), [view.draw for view in views]


def batches_of_epoch(store: VideoStore, split: str, batch: int) -> int:
    """Return the number of batches of ``batch`` clips in an epoch of a split. An incomplete last one is dropped."""
    return len(store.members(split)) // batch


def require_clips(store: VideoStore, split: str, views: Mapping[Modality, int], batch: int) -> None:
    """Raise VimixError unless the store has the modalities of ``views`` and the split fills ``batch`` rows."""
    for modality in views:
        require_modality(store, modality)
    if (videos := len(store.members(split))) < batch:
        raise VimixError(
            f"split {split!r} has {videos} videos, less than a batch of {batch}: lower the batch size (optim.batch), "
            "or prepare a store with more videos"
        )


def require_modality(store: VideoStore, modality: Modality) -> None:
    """Raise VimixError unless the store has the modality."""
    if modality not in store.formats:
        held = ", ".join(store.formats) or "nothing"
        raise VimixError(
            f"the store holds {held}, not {modality!r}: prepare it with {modality}, or train on what it holds"
        )
