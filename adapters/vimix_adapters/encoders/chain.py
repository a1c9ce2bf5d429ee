"""A network as a chain of stages that can be entered and left between any two."""

from collections.abc import Sequence

from torch import Tensor, nn


class StageChain(nn.Module):
    """Implements ``vimix.ports.network.Encoder`` for any sequence of modules on [B, C, T, H, W] maps."""

    def __init__(self, stages: Sequence[nn.Module], feature_size: int) -> None:
        super().__init__()
        self.features = nn.ModuleList(stages)
        self._feature_size = feature_size

    @property
    def depth(self) -> int:
        """Number of stages L."""
        return len(self.features)

    @property
    def feature_size(self) -> int:
        """D, the length of a feature."""
        return self._feature_size

    def partial_forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Stages start ... stop-1 (half open). Raises ValueError unless 0 <= start <= stop <= depth."""
        if not 0 <= start <= stop <= self.depth:
            raise ValueError(f"stages {start} to {stop} are not within 0 to {self.depth}")
        for stage in self.features[start:stop]:
            x = stage(x)
        return x

    def pool(self, hidden: Tensor) -> Tensor:
        """Mean over time and space, [B, D] float32."""
        return hidden.float().mean(dim=(2, 3, 4))
