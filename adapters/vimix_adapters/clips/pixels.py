"""Colour and blur on batches of clips: torchvision's definitions, with one parameter for each clip.

Clips are float32 [B, 3, T, H, W] in [0, 1], parameters float32 [B] on the same device. All frames of a clip get the
same change. Every function is tested against ``torchvision.transforms.v2.functional``. They work in place, because for
clips that fit the cache, allocating new memory would take most of the time.
"""

import math
from functools import lru_cache

import cv2
import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BLUR_REACH = 5
"""Radius of a blur kernel in standard deviations. The weights beyond it sum to 6e-7."""


def adjust_brightness_(clips: Tensor, factor: Tensor) -> None:
    """Scale all channels. A factor of 1 changes nothing."""
    clips.mul_(_per_clip(factor)).clamp_(0, 1)


def adjust_contrast_(clips: Tensor, factor: Tensor) -> None:
    """Scale the distance from each frame's mean luma (the luma of its mean colour). A factor of 1 changes nothing."""
    factor = _per_clip(factor)
    centre = luma(clips.mean(dim=(-2, -1), keepdim=True))
    clips.mul_(factor).add_(centre.mul_(1 - factor)).clamp_(0, 1)


def adjust_saturation_(clips: Tensor, factor: Tensor) -> None:
    """Scale the distance from the pixel's luma. A factor of 1 changes nothing, 0 gives grey."""
    torch.lerp(luma(clips), clips, _per_clip(factor), out=clips).clamp_(0, 1)


def adjust_hue_(clips: Tensor, shift: Tensor) -> None:
    """Rotate the hue of HSV by ``shift`` turns, at most one. A shift of 0 changes nothing but rounding.

    Let a colour have value v (its largest channel), least channel m, chroma c = v - m, and hue h from 0 to 1. Then

    - h is 1 + (g + b - r - m)/c sixths of a turn away from red, towards green if g > b, otherwise towards blue;
    - r = m - c + 6c·near(h - 1/2), g = v + c - 6c·near(h - 1/3), b = v + c - 6c·near(h - 2/3), where near(x) is |x|
      clamped to [1/6, 1/3].

    These formulas need no ``torch.where``, which costs a CPU as much as eight multiplications.
    """
    red, green, blue = clips.unbind(1)
    value, least = torch.maximum(red, green), torch.minimum(red, green)
    torch.maximum(value, blue, out=value)
    torch.minimum(least, blue, out=least)
    chroma, spare = value - least, green - blue
    hue = (green + blue).sub_(red).sub_(least)
    # A grey pixel has no hue. Its chroma of 0 hides whatever is computed here.
    hue.div_(chroma.clamp(min=1e-8)).add_(1)
    torch.copysign(hue, spare, out=hue)
    hue.mul_(1 / 6).add_(
        (shift + 2).view(-1, 1, 1, 1)
    ).frac_()  # + 2 turns, because frac keeps the sign of its argument
    low, high = least.sub_(chroma), value.add_(chroma)
    for plane, base, middle, sign in ((red, low, 1 / 2, 6), (green, high, 1 / 3, -6), (blue, high, 2 / 3, -6)):
        near = torch.sub(hue, middle, out=spare).abs_().clamp_(1 / 6, 1 / 3)
        torch.addcmul(base, chroma, near, value=sign, out=plane)


def to_grey_(clips: Tensor, chosen: Tensor) -> None:
    """Replace all channels by the luma in the clips where ``chosen`` is not 0."""
    torch.lerp(clips, luma(clips), _per_clip((chosen != 0).to(clips.dtype)), out=clips)


def gaussian_blur_(clips: Tensor, sigma: Tensor) -> None:
    """Blur each frame with a Gaussian of ``sigma`` pixels, with mirrored borders. A sigma of 0 changes nothing."""
    if clips.device.type == "cpu":
        filter_(clips, sigma)
    else:
        multiply_(clips, sigma)


def filter_(clips: Tensor, sigma: Tensor) -> None:
    """Blur on a CPU with OpenCV, which is five times as fast there as ``multiply_`` for clips of 128 pixels."""
    for clip, width in zip(clips.numpy(), sigma.tolist(), strict=True):
        if width > 0:
            side = 2 * math.ceil(BLUR_REACH * width) + 1
            for frame in clip.reshape(-1, *clip.shape[-2:]):
                cv2.GaussianBlur(frame, (side, side), width, dst=frame, borderType=cv2.BORDER_REFLECT_101)


def multiply_(clips: Tensor, sigma: Tensor) -> None:
    """Blur on an accelerator: two products with banded matrices blur all clips at once, each with its own kernel."""
    batch, channels, time, height, width = clips.shape
    across = blur_matrix(sigma, width)
    down = across if height == width else blur_matrix(sigma, height)
    blurred = torch.bmm(clips.view(batch, -1, width), across.transpose(1, 2))
    frames = (batch, channels * time, height, width)
    torch.matmul(down[:, None], blurred.view(frames), out=clips.view(frames))


def normalise_(clips: Tensor) -> None:
    """Subtract ImageNet's mean from each channel and divide by its standard deviation."""
    mean, share = _imagenet(clips.device)
    clips.sub_(mean).mul_(share)


@lru_cache
def _imagenet(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and inverse standard deviation [1, 3, 1, 1, 1]; they are kept, since a copy to a GPU makes the host wait."""
    mean, share = (torch.tensor(values, device=device) for values in (IMAGENET_MEAN, [1 / std for std in IMAGENET_STD]))
    return mean.view(1, 3, 1, 1, 1), share.view(1, 3, 1, 1, 1)


def luma(clips: Tensor) -> Tensor:
    """Return the ITU-R 601 luma, [B, 1, T, H, W]."""
    red, green, blue = clips.unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).unsqueeze(1)


def blur_matrix(sigma: Tensor, size: int) -> Tensor:
    """Return matrices [B, size, size]: row i holds the weights of the pixels j and their mirror images in pixel i."""
    j = torch.arange(size, device=sigma.device, dtype=torch.float32)
    i = j[:, None]
    precision = -0.5 / sigma.clamp(min=1e-3).square().view(-1, 1, 1)

    def weight(distance: Tensor) -> Tensor:
        return torch.exp(distance.square() * precision)

    # The image is mirrored at the border pixels, which have no mirror image themselves.
    mirrored = weight(i + j) * (j > 0) + weight(i + j - 2 * (size - 1)) * (j < size - 1)
    weights = weight(i - j) + mirrored
    return weights / weights.sum(dim=2, keepdim=True)


def _per_clip(parameter: Tensor) -> Tensor:
    return parameter.view(-1, 1, 1, 1, 1)
