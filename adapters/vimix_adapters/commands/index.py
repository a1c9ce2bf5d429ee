"""``vimix index``: an index over the clips of a store, searched with any video file."""

import json
import os
from pathlib import Path

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray
from rich.table import Table

from vimix.app.feature_extraction import extract_clip_features
from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_trained
from vimix_adapters.checkpoints.digests import state_digest
from vimix_adapters.clips.hdf5 import formats_of, settings_of
from vimix_adapters.commands.embed import checkpoint_files, embed_store
from vimix_adapters.files import require_new
from vimix_adapters.indexes.store_index import ClipIndex, VideoMatch
from vimix_adapters.locks import locked_file
from vimix_adapters.metrics.logs import configure_logging
from vimix_adapters.prepare.single_file import read_with_rate
from vimix_adapters.reports.console import show_table, text_table


def build_index(
    recipe: config.Recipe, checkpoint: Path, store: Path, out: Path, device: str, force: bool = False
) -> None:
    """Embed all clips of all videos of ``store`` with the query encoder of ``checkpoint`` and write the index.

    Raises VimixError if ``out`` is one of the other files, exists and ``force`` is false, or is being written by
    another process.
    """
    with locked_file(out, "writing an index"):
        require_new(out, force, [*checkpoint_files(checkpoint), store])
        configure_logging()
        embedded = embed_store(recipe, checkpoint, store, device, ClipFeatures)
        videos = embedded.store.videos
        about = {
            "modality": embedded.modality,
            "checkpoint": str(checkpoint.resolve()),
            "checkpoint_from_here": os.path.relpath(checkpoint.resolve(), out.parent.resolve()),
            "trained": dict(embedded.checkpoint.about),
            "store": embedded.store.fingerprint,
            "weights": state_digest(embedded.network.state_dict()),
            "packing": asdict(embedded.store.settings),
            "recipe": config.recipe_to_toml(embedded.recipe),
        }
        index = ClipIndex.build(embedded.features, videos, embedded.store.classes, embedded.window, about)
        index.save(out)
        print(f"indexed {len(index)} clips of {len(videos)} videos ({embedded.modality}) in {out}")


@frozen
class Query:
    """A video file, or a part of it, to search with."""

    video: Path
    start: float = 0.0
    """Seconds."""
    end: float | None = None
    """Seconds; None: the end of the video."""

    def cut(self, frames: Frames, rate: float | None) -> Frames:
        """The frames of the part, at least one. Raises VimixError unless it lies within the video."""
        if not self.start and self.end is None:
            return frames
        if rate is None:
            raise VimixError("--from, --to: a skeleton is searched with as a whole, since its sequence was resized")
        length = len(frames) / rate
        end = length if self.end is None else self.end
        if not 0 <= self.start < end <= length + 1 / rate:
            raise VimixError(f"--from {self.start:g} --to {end:g}: {self.video} lasts from 0 to {length:.2f} seconds")
        first = min(round(self.start * rate), len(frames) - 1)
        return frames[first : max(first + 1, round(end * rate))]


def query_index(path: Path, query: Query, k: int, moments: bool, as_json: bool, device: str) -> None:
    """Decode and embed a query with the settings of the indexed store, and print its k nearest videos or ``moments``.

    Raises VimixError naming the file if the index, its checkpoint or the video cannot be read.
    """
    configure_logging()
    index, video = ClipIndex.load(path), query.video
    features = _embed(path, index, query, device)
    matches = index.moments(features, k) if moments else index.query(features, k)
    if as_json:
        print(json.dumps({"query": str(video), "matches": [_plain(match) for match in matches]}, indent=2))
    else:
        show_table(_table(video, matches))


def _checkpoint_of(path: Path, index: ClipIndex) -> Path:
    """The checkpoint at its place relative to the index (both may have moved together), or else at its old place."""
    if missing := [key for key in ("recipe", "checkpoint", "packing") if key not in index.about]:
        raise VimixError(f"{path}: its head lacks {', '.join(missing)}; build it again with vimix index build")
    places = [Path(index.about["checkpoint"])]
    if "checkpoint_from_here" in index.about:
        places.insert(0, path.parent / index.about["checkpoint_from_here"])
    if found := next((place for place in places if place.exists()), None):
        return found
    raise VimixError(
        f"{path}: its checkpoint is neither at {' nor at '.join(map(str, places))}: move it there, or build the index "
        "again"
    )


def _embed(path: Path, index: ClipIndex, query: Query, device: str) -> NDArray[np.float32]:
    """The features of the query's clips. Raises VimixError if the checkpoint is no longer the one of the index."""
    checkpoint_file = _checkpoint_of(path, index)
    recipe = config.recipe_from_toml(index.about["recipe"], "the index's recipe", recorded=True)
    compute = wiring.build_compute(recipe, device)
    checkpoint = load_trained(checkpoint_file)
    network = wiring.build_trained(recipe, checkpoint, compute)
    if index.about.get("weights", found := state_digest(network.state_dict())) != found:
        raise VimixError(
            f"{path} was built with other weights than {checkpoint_file} holds now: build it again with "
            "vimix index build"
        )
    settings = settings_of(index.about["packing"])
    kind = formats_of(settings)[Modality(checkpoint.modality)]
    frames = query.cut(*read_with_rate(query.video, settings, kind.modality))
    clips = wiring.UnstoredClips(recipe, 1, lambda _: frames, kind, compute)
    return extract_clip_features(network, clips, recipe.evaluate.batch_clips).features


def _plain(match: VideoMatch) -> dict[str, object]:
    return {
        "video": match.video.name,
        "class": match.video.class_name,
        "similarity": round(match.similarity, 4),
        "start_seconds": round(match.start, 3),
        "end_seconds": round(match.end, 3),
    }


def _table(video: Path, matches: tuple[VideoMatch, ...]) -> Table:
    rows = [
        [
            str(rank),
            match.video.name,
            match.video.class_name or "?",
            f"{match.similarity:.3f}",
            f"{match.start:.1f} - {match.end:.1f}",
        ]
        for rank, match in enumerate(matches, 1)
    ]
    return text_table(["", "video", "class", "similarity", "seconds"], rows, "rllr", f"nearest to {video.name}")
