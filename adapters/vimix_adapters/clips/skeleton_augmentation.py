"""Augmentation of skeletons: temporal crop in the workers, shear and the derived streams in batches on the device."""

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor

from vimix.ports.clips import Frames
from vimix.values.video import ModalityFormat
from vimix_adapters.clips.augmentation import CutView
from vimix_adapters.clips.skeleton_streams import derived
from vimix_adapters.config.augment_settings import SkeletonAugmentSettings

_OFF_DIAGONAL = ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1))


@frozen
class SkeletonAugmentation:
    """Implements ``ClipAugmentation`` for joint, motion and bone: crop, shear, and only then the stream is derived."""

    kind: ModalityFormat
    settings: SkeletonAugmentSettings = field(factory=SkeletonAugmentSettings)

    def cut(self, frames: Frames, size: int, rng: np.random.Generator) -> CutView:
        """The cropped sequence [T, V, M, 3]; numbers: the six of the shear. ``size`` is of pictures only."""
        del size
        s = self.settings
        padding = len(frames) // s.padding_ratio if s.padding_ratio else 0
        start = int(rng.integers(2 * padding + 1))
        cropped = frames[reflected(len(frames), padding)[start : start + len(frames)]]
        numbers = rng.uniform(-s.shear, s.shear, 6)
        return CutView(torch.from_numpy(cropped), numbers.astype(np.float32))

    def apply(self, clips: Tensor, numbers: Tensor) -> Tensor:
        """Float32 [B, 3, T, V, M] from sequences [B, T, V, M, 3] and numbers [B, 6] on the CPU."""
        matrix = torch.eye(3).repeat(len(numbers), 1, 1)
        for column, (row, other) in enumerate(_OFF_DIAGONAL):
            matrix[:, row, other] = numbers[:, column]
        on_device = matrix.to(clips.device, non_blocking=True)
        return derived(torch.einsum("btvmj,bij->bitvm", clips, on_device).contiguous(), self.kind)


def reflected(length: int, padding: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Indices of a sequence with its first and last ``padding`` frames reflected: the frame at the end comes twice."""
    inside = np.arange(length, dtype=np.int64)
    return np.concatenate([inside[:padding][::-1], inside, inside[length - padding :][::-1]])
