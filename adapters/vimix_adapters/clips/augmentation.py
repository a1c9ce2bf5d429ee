"""Augmentation of RGB and flow clips: draw named values and crop in the workers, treat the pixels in batches.

Everything random about a view is drawn in the worker; applying a draw to a clip is deterministic. Each clip of a batch
has its own draw, which holds for all its frames.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray
from torch import Tensor

from vimix.ports.clips import Frames
from vimix.values.video import ModalityFormat
from vimix_adapters.clips.batched import Operation, displace_, per_clip, planes, treated
from vimix_adapters.clips.pixels import (
    adjust_brightness_,
    adjust_contrast_,
    adjust_hue_,
    adjust_saturation_,
    gaussian_blur_,
    normalise_,
    to_grey_,
)
from vimix_adapters.clips.skeleton_augmentation import SkeletonAugmentation
from vimix_adapters.clips.views import Box, ClipShape, Crop, CropDraw, View, cut_out, draw_box
from vimix_adapters.config.augment_settings import AugmentSettings, SkeletonAugmentSettings

BLUR_REFERENCE = 128
"""Clip size in pixels for which ``blur_sigma_*`` are given. The sigma is scaled in proportion to the clip's size."""


class ClipAugmentation(Protocol):
    """Cuts and augments the clips of one modality and turns them into the network's input.

    Workers call ``clip_shape``, ``view`` and ``crops``; ``apply`` and ``plain`` run in batches on the device.
    """

    @property
    def views(self) -> str:
        """Draw of a video's views: ``alike``, ``coclr`` or ``cvrl``."""
        ...

    def clip_shape(self, clip: ClipShape, length: int) -> ClipShape:
        """Frames and stride of a clip of a video of ``length`` frames, where the recipe asks for ``clip``."""
        ...

    def view(self, frames: Frames, size: int, rng: np.random.Generator, colour: bool = True) -> View:
        """Draw a training view of a clip's frames, uint8 [T, H, W, C] or float32 [T, V, M, C], and cut it out.

        Without ``colour``, pictures are only cropped and flipped.
        """
        ...

    def apply(self, clips: Tensor, draws: Sequence[Any]) -> Tensor:
        """Augment clips [B, T, ...] by their B draws: float32 [B, C, T, size, size] or [B, 3, T, V, M]."""
        ...

    def crops(self, frames: Frames, size: int, crops: Sequence[Crop]) -> list[View]:
        """Cut a whole video for evaluation: a view for each of the crops, or a single one where nothing is cropped."""
        ...

    def plain(self, clips: Tensor, draw: Any) -> Tensor:
        """Turn evaluation clips [B, T, ...], all cut by one ``draw``, into network input without augmentation."""
        ...


@frozen
class _CroppedAugmentation:
    """The base of pictures and flow: clips of the recipe's shape, cropped from the frame."""

    settings: AugmentSettings = field(factory=AugmentSettings)

    @property
    def views(self) -> str:
        """Draw of a video's views."""
        return self.settings.views

    def clip_shape(self, clip: ClipShape, length: int) -> ClipShape:
        """The recipe's ``clip``, whatever the video's length."""
        del length
        return clip

    def crops(self, frames: NDArray[np.uint8], size: int, crops: Sequence[Crop]) -> list[View]:
        """A view for each crop of the frames uint8 [T, H, W, C]. A crop and its mirror image share their pixels."""
        draws = [CropDraw(crop.box(*frames.shape[1:3]), crop.flip) for crop in crops]
        cuts = {box: cut_out(frames, box, size) for box in dict.fromkeys(draw.box for draw in draws)}
        return [View(cuts[draw.box], draw) for draw in draws]

    def _box(self, frames: NDArray[np.uint8], rng: np.random.Generator) -> Box:
        return draw_box(frames.shape[1], frames.shape[2], (self.settings.area_min, self.settings.area_max), rng)


@frozen
class PictureDraw(CropDraw):
    """The values drawn for a view of an RGB clip. The defaults change nothing but the crop."""

    brightness: float = 1.0
    """Factor, as are ``contrast`` and ``saturation``."""
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    """Turns of the colour circle."""
    grey: bool = False
    blur: float = 0.0
    """Sigma in pixels of the clip."""


_ADJUSTMENTS: tuple[tuple[str, Callable[[Tensor, Tensor], None], float], ...] = (
    ("brightness", adjust_brightness_, 1),
    ("contrast", adjust_contrast_, 1),
    ("saturation", adjust_saturation_, 1),
    ("hue", adjust_hue_, 0),
    ("grey", to_grey_, 0),
    ("blur", gaussian_blur_, 0),
)
"""Attribute of ``PictureDraw``, its operation, and the value that changes nothing, in order of application."""


@frozen
class PictureAugmentation(_CroppedAugmentation):
    """RGB: random resized crop, horizontal flip, colour jitter, greyscale, blur, then ImageNet's normalisation.

    The four adjustments of the jitter have a fixed order: brightness, contrast, saturation, hue.
    """

    def view(self, frames: NDArray[np.uint8], size: int, rng: np.random.Generator, colour: bool = True) -> View:
        """A random crop of the frames uint8 [T, H, W, 3], with a ``PictureDraw``."""
        s = self.settings
        box, flip = self._box(frames, rng), bool(rng.random() < s.flip)
        if not colour:
            return View(cut_out(frames, box, size), PictureDraw(box, flip))
        jitter = self._jitter(rng)
        jitter = jitter if rng.random() < s.jitter else {}
        grey = bool(rng.random() < s.grey)
        sigma = rng.uniform(s.blur_sigma_min, s.blur_sigma_max) * size / BLUR_REFERENCE
        sigma = sigma if rng.random() < s.blur else 0.0
        return View(cut_out(frames, box, size), PictureDraw(box, flip, **jitter, grey=grey, blur=sigma))

    def _jitter(self, rng: np.random.Generator) -> dict[str, float]:
        s = self.settings
        reaches = {"brightness": s.brightness, "contrast": s.contrast, "saturation": s.saturation}
        factors = {name: rng.uniform(max(0.0, 1 - reach), 1 + reach) for name, reach in reaches.items()}
        return {**factors, "hue": rng.uniform(-s.hue, s.hue)}

    def apply(self, clips: Tensor, draws: Sequence[PictureDraw]) -> Tensor:
        """Normalised float32 [B, 3, T, size, size] from uint8 [B, T, size, size, 3]."""
        return treated(clips, draws, self._operations)

    def plain(self, clips: Tensor, draw: CropDraw) -> Tensor:
        """Normalised float32 [B, 3, T, size, size] from uint8 [B, T, size, size, 3]."""
        pictures = planes(clips).div_(255)
        normalise_(pictures)
        return pictures.flip(-1) if draw.flip else pictures

    def _operations(self, draws: Sequence[PictureDraw], device: torch.device) -> list[Operation]:
        """Only what some of the clips need. This is decided from numbers on the CPU, without waiting for the device."""
        operations: list[Operation] = [lambda clips: clips.mul_(1 / 255)]
        for name, adjust_, neutral in _ADJUSTMENTS:
            values = [getattr(draw, name) for draw in draws]
            if any(value != neutral for value in values):
                operations.append(_bound(adjust_, per_clip(values, device)))
        return [*operations, normalise_]


@frozen
class FlowAugmentation(_CroppedAugmentation):
    """Flow: random resized crop, which scales u and v by factors of their own, and horizontal flip, which negates u."""

    def view(self, frames: NDArray[np.uint8], size: int, rng: np.random.Generator, colour: bool = True) -> View:
        """A random crop of the fields uint8 [T, H, W, 2], with a ``CropDraw``; they have no ``colour``."""
        del colour
        draw = CropDraw(self._box(frames, rng), bool(rng.random() < self.settings.flip))
        return View(cut_out(frames, draw.box, size), draw)

    def apply(self, clips: Tensor, draws: Sequence[CropDraw]) -> Tensor:
        """Displacements in units of the store's bound, float32 [B, 2, T, size, size], from uint8 [B, T, size, size, 2].

        A box that is resized to ``size`` scales u by size / width and v by size / height.
        """
        size = clips.shape[2]

        def operations(draws: Sequence[CropDraw], device: torch.device) -> list[Operation]:
            u = [(-size if draw.flip else size) / draw.box.width for draw in draws]
            v = [size / draw.box.height for draw in draws]
            return [_bound(displace_, torch.stack([per_clip(u, device), per_clip(v, device)], dim=1))]

        return treated(clips, draws, operations)

    def plain(self, clips: Tensor, draw: CropDraw) -> Tensor:
        """The same as ``apply`` with one draw for all clips."""
        return self.apply(clips, [draw] * len(clips))


def augmentation_of(
    kind: ModalityFormat,
    frames: AugmentSettings | None = None,
    skeletons: SkeletonAugmentSettings | None = None,
) -> ClipAugmentation:
    """Return the augmentation for a modality stored as ``kind``: a skeleton, flow (it has a bound) or pictures.

    The settings default to those of the method. Evaluation does not use them.
    """
    if kind.layout is not None:
        return SkeletonAugmentation(kind, skeletons or SkeletonAugmentSettings())
    settings = frames or AugmentSettings()
    return FlowAugmentation(settings) if kind.bound else PictureAugmentation(settings)


def _bound(adjust_: Callable[[Tensor, Tensor], None], parameter: Tensor) -> Operation:
    return lambda clips: adjust_(clips, parameter)
