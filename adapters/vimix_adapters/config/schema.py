"""The recipe: data, encoders, training, evaluation.

Defaults are those of the paper for UCF101 (sections 1 to 6 of the method).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import asdict, evolve, field, fields_dict, frozen
from attrs.validators import and_, deep_iterable, ge, gt, le, lt, optional

from vimix_adapters.config.augment_settings import AugmentSettings, SkeletonAugmentSettings
from vimix_adapters.config.encoder_settings import ModalitySettings
from vimix_adapters.config.metric_sinks import SINKS
from vimix_adapters.config.probe_settings import Finetuning
from vimix_adapters.config.recipe_stages import Arm, Cmmc, CmmcStage, Pretrain, Stage
from vimix_adapters.structuring import nearest, one_of

_share: Any = and_(ge(0), le(1))
LARGEST_SEED = 2**32 - 1
"""Largest seed that every library accepts; scikit-learn has the lowest limit."""


def _filled(_: Any, attribute: Any, values: Sequence[object]) -> None:
    if not values:
        raise ValueError(f"'{attribute.name}' must hold at least one number")


def _keys_of_augment(_: Any, attribute: Any, values: Mapping[str, float]) -> None:
    known = [name for name, kind in fields_dict(AugmentSettings).items() if kind.type is float]
    for name in values:
        if name not in known:
            raise ValueError(
                f"'{attribute.name}' unknown key {name!r}{nearest(name, known)}; known: {', '.join(known)}"
            )


@frozen
class Data:
    """[data]: the clips to train on."""

    store: str
    """Path of the store."""
    train_split: str = "train"
    """Split of the store to train on."""
    frames: int = field(default=32, validator=ge(1))
    """Frames of a clip of pictures; a clip of skeletons is a whole sequence of the store."""
    size: int = field(default=128, validator=ge(1))
    """Side of the square crop of pictures, pixels."""
    stride: int = field(default=1, validator=ge(1))
    """Step between two frames of a clip, in frames of the video."""
    workers: int = field(default=2, validator=ge(0))
    """Worker processes that read clips; 0 reads in the main process."""
    max_bad_fraction: float = field(default=0.05, validator=_share)
    """Share of unreadable samples, of those that a process reads, above which training stops."""


@frozen
class Contrast:
    """[contrast]: MoCo (section 1)."""

    embedding: int = field(default=128, validator=ge(1))
    """Length of an embedding."""
    temperature: float = field(default=0.07, validator=gt(0))
    """Temperature τ of the loss."""
    queue: int = field(default=2048, validator=ge(0))
    """Capacity of the queue of past keys; 0: only the keys of the batch, as in MoCo v3."""
    momentum: float = field(default=0.999, validator=_share)
    """Momentum of the key encoder, an exponential moving average of the query encoder."""
    bn_groups: int = field(default=2, validator=ge(1))
    """Parts of a process's batch that BatchNorm normalises separately."""
    mask_siblings: bool = True
    """Whether keys from the recording of the query or of its partner are excluded from the negatives."""
    negatives: Literal["batch+queue", "queue"] = "batch+queue"
    """Keys that a query is compared with, besides its own."""


@frozen
class Optim:
    """[optim]: the optimiser (section 5)."""

    name: Literal["adam", "sgd"] = "adam"
    """The optimiser."""
    lr: float = field(default=1e-3, validator=gt(0))
    """Initial learning rate."""
    weight_decay: float = field(default=1e-5, validator=ge(0))
    """Weight decay."""
    sgd_momentum: float = field(default=0.9, validator=_share)
    """Momentum of SGD."""
    warmup_steps: int = field(default=0, validator=ge(0))
    """Steps in which the learning rate grows from 0 to ``lr``."""
    batch: int = field(default=32, validator=ge(2))
    """Clips in a batch of one process."""


@frozen
class Finetune:
    """[finetune]: training with labels, from a checkpoint or from random weights.

    A key that is left out has the value that the protocol gives to encoders of this kind (A.1 of the paper). Raises
    ValueError for a name in ``augment`` that is no key of [augment].
    """

    optimiser: Literal["adam", "sgd"] | None = None
    """The optimiser."""
    epochs: int | None = field(default=None, validator=optional(ge(1)))
    """Epochs of training."""
    milestones: tuple[int, ...] | None = None
    """Epochs at which the learning rate is multiplied by ``decay``."""
    decay: float | None = field(default=None, validator=optional(and_(gt(0), le(1))))
    """Factor of the learning rate at each milestone."""
    lr: float | None = field(default=None, validator=optional(gt(0)))
    """Initial learning rate of the linear layer."""
    encoder_share: float | None = field(default=None, validator=optional(_share))
    """Learning rate of the encoder as a share of ``lr``; with 0 its BatchNorm statistics still change."""
    weight_decay: float | None = field(default=None, validator=optional(ge(0)))
    """Weight decay."""
    momentum: float | None = field(default=None, validator=optional(_share))
    """Momentum of SGD."""
    dropout: float | None = field(default=None, validator=optional(and_(ge(0), lt(1))))
    """Probability of dropout in front of the linear layer."""
    bn_groups: int = field(default=1, validator=ge(1))
    """Parts of a process's batch that BatchNorm normalises separately."""
    crops: Literal["centre", "ten"] = "ten"
    """Crops taken of each test video."""
    augment: Mapping[str, float] = field(factory=dict, validator=_keys_of_augment)
    """Keys of [augment] with the values that they have in finetuning; blur is 0 unless it is given here."""

    def over(self, protocol: Finetuning) -> Finetuning:
        """The numbers of the protocol, replaced by those that are given here."""
        given = {name: value for name, value in asdict(self).items() if value is not None and name != "augment"}
        return evolve(protocol, **given)


@frozen
class EvaluationStore:
    """[evaluate.stores.NAME]: another store on which encoders are evaluated."""

    store: str
    """Path of the store."""
    gallery: str = "train"
    """Split of the labelled videos."""
    queries: str = "test"
    """Split of the test videos."""


@frozen
class Evaluate:
    """[evaluate]: how encoders are evaluated (section 8)."""

    protocol: Literal["vimix", "coclr", "crosclr"] = "vimix"
    """The evaluation protocol: ours, or the one with CoCLR's or CrosSCLR's numbers."""
    stride: int | None = field(default=None, validator=optional(ge(1)))
    """Frames between the starts of two windows; None: those of the protocol."""
    batch_clips: int = field(default=32, validator=ge(1))
    """Clips that are embedded at once."""
    queries: str = "test"
    """Split of the test videos: queries of retrieval, test set of classification."""
    gallery: str = "train"
    """Split of the labelled videos: gallery of retrieval, training set of classification."""
    recall_at: tuple[int, ...] = field(default=(1, 5, 10, 20), validator=and_(_filled, deep_iterable(ge(1))))
    """Values of k of recall at k."""
    probe_inverse_regularisation: tuple[float, ...] = field(
        default=(0.0001, 0.001, 0.01, 0.1, 1.0, 10.0), validator=and_(_filled, deep_iterable(gt(0)))
    )
    """Values of C among which logistic regression chooses."""
    linear_epochs: int | None = field(default=None, validator=optional(ge(1)))
    """Epochs of linear layers that SGD trains; None: those of the protocol."""
    stores: Mapping[str, EvaluationStore] = field(factory=dict)
    """Other stores by name, such as hmdb51 for encoders trained on UCF101."""
    own: bool = True
    """Whether encoders are evaluated on the store that they are trained on."""
    knn_every: int = field(default=0, validator=ge(0))
    """Epochs between two kNN accuracies in metrics.jsonl (Fig. 2); 0: none."""
    knn_videos: int = field(default=1000, validator=ge(2))
    """Most videos of each split, evenly spaced, that kNN uses."""
    knn_neighbours: int = field(default=20, validator=ge(1))
    """Neighbours that vote in kNN."""


@frozen
class Run:
    """[run]: settings that do not change what is computed, except for the precision."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of convolutions; "auto" is bfloat16 where the hardware has it."""
    checkpoint_minutes: float = field(default=10.0, validator=ge(0))
    """Minutes between two checkpoints."""
    checkpoint_steps: int = field(default=0, validator=ge(0))
    """Steps between two further checkpoints; 0: none."""
    log_every: int = field(default=10, validator=ge(1))
    """Steps between two rows of metrics."""
    metrics: tuple[str, ...] = field(default=("tensorboard",), validator=deep_iterable(one_of(SINKS)))
    """Where the rows go besides metrics.jsonl: "tensorboard", "wandb", "mlflow", or a sink of your own."""
    max_bad_steps: int = field(default=10, validator=ge(1))
    """Successive steps without finite loss and gradient after which a stage stops; each is skipped."""
    dist_timeout: float = field(default=60.0, validator=gt(0))
    """Seconds after which a process stops waiting for the other processes."""


@frozen
class Recipe:
    """A whole recipe."""

    name: str
    """Name of the recipe, for tables and records."""
    data: Data
    modalities: Mapping[str, ModalitySettings]
    """Settings of the encoders by modality."""
    seed: int = field(default=0, validator=and_(ge(0), le(LARGEST_SEED)))
    """Seed of all randomness."""
    augment: AugmentSettings = field(factory=AugmentSettings)
    augment_skeleton: SkeletonAugmentSettings = field(factory=SkeletonAugmentSettings)
    contrast: Contrast = Contrast()
    optim: Optim = Optim()
    pretrain: Pretrain = field(factory=Pretrain)
    cmmc: Cmmc = field(factory=Cmmc)
    finetune: Finetune = Finetune()
    arms: Mapping[str, Arm] = field(factory=dict)
    """The plan: arms by name."""
    evaluate: Evaluate = Evaluate()
    run: Run = Run()

    def title(self, arm: str) -> str:
        """Title of the arm in tables: its ``about``, followed by its name if another arm has the same title."""
        titles = {name: settings.about or name for name, settings in self.arms.items()}
        title = titles.get(arm, arm)
        return f"{title} ({arm})" if [*titles.values()].count(title) > 1 else title

    def on(self, store: str) -> "Recipe":
        """The recipe for one of [evaluate.stores], whose gallery is the split to train on. Raises KeyError."""
        other = self.evaluate.stores[store]
        return evolve(
            self,
            data=evolve(self.data, store=other.store, train_split=other.gallery),
            evaluate=evolve(self.evaluate, gallery=other.gallery, queries=other.queries, stores={}, own=True),
        )

    @property
    def pictures(self) -> tuple[str, ...]:
        """Modalities whose clips are pictures (RGB, flow)."""
        return tuple(name for name, modality in self.modalities.items() if modality.entry.maps == "planes")

    @property
    def skeletons(self) -> tuple[str, ...]:
        """Modalities whose clips are skeletons (joint, motion, bone)."""
        return tuple(name for name, modality in self.modalities.items() if modality.entry.maps == "graph")

    def stage(self, stage: Stage) -> Pretrain | Cmmc:
        """[pretrain] or [cmmc], with the values that the stage gives itself."""
        given = {name: getattr(stage, name, None) for name in ("epochs", "milestones", "mix", "objective")}
        base = self.cmmc if isinstance(stage, CmmcStage) else self.pretrain
        return evolve(base, **{name: value for name, value in given.items() if value is not None})

    def rate(self, stage: Stage) -> float:
        """Initial learning rate: that of the stage, or of its first modality, or of [optim]."""
        return stage.lr or self.rate_of(stage.modality)

    def rate_of(self, modality: str) -> float:
        """Initial learning rate of a modality: its own, or that of [optim]."""
        settings = self.modalities.get(modality)
        return (settings and settings.lr) or self.optim.lr
