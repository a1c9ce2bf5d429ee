"""TV-L1 optical flow (Zach et al. 2007; Sanchez Perez et al. 2013) in PyTorch: many frame pairs at once, on any device.

It follows OpenCV's ``DualTVL1OpticalFlow`` (opencv_contrib, modules/optflow/src/tvl1flow.cpp) step by step: pyramid,
warps, thresholding, projection, median filter and the test that ends the iterations, each pair by its own. So a pair's
flow does not depend on the batch it is in.
"""

import numpy as np
import torch
import torch.nn.functional as F
from attrs import field, frozen
from attrs.validators import ge, gt, in_, lt
from numpy.typing import NDArray
from torch import Tensor

SMALLEST = 16
"""Pixels below which a side of the pyramid does not go."""
_NO_SLOPE = float(np.finfo(np.float32).eps)


@frozen
class TvL1Settings:
    """OpenCV's defaults."""

    tau: float = field(default=0.25, validator=gt(0))
    """Step of the dual variable."""
    attachment: float = field(default=0.15, validator=gt(0))
    """λ: the larger, the closer to the pictures and the rougher."""
    theta: float = field(default=0.3, validator=gt(0))
    """Coupling of the two halves of the problem."""
    scales: int = field(default=5, validator=ge(1))
    scale_step: float = field(default=0.8, validator=[gt(0), lt(1)])
    warps: int = field(default=5, validator=ge(1))
    """At each scale."""
    outer: int = field(default=10, validator=ge(1))
    """Times that the median filter is applied, at most, in each warp."""
    inner: int = field(default=30, validator=ge(1))
    """Iterations between two median filters."""
    epsilon: float = field(default=0.01, validator=ge(0))
    """Root mean square change of the field, pixels, at which a warp ends."""
    median: int = field(default=5, validator=in_((1, 3, 5)))
    """Side of the median filter; 1 leaves it out."""


class TorchTvL1Flow:
    """Implements ``vimix_adapters.flow.estimator.BatchFlowEstimator``.

    ``pixels`` bounds what is computed at once (pairs × height × width): some 70 bytes of memory a pixel.
    """

    def __init__(
        self, device: torch.device | str = "cpu", settings: TvL1Settings | None = None, pixels: int | None = None
    ) -> None:
        self._device = torch.device(device)
        self._settings = settings or TvL1Settings()
        # On CPUs a batch pays as long as it stays in the cache; a GPU wants millions of pixels.
        self._pixels = pixels or (2**16 if self._device.type == "cpu" else 2**22)

    def __call__(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(u, v) in pixels, float32 [H, W, 2], from grey frames uint8 [H, W]."""
        flow: NDArray[np.float32] = self.batch(earlier[None], later[None])[0]
        return flow

    def batch(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(u, v) in pixels, float32 [N, H, W, 2], of N pairs of grey frames uint8 [N, H, W]."""
        step = max(1, self._pixels // max(1, earlier[0].size))
        fields = [
            self._fields(earlier[first : first + step], later[first : first + step])
            for first in range(0, len(earlier), step)
        ]
        return np.concatenate(fields)

    def _fields(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            flow = tvl1(self._pictures(earlier), self._pictures(later), self._settings)
        fields: NDArray[np.float32] = flow.permute(1, 2, 3, 0).contiguous().cpu().numpy()
        return fields

    def _pictures(self, frames: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(frames)).to(self._device, torch.float32)


def tvl1(earlier: Tensor, later: Tensor, settings: TvL1Settings) -> Tensor:
    """Fields [2, N, H, W] in pixels, u first, of pictures float32 [N, H, W] with values from 0 to 255."""
    pyramid = [(earlier, later)]
    for _ in range(1, settings.scales):
        smaller = tuple(_shrunk(picture, settings.scale_step) for picture in pyramid[-1])
        if min(smaller[0].shape[-2:]) < SMALLEST:
            break
        pyramid.append((smaller[0], smaller[1]))
    field = earlier.new_zeros((2, *pyramid[-1][0].shape))
    for number, (first, second) in enumerate(reversed(pyramid)):
        if number:
            field = _enlarged(field, first.shape[-2:]).mul_(1 / settings.scale_step)
        _refine(first, second, field, settings)
    return field


def median_filter(pictures: Tensor, side: int) -> Tensor:
    """Medians over ``side`` × ``side`` pixels of pictures [..., H, W], the borders repeated; 1, 3 or 5."""
    if side == 1:
        return pictures
    height, width = pictures.shape[-2:]
    reach = side // 2
    padded = F.pad(pictures.reshape(-1, 1, height, width), (reach,) * 4, mode="replicate").view(
        *pictures.shape[:-2], height + 2 * reach, width + 2 * reach
    )
    columns = _sorted([padded[..., dy : dy + height, :] for dy in range(side)])
    rows = [_sorted([column[..., dx : dx + width] for dx in range(side)]) for column in columns]
    # Sorted along both axes: element (i, j) is not below (i+1)(j+1) - 1 others, and not above (side-i)(side-j) - 1.
    half = (side * side + 1) // 2
    left = [
        rows[i][j]
        for i in range(side)
        for j in range(side)
        if (i + 1) * (j + 1) <= half and (side - i) * (side - j) <= half
    ]
    return _middle(left)


def _sorted(planes: list[Tensor]) -> list[Tensor]:
    """Planes sorted elementwise, smallest first."""
    planes = list(planes)
    for end in range(len(planes) - 1, 0, -1):
        for i in range(end):
            planes[i], planes[i + 1] = torch.minimum(planes[i], planes[i + 1]), torch.maximum(planes[i], planes[i + 1])
    return planes


def _middle(planes: list[Tensor]) -> Tensor:
    """Elementwise median of an odd number n of planes: of any n/2 + 2 neither the least nor the greatest is it."""
    kept, waiting = planes[: len(planes) // 2 + 2], planes[len(planes) // 2 + 2 :]
    while len(kept) > 2:
        for i in range(len(kept) - 1):  # the greatest to the end, then the least to the front
            kept[i], kept[i + 1] = torch.minimum(kept[i], kept[i + 1]), torch.maximum(kept[i], kept[i + 1])
        for i in range(len(kept) - 2, 0, -1):
            kept[i - 1], kept[i] = torch.minimum(kept[i - 1], kept[i]), torch.maximum(kept[i - 1], kept[i])
        kept = kept[1:-1] + ([waiting.pop()] if waiting else [])
    return kept[0]


def _refine(first: Tensor, second: Tensor, field: Tensor, settings: TvL1Settings) -> None:
    """Improve ``field`` [2, N, H, W] in place at one scale."""
    height, width = first.shape[-2:]
    layers = _padded(torch.stack([second, *_central_differences(second)], dim=1))
    dual = field.new_zeros((2, *field.shape))  # [along x or y, u or v, N, H, W]
    limit = settings.epsilon**2 * height * width
    for _ in range(settings.warps):
        warped, slope_x, slope_y = _warped(layers, field).unbind(1)
        slope = torch.stack([slope_x, slope_y])
        rest = warped - (slope * field).sum(0) - first
        scale = slope.square().sum(0).clamp_(min=_NO_SLOPE).reciprocal_().neg_()
        _solve(field, dual, slope, rest, scale, limit, settings)


def _solve(
    field: Tensor, dual: Tensor, slope: Tensor, rest: Tensor, scale: Tensor, limit: float, settings: TvL1Settings
) -> None:
    """Iterate ``field`` and ``dual`` in place, each pair until it changes by less than ``limit`` (squares, summed)."""
    going = torch.arange(field.shape[1], device=field.device)
    u, p, parts = field.clone(), dual.clone(), (slope, rest, scale)
    for _ in range(settings.outer):
        u = median_filter(u, settings.median)
        for _ in range(settings.inner):
            still = _iterate(u, p, *parts, settings) > limit
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


def _iterate(u: Tensor, p: Tensor, slope: Tensor, rest: Tensor, scale: Tensor, settings: TvL1Settings) -> Tensor:
    """One step of the primal and the dual variable, in place; the summed squares of each field's change, [N]."""
    bound = settings.attachment * settings.theta
    # The thresholding step: -rho / |slope|² within ±λθ, along the slope.
    along = torch.addcmul(rest, slope[0], u[0]).addcmul_(slope[1], u[1]).mul_(scale).clamp_(-bound, bound)
    change = _divergence(p).mul_(settings.theta).addcmul_(slope, along)
    u.add_(change)
    ascent = _forward_differences(u)
    norm = torch.hypot(ascent[0], ascent[1]).mul_(settings.tau / settings.theta).add_(1)
    p.add_(ascent, alpha=settings.tau / settings.theta).div_(norm)
    return change.square_().sum((0, 2, 3))


def _divergence(p: Tensor) -> Tensor:
    """Backward differences, the adjoint of the forward ones: [2 (x, y), 2, N, H, W] to [2, N, H, W]."""
    total = p[0] + p[1]
    total[..., 1:].sub_(p[0][..., :-1])
    total[..., 1:, :].sub_(p[1][..., :-1, :])
    return total


def _forward_differences(u: Tensor) -> Tensor:
    """Along x and y, 0 at the far border: [2, N, H, W] to [2 (x, y), 2, N, H, W]."""
    differences = u.new_empty((2, *u.shape))
    torch.sub(u[..., 1:], u[..., :-1], out=differences[0][..., :-1])
    torch.sub(u[..., 1:, :], u[..., :-1, :], out=differences[1][..., :-1, :])
    differences[0][..., -1] = 0
    differences[1][..., -1, :] = 0
    return differences


def _central_differences(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Half the difference of both neighbours, the borders repeated, [N, H, W] each."""
    padded = F.pad(pictures[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    return (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2, (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2


def _padded(layers: Tensor) -> Tensor:
    """Layers [N, C, H, W] with zeros on the right and below, to sides 2^k + 1.

    Then the places of pixels between -1 and 1, as ``grid_sample`` wants them, are exact, and where nothing moves
    nothing seems to. At the border, where the picture falls to 0, the least error would grow from warp to warp.
    """
    down, across = (2 ** (side - 1).bit_length() + 1 - side for side in layers.shape[-2:])
    return F.pad(layers, (0, across, 0, down))


def _warped(layers: Tensor, field: Tensor) -> Tensor:
    """Padded layers [N, C, ., .] sampled at (x + u, y + v), bicubic (a = -0.75), 0 outside; [N, C, H, W]."""
    height, width = field.shape[-2:]
    x = torch.arange(width, device=field.device, dtype=field.dtype) + field[0]
    y = torch.arange(height, device=field.device, dtype=field.dtype)[:, None] + field[1]
    down, across = (2 / (side - 1) for side in layers.shape[-2:])
    places = torch.stack([x * across - 1, y * down - 1], dim=-1)
    return F.grid_sample(layers, places, mode="bicubic", padding_mode="zeros", align_corners=True)


def _shrunk(pictures: Tensor, step: float) -> Tensor:
    """Pictures [N, H, W] of round(step · side), bilinear, without smoothing (as OpenCV's resize)."""
    height, width = pictures.shape[-2:]
    down, across = (_bilinear(n, round(n * step), 1 / step, pictures) for n in (height, width))
    return down @ pictures @ across.T


def _enlarged(field: Tensor, size: torch.Size) -> Tensor:
    """A field [2, N, h, w] on a grid [H, W], its values unchanged, bilinear."""
    down, across = (_bilinear(old, new, old / new, field) for old, new in zip(field.shape[-2:], size, strict=True))
    return down @ field @ across.T


def _bilinear(old: int, new: int, step: float, like: Tensor) -> Tensor:
    """[new, old]: the weights of linear interpolation at (i + 1/2)·step - 1/2, the borders repeated."""
    places = ((torch.arange(new, dtype=torch.float64) + 0.5) * step - 0.5).clamp_(0, old - 1)
    weights = (1 - (places[:, None] - torch.arange(old, dtype=torch.float64)).abs()).clamp_(min=0)
    return weights.to(like)
