"""The recipe: what is trained, on what, for how long.

Defaults are the paper's for UCF101 (sections 1-6 of the method).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import Factory, evolve, field, frozen
from attrs.validators import and_, deep_iterable, ge, gt, le, lt, optional

from vimix_adapters.config.augment_settings import AugmentSettings, SkeletonAugmentSettings
from vimix_adapters.config.encoder_settings import ModalitySettings

share: Any = and_(ge(0), le(1))
"""A probability or a part of a whole."""
LARGEST_SEED = 2**32 - 1
"""What generators of all libraries take: scikit-learn's, which comes last of all in a run, no larger."""


def filled(_: Any, attribute: Any, values: Sequence[object]) -> None:
    """Validator of a list. Raises ValueError if nothing is in it."""
    if not values:
        raise ValueError(f"'{attribute.name}' must hold at least one number")


@frozen
class Data:
    """Which clips."""

    store: str
    train_split: str = "train"
    frames: int = field(default=32, validator=ge(1))
    """Frames of a clip of pictures; a skeleton's clip is the whole sequence as it is stored."""
    size: int = field(default=128, validator=ge(1))
    """Side of the square crop of pictures, pixels."""
    stride: int = field(default=1, validator=ge(1))
    """Frames of the video between two of the clip."""
    workers: int = field(default=2, validator=ge(0))
    """Processes that read; 0 reads in the main one."""
    max_bad_fraction: float = field(default=0.05, validator=share)
    """Share of unreadable samples above which training stops."""


@frozen
class Contrast:
    """MoCo (section 1)."""

    embedding: int = field(default=128, validator=ge(1))
    temperature: float = field(default=0.07, validator=gt(0))
    queue: int = field(default=2048, validator=ge(0))
    """Past keys; 0: the keys of the batch alone, as in MoCo v3."""
    momentum: float = field(default=0.999, validator=share)
    bn_groups: int = field(default=2, validator=ge(1))
    """Parts of a process's batch with BatchNorm statistics of their own."""
    mask_siblings: bool = True
    negatives: Literal["batch+queue", "queue"] = "batch+queue"


@frozen
class Optim:
    """The optimiser (section 5)."""

    name: Literal["adam", "sgd"] = "adam"
    lr: float = field(default=1e-3, validator=gt(0))
    weight_decay: float = field(default=1e-5, validator=ge(0))
    sgd_momentum: float = field(default=0.9, validator=share)
    warmup_steps: int = field(default=0, validator=ge(0))
    batch: int = field(default=32, validator=ge(2))
    """Clips a process."""


@frozen
class InputMix:
    """A row of Table 1."""

    policy: Literal["none", "mixup", "temporal_cutmix", "st_cutmix", "videomix"] = "mixup"
    alpha: float = field(default=1.0, validator=gt(0))
    per_sample: bool = True


@frozen
class HiddenMix:
    """A row of Table 2."""

    policy: Literal["manifold_mixup", "cm_mixup", "cm_cutmix"] = "cm_cutmix"
    alpha: float = field(default=1.0, validator=gt(0))
    per_sample: bool = True
    dims: Literal["hw", "thw", "cthw"] = "cthw"
    extent: Literal["box", "map"] = "box"
    """Spatial extents of the cut: those of the box of Eq. 8, or the donor map's own, as Eq. 9 prints them."""
    layers: Literal["same", "random"] = Factory(lambda mix: mix.widest, takes_self=True)
    """Left out: random where that is legal, else the same layer."""

    @property
    def widest(self) -> Literal["same", "random"]:
        """``random`` where maps of any two layers can be mixed."""
        return "random" if self.policy == "cm_cutmix" and self.dims == "cthw" else "same"


@frozen
class Pretrain:
    """Pretraining of one modality."""

    epochs: int = field(default=300, validator=ge(1))
    milestones: tuple[int, ...] = (250, 280)
    """Epochs at which the learning rate falls."""
    decay: float = field(default=0.1, validator=and_(gt(0), le(1)))
    mix: InputMix = InputMix()


@frozen
class Cmmc:
    """A CMMC stage."""

    epochs: int = field(default=100, validator=ge(1))
    milestones: tuple[int, ...] = (80,)
    decay: float = field(default=0.1, validator=and_(gt(0), le(1)))
    mix: HiddenMix = HiddenMix()


@frozen
class Finetune:
    """Training with labels, from a checkpoint or (the supervised baseline) from random weights; CoCLR's numbers."""

    epochs: int = field(default=500, validator=ge(1))
    milestones: tuple[int, ...] = (400, 450)
    decay: float = field(default=0.1, validator=and_(gt(0), le(1)))
    lr: float = field(default=1e-3, validator=gt(0))
    encoder_share: float = field(default=0.1, validator=share)
    """Part of ``lr`` that the encoder gets; 0 trains the linear layer alone (its BatchNorm statistics still move)."""
    weight_decay: float = field(default=1e-3, validator=ge(0))
    dropout: float = field(default=0.9, validator=and_(ge(0), lt(1)))
    bn_groups: int = field(default=1, validator=ge(1))
    """Parts of a process's batch with BatchNorm statistics of their own."""
    crops: Literal["centre", "ten"] = "ten"
    """Of the test videos."""


@frozen
class PretrainStage:
    """``{pretrain = "rgb"}``; what is not given is [pretrain]'s."""

    pretrain: str
    epochs: int | None = field(default=None, validator=optional(ge(1)))
    milestones: tuple[int, ...] | None = None
    mix: InputMix | None = None
    lr: float | None = field(default=None, validator=optional(gt(0)))
    """Learning rate to begin with; left out: that of the modality."""

    @property
    def modality(self) -> str:
        """The modality that is trained."""
        return self.pretrain

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities that take part, the trained one first."""
        return (self.pretrain,)

    @property
    def name(self) -> str:
        """Of the stage, and of its folder but for the number."""
        return f"pretrain-{self.pretrain}"


@frozen
class CmmcStage:
    """``{cmmc = "rgb", partner = "flow"}``; what is not given is [cmmc]'s.

    ``{cmmc = "rgb", mix = {policy = "manifold_mixup"}}`` mixes within one modality and has no partner.
    """

    cmmc: str
    partner: str | None = None
    epochs: int | None = field(default=None, validator=optional(ge(1)))
    milestones: tuple[int, ...] | None = None
    mix: HiddenMix | None = None
    lr: float | None = field(default=None, validator=optional(gt(0)))
    """Learning rate to begin with; left out: that of the modality."""

    @property
    def modality(self) -> str:
        """The modality that is trained."""
        return self.cmmc

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities that take part, the trained one first."""
        return (self.cmmc,) if self.partner is None else (self.cmmc, self.partner)

    @property
    def name(self) -> str:
        """Of the stage, and of its folder but for the number."""
        return f"manifold-{self.cmmc}" if self.partner is None else f"cmmc-{self.cmmc}-from-{self.partner}"


Stage = PretrainStage | CmmcStage


def _dotted(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Tables within tables as one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


@frozen
class Arm:
    """One way of training that is compared with the others."""

    stages: tuple[Stage, ...]
    about: str = ""
    """Its name in the table of results."""
    set: Mapping[str, Any] = field(factory=dict, converter=_dotted)
    """Values by key that this arm trains with instead of the recipe's, such as {"contrast.negatives": "queue"}."""


@frozen
class EvaluationStore:
    """Another data set on which a run's encoders are judged: both splits come from it."""

    store: str
    gallery: str = "train"
    queries: str = "test"


@frozen
class Evaluate:
    """How encoders are judged (section 8)."""

    protocol: Literal["vimix", "coclr", "crosclr"] = "vimix"
    """Ours, or a peer's published settings: config/protocols.py has every number."""
    stride: int | None = field(default=None, validator=optional(ge(1)))
    """Frames between two windows; left out: half a window less one."""
    batch_clips: int = field(default=32, validator=ge(1))
    queries: str = "test"
    gallery: str = "train"
    recall_at: tuple[int, ...] = field(default=(1, 5, 10, 20), validator=and_(filled, deep_iterable(ge(1))))
    probe_inverse_regularisation: tuple[float, ...] = field(
        default=(0.0001, 0.001, 0.01, 0.1, 1.0, 10.0), validator=and_(filled, deep_iterable(gt(0)))
    )
    linear_epochs: int | None = field(default=None, validator=optional(ge(1)))
    """Of the linear layers trained by SGD; left out: the protocol's. Recorded as a change of the protocol."""
    stores: Mapping[str, EvaluationStore] = field(factory=dict)
    """Further data sets by name, such as hmdb51 for encoders trained on UCF101."""
    own: bool = True
    """Whether the run's own store is one to be judged on."""
    knn_every: int = field(default=0, validator=ge(0))
    """Epochs of training between two kNN accuracies in metrics.jsonl (Fig. 2); 0: none."""
    knn_videos: int = field(default=1000, validator=ge(2))
    """Of each split at most, evenly spaced."""
    knn_neighbours: int = field(default=20, validator=ge(1))


@frozen
class Run:
    """How it is run: nothing here changes what is computed, precision apart."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_minutes: float = field(default=10.0, validator=ge(0))
    checkpoint_steps: int = field(default=0, validator=ge(0))
    """Steps between two checkpoints, beside those by time; 0: none."""
    log_every: int = field(default=10, validator=ge(1))
    max_bad_steps: int = field(default=10, validator=ge(1))
    """Training steps in a row without finite loss and gradient after which a stage stops; each is skipped."""
    dist_timeout: float = field(default=60.0, validator=gt(0))
    """Seconds after which processes that train together give up waiting for one of them."""


@frozen
class Recipe:
    """All of it."""

    name: str
    data: Data
    modalities: Mapping[str, ModalitySettings]
    seed: int = field(default=0, validator=and_(ge(0), le(LARGEST_SEED)))
    augment: AugmentSettings = field(factory=AugmentSettings)
    augment_skeleton: SkeletonAugmentSettings = field(factory=SkeletonAugmentSettings)
    contrast: Contrast = Contrast()
    optim: Optim = Optim()
    pretrain: Pretrain = Pretrain()
    cmmc: Cmmc = Cmmc()
    finetune: Finetune = Finetune()
    arms: Mapping[str, Arm] = field(factory=dict)
    evaluate: Evaluate = Evaluate()
    run: Run = Run()

    def title(self, arm: str) -> str:
        """What tables call the arm: what it says about itself, with its name where another arm says the same."""
        titles = {name: settings.about or name for name, settings in self.arms.items()}
        title = titles.get(arm, arm)
        return f"{title} ({arm})" if [*titles.values()].count(title) > 1 else title

    def on(self, store: str) -> "Recipe":
        """The recipe as it reads on one of [evaluate.stores], for training linear layers too. Raises KeyError."""
        other = self.evaluate.stores[store]
        return evolve(
            self,
            data=evolve(self.data, store=other.store, train_split=other.gallery),
            evaluate=evolve(self.evaluate, gallery=other.gallery, queries=other.queries, stores={}, own=True),
        )

    @property
    def pictures(self) -> tuple[str, ...]:
        """The modalities that are made of pixels (RGB, flow)."""
        return tuple(name for name, modality in self.modalities.items() if modality.entry.maps == "planes")

    @property
    def skeletons(self) -> tuple[str, ...]:
        """The modalities that are made of joints."""
        return tuple(name for name, modality in self.modalities.items() if modality.entry.maps == "graph")

    def stage(self, stage: Stage) -> Pretrain | Cmmc:
        """[pretrain] or [cmmc], with the values that the stage gives itself."""
        given = {name: getattr(stage, name) for name in ("epochs", "milestones", "mix")}
        base = self.pretrain if isinstance(stage, PretrainStage) else self.cmmc
        return evolve(base, **{name: value for name, value in given.items() if value is not None})

    def rate(self, stage: Stage) -> float:
        """Initial learning rate: that of the stage, or of its modality, or of [optim]."""
        modality = self.modalities.get(stage.modality)
        return stage.lr or (modality and modality.lr) or self.optim.lr
