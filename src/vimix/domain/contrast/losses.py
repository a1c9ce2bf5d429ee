"""InfoNCE over mixed queries (Eq. 1-3 and 6)."""

import torch
from torch import Tensor

from vimix.values.mixing import MixPlan


def candidate_logits(q: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Similarities [B, G+K] float32 of queries [B, D] to the batch's keys [G, D], then the queue [K, D], over τ.

    All vectors are L2-normalised, so that the products are cosines. G = B but where several processes share a batch.
    """
    return q.float() @ torch.cat([keys, queue]).float().T / temperature


def mixed_cross_entropy(logits: Tensor, plan: MixPlan, first: int = 0) -> Tensor:
    """Soft cross-entropy, mean over the batch, in nats: the target of query i is weight[i] on candidate first + i and
    1 - weight[i] on candidate partner[i] (Eq. 3). ``logits`` is [B, G+K]; excluded candidates are -inf.
    """
    rows = torch.arange(len(plan), device=logits.device)
    partner = torch.from_numpy(plan.partner).to(logits.device, non_blocking=True)
    weight = torch.from_numpy(plan.weight).to(logits.device, non_blocking=True)
    log_shares = logits.log_softmax(dim=1)
    return -(weight * log_shares[rows, first + rows] + (1 - weight) * log_shares[rows, partner]).mean()


def mixed_info_nce(
    q: Tensor,
    keys: Tensor,
    queue: Tensor,
    plan: MixPlan,
    *,
    temperature: float = 0.07,
    excluded: Tensor | None = None,
) -> Tensor:
    """The loss of mixed queries [B, D] over the keys [B, D] of the unmixed clips and a queue [K, D] (Eq. 3, 6).

    ``excluded`` bool [B, B+K] marks candidates to leave out. Returns a scalar, float32, in nats.
    """
    logits = candidate_logits(q, keys, queue, temperature)
    if excluded is not None:
        logits = logits.masked_fill(excluded, -torch.inf)
    return mixed_cross_entropy(logits, plan)


def pretext_accuracy(logits: Tensor, first: int = 0) -> Tensor:
    """Share of the queries whose own key, candidate first + i, scores highest ((K+1)-way accuracy, Fig. 3)."""
    own = first + torch.arange(len(logits), device=logits.device)
    return (logits.argmax(dim=1) == own).float().mean()
