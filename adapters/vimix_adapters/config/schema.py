"""The recipe: what is trained, on what, for how long.

Defaults are the paper's for UCF101 (sections 1-6 of the method).
"""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, lt

from vimix_adapters.clips.augmentation import AugmentSettings

share: Any = and_(ge(0), le(1))
"""A probability or a part of a whole."""


@frozen
class Data:
    """Which clips."""

    store: str
    train_split: str = "train"
    test_split: str = "test"
    frames: int = field(default=32, validator=ge(1))
    """Frames of a clip."""
    size: int = field(default=128, validator=ge(1))
    """Side of the square crop, pixels."""
    stride: int = field(default=1, validator=ge(1))
    """Frames of the video between two of the clip."""
    workers: int = field(default=2, validator=ge(0))
    """Processes that read; 0 reads in the main one."""
    max_bad_fraction: float = field(default=0.05, validator=share)
    """Share of unreadable samples above which training stops."""


@frozen
class ModalitySettings:
    """The encoder of one modality (section 7)."""

    encoder: Literal["s3d"] = "s3d"
    width: float = field(default=1.0, validator=and_(gt(0), le(1)))
    channels: int = field(default=3, validator=ge(1))
    batch_norm_momentum: float = field(default=0.1, validator=and_(gt(0), le(1)))


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
    layers: Literal["same", "random"] = "random"


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
    crops: Literal["centre", "ten"] = "ten"
    """Of the test videos."""


@frozen
class PretrainStage:
    """``{pretrain = "rgb"}``; what is not given is [pretrain]'s."""

    pretrain: str
    epochs: int | None = None
    milestones: tuple[int, ...] | None = None
    mix: InputMix | None = None


@frozen
class CmmcStage:
    """``{cmmc = "rgb", partner = "flow"}``; what is not given is [cmmc]'s."""

    cmmc: str
    partner: str
    epochs: int | None = None
    milestones: tuple[int, ...] | None = None
    mix: HiddenMix | None = None


Stage = PretrainStage | CmmcStage


@frozen
class Arm:
    """One way of training that is compared with the others."""

    stages: tuple[Stage, ...]
    about: str = ""
    """Its name in the table of results."""


@frozen
class Evaluate:
    """How encoders are judged (section 8)."""

    stride: int | None = None
    """Frames between two windows; left out: half a window less one."""
    batch_clips: int = field(default=32, validator=ge(1))
    queries: str = "test"
    gallery: str = "train"
    recall_at: tuple[int, ...] = (1, 5, 10, 20)
    probe_inverse_regularisation: tuple[float, ...] = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)


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


@frozen
class Recipe:
    """All of it."""

    name: str
    data: Data
    modalities: Mapping[str, ModalitySettings]
    seed: int = field(default=0, validator=ge(0))
    augment: AugmentSettings = field(factory=AugmentSettings)
    contrast: Contrast = Contrast()
    optim: Optim = Optim()
    pretrain: Pretrain = Pretrain()
    cmmc: Cmmc = Cmmc()
    finetune: Finetune = Finetune()
    arms: Mapping[str, Arm] = field(factory=dict)
    evaluate: Evaluate = Evaluate()
    run: Run = Run()

    def stage(self, stage: Stage) -> StageSettings:
        """The stage's own settings, else those of [pretrain] or [cmmc]."""
        base = self.pretrain if isinstance(stage, PretrainStage) else self.cmmc
        return StageSettings(
            epochs=base.epochs if stage.epochs is None else stage.epochs,
            milestones=base.milestones if stage.milestones is None else stage.milestones,
            mix=base.mix if stage.mix is None else stage.mix,
        )
