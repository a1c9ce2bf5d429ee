"""``vimix store info``: what a store holds, as plain data and as a table."""

from collections import Counter
from pathlib import Path
from typing import Any

from attrs import asdict
from rich.table import Table

from vimix.values.video import ModalityFormat
from vimix_adapters.clips.hdf5 import Hdf5VideoStore


def describe(path: Path) -> dict[str, Any]:
    """Counts, formats and settings of a store. Raises VimixError if it is none."""
    store = Hdf5VideoStore(path)
    videos = store.videos
    labels = Counter(video.label for video in videos)
    return {
        "store": str(path),
        "bytes": path.stat().st_size,
        "fingerprint": store.fingerprint,
        "videos": len(videos),
        "quarantined": store.quarantined,
        "sources": len({video.source for video in videos}),
        "frames": sum(video.frames for video in videos),
        "hours": sum(video.frames / video.rate for video in videos) / 3600,
        "classes": {name: labels[number] for number, name in enumerate(store.classes)},
        "splits": {split: len(store.members(split)) for split in store.splits},
        "modalities": {name: _format(kind) for name, kind in store.formats.items()},
        "settings": asdict(store.settings),
    }


def _format(kind: ModalityFormat) -> dict[str, Any]:
    """As plain data; of a skeleton's layout the name (the settings have it whole)."""
    described = asdict(kind)
    if kind.layout is not None:
        described["layout"] = kind.layout.name
    return described


def _setting(value: object) -> object:
    """A layout in short."""
    if not isinstance(value, dict):
        return value
    return f"{value['name']} ({len(value['joints'])} joints around {value['joints'][value['centre']]!r})"


def store_table(found: dict[str, Any]) -> Table:
    """The description for people."""
    table = Table(title=found["store"], show_header=False)
    rows = {
        "videos": f"{found['videos']} of {found['sources']} recordings, {found['quarantined']} files left out",
        "length": f"{found['frames']} frames, {found['hours']:.2f} hours",
        "size": f"{found['bytes'] / 2**20:.1f} MiB",
        "splits": ", ".join(f"{name}: {count}" for name, count in found["splits"].items()),
        "modalities": ", ".join(found["modalities"]),
        "settings": ", ".join(f"{key} = {_setting(value)}" for key, value in found["settings"].items()),
        "classes": ", ".join(f"{name} ({count})" for name, count in found["classes"].items()),
        "fingerprint": found["fingerprint"],
    }
    for heading, text in rows.items():
        table.add_row(heading, text)
    return table
