"""How large the benchmarks are."""

from attrs import frozen

from vimix_adapters.benchmarks.timing import CLOCKS, Clock


@frozen
class BenchSettings:
    """Defaults are the targets' sizes; ``TINY`` only shows that everything runs."""

    device: str = "cpu"
    clock: str = "wall"
    """Or ``cpu``: see ``timing.CLOCKS``."""
    batch: int = 4
    frames: int = 32
    size: int = 128
    width: float = 1.0
    steps: int = 3
    """Timed repeats of a training step."""
    pipeline_steps: int = 12
    """Steps of which each tells how long it waited for its batch."""
    cmmc_steps: int = 8
    """Timed pairs of a MoCo and a CMMC step, each pair with its own draw of layers."""
    skeletons: int = 16
    """Clips of a batch of skeletons."""
    skeleton_steps: int = 5
    """Timed repeats of a training step of ST-GCN."""
    repeats: int = 5
    """Of everything shorter."""
    gallery: int = 100_000
    queries: int = 1_000
    features: int = 1_024
    probe_videos: int = 10_000
    probe_classes: int = 101

    @property
    def now(self) -> Clock:
        """The clock."""
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
