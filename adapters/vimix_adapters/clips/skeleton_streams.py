"""The streams of a skeleton: motion and bone are derived from joint, in batches on any device."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vimix.values.modality import BONE, JOINT, MOTION, Modality
from vimix.values.skeleton import SkeletonLayout
from vimix.values.video import ModalityFormat


def derived(joints: Tensor, kind: ModalityFormat) -> Tensor:
    """Return the stream of ``kind`` for joints [B, 3, T, V, M], of the same shape (section 6 of the method)."""
    assert kind.layout is not None
    return _STREAMS[kind.modality](joints, kind.layout)


def _joint(joints: Tensor, _: SkeletonLayout) -> Tensor:
    return joints


def _motion(joints: Tensor, _: SkeletonLayout) -> Tensor:
    """Displacement to the next frame; 0 in the last frame."""
    motion = torch.zeros_like(joints)
    torch.sub(joints[:, :, 1:], joints[:, :, :-1], out=motion[:, :, :-1])
    return motion


def _bone(joints: Tensor, layout: SkeletonLayout) -> Tensor:
    """Vector from the parent joint; 0 at the root."""
    parents = torch.tensor(layout.parents, device=joints.device)
    return joints - joints.index_select(3, parents)


_STREAMS: Mapping[Modality, Callable[[Tensor, SkeletonLayout], Tensor]] = {
    JOINT: _joint,
    MOTION: _motion,
    BONE: _bone,
}
