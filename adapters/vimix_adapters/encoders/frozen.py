"""A linear layer on a frozen encoder, trained on augmented clips (CoCLR's linear probe)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.classifier import ClassifyingNetwork
from vimix_adapters.encoders.network import Compute


class FrozenClassifier(ClassifyingNetwork):
    """Implements ``vimix.ports.network.Classifier``: pooled features of an encoder that nothing changes, one layer.

    The encoder is in evaluation mode throughout and gets no gradient. ``unit_features`` scales features to length 1,
    ``batch_norm`` normalises them by a BatchNorm with scale 1 and shift 0 at first, as CoCLR does.
    """

    def __init__(
        self, encoder: StageChain, classes: int, unit_features: bool, batch_norm: bool, compute: Compute
    ) -> None:
        super().__init__(encoder, classes, 0.0, compute)
        self.encoder.requires_grad_(False)
        self.unit_features = unit_features
        self.norm = (nn.BatchNorm1d(encoder.feature_size) if batch_norm else nn.Identity()).to(compute.device)

    def train(self, mode: bool = True) -> "FrozenClassifier":
        """The layer alone is ever in training mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def layer(self) -> Iterable[nn.Parameter]:
        """What is trained."""
        return [*self.norm.parameters(), *self.linear.parameters()]

    def _classified(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(
            self.norm(nn.functional.normalize(features, dim=1) if self.unit_features else features)
        )
        return scores

    def _features(self, clips: Tensor) -> Tensor:
        with torch.no_grad():
            return super()._features(clips)
