"""Momentum update of the key encoder (He et al. 2020)."""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def ema_update(key: Iterable[Tensor], query: Iterable[Tensor], momentum: float) -> None:
    """Set key = momentum·key + (1 - momentum)·query in place, for each pair of parameters, in one fused call."""
    torch._foreach_lerp_(list(key), list(query), 1 - momentum)
