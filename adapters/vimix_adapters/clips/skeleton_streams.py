"""The streams of a skeleton: motion and bone are derived from joint, in batches on any device."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vimix.values.modality import BONE, JOINT, MOTION, Modality
from vimix.values.skeleton import SkeletonLayout
from vimix.values.video import ModalityFormat


def derived(joints: Tensor, kind: ModalityFormat) -> Tensor:
    """Return the stream of ``kind`` for joints [B, C, T, V, M], of the same shape (section 6 of the method).

    The score of a difference of two joints is the mean of their scores, as in pyskl. A masked joint (NaN), and each
    difference with one, becomes 0.
    """
    assert kind.layout is not None
    stream = _STREAMS[kind.modality](joints, kind.layout, kind.score)
    return torch.nan_to_num(stream, nan=0.0, posinf=torch.inf, neginf=-torch.inf)


def _joint(joints: Tensor, _: SkeletonLayout, __: bool) -> Tensor:
    return joints


def _motion(joints: Tensor, _: SkeletonLayout, score: bool) -> Tensor:
    """Displacement to the next frame; 0 in the last frame."""
    motion, now, then = torch.zeros_like(joints), joints[:, :, :-1], joints[:, :, 1:]
    torch.sub(then, now, out=motion[:, :, :-1])
    if score:
        motion[:, -1, :-1] = (now[:, -1] + then[:, -1]) / 2
    return motion


def _bone(joints: Tensor, layout: SkeletonLayout, score: bool) -> Tensor:
    """Vector from the parent joint; 0 at the root."""
    starts = joints.index_select(3, torch.tensor(layout.parents, device=joints.device))
    bones = joints - starts
    if score:
        bones[:, -1] = (joints[:, -1] + starts[:, -1]) / 2
    return bones


_STREAMS: Mapping[Modality, Callable[[Tensor, SkeletonLayout, bool], Tensor]] = {
    JOINT: _joint,
    MOTION: _motion,
    BONE: _bone,
}
