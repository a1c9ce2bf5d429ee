"""The views of a skeleton: joint as it is, motion and bone made from it, in batches on any device."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vimix.values.modality import BONE, JOINT, MOTION, Modality
from vimix.values.skeleton import SkeletonLayout
from vimix.values.video import ModalityFormat


def derived(joints: Tensor, kind: ModalityFormat) -> Tensor:
    """The modality ``kind`` of joints [B, 3, T, V, M] (section 6 of the method)."""
    assert kind.layout is not None
    return _STREAMS[kind.modality](joints, kind.layout)


def _joint(joints: Tensor, _: SkeletonLayout) -> Tensor:
    return joints


def _motion(joints: Tensor, _: SkeletonLayout) -> Tensor:
    """The way to the next frame; of the last one 0."""
    motion = torch.zeros_like(joints)
    torch.sub(joints[:, :, 1:], joints[:, :, :-1], out=motion[:, :, :-1])
    return motion


def _bone(joints: Tensor, layout: SkeletonLayout) -> Tensor:
    """The way from the parent; of the root 0."""
    parents = torch.tensor(layout.parents, device=joints.device)
    return joints - joints.index_select(3, parents)


_STREAMS: Mapping[Modality, Callable[[Tensor, SkeletonLayout], Tensor]] = {
    JOINT: _joint,
    MOTION: _motion,
    BONE: _bone,
}
