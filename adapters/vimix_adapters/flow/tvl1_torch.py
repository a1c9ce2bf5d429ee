"""TV-L1 optical flow (Zach et al. 2007; Sanchez Perez et al. 2013) in PyTorch: many frame pairs at once, on any device.

It follows OpenCV's ``DualTVL1OpticalFlow`` (opencv_contrib, modules/optflow/src/tvl1flow.cpp) step by step: pyramid,
warps, thresholding, projection, median filter, and a test for each pair that ends its iterations. So the flow of a pair
does not depend on the batch that contains it.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# Parameters of the method, with OpenCV's defaults.
TAU = 0.25
"""Step size of the dual variable."""
ATTACHMENT = 0.15
"""Weight λ of the data term: larger values give flow that fits the frames more closely and is less smooth."""
THETA = 0.3
"""Tightness θ of the coupling between the data term and the smoothness term."""
SCALES = 5
"""Largest number of levels of the pyramid."""
SCALE_STEP = 0.8
"""Ratio of the sides of a level and the next larger one."""
SMALLEST = 16
"""Smallest side in pixels of a level of the pyramid."""
WARPS = 5
"""Number of warps at each level."""
OUTER = 10
"""Largest number of median filters in each warp."""
INNER = 30
"""Largest number of iterations between two median filters."""
EPSILON = 0.01
"""Root mean square change of the field, in pixels, below which a warp ends."""
MEDIAN = 5
"""Side of the median filter in pixels."""
_NO_SLOPE = float(np.finfo(np.float32).eps)


class TorchTvL1Flow:
    """Implements ``vimix_adapters.flow.fields.BatchFlowEstimator``.

    ``pixels`` bounds the size (pairs × height × width) of a batch; each pixel takes about 70 bytes of memory.
    """

    def __init__(self, device: torch.device | str = "cpu", pixels: int | None = None) -> None:
        self._device = torch.device(device)
        # A batch is fastest on a CPU if it fits the cache, on a GPU with millions of pixels.
        self._pixels = pixels or (2**16 if self._device.type == "cpu" else 2**22)

    def __call__(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate (u, v) in pixels, float32 [H, W, 2], from grey frames uint8 [H, W]."""
        flow: NDArray[np.float32] = self.batch(earlier[None], later[None])[0]
        return flow

    def batch(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Estimate (u, v) in pixels, float32 [N, H, W, 2], from N pairs of grey frames uint8 [N, H, W]."""
        step = max(1, self._pixels // max(1, earlier[0].size))
        fields = [
            self._fields(earlier[first : first + step], later[first : first + step])
            for first in range(0, len(earlier), step)
        ]
        return np.concatenate(fields)

    def _fields(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            flow = tvl1(self._images(earlier), self._images(later))
        fields: NDArray[np.float32] = flow.permute(1, 2, 3, 0).contiguous().cpu().numpy()
        return fields

    def _images(self, frames: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(frames)).to(self._device, torch.float32)


def tvl1(earlier: Tensor, later: Tensor) -> Tensor:
    """Estimate fields [2, N, H, W] in pixels, u first, from images float32 [N, H, W] with values from 0 to 255."""
    pyramid = [(earlier, later)]
    for _ in range(1, SCALES):
        smaller = tuple(_shrunk(image, SCALE_STEP) for image in pyramid[-1])
        if min(smaller[0].shape[-2:]) < SMALLEST:
            break
        pyramid.append((smaller[0], smaller[1]))
    field = earlier.new_zeros((2, *pyramid[-1][0].shape))
    for number, (first, second) in enumerate(reversed(pyramid)):
        if number:
            field = _enlarged(field, first.shape[-2:]).mul_(1 / SCALE_STEP)
        _refine(first, second, field)
    return field


def median_filter(images: Tensor, side: int) -> Tensor:
    """Take medians over ``side`` × ``side`` pixels of images [..., H, W], borders repeated; ``side`` is 3 or 5."""
    height, width = images.shape[-2:]
    reach = side // 2
    padded = F.pad(images.reshape(-1, 1, height, width), (reach,) * 4, mode="replicate").view(
        *images.shape[:-2], height + 2 * reach, width + 2 * reach
    )
    columns = _sorted([padded[..., dy : dy + height, :] for dy in range(side)])
    rows = [_sorted([column[..., dx : dx + width] for dx in range(side)]) for column in columns]
    # Sorted along both axes, element (i, j) is at least as large as (i+1)(j+1) - 1 others, and at most as large as
    # (side-i)(side-j) - 1: elements for which one number exceeds half are not the median.
    half = (side * side + 1) // 2
    left = [
        rows[i][j]
        for i in range(side)
        for j in range(side)
        if (i + 1) * (j + 1) <= half and (side - i) * (side - j) <= half
    ]
    return _middle(left)


def _sorted(planes: list[Tensor]) -> list[Tensor]:
    """Sort planes elementwise, smallest first."""
    planes = list(planes)
    for end in range(len(planes) - 1, 0, -1):
        for i in range(end):
            planes[i], planes[i + 1] = torch.minimum(planes[i], planes[i + 1]), torch.maximum(planes[i], planes[i + 1])
    return planes


def _middle(planes: list[Tensor]) -> Tensor:
    """Elementwise median of an odd number n of planes: it is neither the least nor the greatest of any n/2 + 2."""
    kept, waiting = planes[: len(planes) // 2 + 2], planes[len(planes) // 2 + 2 :]
    while len(kept) > 2:
        for i in range(len(kept) - 1):  # move the greatest to the end, then the least to the front
            kept[i], kept[i + 1] = torch.minimum(kept[i], kept[i + 1]), torch.maximum(kept[i], kept[i + 1])
        for i in range(len(kept) - 2, 0, -1):
            kept[i - 1], kept[i] = torch.minimum(kept[i - 1], kept[i]), torch.maximum(kept[i - 1], kept[i])
        kept = kept[1:-1] + ([waiting.pop()] if waiting else [])
    return kept[0]


def _refine(first: Tensor, second: Tensor, field: Tensor) -> None:
    """Improve ``field`` [2, N, H, W] in place at one level of the pyramid."""
    height, width = first.shape[-2:]
    layers = _padded(torch.stack([second, *_central_differences(second)], dim=1))
    dual = field.new_zeros((2, *field.shape))  # [along x or y, u or v, N, H, W]
    limit = EPSILON**2 * height * width
    for _ in range(WARPS):
        warped, slope_x, slope_y = _warped(layers, field).unbind(1)
        slope = torch.stack([slope_x, slope_y])
        rest = warped - (slope * field).sum(0) - first
        scale = slope.square().sum(0).clamp_(min=_NO_SLOPE).reciprocal_().neg_()
        _solve(field, dual, slope, rest, scale, limit)


def _solve(field: Tensor, dual: Tensor, slope: Tensor, rest: Tensor, scale: Tensor, limit: float) -> None:
    """Iterate ``field`` and ``dual`` in place, each pair until its summed squared change is at most ``limit``."""
    going = torch.arange(field.shape[1], device=field.device)
    u, p, parts = field.clone(), dual.clone(), (slope, rest, scale)
    for _ in range(OUTER):
        u = median_filter(u, MEDIAN)
        for _ in range(INNER):
            still = _iterate(u, p, *parts) > limit
            kept = still.nonzero().squeeze(1)
            if len(kept) == len(going):
                continue
            field[:, going], dual[:, :, going] = u, p
            if not len(kept):
                return
            going = going[kept]
            u, p = u[:, kept], p[:, :, kept]
            parts = (parts[0][:, kept], parts[1][kept], parts[2][kept])
    field[:, going], dual[:, :, going] = u, p


def _iterate(u: Tensor, p: Tensor, slope: Tensor, rest: Tensor, scale: Tensor) -> Tensor:
    """Take one step of the primal and the dual variable, in place; returns the summed squared change by field, [N]."""
    bound = ATTACHMENT * THETA
    # The thresholding step: -rho / |slope|² within ±λθ, along the slope.
    along = torch.addcmul(rest, slope[0], u[0]).addcmul_(slope[1], u[1]).mul_(scale).clamp_(-bound, bound)
    change = _divergence(p).mul_(THETA).addcmul_(slope, along)
    u.add_(change)
    ascent = _forward_differences(u)
    norm = torch.hypot(ascent[0], ascent[1]).mul_(TAU / THETA).add_(1)
    p.add_(ascent, alpha=TAU / THETA).div_(norm)
    return change.square_().sum((0, 2, 3))


def _divergence(p: Tensor) -> Tensor:
    """Sum backward differences, the adjoint of forward differences: [2 (x, y), 2, N, H, W] to [2, N, H, W]."""
    total = p[0] + p[1]
    total[..., 1:].sub_(p[0][..., :-1])
    total[..., 1:, :].sub_(p[1][..., :-1, :])
    return total


def _forward_differences(u: Tensor) -> Tensor:
    """Forward differences along x and y, 0 at the far border: [2, N, H, W] to [2 (x, y), 2, N, H, W]."""
    differences = u.new_empty((2, *u.shape))
    torch.sub(u[..., 1:], u[..., :-1], out=differences[0][..., :-1])
    torch.sub(u[..., 1:, :], u[..., :-1, :], out=differences[1][..., :-1, :])
    differences[0][..., -1] = 0
    differences[1][..., -1, :] = 0
    return differences


def _central_differences(images: Tensor) -> tuple[Tensor, Tensor]:
    """Halved differences of both neighbours along x and along y, borders repeated, [N, H, W] each."""
    padded = F.pad(images[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    return (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2, (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2


def _padded(layers: Tensor) -> Tensor:
    """Pad layers [N, C, H, W] with zeros on the right and below to sides of 2^k + 1.

    The coordinates from -1 to 1 that ``grid_sample`` takes are then exact, so a field of zeros samples the pixels
    themselves. At the border, where the image falls to 0, the least error would grow from warp to warp.
    """
    down, across = (2 ** (side - 1).bit_length() + 1 - side for side in layers.shape[-2:])
    return F.pad(layers, (0, across, 0, down))


def _warped(layers: Tensor, field: Tensor) -> Tensor:
    """Sample padded layers [N, C, ., .] at (x + u, y + v), bicubic (a = -0.75), 0 outside: [N, C, H, W]."""
    height, width = field.shape[-2:]
    x = torch.arange(width, device=field.device, dtype=field.dtype) + field[0]
    y = torch.arange(height, device=field.device, dtype=field.dtype)[:, None] + field[1]
    down, across = (2 / (side - 1) for side in layers.shape[-2:])
    coordinates = torch.stack([x * across - 1, y * down - 1], dim=-1)
    return F.grid_sample(layers, coordinates, mode="bicubic", padding_mode="zeros", align_corners=True)


def _shrunk(images: Tensor, step: float) -> Tensor:
    """Shrink images [N, H, W] to sides round(step · side), bilinear, without smoothing (as OpenCV's resize)."""
    height, width = images.shape[-2:]
    down, across = (_bilinear(n, round(n * step), 1 / step, images) for n in (height, width))
    return down @ images @ across.T


def _enlarged(field: Tensor, size: torch.Size) -> Tensor:
    """Interpolate a field [2, N, h, w] bilinearly on a grid [H, W]; its values are not scaled."""
    down, across = (_bilinear(old, new, old / new, field) for old, new in zip(field.shape[-2:], size, strict=True))
    return down @ field @ across.T


def _bilinear(old: int, new: int, step: float, like: Tensor) -> Tensor:
    """Weights [new, old] of linear interpolation at (i + 1/2)·step - 1/2, borders repeated."""
    positions = ((torch.arange(new, dtype=torch.float64) + 0.5) * step - 0.5).clamp_(0, old - 1)
    weights = (1 - (positions[:, None] - torch.arange(old, dtype=torch.float64)).abs()).clamp_(min=0)
    return weights.to(like)
