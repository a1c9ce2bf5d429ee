"""In-place operations on a batch of clips: a few frames at a time on a CPU, all at once on an accelerator."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vimix_adapters.clips.views import CropDraw

CPU_CHUNK = 2**18
"""Values treated at once on a CPU, so that the dozens of passes over a few frames stay in the cache."""

Draw = TypeVar("Draw", bound=CropDraw)

Operation = Callable[[Tensor], object]
"""Changes float32 clips [B, C, T, H, W] in place."""

Operations = Callable[[Sequence[Draw], torch.device], list[Operation]]
"""Returns the operations that the clips of B draws need on a device."""


def treated(clips: Tensor, draws: Sequence[Draw], operations: Operations[Draw]) -> Tensor:
    """Return uint8 clips [B, T, H, W, C] as float32 [B, C, T, H, W], mirrored as drawn, after the operations."""
    treat = frames_at_a_time if clips.device.type == "cpu" else all_at_once
    return treat(clips, draws, operations)


def all_at_once(clips: Tensor, draws: Sequence[Draw], operations: Operations[Draw]) -> Tensor:
    """``treated`` for an accelerator."""
    mirrored = per_clip([draw.flip for draw in draws], clips.device).view(-1, 1, 1, 1, 1) != 0
    result = planes(torch.where(mirrored, clips.flip(3), clips))
    for operation in operations(draws, clips.device):
        operation(result)
    return result


def frames_at_a_time(clips: Tensor, draws: Sequence[Draw], operations: Operations[Draw]) -> Tensor:
    """``treated`` for a CPU. The chunks change only the time, because no operation looks beyond a frame."""
    batch, time, height, width, channels = clips.shape
    # NumPy asks the system for huge pages. With torch's small pages, touching fresh memory costs more than augmenting.
    result = torch.from_numpy(np.empty((batch, channels, time, height, width), dtype=np.float32))
    count = max(1, CPU_CHUNK // clips[0, 0].numel())
    for row, (clip, draw) in enumerate(zip(clips, draws, strict=True)):
        treatment = operations([draw], clips.device)
        frames = clip.flip(2) if draw.flip else clip
        for start in range(0, time, count):
            chunk = planes(frames[None, start : start + count])
            for operation in treatment:
                operation(chunk)
            result[row, :, start : start + count] = chunk[0]
    return result


def planes(clips: Tensor) -> Tensor:
    """Return clips [B, T, H, W, C] as float32 [B, C, T, H, W]."""
    return clips.permute(0, 4, 1, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)


def per_clip(values: Sequence[float], device: torch.device) -> Tensor:
    """Return one value a clip as float32 [B] on the device. The copy does not wait for the device."""
    numbers = torch.tensor(values, dtype=torch.float32, pin_memory=device.type == "cuda")
    return numbers.to(device, non_blocking=True)


def displace_(clips: Tensor, scale: Tensor) -> None:
    """Turn bytes into displacement / bound = 2·byte/255 - 1, times the factors ``scale`` [B, 2] of u and v."""
    clips.mul_(2 / 255).sub_(1).mul_(scale.view(-1, 2, 1, 1, 1))
