"""Types of flow estimators."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class FlowEstimator(Protocol):
    """Estimates the motion between two frames."""

    def __call__(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate displacements (u, v) in pixels, float32 [H, W, 2], from grey frames uint8 [H, W].

        The point at (x, y) of the earlier frame is at (x + u, y + v) in the later one.
        """
        ...


@runtime_checkable
class BatchFlowEstimator(FlowEstimator, Protocol):
    """Estimates the motion in many pairs of frames at once."""

    def batch(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate fields float32 [N, H, W, 2] from pairs of grey frames uint8 [N, H, W]: those of each pair alone."""
        ...
