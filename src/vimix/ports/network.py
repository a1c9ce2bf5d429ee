"""Networks as the method sees them: a chain of encoder stages and a projection head."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from torch import Tensor

from vimix.values.mixing import MixPlan

HiddenMixing = Callable[[Tensor], tuple[Tensor, MixPlan]]
"""Maps the hidden map ``g1^k`` [B, C, T, H, W] to the mixed map of the same shape and the plan of the mix."""


class FeatureExtractor(Protocol):
    """Computes features of clips."""

    def features(self, clips: Tensor) -> Tensor:
        """Features [B, D] float32 before the projection head, without gradient, in evaluation mode."""
        ...


class Stateful(Protocol):
    """Holds the state of a network."""

    def buffers(self) -> Iterable[Tensor]:
        """State that training changes besides the parameters: BatchNorm's running statistics."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """Parameters and buffers by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Strict: a missing or unexpected name raises."""
        ...


class Network(FeatureExtractor, Stateful, Protocol):
    """An encoder with its projection head: the whole query (or key) path of MoCo."""

    @property
    def depth(self) -> int:
        """Number of stages L of the encoder."""
        ...

    @property
    def planar(self) -> bool:
        """Whether the last two axes of clips and maps are height and width; otherwise they are joints and persons."""
        ...

    def embed(self, clips: Tensor) -> Tensor:
        """L2-normalised embeddings [B, 128] float32 of clips [B, C, T, H, W] (Eq. 1)."""
        ...

    def embed_mixed(self, clips: Tensor, layer: int, mix: HiddenMixing) -> tuple[Tensor, MixPlan]:
        """Like ``embed``, with ``mix`` applied to the map below stage ``layer`` (section 3.2)."""
        ...

    def hidden(self, clips: Tensor, layer: int) -> Tensor:
        """``g^layer``: the map below stage ``layer``, without gradient, in evaluation mode (the frozen partner)."""
        ...

    def hidden_and_embedding(self, clips: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """``hidden``, and the L2-normalised embeddings [B, 128] float32, from one pass in evaluation mode."""
        ...

    def keys(self, clips: Tensor, shuffle: Tensor) -> Tensor:
        """Keys [G, 128] of the clips [B, C, T, H, W] of all ranks, in train mode, without gradient.

        The global batch of G clips is permuted by ``shuffle`` [G] (on the CPU) before it is split into BatchNorm
        groups, and the keys are put back in order (ShuffleBN): a key does not share its statistics with its query.
        """
        ...

    def parameters(self) -> Iterable[Tensor]:
        """All parameters, in a fixed order: those of query and key network are paired by it."""
        ...


class Classifier(Stateful, Protocol):
    """An encoder followed by a linear layer, trained as a whole (section 8: finetuning)."""

    def logits(self, clips: Tensor) -> Tensor:
        """[B, classes] float32 of clips [B, C, T, H, W], in training mode."""
        ...

    def probabilities(self, clips: Tensor) -> Tensor:
        """Softmax [B, classes] float32 of clips [B, C, T, H, W], in evaluation mode, without gradient."""
        ...


class Optimiser(Protocol):
    """Updates the parameters that it was built with."""

    def step(self, loss: Tensor) -> Tensor:
        """Clear gradients, backpropagate ``loss`` and update; if loss or gradient is not finite, change nothing.

        Returns a bool scalar on the device: whether the update was skipped.
        """
        ...

    def set_learning_rate(self, rate: float) -> None:
        """Set the rate of the following steps. A group of parameters may have a fixed share of it."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """Moments and step counts."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        ...
