"""A linear layer on a frozen encoder, trained on augmented clips (CoCLR's linear probe)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vimix.app.parallel import SINGLE_PROCESS
from vimix.ports.process_group import ProcessGroup
from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.classifying_network import ClassifyingNetwork
from vimix_adapters.encoders.contrastive_network import Compute


class FrozenClassifier(ClassifyingNetwork):
    """Implements ``vimix.ports.network.Classifier``: pooled features of a frozen encoder, one linear layer.

    The encoder stays in evaluation mode and gets no gradient. ``unit_features`` scales features to length 1;
    ``batch_norm`` then normalises them with a BatchNorm, as CoCLR does. In a ``group`` it uses the statistics of the
    rows of all ranks; no gradient passes between ranks, because none is needed below the layer.
    """

    def __init__(
        self,
        encoder: StageChain,
        classes: int,
        unit_features: bool,
        batch_norm: bool,
        compute: Compute,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        super().__init__(encoder, classes, 0.0, compute)
        self.group = group
        self.encoder.requires_grad_(False)
        self.unit_features = unit_features
        self.norm = (nn.BatchNorm1d(encoder.feature_size) if batch_norm else nn.Identity()).to(compute.device)

    def train(self, mode: bool = True) -> "FrozenClassifier":
        """Set the mode of the layer; the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def layer(self) -> Iterable[nn.Parameter]:
        """The parameters that are trained: those of BatchNorm and of the layer."""
        return [*self.norm.parameters(), *self.linear.parameters()]

    @property
    def moving(self) -> nn.Module:
        """An empty module: no BatchNorm statistics differ between ranks."""
        return nn.Identity()

    def _classified(self, features: Tensor) -> Tensor:
        rows = nn.functional.normalize(features, dim=1) if self.unit_features else features
        scores: Tensor = self.linear(self._normalised(rows))
        return scores

    def _normalised(self, rows: Tensor) -> Tensor:
        if not self.training or self.group.size == 1:
            normalised: Tensor = self.norm(rows)
            return normalised
        normalised = self.norm(self.group.all_gather(rows))
        return normalised[self.group.rank * len(rows) : (self.group.rank + 1) * len(rows)]

    def _features(self, clips: Tensor) -> Tensor:
        with torch.no_grad():
            return super()._features(clips)
