"""From uint8 clips to what a network sees: cut out in the workers, the pixels treated in batches on the device.

Everything random about a view is drawn where it is cut, as one row of numbers; applying the rows is pure. Each clip
of a batch has its own numbers, all frames of a clip the same ones.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from attrs import field, frozen, validators
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
from vimix_adapters.clips.streams import derived
from vimix_adapters.clips.views import cut_out, draw_box, vector_scale

BLUR_REFERENCE = 128
"""``blur_sigma_*`` are in pixels of a clip of this size; smaller clips are blurred less, in proportion."""

CPU_CHUNK = 2**17
"""Values treated at once on a CPU: the dozen passes of a small clip then stay in the cache (3 times faster)."""


def _share() -> list[Callable[..., None]]:
    return [validators.ge(0), validators.le(1)]


@frozen
class AugmentSettings:
    """Ranges and probabilities of the augmentation (section 6 of the method, after CoCLR)."""

    area_min: float = field(default=0.2, validator=[validators.gt(0), validators.le(1)])
    area_max: float = field(default=1.0, validator=[validators.gt(0), validators.le(1)])
    flip: float = field(default=0.5, validator=_share())
    jitter: float = field(default=0.8, validator=_share())
    brightness: float = field(default=0.4, validator=validators.ge(0))
    contrast: float = field(default=0.4, validator=validators.ge(0))
    saturation: float = field(default=0.4, validator=validators.ge(0))
    hue: float = field(default=0.1, validator=[validators.ge(0), validators.le(0.5)])
    grey: float = field(default=0.2, validator=_share())
    blur: float = field(default=0.5, validator=_share())
    blur_sigma_min: float = field(default=0.1, validator=validators.ge(0))
    blur_sigma_max: float = field(default=2.0, validator=validators.ge(0))

    def __attrs_post_init__(self) -> None:
        for low, high in (("area_min", "area_max"), ("blur_sigma_min", "blur_sigma_max")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} = {getattr(self, low)} exceeds {high} = {getattr(self, high)}")


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

    settings: AugmentSettings = AugmentSettings()

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
        return _treated(clips, numbers, _augment_pictures_)


@frozen
class FlowAugmentation:
    """Flow: random resized crop, which scales u and v by its own two factors, and horizontal flip, which negates u."""

    settings: AugmentSettings = AugmentSettings()

    def cut(self, frames: NDArray[np.uint8], size: int, rng: np.random.Generator) -> CutView:
        """Numbers: flip, factor of u, factor of v."""
        s = self.settings
        box = draw_box(frames.shape[1], frames.shape[2], (s.area_min, s.area_max), rng)
        flip = rng.random() < s.flip
        return CutView(cut_out(frames, box, size), np.array([flip, *vector_scale(box, size)], dtype=np.float32))

    def apply(self, clips: Tensor, numbers: Tensor) -> Tensor:
        """Displacements in units of the store's bound, float32 [B, 2, T, size, size]."""
        return _treated(clips, numbers, _augment_flow_)


def to_network(clips: Tensor, kind: ModalityFormat, scale: tuple[float, float], flip: bool = False) -> Tensor:
    """Evaluation's input: no augmentation. Float32 [B, C, T, H, W] from uint8 [B, T, H, W, C] on any device.

    Pictures are normalised with ImageNet's mean and deviation; flow is in units of the store's bound, with its vectors
    scaled by ``scale`` (u, v), as ``vector_scale`` gives it. ``flip`` mirrors, and negates u. Skeletons [B, T, V, M, 3]
    become the modality's stream [B, 3, T, V, M].
    """
    result = clips.permute(0, 4, 1, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)
    if kind.layout is not None:
        return derived(result, kind)
    if kind.bound:
        across, down = scale
        _displace_(result, torch.tensor([[-across if flip else across, down]], device=clips.device))
    else:
        normalise_(result.div_(255))
    return result.flip(-1) if flip else result


def _augment_pictures_(clips: Tensor, numbers: Tensor) -> None:
    clips.div_(255)
    operations = (
        _flip_,
        adjust_brightness_,
        adjust_contrast_,
        adjust_saturation_,
        adjust_hue_,
        to_grey_,
        gaussian_blur_,
    )
    neutral = (0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
    on_device = numbers.to(clips.device, non_blocking=True)
    for column, (operation, nothing) in enumerate(zip(operations, neutral, strict=True)):
        if (numbers[:, column] != nothing).any():  # looked up on the CPU: the device is not waited for
            operation(clips, on_device[:, column])
    normalise_(clips)


def _augment_flow_(clips: Tensor, numbers: Tensor) -> None:
    flip, u, v = numbers.to(clips.device, non_blocking=True).unbind(1)
    _displace_(clips, torch.stack([u * (1 - 2 * flip), v], dim=1))
    _flip_(clips, flip)


def _flip_(clips: Tensor, chosen: Tensor) -> None:
    torch.where(chosen.view(-1, 1, 1, 1, 1) != 0, clips.flip(-1), clips, out=clips)


def _displace_(clips: Tensor, scale: Tensor) -> None:
    """Displacement/bound = 2·byte/255 - 1, times the factors of u and v, [B, 2]."""
    clips.mul_(2 / 255).sub_(1).mul_(scale.view(-1, 2, 1, 1, 1))


def _treated(clips: Tensor, numbers: Tensor, treat_: Callable[[Tensor, Tensor], None]) -> Tensor:
    """Clips as float32 [B, C, T, H, W], treated all at once on an accelerator, a few at a time on a CPU.

    The chunks change nothing but the time.
    """
    planes = clips.permute(0, 4, 1, 2, 3)
    result = torch.empty(planes.shape, device=clips.device)
    rows = max(1, CPU_CHUNK // clips[0].numel()) if clips.device.type == "cpu" else len(clips)
    for start in range(0, len(clips), rows):
        chunk = result[start : start + rows]
        chunk.copy_(planes[start : start + rows])
        treat_(chunk, numbers[start : start + rows])
    return result
