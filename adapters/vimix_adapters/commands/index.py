"""``vimix index``: an index over the clips of a store, searched with any video file."""

import json
from pathlib import Path

import numpy as np
from attrs import asdict
from numpy.typing import NDArray
from rich.table import Table

from vimix.app.extract import extract_clip_features
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.folder import load_checkpoint
from vimix_adapters.clips.hdf5 import formats_of, settings_of
from vimix_adapters.commands.embed import checkpoint_files, embed_store
from vimix_adapters.commands.feature_cache import weights_hash
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.files import require_new
from vimix_adapters.indexes.store_index import ClipIndex, VideoMatch
from vimix_adapters.locks import locked_file
from vimix_adapters.metrics.logs import configure_logging
from vimix_adapters.prepare.single_file import read_as_stored
from vimix_adapters.reports.console import show_table


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
        _build(recipe, checkpoint, store, out, device)


def _build(recipe: config.Recipe, checkpoint: Path, store: Path, out: Path, device: str) -> None:
    embedded = embed_store(recipe, checkpoint, store, device)
    recipe, packing, data = embedded.recipe, embedded.store.settings, embedded.recipe.data
    about = {
        "modality": embedded.modality,
        "checkpoint": str(checkpoint.resolve()),
        "trained": dict(embedded.checkpoint.about),
        "store": embedded.store.fingerprint,
        "weights": weights_hash(embedded.network),
        "packing": asdict(packing),
        "recipe": config.recipe_to_toml(recipe),
    }
    window = packing.frames if isinstance(packing, SkeletonSettings) else data.frames * data.stride
    videos = embedded.store.videos
    index = ClipIndex.build(embedded.features, videos, embedded.store.classes, window, about)
    index.save(out)
    print(f"indexed {len(index)} clips of {len(videos)} videos ({embedded.modality}) in {out}")


def query_index(path: Path, video: Path, k: int, as_json: bool, device: str) -> None:
    """Decode and embed ``video`` with the settings of the indexed store, and print its k nearest videos."""
    configure_logging()
    index = ClipIndex.load(path)
    matches = index.query(_embed(path, index, video, device), k)
    if as_json:
        print(json.dumps({"query": str(video), "matches": [_plain(match) for match in matches]}, indent=2))
    else:
        show_table(_table(video, matches))


def _embed(path: Path, index: ClipIndex, video: Path, device: str) -> NDArray[np.float32]:
    """The features of the video's clips. Raises VimixError if the checkpoint is not the one of the index any more."""
    if missing := [key for key in ("recipe", "checkpoint", "packing") if key not in index.about]:
        raise VimixError(f"{path}: its head lacks {', '.join(missing)}; build it again with vimix index build")
    recipe = config.recipe_from_toml(index.about["recipe"], "the index's recipe", check=False)
    compute = wiring.build_compute(recipe, device)
    checkpoint = load_checkpoint(Path(index.about["checkpoint"]))
    network = wiring.build_trained(recipe, checkpoint, compute)
    if index.about.get("weights", found := weights_hash(network)) != found:
        raise VimixError(
            f"{path} was built with other weights than {index.about['checkpoint']} holds now: build it again with "
            "vimix index build"
        )
    settings = settings_of(index.about["packing"])
    kind = formats_of(settings)[Modality(checkpoint.modality)]
    clips = wiring.UnstoredClips(recipe, 1, lambda _: read_as_stored(video, settings, kind.modality), kind, compute)
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
    table = Table(title=f"nearest to {video.name}")
    for heading in ("", "video", "class", "similarity", "seconds"):
        table.add_column(heading, justify="right" if heading in ("", "similarity", "seconds") else "left")
    for rank, match in enumerate(matches, 1):
        span = f"{match.start:.1f} - {match.end:.1f}"
        table.add_row(str(rank), match.video.name, match.video.class_name or "?", f"{match.similarity:.3f}", span)
    return table
