"""The recipe: what is trained, on what, for how long.

Defaults are the paper's for UCF101 (sections 1-6 of the method).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import Factory, evolve, field, frozen
from attrs.validators import and_, deep_iterable, ge, gt, le, lt, optional

from vimix_adapters.config.augment_settings import AugmentSettings, SkeletonAugmentSettings

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
    test_split: str = "test"
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
class Stgcn:
    """ST-GCN with a quarter of the channels; its graph is the store's."""

    hidden_channels: int = field(default=16, validator=ge(1))
    """Of the first four blocks; the next have two and four times as many."""
    feature_size: int = field(default=256, validator=ge(1))
    """Channels of the last block, D."""
    dropout: float = field(default=0.5, validator=and_(ge(0), lt(1)))
    persons: Literal["present", "all"] = "present"
    """Whether absent persons count: "all" is the peers' plain mean over two bodies."""
    hops: Literal["all", "one"] = "all"
    """How far distances to the centre are counted in the graph: "all" as the paper says, "one" as the peers' code."""


@frozen
class ModalitySettings:
    """The encoder of one modality (section 7)."""

    encoder: Literal["s3d", "stgcn"] = "s3d"
    width: float = field(default=1.0, validator=and_(gt(0), le(1)))
    """Of S3D, as a share of its channels."""
    channels: int = field(default=3, validator=ge(1))
    """Of the clips: 3 of pictures and skeletons, 2 of flow."""
    stages: Literal["blocks", "modules"] = "blocks"
    """Where S3D can be cut: after its five resolution blocks (method, section 4), or after each of 16 modules."""
    stgcn: Stgcn = Stgcn()
    """Of ST-GCN."""
    batch_norm_momentum: float = field(default=0.1, validator=and_(gt(0), le(1)))
    lr: float | None = field(default=None, validator=optional(gt(0)))
    """Learning rate of its stages that have none of their own; left out: that of [optim]."""


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
        """The one that is trained."""
        return self.pretrain

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
        """The one that is trained."""
        return self.cmmc

    @property
    def name(self) -> str:
        """Of the stage, and of its folder but for the number."""
        return f"manifold-{self.cmmc}" if self.partner is None else f"cmmc-{self.cmmc}-from-{self.partner}"


Stage = PretrainStage | CmmcStage


@frozen
class Arm:
    """One way of training that is compared with the others."""

    stages: tuple[Stage, ...]
    about: str = ""
    """Its name in the table of results."""
    negatives: Literal["batch+queue", "queue"] | None = None
    """Left out: [contrast]'s. MoCo as published compares with the queue alone, which mixing does not allow."""
    cuts: Literal["blocks", "modules"] | None = None
    """The ``stages`` of every S3D in this arm; left out: those of [modalities]."""


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
class StageSettings:
    """A stage's settings with the inherited ones filled in."""

    epochs: int
    milestones: tuple[int, ...]
    mix: InputMix | HiddenMix
    lr: float


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

    def of_arm(self, arm: str) -> "Recipe":
        """The recipe as the arm has it: with the arm's own negatives and cuts where it names them."""
        recipe, negatives, cuts = self, self.arms[arm].negatives, self.arms[arm].cuts
        if negatives is not None:
            recipe = evolve(recipe, contrast=evolve(recipe.contrast, negatives=negatives))
        if cuts is not None:
            cut = {name: evolve(recipe.modalities[name], stages=cuts) for name in recipe.pictures}
            recipe = evolve(recipe, modalities={**recipe.modalities, **cut})
        return recipe

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
            data=evolve(self.data, store=other.store, train_split=other.gallery, test_split=other.queries),
            evaluate=evolve(self.evaluate, gallery=other.gallery, queries=other.queries, stores={}, own=True),
        )

    @property
    def pictures(self) -> tuple[str, ...]:
        """The modalities that are made of pixels (RGB, flow)."""
        return tuple(name for name, modality in self.modalities.items() if modality.encoder == "s3d")

    @property
    def skeletons(self) -> tuple[str, ...]:
        """The modalities that are made of joints."""
        return tuple(name for name, modality in self.modalities.items() if modality.encoder == "stgcn")

    def stage(self, stage: Stage) -> StageSettings:
        """The stage's own settings, else those of [pretrain] or [cmmc] (``lr``: of its modality, or [optim])."""
        base = self.pretrain if isinstance(stage, PretrainStage) else self.cmmc
        modality = self.modalities.get(stage.modality)  # None: ``contradictions`` has a word on it
        return StageSettings(
            epochs=base.epochs if stage.epochs is None else stage.epochs,
            milestones=base.milestones if stage.milestones is None else stage.milestones,
            mix=base.mix if stage.mix is None else stage.mix,
            lr=stage.lr or (modality and modality.lr) or self.optim.lr,
        )
