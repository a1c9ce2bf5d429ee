"""JSON as pose estimators write it: Kinetics-skeleton, OpenPose, MediaPipe, NW-UCLA.

They nest a recording's frames, a frame's bodies and a body's joints in different ways, with different names. The parser
looks for these levels instead of a format: a body is recognised by its number of joints.
"""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.sequence import Array, Expected, RawSequence, raw_sequence, split_channels

_RECORDING = ("data", "frames", "skeletons", "results", "annotations")
_FRAME = ("people", "persons", "skeleton", "skeletons", "bodies", "poses", "instances")
_BODY = (
    *("pose_world_landmarks", "poseWorldLandmarks", "worldLandmarks", "pose_landmarks", "poseLandmarks", "landmarks"),
    *("landmark", "pose_keypoints_3d", "pose_keypoints_2d", "keypoints", "joints", "pose"),
)
_SCORES = ("visibility", "score", "confidence", "scores", "keypoint_scores")
OPENPOSE = "_keypoints.json"
"""Ending of the files that OpenPose writes, one a frame: ``NAME_000000000012_keypoints.json``."""
WIDEST_GAP = 100
"""Most frames for each of OpenPose's files; numbers that span more are not those of frames."""
_NUMBER = re.compile("[0-9]{1,20}")


@frozen(eq=False)
class _Body:
    """Values [V, C] of a body, and its scores [V] if they were named."""

    values: Array
    scores: Array | None = None
    named: bool = False
    """Whether the values are coordinates by name."""


def parse_json(data: bytes, expected: Expected) -> RawSequence:
    """Parse a recording, or a single frame. Raises VimixError naming the frame for other content."""
    return _sequence(_frames(_loaded(data)), expected)


def read_openpose(folder: Path, prefix: str, expected: Expected) -> RawSequence:
    """Read the files of one recording that OpenPose wrote, one a frame.

    Raises VimixError naming the file that cannot be read, or the first gap if the files are not numbered by frame.
    """
    frames = {}
    for path in sorted(folder.glob(f"*{OPENPOSE}")):
        name, _, number = path.name.removesuffix(OPENPOSE).rpartition("_")
        if _NUMBER.fullmatch(number) and prefix in ("", name):
            try:
                frames[int(number)] = _loaded(path.read_bytes())
            except (OSError, VimixError) as error:
                raise VimixError(f"{path.name}: {error}") from error
    if not frames:
        raise VimixError(f"a folder without OpenPose's NAME_000000000000{OPENPOSE}")
    first, last = min(frames), max(frames)
    if last - first + 1 > WIDEST_GAP * len(frames):
        before, after = next(pair for pair in pairwise(sorted(frames)) if pair[1] - pair[0] > WIDEST_GAP)
        raise VimixError(
            f"{len(frames)} files are numbered from {first} to {last}, with the first wide gap from {before} to "
            f"{after}: expected numbers of frames, as in NAME_000000000012{OPENPOSE}; if these are times, number "
            "the files 0, 1, 2, ... in the same order"
        )
    return _sequence([frames.get(number) for number in range(first, last + 1)], expected)


def _loaded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise VimixError(f"not valid JSON ({error})") from error


def _frames(value: Any) -> Sequence[Any]:
    """Return the frames of a recording."""
    if isinstance(value, dict):
        for key in _RECORDING:
            if isinstance(value.get(key), list | dict):
                return _frames(value[key])
        if value and all(_NUMBER.fullmatch(key) for key in value):
            return [value[key] for key in sorted(value, key=int)]
        return [value]
    if isinstance(value, list):
        return value
    raise VimixError(f"expected frames of bodies, found {_kind(value)}")


def _sequence(frames: Sequence[Any], expected: Expected) -> RawSequence:
    numbers: list[int] = []
    slots: list[int] = []
    bodies: list[_Body] = []
    for number, frame in enumerate(frames):
        for slot, body in enumerate(_bodies(frame, expected.joints, number)):
            numbers.append(number)
            slots.append(slot)
            bodies.append(body)
    if not bodies:
        raise VimixError(f"no frame has a body (found {_kind(frames)})")
    if len({(body.values.shape, body.named, body.scores is None) for body in bodies}) > 1:
        raise VimixError("its bodies do not have the same channels")
    values = np.stack([body.values for body in bodies])
    if bodies[0].scores is not None or bodies[0].named:
        scores = None if bodies[0].scores is None else np.stack([body.scores for body in bodies])  # type: ignore[misc]  # all alike
        return raw_sequence(numbers, slots, slots, values, scores)
    joints, scores = split_channels(values, expected)
    if values.shape[2] == 4 and bool(((values[..., 3] >= 0) & (values[..., 3] <= 1)).all()):
        scores = values[..., 3]
    return raw_sequence(numbers, slots, slots, joints, scores)


def _bodies(value: Any, joints: int, frame: int) -> list[_Body]:
    """Return the bodies of a frame. Raises VimixError if it holds something else."""
    if value is None or value in ([], {}):
        return []
    if (body := _body(value, joints)) is not None:
        return [body]
    if isinstance(value, dict):
        for key in (*_FRAME, *_BODY):
            if key in value:
                return _bodies(value[key], joints, frame)
    elif isinstance(value, list) and all(isinstance(part, list | dict) for part in value):
        found = [body for part in value for body in _bodies(part, joints, frame)]
        if len(found) <= len(value):
            return found
    raise VimixError(f"frame {frame + 1}: expected bodies of {joints} joints, as the layout has, found {_kind(value)}")


def _body(value: Any, joints: int) -> _Body | None:
    """Return a body; None if the value is something else."""
    if isinstance(value, dict):
        if len(value) == joints and all(isinstance(joint, dict) for joint in value.values()):
            return _landmarks(list(value.values()))
        held = next((value[key] for key in _BODY if key in value), None)
        body = None if held is None else _body(held, joints)
        scores = next((value[key] for key in _SCORES if isinstance(value.get(key), list)), None)
        if body is None or scores is None:
            return body
        array = _numbers(scores)
        fits = array is not None and array.size == joints
        return _Body(body.values, array.reshape(joints), True) if fits and array is not None else None
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], dict):
        return _landmarks(value) if len(value) == joints else None
    array = _numbers(value)
    if array is None or array.size % joints or array.size // joints not in (2, 3, 4):
        return None
    if array.ndim == 1 or (array.ndim == 2 and len(array) == joints):
        return _Body(array.reshape(joints, -1))
    return None


def _landmarks(joints: Sequence[dict[str, Any]]) -> _Body | None:
    """Return a body whose joints have names for their coordinates; None if they have not."""
    names = [name for name in ("x", "y", "z") if all(isinstance(j, dict) and name in j for j in joints)]
    if names[:2] != ["x", "y"]:
        return None
    values = _numbers([[joint[name] for name in names] for joint in joints])
    score = next((name for name in _SCORES if all(joint.get(name) is not None for joint in joints)), None)
    scores = None if score is None else _numbers([joint[score] for joint in joints])
    return None if values is None else _Body(values, scores, True)


def _numbers(value: Any) -> Array | None:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _kind(value: Any) -> str:
    """Describe a value of JSON."""
    if isinstance(value, dict):
        return f"an object of {', '.join(list(value)[:5]) or 'nothing'}"
    if isinstance(value, list) and value and isinstance(value[0], int | float):
        return f"{len(value)} numbers"
    if isinstance(value, list):
        return f"a list of {len(value)}" + (f", the first {_kind(value[0])}" if value else "")
    return f"{str(value)[:20]!r}"
