"""An encoder with a linear layer: trained end to end, or frozen below the layer (CoCLR's linear probe)."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vimix.app.parallel import SINGLE_PROCESS
from vimix.ports.process_group import ProcessGroup
from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.contrastive_network import Compute


class ClassifyingNetwork(nn.Module):
    """Implements ``vimix.ports.network.Classifier``: pooled features, dropout, one linear layer.

    The layer starts with weights from N(0, 0.01²) and bias 0 (CoCLR), so that the first gradients of a pretrained
    encoder are small. In training the batch passes the encoder in ``groups`` equal parts, which BatchNorm normalises
    separately.
    """

    def __init__(self, encoder: StageChain, classes: int, dropout: float, compute: Compute, groups: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        self.groups = groups
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(encoder.feature_size, classes)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)
        self.compute = compute
        self.to(compute.device).to(memory_format=encoder.memory_format)

    def logits(self, clips: Tensor) -> Tensor:
        """Logits [B, classes] float32 of clips [B, C, T, H, W] in training mode.

        Raises ValueError if the batch does not divide into the BatchNorm groups.
        """
        self.train()
        if len(clips) % self.groups:
            raise ValueError(f"a batch of {len(clips)} does not divide into {self.groups} BatchNorm groups")
        return self._classified(torch.cat([self._features(part) for part in clips.chunk(self.groups)]))

    def forward(self, clips: Tensor) -> Tensor:
        """The logits; DistributedDataParallel wraps this method."""
        return self.logits(clips)

    def layer(self) -> Iterable[nn.Parameter]:
        """The parameters behind the encoder."""
        return self.linear.parameters()

    @property
    def moving(self) -> nn.Module:
        """The module whose BatchNorm statistics are updated from the rows of this process."""
        return self

    @torch.no_grad()
    def probabilities(self, clips: Tensor) -> Tensor:
        """Softmax [B, classes] float32 of clips [B, C, T, H, W] in evaluation mode."""
        self.eval()
        return self._classified(self._features(clips)).softmax(dim=1)

    def _features(self, clips: Tensor) -> Tensor:
        with self.compute.autocast():
            hidden = self.encoder.partial_forward(self.encoder.laid_out(clips), 0, self.encoder.depth)
        return self.encoder.pool(hidden)

    def _classified(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.dropout(features))
        return scores

    def load_encoder(self, state: Mapping[str, Any]) -> None:
        """Load the encoder from the state of a contrastive network, without the projection head.

        Raises RuntimeError if a name is missing or unexpected.
        """
        prefix = "encoder."
        self.encoder.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


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
