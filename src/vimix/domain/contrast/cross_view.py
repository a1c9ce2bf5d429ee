"""CrosSCLR's loss: a view learns from the positives that other views find (Li et al. 2021; section 9 of the method)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def cross_view_loss(
    cosines: Sequence[Tensor],
    positives: Sequence[Tensor],
    excluded: Sequence[Tensor],
    temperature: float,
    batch: int,
) -> Tensor:
    """Sum over the views v of the mean over the other views u of v's loss with the positives that u found, in nats.

    ``cosines`` has for each view those of its queries with its own candidates [B, G+K]: G = ``batch`` keys of the
    batch, then the queue, whose row is the same clip for all views. ``positives`` and ``excluded`` bool [B, G+K] have
    for each view what it found, and what it may not be compared with. Returns a scalar, float32.
    """
    total = cosines[0].new_zeros(())
    for v, own in enumerate(cosines):
        others = [u for u in range(len(cosines)) if u != v]
        losses = [_pair_loss(own, cosines[u], positives[u], excluded[v], temperature, batch) for u in others]
        total = total + torch.stack(losses).mean()
    return total


def _pair_loss(
    own: Tensor, other: Tensor, positives: Tensor, excluded: Tensor, temperature: float, batch: int
) -> Tensor:
    """-log softmax, the mean over the positives, over candidates and their contexts.

    The context of a row of the queue is the product of its cosines in both views. It is a candidate of its own, and
    positive if the row is.
    """
    left_out = excluded & ~positives
    logits = torch.cat([own, own[:, batch:] * other[:, batch:]], dim=1) / temperature
    logits = logits.masked_fill(torch.cat([left_out, left_out[:, batch:]], dim=1), -torch.inf)
    both = torch.cat([positives, positives[:, batch:]], dim=1)
    logs = logits.log_softmax(dim=1).masked_fill(~both, 0.0)
    return -(logs.sum(dim=1) / both.sum(dim=1)).mean()
