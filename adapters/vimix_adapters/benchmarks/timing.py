"""Sizes of the benchmarks, timing of two implementations in turn on the same machine, and findings."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, process_time

import torch
from attrs import frozen

Work = Callable[[], object]
Clock = Callable[[], float]

CLOCKS: Mapping[str, Clock] = {"wall": perf_counter, "cpu": process_time}
"""``cpu`` counts only this process's work. With one thread it equals the wall clock of an idle machine."""


@frozen
class BenchSettings:
    """The defaults are the sizes that the targets are for. ``TINY`` only shows that everything runs."""

    device: str = "cpu"
    clock: str = "wall"
    """``wall`` or ``cpu``, a key of ``CLOCKS``."""
    batch: int = 4
    batches: tuple[int, ...] = (4,)
    """Batches of the benchmark ``throughput``."""
    frames: int = 32
    size: int = 128
    width: float = 1.0
    steps: int = 3
    """Number of timed training steps."""
    pipeline_steps: int = 12
    """Number of steps whose wait for a batch is measured."""
    cmmc_steps: int = 8
    """Number of timed pairs of a MoCo step and a CMMC step. Each CMMC step draws its own layers."""
    skeletons: int = 16
    """Clips in a batch of skeletons."""
    skeleton_steps: int = 5
    """Number of timed training steps of ST-GCN."""
    repeats: int = 5
    """Number of timed repeats of everything shorter than a step."""
    gallery: int = 100_000
    queries: int = 1_000
    features: int = 1_024
    probe_videos: int = 10_000
    probe_classes: int = 101

    @property
    def now(self) -> Clock:
        """The function that returns the time in seconds."""
        return CLOCKS[self.clock]


TINY = BenchSettings(
    batch=4,
    frames=8,
    size=32,
    width=0.0625,
    steps=1,
    pipeline_steps=2,
    cmmc_steps=1,
    skeletons=4,
    skeleton_steps=1,
    repeats=1,
    gallery=2_000,
    queries=10,
    features=32,
    probe_videos=200,
    probe_classes=5,
)


@frozen
class TimedPair:
    """Times of a reference and of vimix in seconds, run in turn, and the target of their ratio."""

    name: str
    reference: str
    """Name of the implementation that vimix is compared with."""
    theirs: Sequence[float]
    ours: Sequence[float]
    target: float | None
    """Bound of ``ratio``, or None."""
    faster: bool = True
    """True: ``ratio`` is the speed-up, at least ``target``. False: it is the relative cost, at most ``target``."""
    note: str = ""

    @property
    def ratio(self) -> float:
        """Ratio of the medians."""
        return self._ratio(statistics.median(self.theirs), statistics.median(self.ours))

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest ratio of two successive runs."""
        pairs = [self._ratio(theirs, ours) for theirs, ours in zip(self.theirs, self.ours, strict=True)]
        return min(pairs), max(pairs)

    @property
    def met(self) -> bool | None:
        """Whether the ratio meets the target; None without a target."""
        if self.target is None:
            return None
        return self.ratio >= self.target if self.faster else self.ratio <= self.target

    def _ratio(self, theirs: float, ours: float) -> float:
        return theirs / ours if self.faster else ours / theirs


@frozen
class Measure:
    """A figure with its target, where there is no reference to compare with."""

    name: str
    values: Sequence[float]
    unit: str
    target: float | None = None
    """Upper bound of the median, or None."""
    note: str = ""

    @property
    def median(self) -> float:
        """Median of the values."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None without a target."""
        return None if self.target is None else self.median <= self.target


@frozen
class Remark:
    """A line of text in the table, such as what limits a figure."""

    name: str
    text: str


Finding = TimedPair | Measure | Remark


def interleaved(
    theirs: Work, ours: Work, repeats: int, clock: Clock = perf_counter, warm_up: int = 1
) -> tuple[list[float], list[float]]:
    """Return the seconds of each call of A B A B ..., so that a busy machine slows both sides alike.

    The first ``warm_up`` pairs are not counted.
    """
    pairs = [(seconds(theirs, clock), seconds(ours, clock)) for _ in range(warm_up + repeats)][warm_up:]
    return [first for first, _ in pairs], [second for _, second in pairs]


def seconds(work: Work, clock: Clock = perf_counter) -> float:
    """Return the time of a call by a clock of ``CLOCKS``, including its work on the GPU."""
    begun = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - begun
