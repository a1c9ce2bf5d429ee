"""Colour and blur on batches of clips: torchvision's definitions, with a parameter of its own for each clip.

Clips are float32 [B, 3, T, H, W] in [0, 1], parameters float32 [B] on the same device. All frames of a clip are
treated alike. Every function is tested against ``torchvision.transforms.v2.functional``. They work in place: for clips
that fit the cache most of the time would otherwise go into fresh memory.
"""

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def adjust_brightness_(clips: Tensor, factor: Tensor) -> None:
    """Scale all channels; 1 changes nothing."""
    clips.mul_(_per_clip(factor)).clamp_(0, 1)


def adjust_contrast_(clips: Tensor, factor: Tensor) -> None:
    """Scale the distance from each frame's mean luma; 1 changes nothing."""
    _away_from_(luma(clips).mean(dim=(-2, -1), keepdim=True), clips, factor)


def adjust_saturation_(clips: Tensor, factor: Tensor) -> None:
    """Scale the distance from the pixel's luma; 1 changes nothing, 0 leaves grey."""
    _away_from_(luma(clips), clips, factor)


def adjust_hue_(clips: Tensor, shift: Tensor) -> None:
    """Turn the hue of HSV by ``shift`` turns, at most one; 0 changes nothing but rounding.

    HSV is never written out: with the hue h in turns, channel n ∈ (R, G, B) of a colour of value v and chroma c is
    v - c·clamp(2 - |6·frac(h + (5, 3, 1)_n / 6) - 2|, 0, 1).
    """
    red, green, blue = clips.unbind(1)
    value = torch.maximum(red, green)
    torch.maximum(value, blue, out=value)
    chroma = torch.minimum(red, green)
    torch.minimum(chroma, blue, out=chroma)
    torch.sub(value, chroma, out=chroma)
    hue, spare = (red - green).add_(chroma, alpha=4), blue - red
    torch.where(value == green, spare.add_(chroma, alpha=2), hue, out=hue)
    torch.where(value == red, torch.sub(green, blue, out=spare), hue, out=hue)
    # A grey pixel has no hue, and its chroma of 0 lets none show.
    hue.div_(torch.clamp(chroma, min=1e-8, out=spare).mul_(6)).add_(shift.view(-1, 1, 1, 1))
    for plane, offset in ((red, 5 / 6), (green, 3 / 6), (blue, 1 / 6)):
        turn = torch.add(hue, offset + 2, out=spare).frac_()  # whole turns more: frac keeps the sign of its argument
        share = turn.mul_(6).sub_(2).abs_().neg_().add_(2).clamp_(0, 1)
        torch.addcmul(value, chroma, share, value=-1, out=plane)


def to_grey_(clips: Tensor, chosen: Tensor) -> None:
    """Luma in all channels of the clips where ``chosen`` is not 0."""
    torch.where(_per_clip(chosen) != 0, luma(clips), clips, out=clips)


def gaussian_blur_(clips: Tensor, sigma: Tensor) -> None:
    """Blur each frame with a Gaussian of ``sigma`` pixels, mirrored at the borders; 0 changes nothing.

    Two products with banded matrices: for kernels that differ from clip to clip this is faster on a CPU than
    grouped convolutions (10 times for clips of 128 pixels), and it truncates no tail.
    """
    batch, channels, time, height, width = clips.shape
    across = blur_matrix(sigma, width)
    down = across if height == width else blur_matrix(sigma, height)
    blurred = torch.bmm(clips.view(batch, -1, width), across.transpose(1, 2))
    frames = (batch, channels * time, height, width)
    torch.matmul(down[:, None], blurred.view(frames), out=clips.view(frames))


def normalise_(clips: Tensor) -> None:
    """ImageNet's mean to 0 and deviation to 1, by channel."""
    mean, std = (torch.tensor(v, device=clips.device).view(1, 3, 1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    clips.sub_(mean).div_(std)


def luma(clips: Tensor) -> Tensor:
    """ITU-R 601 luma, [B, 1, T, H, W]."""
    red, green, blue = clips.unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).unsqueeze(1)


def blur_matrix(sigma: Tensor, size: int) -> Tensor:
    """[B, size, size]: row i holds the weights of pixels j in blurred pixel i, those of their mirror images added."""
    j = torch.arange(size, device=sigma.device, dtype=torch.float32)
    i = j[:, None]
    precision = -0.5 / sigma.clamp(min=1e-3).square().view(-1, 1, 1)

    def weight(distance: Tensor) -> Tensor:
        return torch.exp(distance.square() * precision)

    # The pixels on the border are the mirrors: they have no image of their own.
    mirrored = weight(i + j) * (j > 0) + weight(i + j - 2 * (size - 1)) * (j < size - 1)
    weights = weight(i - j) + mirrored
    return weights / weights.sum(dim=2, keepdim=True)


def _away_from_(centre: Tensor, clips: Tensor, factor: Tensor) -> None:
    factor = _per_clip(factor)
    clips.mul_(factor).add_(centre.mul_(1 - factor)).clamp_(0, 1)


def _per_clip(parameter: Tensor) -> Tensor:
    return parameter.view(-1, 1, 1, 1, 1)
