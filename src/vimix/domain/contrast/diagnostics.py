"""Measures that show during training whether embeddings have collapsed, and how far mixing moves the encoders apart.

All vectors are L2-normalised rows, float32. The measures are cheap enough for every row of metrics.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vimix.domain.contrast.finders import Instances

COLLAPSED_SHARE = 1 / 16
"""Share of the possible effective rank below which embeddings are called collapsed."""


def alignment(z: Tensor, keys: Tensor) -> Tensor:
    """Mean squared distance of queries [B, D] and their own keys [B, D] (Wang & Isola 2020, α = 2): 0 is perfect."""
    return (z - keys).square().sum(dim=1).mean()


def uniformity(rows: Tensor) -> Tensor:
    """log of the mean of exp(-2·|x_i - x_j|²) over all pairs i < j of N rows (Wang & Isola 2020, t = 2).

    0 where all rows are one point, down to about -4 where they are spread over the sphere; 0 for fewer than two rows.
    """
    if len(rows) < 2:
        return rows.new_zeros(())
    potentials = torch.exp(-2 * torch.pdist(rows).square())
    return potentials.mean().log()


def effective_rank(rows: Tensor) -> Tensor:
    """exp of the entropy of the singular values of N rows [N, D] (RankMe, Garrido et al. 2023).

    1 where all rows are one point, up to min(N, D) where they fill the space evenly. It is computed from the
    eigenvalues of the smaller Gram matrix, in float64.
    """
    exact = rows.double()
    gram = exact @ exact.T if len(rows) < rows.shape[1] else exact.T @ exact
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    shares = singular / singular.sum()
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp().float()


def margin(cosines: Tensor, excluded: Tensor, first: int = 0) -> Tensor:
    """Mean cosine of queries with their own keys, minus the mean cosine with the negatives: 0 after a collapse.

    ``cosines`` is [B, G+K]; the own key of query i is candidate first + i; ``excluded`` bool [B, G+K] marks candidates
    that are left out. For a query without negatives their mean cosine counts as 0.
    """
    rows = torch.arange(len(cosines), device=cosines.device)
    positive = cosines[rows, first + rows]
    negative = ~excluded
    negative[rows, first + rows] = False
    sums = cosines.masked_fill(~negative, 0).sum(dim=1)
    return (positive - sums / negative.sum(dim=1).clamp(min=1)).mean()


def found_positives(found: Tensor, cosines: Tensor, instances: Instances, first: int = 0) -> dict[str, Tensor]:
    """Measures of the positives that were ``found`` (bool [B, G+K]) for queries first ... first+B-1, by name.

    ``positives`` is their mean number per query. The others are means over the positives: the shares of the query's own
    class and recording, the age in steps (0: in the batch itself) and the cosine with the query, from ``cosines``
    [B, G+K]. They are nan where nothing was found; the share of the class also where no class is known.
    """
    size, own = len(instances.sources), slice(first, first + len(found))
    labels = torch.cat([instances.labels, instances.queue_labels])
    ages = torch.cat([torch.zeros_like(instances.sources), instances.queue_ages // size + 1])
    known = found & (labels >= 0) & (labels[own] >= 0)[:, None]
    return {
        "positives": found.sum() / len(found),
        "positives_own_class": (found & instances.same_label[own]).sum() / known.sum(),
        "positives_own_recording": (found & instances.same_recording[own]).sum() / found.sum(),
        "positives_age": (found * ages).sum() / found.sum(),
        "positives_similarity": cosines.masked_fill(~found, 0).sum() / found.sum(),
    }


def statistics_gap(query: Mapping[str, Any], key: Mapping[str, Any], eps: float = 1e-5) -> dict[str, Tensor]:
    """Differences of BatchNorm's running statistics between the query and the key encoder, over all channels, by name.

    ``query`` and ``key`` are state dicts with the same names. ``bn_mean_gap`` is the mean of |μ_q - μ_k| / σ_k, and
    ``bn_variance_ratio`` the geometric mean of σ²_q / σ²_k. Both tell how far mixed queries are from unmixed clips.
    Empty for an encoder without BatchNorm.
    """
    names = [name for name in query if name.endswith("running_mean")]
    if not names:
        return {}
    means, key_means = (torch.cat([state[name] for name in names]) for state in (query, key))
    variances, key_variances = (
        torch.cat([state[name.replace("running_mean", "running_var")] for name in names]) + eps
        for state in (query, key)
    )
    return {
        "bn_mean_gap": ((means - key_means).abs() / key_variances.sqrt()).mean(),
        "bn_variance_ratio": (variances / key_variances).log().mean().exp(),
    }


def looks_collapsed(rank: float, possible: int) -> bool:
    """Whether an effective rank is so low that nearly all embeddings lie in one point, on one line or in one plane.

    With a queue larger than the set, collapsed trainings ended at 2.0 and 2.2 of 32 (docs/results/small-sets.md).

    ``possible`` is the greatest rank of N rows of length D, min(N, D).
    """
    return rank < max(2.5, COLLAPSED_SHARE * possible)
