"""The stages of a plan (section 5 of the method)."""

from attrs import frozen

from vimix.domain.mixing.layers import LayerChoice
from vimix.domain.mixing.policies import MixPolicy
from vimix.values.modality import Modality


@frozen(kw_only=True)
class Stage:
    """MoCo on one modality. The fields ``layers`` and ``partner`` say where the query is mixed, and with what.

    Without ``layers`` clips are mixed in the input space (pretraining, section 3.1). With ``layers`` hidden maps are
    mixed: with maps of the frozen ``partner`` (a CMMC stage, section 3.2), or, without a partner, with maps of other
    clips of the batch (manifold mixup, Table 2). Raises ValueError for a partner without layers.
    """

    name: str
    modality: Modality
    """The modality whose encoder is trained."""
    partner: Modality | None = None
    """The modality whose encoder is frozen and gives hidden maps."""
    epochs: int
    rate: float
    """Learning rate of the first epochs."""
    milestones: tuple[int, ...] = ()
    """Epochs at which the learning rate is multiplied by ``decay``."""
    decay: float = 0.1
    policy: MixPolicy
    layers: LayerChoice | None = None
    """How the layers are drawn between which hidden maps are mixed."""

    def __attrs_post_init__(self) -> None:
        if self.partner is not None and self.layers is None:
            raise ValueError(f"stage {self.name} has the partner {self.partner} but no layers to mix at")

    @property
    def views_needed(self) -> dict[Modality, int]:
        """Number of augmented views of each modality in a batch of the stage."""
        return {self.modality: 2} if self.partner is None else {self.modality: 2, self.partner: 1}
