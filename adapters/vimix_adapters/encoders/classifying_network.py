"""An encoder with a linear layer, trained as a whole."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.contrastive_network import Compute


class ClassifyingNetwork(nn.Module):
    """Implements ``vimix.ports.network.Classifier``: pooled features, dropout, one linear layer.

    The layer starts as N(0, 0.01²) with bias 0 (CoCLR), so that the first steps do not tear up a pretrained encoder.
    In training the batch passes the encoder in ``groups`` equal parts, each normalised by its own statistics.
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
        """[B, classes] float32, in training mode."""
        self.train()
        if len(clips) % self.groups:
            raise ValueError(f"a batch of {len(clips)} does not divide into {self.groups} BatchNorm groups")
        return self._classified(torch.cat([self._features(part) for part in clips.chunk(self.groups)]))

    def forward(self, clips: Tensor) -> Tensor:
        """The logits: what DistributedDataParallel wraps."""
        return self.logits(clips)

    @property
    def moving(self) -> nn.Module:
        """Where the BatchNorms are whose statistics a process's rows move."""
        return self

    @torch.no_grad()
    def probabilities(self, clips: Tensor) -> Tensor:
        """Softmax [B, classes] float32, in evaluation mode."""
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
        """Take the encoder out of a contrastive network's state; its projection head is dropped.

        Strict: a missing or unexpected name raises RuntimeError.
        """
        prefix = "encoder."
        self.encoder.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
