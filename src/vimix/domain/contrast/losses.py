"""InfoNCE over mixed queries (Eq. 1-3 and 6)."""

import torch
from torch import Tensor

from vimix.values.mixing import MixPlan


def mixed_info_nce(
    q: Tensor,
    keys: Tensor,
    queue: Tensor,
    plan: MixPlan,
    *,
    temperature: float = 0.07,
    excluded: Tensor | None = None,
    first: int = 0,
) -> Tensor:
    """The loss of mixed queries [B, D] over the keys [G, D] of the unmixed clips and a queue [K, D] (Eq. 3, 6).

    All vectors are L2-normalised. ``excluded`` bool [B, G+K] marks candidates to leave out. G equals B unless several
    processes share a batch; then the queries are rows first ... first+B-1 of it, and so is ``plan`` (B rows).
    Returns a scalar, float32, in nats: the mean over the queries.
    """
    return loss_and_logits(q, keys, queue, plan, temperature, excluded, first)[0]


def loss_and_logits(
    q: Tensor, keys: Tensor, queue: Tensor, plan: MixPlan, temperature: float, excluded: Tensor | None, first: int = 0
) -> tuple[Tensor, Tensor]:
    """``mixed_info_nce``, and the logits [B, G+K] it was computed from; excluded candidates are -inf."""
    logits = candidate_logits(q, keys, queue, temperature)
    if excluded is not None:
        logits = logits.masked_fill(excluded, -torch.inf)
    return mixed_cross_entropy(logits, plan, first), logits


def candidate_logits(q: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Cosines [B, G+K] float32 of queries [B, D] with the batch's keys [G, D], then the queue [K, D], over τ."""
    return q.float() @ torch.cat([keys, queue]).float().T / temperature


def mixed_cross_entropy(logits: Tensor, plan: MixPlan, first: int = 0) -> Tensor:
    """Soft cross-entropy of ``logits`` [B, G+K], the mean over the batch, in nats.

    The target of query i is weight[i] on candidate first + i and 1 - weight[i] on candidate partner[i] (Eq. 3).
    """
    rows = torch.arange(len(plan), device=logits.device)
    partner = torch.from_numpy(plan.partner).to(logits.device, non_blocking=True)
    weight = torch.from_numpy(plan.weight).to(logits.device, non_blocking=True)
    log_shares = logits.log_softmax(dim=1)
    return -(weight * log_shares[rows, first + rows] + (1 - weight) * log_shares[rows, partner]).mean()


def pretext_accuracy(logits: Tensor, first: int = 0) -> Tensor:
    """Share of the queries whose own key, candidate first + i, scores highest ((K+1)-way accuracy, Fig. 3)."""
    own = first + torch.arange(len(logits), device=logits.device)
    return (logits.argmax(dim=1) == own).float().mean()
