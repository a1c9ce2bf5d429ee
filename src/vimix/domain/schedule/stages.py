"""The stages of a plan, and their learning rates (section 5 of the method)."""

from collections.abc import Sequence
from enum import Enum

from attrs import field, frozen

from vimix.domain.contrast.finders import Finder, OwnKey
from vimix.domain.mixing.layers import LayerChoice
from vimix.domain.mixing.policies import MixPolicy
from vimix.values.modality import Modality


class Objective(Enum):
    """Losses that a stage of pretraining can minimise."""

    MOCO = "moco"
    """Mixed queries against keys of a momentum encoder and the queue (sections 1 to 3)."""
    SIMCLR = "simclr"
    """NT-Xent over both views, without queue."""
    SYMMETRIC = "symmetric"
    """Each view a query for the key of the other, as in MoCo v3."""


@frozen(kw_only=True)
class Stage:
    """MoCo on one modality, or on several at once. The fields say where the query is mixed, and what its positives are.

    Without ``layers`` clips are mixed in the input space (pretraining, section 3.1). With ``layers`` hidden maps are
    mixed: with maps of the frozen ``partner`` (a CMMC stage, section 3.2), or, without a partner, with maps of other
    clips of the batch (manifold mixup, Table 2). The ``finder`` finds positives, in the partner or in the modalities
    that are trained ``together`` (section 9).
    """

    name: str
    modality: Modality
    """The modality whose encoder is trained."""
    together: tuple[Modality, ...] = ()
    """Further modalities that are trained at the same time."""
    partner: Modality | None = None
    """The modality whose encoder is frozen and gives hidden maps, finds positives, or both."""
    epochs: int
    rate: float
    """Learning rate of the first epochs."""
    milestones: tuple[int, ...] = ()
    """Epochs at which the learning rate is multiplied by ``decay``."""
    decay: float = 0.1
    policy: MixPolicy
    layers: LayerChoice | None = None
    """Draw of the layers between which hidden maps are mixed."""
    objective: Objective = Objective.MOCO
    finder: Finder = field(factory=OwnKey)
    """Finds the positives of a query."""
    plain_epochs: int = 0
    """Epochs before the first positives are looked for in the modalities that are trained together."""

    @property
    def trained(self) -> tuple[Modality, ...]:
        """All modalities that are trained."""
        return (self.modality, *self.together)

    @property
    def queued_partners(self) -> tuple[Modality, ...]:
        """Partners whose keys the queue keeps with those of the trained modality."""
        return (self.partner,) if self.partner is not None and self.finder.needs_similarities else ()

    @property
    def views_needed(self) -> dict[Modality, int]:
        """Number of augmented views of each modality in a batch of the stage."""
        return {**dict.fromkeys(self.trained, 2), **({} if self.partner is None else {self.partner: 1})}


def step_decay(base: float, epoch: int, milestones: Sequence[int], factor: float) -> float:
    """``base`` times ``factor`` for each milestone that ``epoch`` (counted from 0) has reached."""
    passed: int = sum(epoch >= milestone for milestone in milestones)
    return base * float(factor) ** passed


def warmed_up(rate: float, step: int, warmup_steps: int) -> float:
    """``rate`` raised linearly over the first ``warmup_steps`` steps, from rate/warmup_steps; unchanged after."""
    return rate * min(1.0, (step + 1) / warmup_steps) if warmup_steps else rate
