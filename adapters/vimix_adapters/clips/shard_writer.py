"""Writing a store in shards: the shards, each a whole store, and then the index, which makes the folder a store."""

import json
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from vimix_adapters.clips.hdf5 import Hdf5VideoStore, opened_hdf5
from vimix_adapters.clips.hdf5_assembly import Placed, measured, require_room, write_store
from vimix_adapters.clips.hdf5_head import Head, write_head
from vimix_adapters.clips.shards import INDEX, SHARD_BYTES
from vimix_adapters.files import make_folder, replacing

OWN = re.compile(r"\d{5}-[0-9a-f]{8}\.h5")
"""Names of shards that are written here: the number, and a hash of the content."""


@frozen
class Member:
    """A video of a shard, by its number there."""

    shard: Hdf5VideoStore
    number: int


def write_videos(path: Path, videos: Sequence[Placed], head: Head, shard_bytes: int) -> None:
    """Write all videos, in order, to one file, or to a folder of shards of ``shard_bytes`` each if that is not 0.

    Either is there as a whole or not at all, and replaces an older one. Raises WriteError if the disk is full.
    """
    if not shard_bytes:
        write_store(path, videos, head)
        return
    make_folder(path)
    sizes, checksums = zip(*measured(videos), strict=True)
    require_room(path / INDEX, sum(sizes))
    shards = []
    for number, run in enumerate(_runs(sizes, shard_bytes)):
        inside = {name: [i - run.start for i in members if i in run] for name, members in head.splits.items()}
        own = evolve(head, splits={name: members for name, members in inside.items() if members}, quarantined=0)
        some = [videos[i] for i in run]
        shard = path / f"{number:05d}-{_key(some, [checksums[i] for i in run], own)}.h5"
        if not shard.exists():  # an earlier call may have been killed after it
            write_store(shard, some, own)
        shards.append(Hdf5VideoStore(shard))
    order = [Member(shard, number) for shard in shards for number in range(len(shard.videos))]
    write_index(path, order, head, shard_bytes)


def write_index(folder: Path, order: Sequence[Member], head: Head, shard_bytes: int = SHARD_BYTES) -> None:
    """Write the index of the videos in shards of ``folder``, atomically; shards of an older index are then removed.

    ``shard_bytes`` is kept for a later call that writes the shards again, with flow.
    """
    shards = list(dict.fromkeys(member.shard for member in order))
    numbers = {shard: number for number, shard in enumerate(shards)}
    videos = [asdict(member.shard.videos[member.number]) for member in order]
    about = {
        **head.listing(videos, [member.shard.checksum(member.number) for member in order]),
        "shards": [
            {"file": shard.path.name, "fingerprint": shard.fingerprint, "videos": len(shard.videos)} for shard in shards
        ],
        "places": [[numbers[member.shard], member.number] for member in order],
        "shard_bytes": shard_bytes,
    }
    with replacing(folder / INDEX) as temporary, opened_hdf5(temporary, "w") as file:
        write_head(file, about)
    kept = {shard.path.name for shard in shards}
    for file in folder.glob("*.h5"):
        if OWN.fullmatch(file.name) and file.name not in kept:
            file.unlink()


def _runs(sizes: Sequence[int], most: int) -> Iterator[range]:
    """Yield ranges of videos with at most ``most`` bytes each, or one video if it alone has more."""
    start, total = 0, 0
    for number, size in enumerate(sizes):
        if total and total + size > most:
            yield range(start, number)
            start, total = number, 0
        total += size
    yield range(start, len(sizes))


def _key(videos: Sequence[Placed], checksums: Sequence[Sequence[str]], head: Head) -> str:
    """Return a hash of all that decides the content of a shard."""
    listed: list[Any] = [[v.name, v.label, v.source, list(c)] for v, c in zip(videos, checksums, strict=True)]
    whole = json.dumps([listed, asdict(evolve(head, splits=dict(head.splits)))], sort_keys=True)
    return sha256(whole.encode()).hexdigest()[:8]
