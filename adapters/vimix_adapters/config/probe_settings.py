"""Settings of trainings with labels: linear layers and finetuning."""

from typing import Literal

from attrs import frozen


@frozen
class LinearSgd:
    """Training of a linear layer by SGD."""

    lr: float
    """Initial learning rate."""
    weight_decay: float
    batch: int
    """Rows of a batch, all processes together."""
    epochs: int
    milestones: tuple[int, ...]
    """Epochs at which the learning rate is multiplied by ``decay``."""
    decay: float = 0.1
    momentum: float = 0.9
    unit_features: bool = False
    """Whether features are scaled to length 1 first."""
    batch_norm: bool = False
    """Whether a BatchNorm with learnable scale precedes the layer."""
    initial_std: float = 0.01
    """Standard deviation of the layer's initial weights, which are normal; biases start at 0."""
    drop_last: bool = False
    """Whether the last batch of an epoch is left out if it is not full; a set smaller than a batch is one batch."""
    together: bool = False
    """Whether the layers of several streams are trained together, on the mean of their logits."""
    first_tested: int = 0
    """First epoch, counted from 0, after which the layer is tested, for protocols that report the best epoch."""
    every: int = 5
    """Epochs between two such tests."""


@frozen
class Finetuning:
    """Training of an encoder and a linear layer with labels: every number."""

    optimiser: Literal["adam", "sgd"]
    lr: float
    """Initial learning rate of the linear layer."""
    weight_decay: float
    epochs: int
    milestones: tuple[int, ...]
    """Epochs at which the learning rate is multiplied by ``decay``."""
    decay: float = 0.1
    momentum: float = 0.9
    """Momentum of SGD."""
    encoder_share: float = 1.0
    """Learning rate of the encoder as a share of ``lr``."""
    dropout: float = 0.0
    """Probability of dropout in front of the linear layer."""
    bn_groups: int = 1
    """Parts of a process's batch that BatchNorm normalises separately."""
    crops: Literal["centre", "ten"] = "ten"
    """Crops taken of each test video."""
