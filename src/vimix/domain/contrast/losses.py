"""InfoNCE over mixed queries, with one positive or several (Eq. 1-3 and 6), and the losses of CrosSCLR and SimCLR."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vimix.domain.contrast.finders import Positives
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
    return mixed_cross_entropy(masked_logits(q, keys, queue, temperature, excluded), plan, first)


def mixed_multi_positive_nce(
    q: Tensor,
    keys: Tensor,
    queue: Tensor,
    plan: MixPlan,
    positives: Tensor,
    *,
    temperature: float = 0.07,
    excluded: Tensor | None = None,
    first: int = 0,
) -> Tensor:
    """``mixed_info_nce`` for instances with several positives (CoCLR, Han et al. 2020; section 9 of the method).

    ``positives`` bool [G, G+K] marks in row j the positives of instance j among the candidates: the keys [G, D], then
    the queue [K, D]. The loss of a query with positives P is -log Σ_P softmax; that of a mixed query i is ``weight[i]``
    times the loss with the positives of i plus ``1 - weight[i]`` times the loss with those of ``partner[i]``. With own
    keys as the only positives it is ``mixed_info_nce``, to the last bit. An ``excluded`` positive is left out too.

    All vectors are L2-normalised. G equals B unless several processes share a batch; then the queries are rows first
    ... first+B-1 of it, and so are the B rows of ``plan``. Returns a scalar, float32, in nats: the mean over the
    queries. Raises ValueError if an instance has no positive, or a query excludes all of them; this is checked on the
    CPU only, because reading the answer from an accelerator would stall it.
    """
    found = Positives.of(positives, plan, first)
    if positives.is_cpu and not all(
        (p if excluded is None else p & ~excluded).any(dim=1).all() for p in (found.own, found.partner)
    ):
        raise ValueError("every instance needs a positive that is not excluded: at least its own key, positives[j, j]")
    logits = masked_logits(q, keys, queue, temperature, excluded)
    return multi_positive_cross_entropy(logits, plan, found)


def multi_positive_cross_entropy(logits: Tensor, plan: MixPlan, positives: Positives) -> Tensor:
    """The loss of ``mixed_multi_positive_nce`` from ``logits`` [B, G+K], excluded ones -inf, in nats."""
    weight = torch.from_numpy(plan.weight).to(logits.device, non_blocking=True)
    log_shares = logits.log_softmax(dim=1)
    own, partner = (log_shares.masked_fill(~p, -torch.inf).logsumexp(dim=1) for p in (positives.own, positives.partner))
    return -(weight * own + (1 - weight) * partner).mean()


def masked_logits(q: Tensor, keys: Tensor, queue: Tensor, temperature: float, excluded: Tensor | None) -> Tensor:
    """``candidate_logits`` [B, G+K]; those of excluded candidates are -inf."""
    logits = candidate_logits(q, keys, queue, temperature)
    return logits if excluded is None else logits.masked_fill(excluded, -torch.inf)


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


def pretext_accuracy(logits: Tensor, positives: Tensor) -> Tensor:
    """Share of the queries for which one of their ``positives`` [B, G+K] scores highest ((K+1)-way, Fig. 3)."""
    return positives.gather(1, logits.argmax(dim=1, keepdim=True)).float().mean()


def cross_view_loss(
    cosines: Sequence[Tensor],
    positives: Sequence[Tensor],
    excluded: Sequence[Tensor],
    temperature: float,
    batch: int,
) -> Tensor:
    """Sum over the views v of the mean over the other views u of v's loss with the positives that u found, in nats.

    A view learns from the positives that other views find (CrosSCLR, Li et al. 2021; section 9 of the method).
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


def nt_xent(
    own: tuple[Tensor, Tensor],
    every: tuple[Tensor, Tensor],
    temperature: float,
    excluded: Tensor | None = None,
    first: int = 0,
) -> Tensor:
    """The loss of the two views ``own`` [B, D] of videos first ... first+B-1 among the views ``every`` [G, D] of all.

    Each view is compared with the other 2G - 1; its positive is the other view of its video (NT-Xent: SimCLR, Chen et
    al. 2020). ``excluded`` bool [B, G] marks the videos with which a video is not compared, never itself. All vectors
    are L2-normalised. Returns a scalar, float32, in nats: the mean over the 2B views.
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
