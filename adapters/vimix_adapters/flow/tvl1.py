"""TV-L1 optical flow (Zach et al. 2007; Sanchez Perez et al. 2013), which the paper uses."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vimix.values.errors import VimixError


class TvL1Flow:
    """Implements ``vimix_adapters.flow.estimator.FlowEstimator`` with OpenCV contrib's TV-L1, default parameters."""

    def __init__(self) -> None:
        self._estimator, self._shape = create_estimator(cv2), (0, 0)

    def __call__(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate (u, v) in pixels, float32 [H, W, 2], from grey frames uint8 [H, W]."""
        if earlier.shape != self._shape:
            # A small frame removes scales from OpenCV's estimator for good.
            self._estimator, self._shape = create_estimator(cv2), earlier.shape
        flow: NDArray[np.float32] = self._estimator.calc(earlier, later, None)
        return flow


def create_estimator(library: Any) -> Any:
    """Create the estimator, whose name differs between versions of OpenCV. Raises VimixError if there is none."""
    contrib = getattr(library, "optflow", None)
    for module, name in (
        (contrib, "DualTVL1OpticalFlow_create"),
        (contrib, "createOptFlow_DualTVL1"),
        (library, "createOptFlow_DualTVL1"),
        (library, "DualTVL1OpticalFlow_create"),
    ):
        if hasattr(module, name):
            return getattr(module, name)()
    raise VimixError(
        "this OpenCV has no TV-L1: pip uninstall opencv-python opencv-python-headless, then "
        "pip install opencv-contrib-python-headless; or choose --flow dis"
    )
