"""Stores and checkpoints, small and real, that several test files build."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import torch

from tests.fakes.store import FakeVideoStore, moving_square, write_video
from vimix.ports.clips import VideoStore
from vimix.values.checkpoint import Checkpoint
from vimix.values.modality import RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_head import write_head
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.prepare.store_tools import split

SETTINGS = PackSettings(short_side=32, flow="none", flow_short_side=32, codec="jpeg")
SQUARES = {name: moving_square(5 + i, 32, 40, speed=i) for i, name in enumerate(("a/0", "a/1", "b/0", "b/1"))}


def bow_and_wave(folder: Path, count: int) -> None:
    """Write ``count`` videos of each of two classes: ``bow`` of growing length, ``wave`` of growing speed."""
    for number in range(count):
        write_video(folder / f"bow/{number}.mp4", moving_square(16 + 3 * number, 48, 48))
        write_video(folder / f"wave/{number}.mp4", moving_square(20, 48, 48, speed=1 + number))


def hdf5(folder: Path, codec: str) -> VideoStore:
    """Write the fake's content to a file."""
    model, settings, entries = FakeVideoStore(), PackSettings(codec=codec, flow="dis"), []
    for number, video in enumerate(model.videos):
        frames = {m: model.read(number, m, 0, video.frames) for m in model.formats}
        part = folder / f"{number}.part"
        write_part(part, frames, video.rate, settings)
        splits = tuple(split for split in model.splits if number in model.members(split))
        entries.append(Entry(part, video.name, video.label, video.source, splits))
    merge_parts(folder / "store.h5", entries, model.classes, settings, quarantined=0)
    return Hdf5VideoStore(folder / "store.h5")


def in_shards(folder: Path) -> VideoStore:
    """Write the fake's content to a folder of two shards with two videos each."""
    hdf5(folder, "raw")
    return split(folder / "store.h5", folder / "shards", 5000)


def shard(path: Path, names, settings=SETTINGS, classes=("a", "b"), splits=("train",), pictures=SQUARES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, name in enumerate(names):
        part = path.with_suffix(f".{number}.part")
        write_part(part, {RGB: pictures[name]}, 30.0, settings)
        entries.append(Entry(part, name, classes.index(name[0]), name, splits))
    merge_parts(path, entries, classes, settings, quarantined=1)
    return path


def change_head(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the list of videos of a store, and its digest, as a stranger may."""
    with h5py.File(path, "r+") as file:
        head = json.loads(file["head"][...].tobytes())
        change(head)
        del file["head"]
        write_head(file, head)


def checkpoint(step: int) -> Checkpoint:
    """A checkpoint with all parts of a real one, such as the integer keys of an optimiser."""
    weight = torch.full((2, 3), float(step))
    query = torch.nn.Linear(2, 1)
    optimiser = torch.optim.Adam(query.parameters())
    query(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    parts = {
        "query": {"w": weight, "n": torch.tensor(step)},
        "optimiser": optimiser.state_dict(),
        "progress": {"steps": step, "seed": 2**40, "origin": {"data": "abc"}},
    }
    about = {"stage": "s", "steps": step, "epochs": 2, "steps_per_epoch": 2, "x": 0.5}
    return Checkpoint(modality="rgb", recipe='name = "x"', parts=parts, about=about)
