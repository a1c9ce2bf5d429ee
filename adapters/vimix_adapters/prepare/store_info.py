"""``vimix store info``: the content of a store, as plain data and as a table."""

from collections import Counter
from pathlib import Path
from typing import Any

from attrs import asdict
from rich.table import Table

from vimix.values.errors import VimixError
from vimix.values.video import ModalityFormat
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.shards import bytes_of
from vimix_adapters.prepare.parts import LISTED, SETTINGS, flow_parts_of, parts_of
from vimix_adapters.reading import read_json


def describe(path: Path) -> dict[str, Any]:
    """Return counts, formats and settings of a store, or the progress of an unfinished one.

    Raises VimixError if the file is not a store.
    """
    if not path.exists() and parts_of(path).is_dir():
        return {"store": str(path), "unfinished": True, **_progress(parts_of(path))}
    store = Hdf5VideoStore(path)
    videos = store.videos
    labels = Counter(video.label for video in videos)
    return {
        "store": str(path),
        "bytes": bytes_of(path),
        **({"shards": [file.name for file in store.files]} if path.is_dir() else {}),
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
        **({"unfinished_flow": _progress(flow_parts_of(path))} if flow_parts_of(path).is_dir() else {}),
    }


def _progress(parts: Path) -> dict[str, Any]:
    """Describe a folder of parts; a part is finished or absent, so counting names is enough."""
    try:
        expected, settings = (read_json(parts / name, "a list of parts") for name in (LISTED, SETTINGS))
    except VimixError:
        expected, settings = {}, {}
    done = {part.name for part in parts.glob("*.h5")}
    missing = sorted(name for part, name in expected.items() if part not in done)
    return {
        "parts": str(parts),
        "bytes": sum(part.stat().st_size for part in parts.glob("*.h5")),
        "finished": len(done & expected.keys()),
        "expected": len(expected),
        "missing": missing,
        "settings": settings,
    }


def _format(kind: ModalityFormat) -> dict[str, Any]:
    """Return a format as plain data, with the name only of a skeleton layout, which is in the settings."""
    described = asdict(kind)
    if kind.layout is not None:
        described["layout"] = kind.layout.name
    return described


def _setting(value: object) -> object:
    """Shorten a layout."""
    if not isinstance(value, dict):
        return value
    return f"{value['name']} ({len(value['joints'])} joints around {value['joints'][value['centre']]!r})"


def store_table(described: dict[str, Any]) -> Table:
    """Return the description as a table."""
    table = Table(title=described["store"], show_header=False)
    if "unfinished" in described:
        table.add_row("unfinished", f"{_share(described)} are finished: call the same vimix prepare again to go on")
        table.add_row("size", f"{described['bytes'] / 2**20:.1f} MiB in {described['parts']}")
        table.add_row(
            "missing", ", ".join(described["missing"][:5]) + (", ..." if len(described["missing"]) > 5 else "")
        )
        return table
    left_out, shards = described["quarantined"], described.get("shards")
    rows = {
        "videos": f"{described['videos']} of {described['sources']} recordings, {left_out} files left out",
        "length": f"{described['frames']} frames, {described['hours']:.2f} hours",
        "size": f"{described['bytes'] / 2**20:.1f} MiB" + (f" in {len(shards)} shards" if shards else ""),
        "splits": ", ".join(f"{name}: {count}" for name, count in described["splits"].items()),
        "modalities": ", ".join(described["modalities"]),
        "settings": ", ".join(f"{key} = {_setting(value)}" for key, value in described["settings"].items()),
        "classes": ", ".join(f"{name} ({count})" for name, count in described["classes"].items()),
        "fingerprint": described["fingerprint"],
    }
    if "unfinished_flow" in described:
        rows["flow"] = f"{_share(described['unfinished_flow'])} have flow: call the same vimix flow again to go on"
    for heading, text in rows.items():
        table.add_row(heading, text)
    return table


def _share(progress: dict[str, Any]) -> str:
    unit = "parts" if "layout" in progress["settings"] else "videos"
    return f"{progress['finished']} of {progress['expected']} {unit}"
