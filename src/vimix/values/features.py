"""Features of videos and of their clips, the output of an encoder."""

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]


@frozen(eq=False)
class VideoFeatures:
    """Features of N videos before the projection head, one row a video: the mean over its windows."""

    features: Rows
    """[N, D] float32."""
    labels: Integers = field()
    """[N] int64, -1 if unknown."""
    sources: Integers = field()
    """[N] int64, the number of the recording that each video was cut from: siblings share one."""
    videos: Integers = field()
    """[N] int64, indices into the store."""

    @labels.validator
    @sources.validator
    @videos.validator
    def _check(self, _: object, value: Integers) -> None:
        _one_a_row(self.features, value)

    def __len__(self) -> int:
        return len(self.features)


@frozen(eq=False)
class ClipFeatures:
    """Features of M clips, one row a clip; the clips of a video are consecutive and in order of time."""

    features: Rows
    """[M, D] float32."""
    videos: Integers = field()
    """[M] int64, indices into the store."""
    starts: Integers = field()
    """[M] int64, first frame of each clip's window."""

    @videos.validator
    @starts.validator
    def _check(self, _: object, value: Integers) -> None:
        _one_a_row(self.features, value)

    def __len__(self) -> int:
        return len(self.features)


def _one_a_row(features: Rows, values: Integers) -> None:
    if features.ndim != 2 or values.shape != features.shape[:1]:
        raise ValueError(f"expected features [N, D] and one number a row, got {features.shape} and {values.shape}")
