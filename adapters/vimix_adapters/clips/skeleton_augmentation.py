"""Augmentation of skeletons: temporal crop in the workers, shear and the derived stream in batches on the device.

The streams motion and bone are derived from joint.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Tensor

from vimix.ports.clips import Frames
from vimix.values.modality import BONE, MOTION
from vimix.values.video import ModalityFormat
from vimix_adapters.clips.batched import planes
from vimix_adapters.clips.views import ClipShape, Crop, View
from vimix_adapters.config.augment_settings import SkeletonAugmentSettings


@frozen
class SkeletonDraw:
    """The values drawn for a view of a skeleton. The defaults change nothing."""

    start: int = 0
    """First frame of the temporal crop, counted in the padded sequence."""
    shear: tuple[float, ...] = (0.0,) * 6
    """The shear matrix's entries off the diagonal, row by row: six in space, two in the plane."""


@frozen
class SkeletonAugmentation:
    """Implements ``ClipAugmentation`` for joint, motion and bone.

    A view is the whole sequence: it is cropped in time, then sheared, and only then the stream ``kind`` is derived.
    """

    kind: ModalityFormat
    settings: SkeletonAugmentSettings = field(factory=SkeletonAugmentSettings)
    views: str = "alike"
    """Draw of a sequence's views; there is only one way."""

    @property
    def _dimensions(self) -> int:
        return self.kind.channels - self.kind.score

    def clip_shape(self, clip: ClipShape, length: int) -> ClipShape:
        """The whole sequence: all sequences of a store are equally long."""
        return evolve(clip, frames=length, stride=1)

    def view(self, frames: Frames, size: int, rng: np.random.Generator, colour: bool = True) -> View:
        """A random temporal crop [T, V, M, C] of a sequence of that shape, with a ``SkeletonDraw``."""
        del size, colour
        s = self.settings
        padding = len(frames) // s.padding_ratio if s.padding_ratio else 0
        start = int(rng.integers(2 * padding + 1))
        shear = rng.uniform(-s.shear, s.shear, self._dimensions * (self._dimensions - 1))
        padded = np.pad(np.arange(len(frames)), padding, mode="symmetric")  # reflected: the end frames occur twice
        cropped = frames[padded[start : start + len(frames)]]
        return View(torch.from_numpy(cropped), SkeletonDraw(start, tuple(shear.tolist())))

    def apply(self, clips: Tensor, draws: Sequence[SkeletonDraw]) -> Tensor:
        """Float32 [B, C, T, V, M] from sequences [B, T, V, M, C]. The shear does not change a score."""
        size = self._dimensions
        matrix = torch.eye(size).repeat(len(draws), 1, 1)
        matrix[:, ~torch.eye(size, dtype=torch.bool)] = torch.tensor([draw.shear for draw in draws])
        on_device = matrix.to(clips.device, non_blocking=True)
        sheared = torch.einsum("btvmj,bij->bitvm", clips[..., :size], on_device)
        return derived(torch.cat([sheared, planes(clips[..., size:])], dim=1).contiguous(), self.kind)

    def crops(self, frames: Frames, size: int, crops: Sequence[Crop]) -> list[View]:
        """The whole sequence [T, V, M, C], once: there is nothing to crop."""
        del size, crops
        return [View(torch.from_numpy(frames), SkeletonDraw())]

    def plain(self, clips: Tensor, draw: SkeletonDraw) -> Tensor:
        """Float32 [B, C, T, V, M] from sequences [B, T, V, M, C]."""
        del draw
        return derived(planes(clips), self.kind)


def derived(joints: Tensor, kind: ModalityFormat) -> Tensor:
    """Return the stream of ``kind`` for joints [B, C, T, V, M], of the same shape (section 6 of the method).

    The score of a difference of two joints is the mean of their scores, as in pyskl. A masked joint (NaN), and each
    difference with one, becomes 0.
    """
    assert kind.layout is not None
    if kind.modality == MOTION:
        stream = _motion(joints, kind.score)
    elif kind.modality == BONE:
        stream = _bone(joints, kind.layout.parents, kind.score)
    else:
        stream = joints
    return torch.nan_to_num(stream, nan=0.0, posinf=torch.inf, neginf=-torch.inf)


def _motion(joints: Tensor, score: bool) -> Tensor:
    """Displacement to the next frame; 0 in the last frame."""
    motion, now, then = torch.zeros_like(joints), joints[:, :, :-1], joints[:, :, 1:]
    torch.sub(then, now, out=motion[:, :, :-1])
    if score:
        motion[:, -1, :-1] = (now[:, -1] + then[:, -1]) / 2
    return motion


def _bone(joints: Tensor, parents: Sequence[int], score: bool) -> Tensor:
    """Vector from the parent joint; 0 at the root."""
    starts = joints.index_select(3, _on_device(tuple(parents), joints.device))
    bones = joints - starts
    if score:
        bones[:, -1] = (joints[:, -1] + starts[:, -1]) / 2
    return bones


@lru_cache
def _on_device(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """The numbers [n] int64; they are kept, since a copy to a GPU makes the host wait."""
    return torch.tensor(numbers, device=device)
