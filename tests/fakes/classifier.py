"""A classifier small enough to follow by hand: the mean of each channel, BatchNorm, dropout and one linear layer."""

import torch
from torch import Tensor, nn


class FakeClassifier(nn.Sequential):
    """Implements ``vimix.ports.network.Classifier``."""

    def __init__(self, channels: int = 3, classes: int = 2, dropout: float = 0.0, seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            norm, linear = nn.BatchNorm1d(channels * 4), nn.Linear(channels * 4, classes)
        super().__init__(norm, nn.Dropout(dropout), linear)

    def _scores(self, clips: Tensor) -> Tensor:
        scores: Tensor = self(nn.functional.adaptive_avg_pool3d(clips, (1, 2, 2)).flatten(1))
        return scores

    def logits(self, clips: Tensor) -> Tensor:
        self.train()
        return self._scores(clips)

    @torch.no_grad()
    def probabilities(self, clips: Tensor) -> Tensor:
        self.eval()
        return self._scores(clips).softmax(dim=1)
