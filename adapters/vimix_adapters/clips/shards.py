"""A store in several files: a folder with shards, which are whole stores, and an index, a file with the head of all.

The index (``index.h5``) has the same head as a store in one file (see ``hdf5_head``), and in addition ``shards``: name,
fingerprint and number of videos of each shard; and ``places``: for each video, the number of its shard and its number
in the shard. Shards can be copied and checked one by one. The fingerprint is that of one file with the same videos.
"""

from pathlib import Path
from typing import Any

from attrs import field, frozen

from vimix.values.errors import VimixError

INDEX = "index.h5"
"""Name of the index in the folder of shards."""
SHARD_BYTES = 3 * 2**30
"""Size of a shard at which the next begins, unless the user chooses one: some thousand videos of ten seconds."""
OPEN_FILES = 64
"""Number of shards that a process keeps open: an operating system allows some hundreds of open files."""


@frozen
class ShardFile:
    """A file of a store: its path, and its fingerprint, empty if it is the only file."""

    path: Path
    fingerprint: str = ""


@frozen
class ShardMap:
    """Where the videos of a store lie."""

    shards: tuple[ShardFile, ...]
    numbers: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """Number of the shard of each video, and number of the video in it; empty for a store of one file."""

    def of(self, video: int) -> tuple[ShardFile, int]:
        """Return the shard of a video, and its number there."""
        if not self.numbers:
            return self.shards[0], video
        shard, number = self.numbers[video]
        return self.shards[shard], number


def head_file(store: Path) -> Path:
    """Return the file with the head of a store: the store itself, or the index in a folder of shards.

    Raises VimixError if the folder has no index.
    """
    if not store.is_dir():
        return store
    if not (store / INDEX).is_file():
        raise VimixError(
            f"{store}: expected a store, but the folder has no {INDEX}: if it holds shards of one data set, write it "
            f"with vimix store index {store}"
        )
    return store / INDEX


def is_store(path: Path) -> bool:
    """Whether the path is a file, or a folder with an index."""
    return path.is_file() or (path / INDEX).is_file()


def bytes_of(store: Path) -> int:
    """Return the size of a file, or of all HDF5 files in a folder, in bytes."""
    files = store.glob("*.h5") if store.is_dir() else [store]
    return sum(file.stat().st_size for file in files)


def places_of(head: dict[str, Any], store: Path) -> ShardMap:
    """Read the places of videos from the head of a store.

    Raises ValueError, or what its values raise, if they do not describe files in the folder of the store, VimixError
    if a shard is missing.
    """
    if not store.is_dir():
        if "shards" in head:
            raise VimixError(f"{store} is the index of a store in shards: name its folder, {store.parent}")
        return ShardMap((ShardFile(store),))
    shards = tuple(ShardFile(store / str(shard["file"]), str(shard["fingerprint"])) for shard in head["shards"])
    videos = [int(shard["videos"]) for shard in head["shards"]]
    for shard in shards:
        if shard.path.parent != store or shard.path.name in ("", "..", INDEX):  # it may come from a stranger
            raise ValueError(f"{shard.path} is no file of the folder")
        if not shard.path.is_file():
            raise VimixError(f"{store}: its shard {shard.path.name} is missing: copy it there, or restore it")
    numbers = tuple((int(shard), int(number)) for shard, number in head["places"])
    if len(numbers) != len(head["videos"]) or not all(
        0 <= shard < len(shards) and 0 <= number < videos[shard] for shard, number in numbers
    ):
        raise ValueError("its places do not fit its videos and shards")
    return ShardMap(shards, numbers)
