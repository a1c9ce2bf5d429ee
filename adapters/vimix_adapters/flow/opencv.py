"""Optical flow as OpenCV computes it: TV-L1, which the paper uses, and DIS, which is much faster."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vimix.values.errors import VimixError


class _OpenCvFlow:
    """Implements ``vimix_adapters.flow.fields.FlowEstimator`` with an estimator of OpenCV."""

    def __init__(self) -> None:
        self._estimator, self._shape = self._created(), (0, 0)

    def __call__(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate (u, v) in pixels, float32 [H, W, 2], from grey frames uint8 [H, W]."""
        if earlier.shape != self._shape:
            # A small frame changes the scales of OpenCV's estimators for good.
            self._estimator, self._shape = self._created(), earlier.shape
        flow: NDArray[np.float32] = self._estimator.calc(
            np.ascontiguousarray(earlier), np.ascontiguousarray(later), None
        )
        return flow

    def _created(self) -> Any:
        raise NotImplementedError


class DisFlow(_OpenCvFlow):
    """DIS optical flow (Kroeger et al. 2016), medium preset."""

    def _created(self) -> Any:
        library: Any = cv2  # OpenCV's stubs leave DIS out
        return library.DISOpticalFlow_create(library.DISOPTICAL_FLOW_PRESET_MEDIUM)


class TvL1Flow(_OpenCvFlow):
    """TV-L1 optical flow (Zach et al. 2007; Sanchez Perez et al. 2013) of OpenCV contrib, default parameters."""

    def _created(self) -> Any:
        return create_tvl1(cv2)


def create_tvl1(library: Any) -> Any:
    """Create the estimator of OpenCV contrib. Raises VimixError if this OpenCV lacks contrib."""
    try:
        return library.optflow.DualTVL1OpticalFlow_create()
    except AttributeError as error:
        raise VimixError(
            "this OpenCV has no TV-L1: pip uninstall opencv-python opencv-python-headless, then "
            "pip install opencv-contrib-python-headless; or choose --flow dis"
        ) from error
