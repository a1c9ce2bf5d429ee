"""The colour videos of NTU RGB+D: ``SsssCcccPpppRrrrAaaa_rgb.avi``, split by performer and by camera."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import Listed, Listing, video_files

NTU60_TOTALS: Mapping[str, int] = {
    "xsub_train": 40_320,
    "xsub_test": 16_560,
    "xview_train": 37_920,
    "xview_test": 18_960,
}
"""Of all 56,880 videos: what is missing of the skeletons was filmed all the same."""
XSUB_TRAIN = frozenset((1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38))
"""Performers of NTU-60's cross-subject training split (Shahroudy et al., 2016)."""
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})_rgb", re.IGNORECASE | re.ASCII)


@frozen
class NtuVideo:
    """What the name of a recording says."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    @property
    def source(self) -> str:
        """The performance: the three cameras that filmed it share one."""
        return f"S{self.setup:03d}P{self.performer:03d}R{self.replication:03d}A{self.action:03d}"


def ntu60_splits(video: NtuVideo) -> tuple[str, ...]:
    """Cross-subject and cross-view; none for what only NTU-120 has."""
    if not (1 <= video.setup <= 17 and 1 <= video.action <= 60):
        return ()
    subject = "train" if video.performer in XSUB_TRAIN else "test"
    view = "train" if video.camera in (2, 3) else "test"
    return f"xsub_{subject}", f"xview_{view}"


def list_ntu_videos(
    folder: Path,
    splits_of: Callable[[NtuVideo], Sequence[str]] = ntu60_splits,
    totals: Mapping[str, int] = NTU60_TOTALS,
    dataset: str = "ntu60",
) -> Listing:
    """All ``_rgb.avi`` videos below ``folder`` that are in a split; ``totals`` are the official sizes by split.

    Classes are ``A001``, ``A002``, ... up to the last action found. Raises VimixError if there is no such video.
    """
    named = {path: video for path in video_files(folder) if (video := parse_name(path.stem)) is not None}
    places = {path: tuple(splits_of(video)) for path, video in named.items()}
    unique = {path.stem.upper(): path for path in named if places[path]}
    if not unique:
        raise VimixError(f"{folder}: expected videos named SsssCcccPpppRrrrAaaa_rgb.avi of {dataset}, found none")
    listed = [
        Listed(
            path, f"{stem.removesuffix('_RGB')}_rgb.avi", f"A{named[path].action:03d}", named[path].source, places[path]
        )
        for stem, path in sorted(unique.items())
    ]
    classes = [f"A{action:03d}" for action in range(1, max(named[path].action for path in unique.values()) + 1)]
    return Listing(dataset, tuple(listed), tuple(classes), tuple(totals), {}, dict(totals), True)


def parse_name(stem: str) -> NtuVideo | None:
    """The numbers in a file name without ending; None if it is no such name."""
    match = _NAME.fullmatch(stem)
    return NtuVideo(*map(int, match.groups())) if match else None
