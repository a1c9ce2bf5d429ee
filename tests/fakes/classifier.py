"""A classifier small enough to follow by hand: the mean of each channel, BatchNorm, dropout and one linear layer."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class FakeClassifier:
    """Implements ``vimix.ports.network.Classifier``."""

    def __init__(self, channels: int = 3, classes: int = 2, dropout: float = 0.0, seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            norm, linear = nn.BatchNorm1d(channels * 4), nn.Linear(channels * 4, classes)
            self.module = nn.Sequential(norm, nn.Dropout(dropout), linear)

    def _scores(self, clips: Tensor) -> Tensor:
        scores: Tensor = self.module(nn.functional.adaptive_avg_pool3d(clips, (1, 2, 2)).flatten(1))
        return scores

    def logits(self, clips: Tensor) -> Tensor:
        self.module.train()
        return self._scores(clips)

    @torch.no_grad()
    def probabilities(self, clips: Tensor) -> Tensor:
        self.module.eval()
        return self._scores(clips).softmax(dim=1)

    def buffers(self) -> Iterable[Tensor]:
        return self.module.buffers()

    def state_dict(self) -> Mapping[str, Any]:
        return self.module.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.module.load_state_dict(state)
