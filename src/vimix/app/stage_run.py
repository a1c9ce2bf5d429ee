"""A stage of training with everything that the loop needs."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import field, frozen
from torch import Tensor

from vimix.app.learner import StepOutcome
from vimix.app.parallel import SINGLE_PROCESS
from vimix.app.steps import Step
from vimix.ports.callback import Callback
from vimix.ports.checkpoints import CheckpointStore
from vimix.ports.clips import TrainingClips
from vimix.ports.metrics import MetricsSink
from vimix.ports.network import Optimiser
from vimix.ports.process_group import ProcessGroup
from vimix.values.checkpoint import Provenance
from vimix.values.modality import Modality


class Trainable(Protocol):
    """A learner, contrastive or supervised, as the loop sees it."""

    @property
    def modality(self) -> Modality:
        """The modality that is trained."""
        ...

    @property
    def optimiser(self) -> Optimiser:
        """The optimiser, whose learning rate the loop sets."""
        ...

    @property
    def mutable_state(self) -> Iterable[Tensor]:
        """Tensors that a step changes in place before it is known whether its loss and gradient are finite."""
        ...

    def diagnostics(self, last: StepOutcome) -> Mapping[str, float]:
        """Numbers of a row of metrics that are measured at its last step only, by name."""
        ...

    def state_dict(self) -> Mapping[str, Mapping[str, Any]]:
        """The parts of a checkpoint."""
        ...

    def resume(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Restore the state from the parts of a checkpoint, so that training continues as if never interrupted."""
        ...


@frozen(eq=False, kw_only=True)
class StageRun:
    """One stage, ready to train: what is trained, for how long, and where results go. Nothing in it is set later."""

    name: str
    learner: Trainable
    step: Step
    clips: TrainingClips

    epochs: int
    rate: float
    """Learning rate of the first epochs."""
    milestones: tuple[int, ...] = ()
    """Epochs at which the learning rate is multiplied by ``decay``."""
    decay: float = 0.1
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly at the start."""
    seed: int = 0
    max_bad_steps: int = 10
    """Steps in a row without finite loss and gradient after which the run stops."""

    metrics: MetricsSink
    log_every: int = 10
    """Steps between two rows of metrics."""
    callbacks: Sequence[Callback] = ()
    checkpoints: CheckpointStore
    checkpoint_seconds: float = 600.0
    """Seconds between two checkpoints."""
    checkpoint_steps: int = 0
    """Steps between two checkpoints, besides those by time; 0: none."""

    recipe: str
    """The resolved recipe as TOML, for the checkpoints."""
    about: Mapping[str, str | int | float] = field(factory=dict)
    """Further facts for the checkpoints' record, such as arm and commit."""
    origin: Provenance = field(factory=dict)
    """Digests of data, initial weights and settings; a checkpoint with other digests is refused."""
    names: Sequence[str] = ()
    """Names of the store's videos, for messages."""

    group: ProcessGroup = SINGLE_PROCESS
    stop_requested: Callable[[], bool] = lambda: False
    """Asked after each step; once it is true the run saves and stops."""
    clock: Callable[[], float] = time.monotonic
    """Seconds from any starting point."""
