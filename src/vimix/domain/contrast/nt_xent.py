"""NT-Xent: both views of a video are trained, and all others of the batch are negatives (SimCLR, Chen et al. 2020)."""

import torch
from torch import Tensor


def nt_xent(
    own: tuple[Tensor, Tensor],
    every: tuple[Tensor, Tensor],
    temperature: float,
    excluded: Tensor | None = None,
    first: int = 0,
) -> Tensor:
    """The loss of the two views ``own`` [B, D] of videos first ... first+B-1 among the views ``every`` [G, D] of all.

    Each view is compared with the other 2G - 1; its positive is the other view of its video. ``excluded`` bool [B, G]
    marks the videos with which a video is not compared, never itself. All vectors are L2-normalised. Returns a scalar,
    float32, in nats: the mean over the 2B views.
    """
    size, count = len(own[0]), len(every[0])
    rows = torch.arange(size, device=own[0].device)
    logits = torch.cat(own).float() @ torch.cat(every).float().T / temperature
    left_out = torch.zeros(size, count, dtype=torch.bool, device=rows.device) if excluded is None else excluded
    itself = torch.zeros_like(left_out)
    itself[rows, first + rows] = True
    without = torch.cat([torch.cat([left_out | itself, left_out], 1), torch.cat([left_out, left_out | itself], 1)])
    targets = torch.cat([count + first + rows, first + rows])
    return torch.nn.functional.cross_entropy(logits.masked_fill(without, -torch.inf), targets)
