"""Stores and checkpoints, small and real, that several test files build."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import torch

from tests.cli import ONE_STREAM, vimix
from tests.fakes.skeletons import write_walk
from tests.fakes.store import FakeVideoStore, moving_square, write_video
from vimix.ports.clips import VideoStore
from vimix.values.checkpoint import Checkpoint
from vimix.values.modality import RGB, Modality
from vimix_adapters import wiring
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_head import write_head
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part
from vimix_adapters.config import Data, ModalitySettings, Recipe, recipe_to_toml
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork
from vimix_adapters.prepare.store_tools import split

SETTINGS = PackSettings(short_side=32, flow="none", flow_short_side=32, codec="jpeg")
SQUARES = {name: moving_square(5 + i, 32, 40, speed=i) for i, name in enumerate(("a/0", "a/1", "b/0", "b/1"))}


def bow_and_wave(folder: Path, count: int) -> None:
    """Write ``count`` videos of each of two classes: ``bow`` of growing length, ``wave`` of growing speed."""
    for number in range(count):
        write_video(folder / f"bow/{number}.mp4", moving_square(16 + 3 * number, 48, 48))
        write_video(folder / f"wave/{number}.mp4", moving_square(20, 48, 48, speed=1 + number))


def bow_and_wave_store(folder: Path, count: int) -> Path:
    """Write those videos, a store of them without flow, and ``r.toml``, the recipe ``ONE_STREAM`` on it."""
    bow_and_wave(folder / "videos", count)
    options = ["--flow", "none", "--short-side", 40, "--codec", "raw", "--workers", 1]
    assert vimix("prepare", "folder", folder / "videos", "--out", folder / "s.h5", *options) == 0
    (folder / "r.toml").write_text(ONE_STREAM.format(store=folder / "s.h5"))
    return folder


def split_store(folder: Path, count: int, tests: int, side: int) -> Path:
    """Write a store with flow of ``count`` videos of each of two classes; the first ``tests`` are for testing."""
    rows = ["path,label,split"]
    for label in ("bow", "wave"):
        for number in range(count):
            pictures = moving_square(12 + number, side, side, speed=1 + number)
            write_video(folder / f"videos/{label}/{number}.mp4", pictures)
            rows.append(f"{label}/{number}.mp4,{label},{'test' if number < tests else 'train'}")
    (folder / "splits.csv").write_text("\n".join(rows) + "\n")
    command = ["prepare", "folder", folder / "videos", "--split", folder / "splits.csv", "--out", folder / "s.h5"]
    assert vimix(*command, "--flow", "dis", "--short-side", side, "--codec", "raw", "--workers", 1) == 0
    return folder / "s.h5"


def skeleton_store(folder: Path, count: int, tests: int) -> Path:
    """Write a store of ``count`` sequences of two classes in turn, some of two bodies; the last are for testing."""
    rows = ["path,label,split,source"]
    for number in range(count):
        name, label = f"S001C001P{number + 1:03d}R001A{1 + number % 2:03d}", ("bow", "wave")[number % 2]
        write_walk(folder / f"skeletons/{name}.skeleton", number, number % 2, bodies=1 + (number % 5 == 0))
        rows.append(f"{label}/{name}.mp4,{label},{'test' if number >= count - tests else 'train'},{name}")
    (folder / "splits.csv").write_text("\n".join(rows) + "\n")
    command = ["prepare", "skeletons", folder / "skeletons", "--split", folder / "splits.csv", "--out", folder / "s.h5"]
    assert vimix(*command, "--frames", 16, "--workers", 1) == 0
    return folder / "s.h5"


def random_encoder(
    folder: Path,
    modality: str = "rgb",
    settings: ModalitySettings = ModalitySettings(width=0.0625),  # noqa: B008  # frozen
    clips: torch.Tensor | None = None,
    **about: str,
) -> ContrastiveNetwork:
    """Save a checkpoint of an untrained network, with the statistics of ``clips`` if given; returns the network."""
    recipe = Recipe(name="small", data=Data(store="", frames=8, size=32), modalities={modality: settings})
    network = wiring.build_network(recipe, Modality(modality), Compute(torch.device("cpu")))
    with torch.no_grad():
        for _ in range(0 if clips is None else 20):
            network.embed(clips)
    about = {"stage": f"pretrain-{modality}", **about}
    stage = Checkpoint(Modality(modality), recipe_to_toml(recipe), {"query": network.state_dict()}, about)
    FolderCheckpointStore(folder).save(stage)
    return network


def touch(folder: Path, *names: str) -> Path:
    """Make empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Let the kernel refuse to write on, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def hdf5(folder: Path, codec: str, model: VideoStore | None = None) -> VideoStore:
    """Write the content of a fake to ``store.h5``."""
    model, settings, entries = model or FakeVideoStore(), PackSettings(codec=codec, flow="dis"), []
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
