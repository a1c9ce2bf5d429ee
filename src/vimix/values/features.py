"""Features of videos and of their clips, the output of an encoder."""

from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]


def _one_a_row(owner: Any, _: object, values: Integers) -> None:
    features = owner.features
    if features.ndim != 2 or values.shape != features.shape[:1]:
        raise ValueError(f"expected features [N, D] and one number a row, got {features.shape} and {values.shape}")


@frozen(eq=False)
class VideoFeatures:
    """Features of N videos before the projection head, one row a video: the mean over its windows."""

    features: Rows
    """[N, D] float32."""
    labels: Integers = field(validator=_one_a_row)
    """[N] int64, -1 if unknown."""
    sources: Integers = field(validator=_one_a_row)
    """[N] int64, the number of the recording that each video was cut from: siblings share one."""
    videos: Integers = field(validator=_one_a_row)
    """[N] int64, indices into the store."""

    def __len__(self) -> int:
        return len(self.features)


@frozen(eq=False)
class ClipFeatures:
    """Features of M clips, one row a clip; the clips of a video are consecutive and in order of time."""

    features: Rows
    """[M, D] float32."""
    videos: Integers = field(validator=_one_a_row)
    """[M] int64, indices into the store."""
    starts: Integers = field(validator=_one_a_row)
    """[M] int64, first frame of each clip's window."""

    def __len__(self) -> int:
        return len(self.features)
