"""Writing the text of an NTU RGB+D skeleton file with one body in each frame."""

import numpy as np
from numpy.typing import NDArray

BODY = 72057594037927936
"""Tracking number of the body, as large as Kinect's."""
_BODY_LINE = f"{BODY} 0 1 1 1 1 0 0 0 2"
"""bodyID, clippedEdges, confidence and state of the left and right hand, isRestricted, leanX, leanY, trackingState."""
# The joint's position in the depth image equals that in the colour image, as there is one camera. Orientations are 0.
_JOINT_LINE = "%.7g %.7g %.7g %.7g %.7g %.7g %.7g 0 0 0 0 2"


def skeleton_text(joints: NDArray[np.float32], pixels: NDArray[np.float32]) -> str:
    """Return the file's text for ``joints`` ``[T, 25, 3]`` in metres, which are seen at ``pixels`` ``[T, 25, 2]``.

    The text has the number of frames and, for each frame, the number of bodies (1), the body's 10 values, the number of
    joints (25), and a line of 12 values for each joint: x y z depthX depthY colorX colorY orientationW X Y Z
    trackingState (NTU RGB+D, README).
    """
    frames, count = joints.shape[:2]
    block = "\n".join(["1", _BODY_LINE, str(count), *[_JOINT_LINE] * count])
    rows = np.concatenate([joints, pixels, pixels], axis=-1).reshape(frames, -1)
    return "\n".join([str(frames), *(block % tuple(row) for row in rows.tolist())]) + "\n"
