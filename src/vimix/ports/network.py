"""Encoders as the method sees them: chains of stages with a projection head behind."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from torch import Tensor

from vimix.values.mixing import MixPlan

HiddenMixing = Callable[[Tensor], tuple[Tensor, MixPlan]]
"""Takes the hidden map ``g1^k`` [B, C, T, H, W]; returns the mixed map of the same shape and the plan that made it."""


class Encoder(Protocol):
    """A chain of L stages. Laws: ``pf(x, a, a) is x``; ``pf(pf(x, a, b), b, c) == pf(x, a, c)``."""

    @property
    def depth(self) -> int:
        """Number of stages L."""
        ...

    @property
    def feature_size(self) -> int:
        """D, the length of a feature."""
        ...

    @property
    def planar(self) -> bool:
        """Whether the last two axes of its maps are height and width; else they are joints and persons."""
        ...

    def partial_forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Stages start, start+1, ..., stop-1 of the chain (half open). Maps are [B, C, T, H, W] at every boundary.

        Raises ValueError unless 0 <= start <= stop <= depth.
        """
        ...

    def pool(self, hidden: Tensor) -> Tensor:
        """Features [B, D] float32 from the last map: the mean over space and time."""
        ...


class FeatureExtractor(Protocol):
    """What turns clips into features."""

    def features(self, clips: Tensor) -> Tensor:
        """Features [B, D] float32 before the projection head, without gradient, in evaluation mode."""
        ...


class Network(FeatureExtractor, Protocol):
    """An encoder with its projection head: the whole query (or key) path of MoCo as one callable."""

    @property
    def depth(self) -> int:
        """Number of stages L of the encoder."""
        ...

    @property
    def planar(self) -> bool:
        """Whether the last two axes of clips and maps are height and width; else they are joints and persons."""
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

    def keys(self, clips: Tensor, shuffle: Tensor) -> Tensor:
        """``embed`` in train mode without gradient, with the batch permuted by ``shuffle`` [B] before it is split into
        BatchNorm groups and put back in order after (ShuffleBN): no key shares its statistics with its own query.
        ``shuffle`` lies on the CPU. Where processes share a batch, it permutes the global one, and all G keys return.
        """
        ...

    def parameters(self) -> Iterable[Tensor]:
        """All parameters, in a fixed order (query and key networks pair them by it)."""
        ...

    def buffers(self) -> Iterable[Tensor]:
        """What training changes beside the parameters: BatchNorm's running statistics."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """Parameters and buffers by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Strict: a missing or unexpected name raises."""
        ...


class Classifier(Protocol):
    """An encoder with a linear layer behind, trained as a whole (section 8: finetuning)."""

    def logits(self, clips: Tensor) -> Tensor:
        """[B, classes] float32 of clips [B, C, T, H, W], in training mode."""
        ...

    def probabilities(self, clips: Tensor) -> Tensor:
        """Softmax [B, classes] float32, in evaluation mode and without gradient."""
        ...

    def buffers(self) -> Iterable[Tensor]:
        """What training changes beside the parameters: BatchNorm's running statistics."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """Parameters and buffers by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Strict: a missing or unexpected name raises."""
        ...


class Optimiser(Protocol):
    """Updates the parameters it was built with."""

    def step(self, loss: Tensor) -> Tensor:
        """Clear gradients, backpropagate ``loss`` and update; if it or a gradient is not finite, change nothing.

        Returns a bool scalar on the device, true if the update was skipped.
        """
        ...

    def set_learning_rate(self, rate: float) -> None:
        """For the following steps. Parts of the network may have a fixed share of it."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """Moments and step counts."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        ...
