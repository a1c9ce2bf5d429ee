"""Training batches out of a store: read and cut in workers, augmented on the training device."""

import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

import numpy as np
import structlog
import torch
from attrs import define, field, frozen
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from vimix.ports.clips import VideoStore
from vimix.values.clips import ClipBatch
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters.clips.augmentation import ClipAugmentation, CutView
from vimix_adapters.clips.prefetch import prefetched
from vimix_adapters.clips.views import ClipShape, clip_of, draw_start, read_clip, view_generator
from vimix_adapters.clips.workers import worker_loader

_log = structlog.get_logger(__name__)

ViewKey = tuple[Modality, int]
"""A modality and the number of a view of it."""

_Made = Generator[tuple[Mapping[int, str], ClipBatch], None, None]
"""Batches with the videos that could not be read, and why."""

_ORDER = 0x0DE4
"""Keeps the permutations' stream apart from others of the same seed, such as the mixing's (seed, step)."""


@frozen(eq=False)
class CutBatch:
    """A batch as the workers hand it over: ``views`` maps a key to clips uint8 [B, T, S, S, C] (or skeletons float32
    [B, T, V, M, 3]) and numbers [B, P].
    """

    views: Mapping[ViewKey, tuple[Tensor, Tensor]]
    videos: Tensor
    """[B] int64, the videos really read."""
    failures: Mapping[int, str]
    """Videos that could not be read, and why. More than a batch may have: then ``views`` is empty."""

    def pin_memory(self) -> "CutBatch":
        """Called by the DataLoader's pinning thread."""
        views = {key: (clips.pin_memory(), numbers.pin_memory()) for key, (clips, numbers) in self.views.items()}
        return CutBatch(views, self.videos.pin_memory(), self.failures)


@define(eq=False)
class CutBatches:
    """The batches of all epochs by (epoch, step), as plain functions of the seed. Picklable; runs in the workers."""

    store: VideoStore
    members: Sequence[int]
    views: Mapping[Modality, int]
    clip: ClipShape
    batch: int
    seed: int
    augmentations: Mapping[Modality, ClipAugmentation]
    bad_limit: int
    """A slot of the batch is given up when this many videos in turn could not be read."""
    share: tuple[int, int] = (0, 1)
    """(r, W): these are rows r·batch ... (r+1)·batch - 1 of global batches of W·batch."""
    _order: tuple[int, NDArray[np.int64]] | None = field(default=None, init=False)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The permutation of the split's videos in an epoch."""
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch, _ORDER))
            self._order = (epoch, rng.permutation(np.asarray(self.members, dtype=np.int64)))
        return self._order[1]

    def __getitem__(self, request: tuple[int, int]) -> CutBatch:
        """Batch ``step`` of ``epoch``. A video that cannot be read is replaced by the next in the permutation."""
        epoch, step = request
        failures: dict[int, str] = {}
        rows = []
        member, members = self.share
        first = (step * members + member) * self.batch
        for position in range(first, first + self.batch):
            row = self._row(epoch, position, failures)
            if row is None:
                return CutBatch({}, torch.empty(0, dtype=torch.int64), failures)
            rows.append(row)
        views = {key: _stacked([cuts[key] for _, cuts in rows]) for key in rows[0][1]}
        return CutBatch(views, torch.tensor([video for video, _ in rows]), failures)

    def _row(self, epoch: int, position: int, failures: dict[int, str]) -> tuple[int, dict[ViewKey, CutView]] | None:
        order = self.order(epoch)
        for attempt in range(min(self.bad_limit + 1, len(order))):
            video = int(order[(position + attempt) % len(order)])
            if video in failures:
                continue
            try:
                # The randomness stays the slot's: a stand-in that has its own slot too is cut differently there.
                return video, self._cuts(epoch, int(order[position]), video)
            except VimixError as error:
                failures[video] = str(error)
        return None

    def _cuts(self, epoch: int, slot: int, video: int) -> dict[ViewKey, CutView]:
        return {
            (modality, view): self._cut(view_generator(self.seed, epoch, slot, modality, view), modality, video)
            for modality, count in self.views.items()
            for view in range(count)
        }

    def _cut(self, rng: np.random.Generator, modality: Modality, video: int) -> CutView:
        length = self.store.videos[video].frames
        clip = clip_of(self.clip, self.store.formats[modality], length)
        frames = read_clip(self.store, video, modality, draw_start(length, clip, rng), clip)
        return self.augmentations[modality].cut(frames, clip.size, rng)


@define(eq=False)
class _Requests:
    """The DataLoader's sampler: what is asked of the workers in the epoch at hand."""

    steps: int
    epoch: int = 0
    first: int = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(self.epoch, step) for step in range(self.first, self.steps)])

    def __len__(self) -> int:
        return self.steps - self.first


class TrainingLoader:
    """Implements ``vimix.ports.clips.TrainingClips`` over the videos of a split.

    ``views`` says how many views each modality needs of a video: independent random crops in time and space. Every view
    is drawn from (seed, epoch, video, modality, view), so batches depend neither on ``workers`` nor on what was loaded
    before. Workers cut uint8 clips of equal size; the rest of the augmentation runs on ``device``. On a CPU the batches
    are made one ahead, by a thread: the step does not wait, and floats, four times the bytes, cross no process.
    With ``share`` = (r, W) it gives rows r·batch ... (r+1)·batch - 1 of the batches of W·batch that one process would
    give: W processes see each video once an epoch, and all make equally many steps.

    A video that cannot be read is replaced by the next one of the permutation and logged once. Raises VimixError if
    the store lacks a modality, the split fills no batch, or more than ``max_bad_fraction`` of its videos failed within
    an epoch.
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
        self._sources = torch.from_numpy(_numbered([video.source for video in store.videos]))
        self._requests = _Requests(len(members) // (batch * share[1]))
        self._logged: set[int] = set()
        self._last: Callable[[], _Made | None] = lambda: None  # a weak reference: held, it would hold the loader too
        limit = int(max_bad_fraction * len(members))
        cuts = CutBatches(store, members, views, clip, batch, seed, augmentations, limit, share)
        self._cut_batches: DataLoader[CutBatch] = worker_loader(cuts, self._requests, device, workers, start_method)

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last incomplete one is dropped."""
        return self._requests.steps

    def batches(self, epoch: int, first: int = 0) -> Iterator[ClipBatch]:
        """Batches first, first+1, ..., steps-1 of an epoch. One epoch at a time: starting another ends this one."""
        if (last := self._last()) is not None:
            last.close()
        self._requests.epoch, self._requests.first = epoch, first
        # The expression asks for the DataLoader's iterator here and now: workers are forked by the caller's thread.
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
        for (modality, _), (clips, numbers) in cut.views.items():
            on_device = clips.to(self._device, non_blocking=True)
            view = self._augmentations[modality].apply(on_device, numbers)
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
                f"the allowed share of {self._max_bad_fraction:g} ({bad[min(bad)]}, ...): prepare the store anew"
            )


def _stacked(cuts: Sequence[CutView]) -> tuple[Tensor, Tensor]:
    return torch.stack([cut.clip for cut in cuts]), torch.from_numpy(np.stack([cut.numbers for cut in cuts]))


def _numbered(names: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def require_clips(store: VideoStore, split: str, views: Mapping[Modality, int], batch: int) -> None:
    """Raise VimixError unless the split fills a batch, of all processes together, with the modalities in ``views``."""
    for modality in views:
        require_modality(store, modality)
    if (videos := len(store.members(split))) < batch:
        raise VimixError(
            f"split {split!r} has {videos} videos, less than a batch of {batch}: lower the batch size (optim.batch), "
            "or prepare a store with more videos"
        )


def require_modality(store: VideoStore, modality: Modality) -> None:
    """Raise VimixError unless every video of the store has it."""
    if modality not in store.formats:
        held = ", ".join(store.formats) or "nothing"
        raise VimixError(
            f"the store holds {held}, not {modality!r}: prepare it with {modality}, or train on what it holds"
        )
