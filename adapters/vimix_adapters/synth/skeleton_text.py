"""The NTU RGB+D skeleton file: text, one figure a frame."""

import numpy as np
from numpy.typing import NDArray

BODY = 72057594037927936
"""A body's tracking number, of the size Kinect gives."""
_BODY_LINE = f"{BODY} 0 1 1 1 1 0 0 0 2"
"""bodyID, clippedEdges, left and right hand's confidence and state, isRestricted, leanX, leanY, trackingState."""
# The depth camera's place of a joint is the colour camera's: there is one camera here. No orientations are given.
_JOINT_LINE = "%.7g %.7g %.7g %.7g %.7g %.7g %.7g 0 0 0 0 2"


def skeleton_text(joints: NDArray[np.float32], pixels: NDArray[np.float32]) -> str:
    """The file's text for ``joints`` ``[T, 25, 3]`` (metres) seen at ``pixels`` ``[T, 25, 2]``.

    Number of frames; for each: number of bodies (1), the body's 10 values, number of joints (25) and a line of
    12 values a joint: x y z depthX depthY colorX colorY orientationW X Y Z trackingState (NTU RGB+D, README).
    """
    frames, count = joints.shape[:2]
    block = "\n".join(["1", _BODY_LINE, str(count), *[_JOINT_LINE] * count])
    rows = np.concatenate([joints, pixels, pixels], axis=-1).reshape(frames, -1)
    return "\n".join([str(frames), *(block % tuple(row) for row in rows.tolist())]) + "\n"
