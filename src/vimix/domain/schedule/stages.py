"""The stages of a plan (section 5 of the method): who is trained, against whom, for how long, mixed how."""

from attrs import frozen

from vimix.domain.mixing.layers import LayerChoice
from vimix.domain.mixing.policies import MixPolicy
from vimix.values.modality import Modality


@frozen
class PretrainStage:
    """MoCo on clips of one modality, mixed in the input space by ``policy``."""

    name: str
    modality: Modality
    epochs: int
    milestones: tuple[int, ...]
    policy: MixPolicy
    rate: float
    """Learning rate to begin with."""


@frozen
class CmmcStage:
    """MoCo on one modality with hidden maps of the frozen ``partner`` cut into its own (section 3.2)."""

    name: str
    modality: Modality
    partner: Modality
    epochs: int
    milestones: tuple[int, ...]
    policy: MixPolicy
    layers: LayerChoice
    rate: float
    """Learning rate to begin with."""


@frozen
class ManifoldStage:
    """MoCo with hidden maps of the trained encoder mixed among themselves: no other modality (Table 2, "+ mixup")."""

    name: str
    modality: Modality
    epochs: int
    milestones: tuple[int, ...]
    policy: MixPolicy
    layers: LayerChoice
    rate: float
    """Learning rate to begin with."""


Stage = PretrainStage | CmmcStage | ManifoldStage


def views_needed(stage: Stage) -> dict[Modality, int]:
    """How many augmented views of each modality a step of the stage takes."""
    views = {stage.modality: 2}
    if isinstance(stage, CmmcStage):
        views[stage.partner] = 1
    return views
