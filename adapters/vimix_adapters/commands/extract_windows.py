"""``vimix extract --window``: features of windows of untrimmed videos, as temporal action detectors read them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from vimix.domain.scores.feature_scaling import unit_rows
from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.checkpoints.checkpoint_folder import load_trained
from vimix_adapters.commands.embed import checkpoint_files, encoder_record
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.files import replacing, require_new
from vimix_adapters.metrics.logs import configure_logging
from vimix_adapters.prepare.single_file import stream_as_stored
from vimix_adapters.pretrained import PretrainedEncoder, encoder_with
from vimix_adapters.reports.console import print_note

FORMAT = "vimix-window-features-1"


def extract_windows(
    recipe: config.Recipe,
    checkpoint: Path,
    videos: Sequence[Path],
    out: Path,
    span: tuple[float, float],
    device: str,
    l2: bool = False,
    force: bool = False,
) -> None:
    """Write ``out/NAME.npz`` for each video: features ``feats`` [T, D] float32, ``start`` and ``end`` [T] in seconds.

    ``span`` is the length of a window and the distance between two starts, in seconds. A window is embedded like a
    video of that length. ``fps``, ``feat_stride`` and ``num_frames`` are named as in ActionFormer's settings. Raises
    VimixError naming the first video that cannot be read; the files of those before it are whole.
    """
    if min(span) <= 0:
        raise VimixError(f"--window {span[0]:g} --stride {span[1]:g}: expected seconds above 0")
    files = {out / f"{video.stem}.npz": video for video in videos}
    if len(files) < len(videos):
        raise VimixError("two videos have the same name, and so would their files: extract them into two folders")
    for file in files:
        require_new(file, force, [*checkpoint_files(checkpoint), *videos])
    configure_logging()
    loaded = load_trained(checkpoint)
    encoder = encoder_with(checkpoint, loaded, recipe, device)
    if isinstance(encoder.packing, SkeletonSettings):
        raise VimixError(f"--window: {checkpoint} is an encoder of {encoder.modality}, whose clips are whole sequences")
    record = encoder_record(encoder.modality, encoder.state_dict(), loaded, encoder.recipe, l2)
    for file, video in files.items():
        rate, pieces = stream_as_stored(video, encoder.packing, encoder.modality)
        window, stride = (max(1, round(seconds * rate)) for seconds in span)
        features, places = _features(encoder, sliding(pieces, window, stride))
        with replacing(file) as temporary, temporary.open("wb") as opened:
            np.savez(
                opened,
                allow_pickle=False,
                feats=unit_rows(features) if l2 else features,
                start=places[:, 0] / rate,
                end=places[:, 1] / rate,
                fps=np.float64(rate),
                feat_stride=np.int64(stride),
                num_frames=np.int64(window),
                manifest=np.array(json.dumps({"format": FORMAT, **record}, ensure_ascii=False, default=str)),
            )
        print_note(f"written to {file}")


def _features(encoder: PretrainedEncoder, windows: Iterator[tuple[int, Frames]]) -> tuple[Frames, Frames]:
    """Features [T, D] of the windows, and the frames [T, 2] with which they begin and end."""
    rows, places = [], []
    while batch := list(islice(windows, encoder.recipe.evaluate.batch_clips)):
        rows.append(encoder.embed_each(len(batch), [frames for _, frames in batch].__getitem__))
        places += [(first, first + len(frames)) for first, frames in batch]
    return np.concatenate(rows), np.array(places)


def sliding(pieces: Iterable[Frames], window: int, stride: int) -> Iterator[tuple[int, Frames]]:
    """Windows of frames that come in pieces [T, ...]: the number of the first frame, and the frames [<= window, ...].

    Windows begin every ``stride`` frames. The last one is shorter if the end of the video would be in no window
    otherwise. Only the frames of one piece and one window are held in memory.
    """
    first, held = 0, None
    for piece in pieces:
        held = piece if held is None else np.concatenate([held, piece])
        while len(held) >= max(window, stride):
            yield first, held[:window]
            first, held = first + stride, held[stride:]
    if held is None:
        return
    if len(held) > max(0, window - stride) or first == 0:
        yield first, held[:window]
