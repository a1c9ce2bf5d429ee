"""Speed of TV-L1: OpenCV's and PyTorch's on one thread (or a GPU), and a pool of processes against one process."""

from functools import partial
from time import perf_counter

import cv2
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray

from vimix_adapters.benchmarks.timing import CLOCKS, seconds
from vimix_adapters.flow.opencv import TvL1Flow
from vimix_adapters.flow.tvl1_torch import TorchTvL1Flow
from vimix_adapters.prepare.worker_pool import run_jobs

Pictures = NDArray[np.uint8]


@frozen
class FlowFinding:
    """Speed of both implementations."""

    opencv: float
    """Frame pairs a second, as is ``torch``."""
    torch: float
    difference: float
    """Mean length of the difference of the two flow fields, in pixels."""


def measure_flow(width: int, height: int, pairs: int, device: str = "cpu") -> FlowFinding:
    """Time both on the same pairs: on a CPU with one thread each by processor time, on a GPU by wall clock."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    frames = moving_pictures(pairs + 1, width, height)
    earlier, later = frames[:-1], frames[1:]
    opencv, estimator = TvL1Flow(), TorchTvL1Flow(device)
    opencv(earlier[0], later[0])
    estimator.batch(earlier[:2], later[:2])
    clock, fields = CLOCKS["cpu" if device == "cpu" else "wall"], {}

    def one_by_one() -> None:
        fields["opencv"] = np.stack([opencv(a, b) for a, b in zip(earlier, later, strict=True)])

    def as_batch() -> None:
        fields["torch"] = estimator.batch(earlier, later)

    theirs, ours = seconds(one_by_one, clock), seconds(as_batch, clock)
    difference = float(np.linalg.norm(fields["opencv"] - fields["torch"], axis=-1).mean())
    return FlowFinding(pairs / theirs, pairs / ours, difference)


def measure_pool(width: int, height: int, jobs: int, pairs: int, workers: int) -> float:
    """Return how many times faster ``workers`` processes are than one, by wall clock and without their start."""
    spent = {}
    for count in (1, workers):
        work = partial(_pairs, width=width, height=height, pairs=pairs)
        outcomes = run_jobs(work, range(jobs + count), count, 3600)
        for _ in range(count):  # the first job of each process includes its imports
            next(outcomes)
        began = perf_counter()
        list(outcomes)
        spent[count] = perf_counter() - began
    return spent[1] / spent[workers]


def moving_pictures(count: int, width: int, height: int) -> Pictures:
    """Return grey frames uint8 [T, H, W] of a texture that rotates and grows a little from frame to frame."""
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
