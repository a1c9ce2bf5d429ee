"""Stages and arms of a recipe, and the mixes and sections from which stages inherit.

Defaults are those of the paper (sections 3 to 5 of the method).
"""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, lt, optional

from vimix_adapters.structuring import dotted

_factor: Any = and_(gt(0), le(1))


ObjectiveName = Literal["moco", "simclr", "symmetric"]


@frozen
class InputMix:
    """Mixing of clips in the input space: a row of Table 1."""

    policy: Literal["none", "mixup", "temporal_cutmix", "st_cutmix", "videomix"] = "mixup"
    """The way of mixing (section 3 of the method)."""
    alpha: float = field(default=1.0, validator=gt(0))
    """Parameter of the distribution Beta(alpha, alpha) of lambda."""
    per_sample: bool = True
    """Whether each clip has its own lambda and box, or the batch has one."""


@frozen
class HiddenMix:
    """Mixing of hidden maps: a row of Table 2."""

    policy: Literal["manifold_mixup", "cm_mixup", "cm_cutmix"] = "cm_cutmix"
    """The way of mixing (section 4 of the method)."""
    alpha: float = field(default=1.0, validator=gt(0))
    """Parameter of the distribution Beta(alpha, alpha) of lambda."""
    per_sample: bool = True
    """Whether each clip has its own lambda and box, or the batch has one."""
    dims: Literal["hw", "thw", "cthw"] = "cthw"
    """Dimensions in which the cut is placed at random."""
    extent: Literal["box", "map"] = "box"
    """Spatial extent of the cut: that of the box of Eq. 8, or that of the donor's map, as Eq. 9 prints it."""
    least_weight: float = field(default=0.0, validator=and_(ge(0), lt(1)))
    """Least share of its own map that a query keeps: a box that leaves less is drawn again."""
    layers: Literal["same", "random"] = field()
    """Draw of the two layers; the default is "random" where that is allowed, else "same"."""

    @layers.default
    def _widest(self) -> Literal["same", "random"]:
        return "random" if self.policy == "cm_cutmix" and self.dims == "cthw" else "same"


@frozen
class Pretrain:
    """[pretrain]: settings of stages that pretrain one modality."""

    epochs: int = field(default=300, validator=ge(1))
    """Epochs of a stage."""
    milestones: tuple[int, ...] = (250, 280)
    """Epochs at which the learning rate is multiplied by ``decay``."""
    decay: float = field(default=0.1, validator=_factor)
    """Factor of the learning rate at each milestone."""
    mix: InputMix = InputMix()
    """How clips are mixed."""
    objective: ObjectiveName = "moco"
    """The loss: MoCo's, SimCLR's without queue, or MoCo's with both views as queries (MoCo v3)."""


@frozen
class Cmmc:
    """[cmmc]: settings of CMMC stages."""

    epochs: int = field(default=100, validator=ge(1))
    """Epochs of a stage."""
    milestones: tuple[int, ...] = (80,)
    """Epochs at which the learning rate is multiplied by ``decay``."""
    decay: float = field(default=0.1, validator=_factor)
    """Factor of the learning rate at each milestone."""
    mix: HiddenMix = HiddenMix()
    """How hidden maps are mixed."""


@frozen
class FindPositives:
    """``positives`` of a stage: how further positives than the own key are mined (section 9 of the method)."""

    find: Literal["nearest_in_partner", "nearest_across_views", "labels"]
    """Where positives are found: in the partner (CoCLR), across views (CrosSCLR), or by the labels (UberNCE)."""
    k: int | None = field(default=None, validator=optional(ge(1)))
    """Entries of the queue that are found; None: 5 in a partner (CoCLR), 1 across views (CrosSCLR)."""
    same_recording: bool = True
    """Whether "nearest_in_partner" takes candidates of the same recording as positives too."""
    after: float = field(default=0.0, validator=and_(ge(0), lt(1)))
    """Share of the epochs after which "nearest_across_views" begins."""

    @property
    def nearest(self) -> int:
        """``k``, or the paper's."""
        return self.k or (5 if self.find == "nearest_in_partner" else 1)


@frozen(kw_only=True)
class StageKeys:
    """Keys of any stage; values that are None are those of [pretrain] or [cmmc]."""

    positives: FindPositives | None = None
    """Mining of positives; None: the own key is the only positive."""
    epochs: int | None = field(default=None, validator=optional(ge(1)))
    """Epochs of the stage."""
    milestones: tuple[int, ...] | None = None
    """Epochs at which the learning rate is multiplied by ``decay``."""
    lr: float | None = field(default=None, validator=optional(gt(0)))
    """Initial learning rate of the first modality; None: its own. Those of the others keep their ratio to it."""
    warmup_steps: int | None = field(default=None, validator=optional(ge(0)))
    """Steps in which the learning rate grows from 0; None: ``optim.warmup_steps``."""
    queue: int | None = field(default=None, validator=optional(ge(0)))
    """Keys in each queue; None: ``contrast.queue``. A stage with another queue than the one before starts with none."""

    @property
    def trained(self) -> tuple[str, ...]:
        """All modalities that are trained."""
        raise NotImplementedError

    @property
    def partner(self) -> str | None:
        """The frozen modality that takes part; a stage that trains several has none."""
        return None

    @property
    def modality(self) -> str:
        """The first modality that is trained."""
        return self.trained[0]

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities that take part, those that are trained first, then a frozen partner."""
        return self.trained if self.partner is None else (*self.trained, self.partner)


@frozen
class PretrainStage(StageKeys):
    """A stage such as ``{pretrain = "rgb"}``; values that are None are those of [pretrain].

    ``{pretrain = "rgb", partner = "flow", positives = {find = "nearest_in_partner"}}`` is CoCLR.
    """

    pretrain: str
    """The modality that is trained."""
    partner: str | None = None
    """The frozen modality in which positives are found."""
    mix: InputMix | None = None
    """How clips are mixed, with the keys of [pretrain.mix]."""
    objective: ObjectiveName | None = None
    """The loss of the stage."""

    @property
    def trained(self) -> tuple[str, ...]:
        """The modality that is trained."""
        return (self.pretrain,)

    @property
    def name(self) -> str:
        """Name of the stage; its folder has it behind the stage's number."""
        return f"pretrain-{self.pretrain}" + (f"-mining-{self.partner}" if self.partner else "")


@frozen
class CmmcStage(StageKeys):
    """A stage such as ``{cmmc = "rgb", partner = "flow"}``; values that are None are those of [cmmc].

    ``{cmmc = "rgb", mix = {policy = "manifold_mixup"}}`` mixes maps of one modality and has no partner.
    """

    cmmc: str
    """The modality that is trained."""
    partner: str | None = None
    """The frozen modality whose maps are mixed in."""
    mix: HiddenMix | None = None
    """How hidden maps are mixed, with the keys of [cmmc.mix]."""

    @property
    def trained(self) -> tuple[str, ...]:
        """The modality that is trained."""
        return (self.cmmc,)

    @property
    def name(self) -> str:
        """Name of the stage; its folder has it behind the stage's number."""
        return f"manifold-{self.cmmc}" if self.partner is None else f"cmmc-{self.cmmc}-from-{self.partner}"


def _two_views(_: Any, attribute: Any, views: tuple[str, ...]) -> None:
    if len(views) < 2 or len(set(views)) < len(views):
        raise ValueError(f"'{attribute.name}' must name at least two modalities, each once: {list(views)}")


@frozen
class JointStage(StageKeys):
    """A stage such as ``{joint = ["joint", "motion"]}``, which trains several modalities at once without mixing.

    With ``positives = {find = "nearest_across_views", after = 0.5}`` it is CrosSCLR. Values that are None are those of
    [pretrain].
    """

    joint: tuple[str, ...] = field(validator=_two_views)
    """The modalities that are trained."""

    @property
    def mix(self) -> InputMix:
        """No mixing."""
        return InputMix(policy="none")

    @property
    def objective(self) -> ObjectiveName:
        """MoCo's loss."""
        return "moco"

    @property
    def trained(self) -> tuple[str, ...]:
        """All modalities that are trained."""
        return self.joint

    @property
    def name(self) -> str:
        """Name of the stage; its folder has it behind the stage's number."""
        return f"together-{'-'.join(self.joint)}"


Stage = PretrainStage | CmmcStage | JointStage


@frozen
class Arm:
    """One way of training that is compared with the other arms."""

    stages: tuple[Stage, ...]
    """The stages in the order of training. Each starts from the newest weights of its encoders."""
    about: str = ""
    """Title of the arm in tables; empty: its name."""
    set: Mapping[str, Any] = field(factory=dict, converter=dotted)
    """Keys of the recipe with the values that they have in this arm, such as {"contrast.negatives": "queue"}."""
