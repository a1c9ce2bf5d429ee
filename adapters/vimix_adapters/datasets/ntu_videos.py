"""Colour videos of NTU RGB+D, ``SsssCcccPpppRrrrAaaa_rgb.avi``, with the protocols of the skeletons as splits."""

from collections.abc import Mapping
from pathlib import Path

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import DatasetFile, Listing, video_files
from vimix_adapters.datasets.ntu import NtuName, class_names, parse_name, splits_of

TOTALS: Mapping[int, Mapping[str, int]] = {
    60: {"xsub-train": 40_320, "xsub-test": 16_560, "xview-train": 37_920, "xview-test": 18_960},
    120: {},
}
"""Number of videos in each split by edition, samples with missing skeletons included; none is published for 120."""


def list_ntu_videos(folder: Path, edition: int = 60) -> Listing:
    """List all ``_rgb.avi`` videos below ``folder`` that belong to the edition, 60 or 120.

    The videos of the three cameras that filmed a performance have the same source. Raises VimixError if there is none.
    """
    below = video_files(folder)
    named = {path: name for path in below.paths if (name := _name(path)) and name.edition <= edition}
    if not named:
        raise VimixError(f"{folder}: expected videos named SsssCcccPpppRrrrAaaa_rgb.avi of ntu{edition}, found none")
    unique = {path.stem.upper(): path for path in named}
    classes = class_names(edition)
    listed = tuple(
        DatasetFile(path, f"{stem[:20]}_rgb.avi", classes[name.action - 1], name.source, splits_of(name, edition))
        for stem, path in sorted(unique.items())
        for name in [named[path]]
    )
    splits = tuple(dict.fromkeys(split for video in listed for split in video.splits))
    totals = TOTALS[edition]
    return Listing(
        f"ntu{edition}", listed, classes, tuple(totals) or splits, totals=dict(totals), official=True, notes=below.notes
    )


def _name(path: Path) -> NtuName | None:
    """Read the name of a colour video; None if it is another file."""
    return parse_name(path.stem.upper()) if path.stem.lower().endswith("_rgb") else None
