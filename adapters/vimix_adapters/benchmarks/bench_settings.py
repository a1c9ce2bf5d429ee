"""Sizes of the benchmarks."""

from attrs import frozen

from vimix_adapters.benchmarks.timing import CLOCKS, Clock


@frozen
class BenchSettings:
    """The defaults are the sizes that the targets are for. ``TINY`` only shows that everything runs."""

    device: str = "cpu"
    clock: str = "wall"
    """``wall`` or ``cpu``, a key of ``timing.CLOCKS``."""
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
