"""A network small enough to follow by hand: three stages of pointwise mixing with BatchNorm between them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vimix.ports.network import HiddenMixing
from vimix.values.mixing import MixPlan


class FakeNetwork(nn.Module):
    """Implements ``vimix.ports.network.Network``; stage 2 halves time and doubles the channels."""

    def __init__(self, channels: int = 3, groups: int = 1, seed: int = 0, planar: bool = True) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._stages = nn.ModuleList(
                [
                    nn.Sequential(nn.Conv3d(channels, 4, 1), nn.BatchNorm3d(4), nn.ReLU()),
                    nn.Sequential(nn.AvgPool3d((2, 1, 1)), nn.Conv3d(4, 8, 1), nn.BatchNorm3d(8), nn.ReLU()),
                    nn.Sequential(nn.Conv3d(8, 8, 1), nn.BatchNorm3d(8), nn.ReLU()),
                ]
            )
            self._head = nn.Linear(8, 5)
        self._groups = groups
        self.planar = planar

    @property
    def depth(self) -> int:
        return len(self._stages)

    def partial_forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        for stage in self._stages[start:stop]:
            x = torch.cat([stage(part) for part in x.chunk(self._groups if self.training else 1)])
        return x

    def project(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self._head(x.mean(dim=(2, 3, 4))), dim=1)

    def embed(self, clips: Tensor) -> Tensor:
        return self.project(self.partial_forward(clips, 0, self.depth))

    def embed_mixed(self, clips: Tensor, layer: int, mix: HiddenMixing) -> tuple[Tensor, MixPlan]:
        mixed, plan = mix(self.partial_forward(clips, 0, layer))
        return self.project(self.partial_forward(mixed, layer, self.depth)), plan

    @torch.no_grad()
    def keys(self, clips: Tensor, shuffle: Tensor) -> Tensor:
        return self.embed(clips[shuffle])[torch.argsort(shuffle)]

    @torch.no_grad()
    def hidden(self, clips: Tensor, layer: int) -> Tensor:
        return self._evaluated(lambda: self.partial_forward(clips, 0, layer))

    @torch.no_grad()
    def hidden_and_embedding(self, clips: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(clips, layer)
        return hidden, self._evaluated(lambda: self.project(self.partial_forward(hidden, layer, self.depth)))

    @torch.no_grad()
    def features(self, clips: Tensor) -> Tensor:
        return self._evaluated(lambda: self.partial_forward(clips, 0, self.depth).mean(dim=(2, 3, 4)))

    def _evaluated(self, compute: Callable[[], Tensor]) -> Tensor:
        training = self.training
        self.eval()
        result = compute()
        self.train(training)
        return result
