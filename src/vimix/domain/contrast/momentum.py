"""The key encoder follows the query encoder (He et al. 2020)."""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def ema_update(key: Iterable[Tensor], query: Iterable[Tensor], momentum: float) -> None:
    """key <- momentum·key + (1 - momentum)·query, in place, parameter by parameter (in one fused call)."""
    torch._foreach_lerp_(list(key), list(query), 1 - momentum)
