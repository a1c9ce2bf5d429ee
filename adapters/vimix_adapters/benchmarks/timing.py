"""Two ways of doing the same, timed in turn on the same machine."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, process_time

import torch
from attrs import frozen

Work = Callable[[], object]
Clock = Callable[[], float]

CLOCKS: Mapping[str, Clock] = {"wall": perf_counter, "cpu": process_time}
"""``cpu`` counts this process's work alone: with one thread, what the clock on the wall shows on a machine at rest."""

LONGEST_NAME = 60
"""Characters of an operator's name that are shown."""


@frozen
class TimedPair:
    """Seconds of a reference and of vimix, run in turn; what is asked of their ratio."""

    name: str
    reference: str
    """What vimix is compared with."""
    theirs: Sequence[float]
    ours: Sequence[float]
    target: float | None
    """Bound of ``ratio``, None if nothing is asked of it."""
    faster: bool = True
    """Whether ``ratio`` says how many times faster vimix is (at least ``target``), or its cost (at most)."""
    note: str = ""

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return self._ratio(statistics.median(self.theirs), statistics.median(self.ours))

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest ratio of a pair of neighbours in time."""
        pairs = [self._ratio(theirs, ours) for theirs, ours in zip(self.theirs, self.ours, strict=True)]
        return min(pairs), max(pairs)

    @property
    def met(self) -> bool | None:
        """Whether the ratio is within its target, None without one."""
        if self.target is None:
            return None
        return self.ratio >= self.target if self.faster else self.ratio <= self.target

    def _ratio(self, theirs: float, ours: float) -> float:
        return theirs / ours if self.faster else ours / theirs


@frozen
class Measure:
    """A single figure with its target, where there is nothing to compare with."""

    name: str
    values: Sequence[float]
    unit: str
    target: float | None = None
    """At most."""
    note: str = ""

    @property
    def median(self) -> float:
        """Of the values."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether it is within its target, None without one."""
        return None if self.target is None else self.median <= self.target


@frozen
class Remark:
    """A line of text beside the figures, such as what limits one of them."""

    name: str
    text: str


Finding = TimedPair | Measure | Remark


def interleaved(
    theirs: Work, ours: Work, repeats: int, clock: Clock = perf_counter, warm_up: int = 1
) -> tuple[list[float], list[float]]:
    """Seconds of each call, A B A B ...: a busy machine slows both. The first ``warm_up`` pairs do not count."""
    pairs = [(seconds(theirs, clock), seconds(ours, clock)) for _ in range(warm_up + repeats)][warm_up:]
    return [first for first, _ in pairs], [second for _, second in pairs]


def seconds(work: Work, clock: Clock = perf_counter) -> float:
    """Time of a call by a clock of ``CLOCKS``, the GPU's work included."""
    begun = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - begun


def top_operators(work: Work, device: torch.device, count: int = 5) -> str:
    """The operators that take most of a call, with their share of its time."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as taken:
        work()
    spent = {e.key: e.self_device_time_total if on_gpu else e.self_cpu_time_total for e in taken.key_averages()}
    whole = sum(spent.values()) or 1
    best = sorted(spent, key=lambda name: -spent[name])[:count]
    return ", ".join(f"{_short(name)} {100 * spent[name] / whole:.0f} %" for name in best)


def _short(name: str) -> str:
    """An operator's name; of a CUDA kernel's, which has its types in it, the beginning."""
    for noise in ("aten::", "void ", "at::native::", "(anonymous namespace)::"):
        name = name.replace(noise, "")
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
