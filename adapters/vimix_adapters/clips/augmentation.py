"""From uint8 clips to what a network sees: cut out in the workers, the pixels treated in batches on the device.

Everything random about a view is drawn where it is cut, as one row of numbers; applying the rows is pure. Each clip
of a batch has its own numbers, all frames of a clip the same ones.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray
from torch import Tensor

from vimix.ports.clips import Frames
from vimix.values.video import ModalityFormat
from vimix_adapters.clips.pixels import (
    adjust_brightness_,
    adjust_contrast_,
    adjust_hue_,
    adjust_saturation_,
    gaussian_blur_,
    normalise_,
    to_grey_,
)
from vimix_adapters.clips.skeleton_streams import derived
from vimix_adapters.clips.views import cut_out, draw_box, vector_scale
from vimix_adapters.config.augment_settings import AugmentSettings

BLUR_REFERENCE = 128
"""``blur_sigma_*`` are in pixels of a clip of this size; smaller clips are blurred less, in proportion."""

CPU_CHUNK = 2**18
"""Values treated at once on a CPU: the dozens of passes over a few frames then stay in the cache."""


@frozen(eq=False)
class CutView:
    """A view on its way to the device: ``clip`` uint8 [T, size, size, C], ``numbers`` float32 [P] drawn for it.

    A skeleton's ``clip`` is float32 [T, V, M, 3].
    """

    clip: Tensor
    numbers: NDArray[np.float32]


class ClipAugmentation(Protocol):
    """Augments clips of one modality in two steps: draw and cut in a worker, apply in batches on the device."""

    def cut(self, frames: Frames, size: int, rng: np.random.Generator) -> CutView:
        """Cut a random box out of frames uint8 [T, H, W, C] and draw the numbers for the rest."""
        ...

    def apply(self, clips: Tensor, numbers: Tensor) -> Tensor:
        """Float32 [B, C, T, size, size] from clips uint8 [B, T, size, size, C] and numbers [B, P] on the CPU."""
        ...


@frozen
class PictureAugmentation:
    """RGB: random resized crop, horizontal flip, colour jitter, greyscale, blur; then ImageNet's normalisation.

    The jitter's four adjustments come in a fixed order: brightness, contrast, saturation, hue.
    """

    settings: AugmentSettings = field(factory=AugmentSettings)

    def cut(self, frames: NDArray[np.uint8], size: int, rng: np.random.Generator) -> CutView:
        """Numbers: flip, brightness, contrast, saturation, hue, grey, sigma of the blur in pixels."""
        s = self.settings
        box = draw_box(frames.shape[1], frames.shape[2], (s.area_min, s.area_max), rng)
        flip = rng.random() < s.flip
        jitter = self._jitter(rng)
        jitter = jitter if rng.random() < s.jitter else [1.0, 1.0, 1.0, 0.0]
        grey = rng.random() < s.grey
        sigma = rng.uniform(s.blur_sigma_min, s.blur_sigma_max) * size / BLUR_REFERENCE
        sigma = sigma if rng.random() < s.blur else 0.0
        return CutView(cut_out(frames, box, size), np.array([flip, *jitter, grey, sigma], dtype=np.float32))

    def _jitter(self, rng: np.random.Generator) -> list[float]:
        s = self.settings
        factors = [rng.uniform(max(0.0, 1 - reach), 1 + reach) for reach in (s.brightness, s.contrast, s.saturation)]
        return [*factors, rng.uniform(-s.hue, s.hue)]

    def apply(self, clips: Tensor, numbers: Tensor) -> Tensor:
        """Normalised float32 [B, 3, T, size, size]."""
        return _treated(clips, numbers, _picture_operations)


@frozen
class FlowAugmentation:
    """Flow: random resized crop, which scales u and v by its own two factors, and horizontal flip, which negates u."""

    settings: AugmentSettings = field(factory=AugmentSettings)

    def cut(self, frames: NDArray[np.uint8], size: int, rng: np.random.Generator) -> CutView:
        """Numbers: flip, factor of u, factor of v."""
        s = self.settings
        box = draw_box(frames.shape[1], frames.shape[2], (s.area_min, s.area_max), rng)
        flip = rng.random() < s.flip
        return CutView(cut_out(frames, box, size), np.array([flip, *vector_scale(box, size)], dtype=np.float32))

    def apply(self, clips: Tensor, numbers: Tensor) -> Tensor:
        """Displacements in units of the store's bound, float32 [B, 2, T, size, size]."""
        return _treated(clips, numbers, _flow_operations)


def to_network(clips: Tensor, kind: ModalityFormat, scale: tuple[float, float], flip: bool = False) -> Tensor:
    """Evaluation's input: no augmentation. Float32 [B, C, T, H, W] from uint8 [B, T, H, W, C] on any device.

    Pictures are normalised with ImageNet's mean and deviation; flow is in units of the store's bound, with its vectors
    scaled by ``scale`` (u, v), as ``vector_scale`` gives it. ``flip`` mirrors, and negates u. Skeletons [B, T, V, M, 3]
    become the modality's stream [B, 3, T, V, M].
    """
    result = _planes(clips)
    if kind.layout is not None:
        return derived(result, kind)
    if kind.bound:
        across, down = scale
        _displace_(result, torch.tensor([[-across if flip else across, down]], device=clips.device))
    else:
        normalise_(result.div_(255))
    return result.flip(-1) if flip else result


_Operation = Callable[[Tensor], None]
"""In place on float32 clips [B, C, T, H, W]."""

_Operations = Callable[[Tensor, torch.device], list[_Operation]]
"""What clips with numbers [B, P] on the CPU need on a device."""

_ADJUSTMENTS: tuple[tuple[Callable[[Tensor, Tensor], None], float], ...] = (
    (adjust_brightness_, 1),
    (adjust_contrast_, 1),
    (adjust_saturation_, 1),
    (adjust_hue_, 0),
    (to_grey_, 0),
    (gaussian_blur_, 0),
)
"""What a picture's numbers after the first are for, and of each the number that changes nothing."""


def _picture_operations(numbers: Tensor, device: torch.device) -> list[_Operation]:
    """All that clips with these numbers need; looked up on the CPU: the device is not waited for."""
    drawn, on_device = numbers.numpy(), numbers.to(device, non_blocking=True)
    adjustments = [
        _bound(adjust_, on_device[:, column])
        for column, (adjust_, neutral) in enumerate(_ADJUSTMENTS, 1)
        if (drawn[:, column] != neutral).any()
    ]
    return [lambda clips: clips.mul_(1 / 255), *adjustments, normalise_]


def _bound(adjust_: Callable[[Tensor, Tensor], None], parameter: Tensor) -> _Operation:
    return lambda clips: adjust_(clips, parameter)


def _flow_operations(numbers: Tensor, device: torch.device) -> list[_Operation]:
    flip, u, v = numbers.unbind(1)
    scale = torch.stack([u * (1 - 2 * flip), v], dim=1).to(device, non_blocking=True)
    return [lambda clips: _displace_(clips, scale)]


def _displace_(clips: Tensor, scale: Tensor) -> None:
    """Displacement/bound = 2·byte/255 - 1, times the factors of u and v, [B, 2]."""
    clips.mul_(2 / 255).sub_(1).mul_(scale.view(-1, 2, 1, 1, 1))


def _treated(clips: Tensor, numbers: Tensor, operations: _Operations) -> Tensor:
    """Clips as float32 [B, C, T, H, W], mirrored where their first number says so, then treated."""
    treated = _a_few_frames_at_a_time if clips.device.type == "cpu" else _all_at_once
    return treated(clips, numbers, operations)


def _all_at_once(clips: Tensor, numbers: Tensor, operations: _Operations) -> Tensor:
    """For an accelerator."""
    mirrored = numbers[:, :1].to(clips.device, non_blocking=True).view(-1, 1, 1, 1, 1) != 0
    result = _planes(torch.where(mirrored, clips.flip(3), clips))
    for operation in operations(numbers, clips.device):
        operation(result)
    return result


def _a_few_frames_at_a_time(clips: Tensor, numbers: Tensor, operations: _Operations) -> Tensor:
    """For a CPU. It changes nothing but the time: no operation looks beyond a frame."""
    batch, time, height, width, channels = clips.shape
    # Memory by way of NumPy, which asks for huge pages: page by page, fresh memory costs more than the augmentation.
    result = torch.from_numpy(np.empty((batch, channels, time, height, width), dtype=np.float32))
    count = max(1, CPU_CHUNK // clips[0, 0].numel())
    for row, clip in enumerate(clips):
        own = numbers[row : row + 1]
        treatment = operations(own, clips.device)
        frames = clip.flip(2) if own[0, 0] else clip
        for start in range(0, time, count):
            chunk = _planes(frames[None, start : start + count])
            for operation in treatment:
                operation(chunk)
            result[row, :, start : start + count] = chunk[0]
    return result


def _planes(clips: Tensor) -> Tensor:
    """Float32 [B, C, T, H, W] of clips [B, T, H, W, C]."""
    return clips.permute(0, 4, 1, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)
