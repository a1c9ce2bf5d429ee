"""Settings of the linear probe."""

from attrs import frozen


@frozen
class LinearSgd:
    """How a linear layer is trained by SGD."""

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
    every: int = 5
    """Epochs between two evaluations, for protocols that report the best one."""
