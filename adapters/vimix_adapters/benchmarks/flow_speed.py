"""What TV-L1 costs: OpenCV's and that in PyTorch on one thread (or a GPU), and a pool of processes against one."""

from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time

import cv2
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray

from vimix_adapters.flow.tvl1 import TvL1Flow
from vimix_adapters.flow.tvl1_torch import TorchTvL1Flow
from vimix_adapters.prepare.worker_pool import run_jobs

Pictures = NDArray[np.uint8]


@frozen
class FlowFinding:
    """Frame pairs a second, and the mean difference of the two fields in pixels."""

    width: int
    height: int
    opencv: float
    torch: float
    difference: float


def measure_flow(width: int, height: int, pairs: int, device: str = "cpu") -> FlowFinding:
    """Both on the same pairs; on a CPU one thread each, by processor time, on a GPU by the clock."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    frames = moving_pictures(pairs + 1, width, height)
    earlier, later = frames[:-1], frames[1:]
    opencv, estimator = TvL1Flow(), TorchTvL1Flow(device)
    opencv(earlier[0], later[0])
    estimator.batch(earlier[:2], later[:2])
    clock = process_time if device == "cpu" else perf_counter
    theirs, first = _timed(lambda: np.stack([opencv(a, b) for a, b in zip(earlier, later, strict=True)]), clock)
    ours, second = _timed(lambda: estimator.batch(earlier, later), clock)
    difference = float(np.linalg.norm(first - second, axis=-1).mean())
    return FlowFinding(width, height, pairs / theirs, pairs / ours, difference)


def measure_pool(width: int, height: int, jobs: int, pairs: int, workers: int) -> float:
    """How many times faster ``workers`` processes are than one, by the clock, their start left out."""
    spent = {}
    for count in (1, workers):
        work = partial(_pairs, width=width, height=height, pairs=pairs)
        outcomes = run_jobs(work, range(jobs + count), count, 3600)
        for _ in range(count):  # the first of each process pays for its imports
            next(outcomes)
        began = perf_counter()
        list(outcomes)
        spent[count] = perf_counter() - began
    return spent[1] / spent[workers]


def moving_pictures(count: int, width: int, height: int) -> Pictures:
    """Grey frames [T, H, W] of a texture that turns and grows a little from frame to frame."""
    noise = np.random.default_rng(0).random((height + 80, width + 80)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), np.empty_like(noise), 0, 255, cv2.NORM_MINMAX)
    centre = ((width + 80) / 2, (height + 80) / 2)
    frames = [
        cv2.warpAffine(
            texture,
            cv2.getRotationMatrix2D(centre, 0.7 * t, 1.01**t),
            (width + 80, height + 80),
            borderMode=cv2.BORDER_REFLECT,
        )
        for t in range(count)
    ]
    return np.clip(np.stack(frames)[:, 40:-40, 40:-40], 0, 255).astype(np.uint8)


def _pairs(job: int, width: int, height: int, pairs: int) -> None:
    cv2.setNumThreads(1)
    frames = np.roll(moving_pictures(pairs + 1, width, height), job, axis=2)
    opencv = TvL1Flow()
    for t in range(pairs):
        opencv(frames[t], frames[t + 1])


def _timed(work: Callable[[], NDArray[np.float32]], clock: Callable[[], float]) -> tuple[float, NDArray[np.float32]]:
    began = clock()
    found = work()
    return clock() - began, found
