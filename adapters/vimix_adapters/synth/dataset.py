"""The data set on disk: videos, skeletons, lists and a record of the settings."""

import json
import multiprocessing
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.files import write_text
from vimix_adapters.reading import read_json
from vimix_adapters.synth.encode import choose_codec, write_video
from vimix_adapters.synth.figure import render
from vimix_adapters.synth.sample_plan import PlannedVideo, plan
from vimix_adapters.synth.synth_settings import GENERATOR, SynthSettings

RECORD, VIDEOS, SKELETONS = "synth.json", "videos", "skeletons"
_BODY_LINE = "72057594037927936 0 1 1 1 1 0 0 0 2"
"""bodyID (as large as Kinect's), clippedEdges, confidence and state of the left and right hand, isRestricted, leanX,
leanY, trackingState."""
# The joint's position in the depth image equals that in the colour image, as there is one camera. Orientations are 0.
_JOINT_LINE = "%.7g %.7g %.7g %.7g %.7g %.7g %.7g 0 0 0 0 2"


@frozen
class Written:
    """Numbers of all ``train`` and ``test`` videos in the folder, and of those ``made`` by this call."""

    train: int
    test: int
    made: int


def write_dataset(
    out: Path,
    settings: SynthSettings,
    workers: int,
    each: Callable[[int, int], None] = lambda _done, _total: None,
    force: bool = False,
) -> Written:
    """Write the data set, or its missing files, to ``out``. ``each`` is called with (done, total) after each video.

    The files are ``videos/CLASS/NAME.mp4``, ``skeletons/NAME.skeleton``, ``train.txt`` and ``test.txt`` (each line a
    path relative to ``videos``), ``splits.csv`` (``path,label,split,source``) and ``synth.json``. The content does not
    depend on ``workers``. ``force`` deletes a data set of other settings first. Raises VimixError if ``out`` holds
    anything but a data set of the same settings, or cannot be written.
    """
    codec = choose_codec()
    samples = plan(settings)
    try:
        _claim(out, settings, codec, force)
        missing = [sample for sample in samples if not all(path.exists() for path in _paths(out, sample))]
        each(len(samples) - len(missing), len(samples))
        make = partial(write_sample, out, settings, codec)
        for number, _ in enumerate(_spread(make, missing, workers), start=len(samples) - len(missing) + 1):
            each(number, len(samples))
        _write_lists(out, samples)
    except OSError as error:
        raise VimixError(f"{out}: cannot write the data set: {error}; free space or choose another folder") from error
    test = sum(sample.test for sample in samples)
    return Written(train=len(samples) - test, test=test, made=len(missing))


def write_sample(out: Path, settings: SynthSettings, codec: str, sample: PlannedVideo) -> None:
    """Render one sample and write its video and its skeleton, each atomically."""
    video, skeleton = _paths(out, sample)
    made = render(settings, sample)
    write_video(video, made.frames, settings.rate, codec)
    write_text(skeleton, skeleton_text(made.joints, made.pixels))


def skeleton_text(joints: NDArray[np.float32], pixels: NDArray[np.float32]) -> str:
    """Return a skeleton file of NTU RGB+D for ``joints`` ``[T, 25, 3]`` in metres, seen at ``pixels`` ``[T, 25, 2]``.

    The text has the number of frames and, for each frame, the number of bodies (1), the body's 10 values, the number of
    joints (25), and a line of 12 values for each joint: x y z depthX depthY colorX colorY orientationW X Y Z
    trackingState (NTU RGB+D, README).
    """
    frames, count = joints.shape[:2]
    block = "\n".join(["1", _BODY_LINE, str(count), *[_JOINT_LINE] * count])
    rows = np.concatenate([joints, pixels, pixels], axis=-1).reshape(frames, -1)
    return "\n".join([str(frames), *(block % tuple(row) for row in rows.tolist())]) + "\n"


def _paths(out: Path, sample: PlannedVideo) -> tuple[Path, Path]:
    video = out / VIDEOS / sample.label / f"{sample.name}.mp4"
    return video, out / SKELETONS / f"{sample.name}.skeleton"


def _claim(out: Path, settings: SynthSettings, codec: str, force: bool) -> None:
    """Write the record before anything else, so that a later call recognises the folder."""
    record = {"generator": GENERATOR, "codec": codec, **attrs.asdict(settings)}
    text = json.dumps(record, indent=2) + "\n"
    path = out / RECORD
    if path.exists():
        _compare(out, _read(path), json.loads(text), force)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise VimixError(f"{out}: expected a new or empty folder, or one that vimix synth began; choose another")
    if not path.exists():
        write_text(path, text)
    for leftover in out.glob("**/.*.tmp"):  # from a call that was killed
        leftover.unlink()


def _read(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path, "a record of vimix synth")
    except VimixError:
        record = None
    if not isinstance(record, dict):
        raise VimixError(f"{path}: not a record of vimix synth; choose another folder or delete this one")
    return record


def _compare(out: Path, present: dict[str, Any], wanted: dict[str, Any], force: bool) -> None:
    """Delete a data set of other settings if ``force``. Raises VimixError if not."""
    other = [key for key in wanted if present.get(key) != wanted[key]]
    if other and not force:
        changes = ", ".join(f"{key} {present.get(key)} there, {wanted[key]} asked for" for key in other)
        raise VimixError(
            f"{out}: holds a data set with other settings ({changes}); choose another --out, or add --force"
        )
    if other:
        for name in (VIDEOS, SKELETONS):
            shutil.rmtree(out / name, ignore_errors=True)
        (out / RECORD).unlink()


def _spread(make: Callable[[PlannedVideo], None], samples: Sequence[PlannedVideo], workers: int) -> Iterator[None]:
    """Call ``make`` on every sample, in this process or in a pool, and yield after each, in order."""
    if workers <= 1 or len(samples) <= 1:
        yield from map(make, samples)
        return
    # Spawned, not forked: the caller may run threads (a progress bar, OpenCV, torch), which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(samples)), context, _start_worker) as pool:
        try:
            yield from pool.map(make, samples, chunksize=2)
        except BrokenProcessPool as error:
            message = "a worker process was killed (out of memory?); run the command again with fewer workers to go on"
            raise VimixError(f"vimix synth: {message}") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    cv2.setNumThreads(1)


def _write_lists(out: Path, samples: Sequence[PlannedVideo]) -> None:
    rows = [(f"{s.label}/{s.name}.mp4", s.label, "test" if s.test else "train", s.name) for s in samples]
    for split in ("train", "test"):
        write_text(out / f"{split}.txt", "".join(f"{row[0]}\n" for row in rows if row[2] == split))
    write_text(
        out / "splits.csv", "".join(",".join(row) + "\n" for row in [("path", "label", "split", "source"), *rows])
    )
