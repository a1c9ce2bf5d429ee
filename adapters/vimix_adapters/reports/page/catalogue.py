"""The videos that the page names, each once, and the clips of some of them."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from vimix.ports.clips import VideoStore
from vimix.values.modality import Modality

Encode = Callable[[VideoStore, int, Modality], bytes]
"""Makes the clip of a video: bytes of an animated WebP."""


@frozen
class VideoCard:
    """A video as the page shows it."""

    name: str
    class_name: str
    """Empty if it is unknown."""
    split: str
    source: str
    """The recording that it was cut from."""
    clips: Mapping[str, int]
    """Number of the clip by modality; empty if the page has none of this video."""


@define(eq=False)
class Catalogue:
    """Collects the videos and clips of a page, each once."""

    encode: Encode
    most: int
    """Most clips."""
    clips: list[bytes] = field(init=False, factory=list)
    _numbers: dict[tuple[str, int], int] = field(init=False, factory=dict)
    _videos: list[tuple[VideoStore, int]] = field(init=False, factory=list)
    _held: dict[tuple[int, str], int] = field(init=False, factory=dict)
    _splits: dict[str, dict[int, str]] = field(init=False, factory=dict)

    def number(self, store: VideoStore, video: int) -> int:
        """Number on the page of a video of the store."""
        key = (store.fingerprint, video)
        if key not in self._numbers:
            self._numbers[key] = len(self._videos)
            self._videos.append((store, video))
        return self._numbers[key]

    def numbers(self, store: VideoStore, videos: NDArray[np.int64]) -> list[int]:
        """Numbers on the page of several videos."""
        return [self.number(store, int(video)) for video in videos]

    def wanted(self, clips: Iterable[tuple[int, Modality]]) -> list[tuple[int, Modality]]:
        """Those of these (video, modality) that are not on the page yet, each once, as many as there is room for."""
        missing = [clip for clip in dict.fromkeys(clips) if (clip[0], str(clip[1])) not in self._held]
        return missing[: self.room]

    def add_clips(self, wanted: Iterable[tuple[int, Modality]], done: Callable[[], None] = lambda: None) -> None:
        """Encode clips as ``wanted`` lists them; ``done`` is called after each."""
        for number, modality in wanted:
            self._held[number, str(modality)] = len(self.clips)
            self.clips.append(self.encode(*self._videos[number], modality))
            done()

    @property
    def room(self) -> int:
        """Number of clips that can still be added."""
        return max(0, self.most - len(self.clips))

    def cards(self) -> list[VideoCard]:
        """All videos in the order of their numbers."""
        return [self._card(number, store, video) for number, (store, video) in enumerate(self._videos)]

    def _card(self, number: int, store: VideoStore, index: int) -> VideoCard:
        video = store.videos[index]
        label = store.classes[video.label] if video.label >= 0 else ""
        clips = {m: self._held[number, m] for m in map(str, shown_modalities(store)) if (number, m) in self._held}
        return VideoCard(video.name, label, self._split(store, index), video.source, clips)

    def _split(self, store: VideoStore, index: int) -> str:
        if store.fingerprint not in self._splits:
            named = {video: split for split in reversed(store.splits) for video in store.members(split)}
            self._splits[store.fingerprint] = named
        return self._splits[store.fingerprint].get(index, "")


def shown_modalities(store: VideoStore) -> list[Modality]:
    """The modalities of a store that clips are made of: those that it holds, not those computed from them."""
    return [modality for modality, kind in store.formats.items() if kind.stored == modality]
