"""One step of cross-modal manifold cutmix (CMMC), written out in plain torch: python examples/cmmc_step.py.

RGB is trained. Parts of the hidden maps of flow, whose encoder is frozen, are pasted into its own.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

import vimix


def encoder(channels: int) -> nn.Sequential:
    """Five stages on maps [B, C, T, H, W]; the second and the fourth halve time and space."""
    table = ((channels, 8, 1), (8, 8, 2), (8, 16, 1), (16, 16, 2), (16, 32, 1))
    return nn.Sequential(*[nn.Sequential(nn.Conv3d(a, b, 3, s, 1), nn.BatchNorm3d(b), nn.ReLU()) for a, b, s in table])


def head() -> nn.Sequential:
    """Pooling and the projection to embeddings [B, 16]."""
    return nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 16))


def cmmc_step(
    f1: nn.Sequential,  # the encoder that is trained
    head1: nn.Sequential,
    key1: nn.Sequential,  # the momentum copy of f1 and head1
    f2: nn.Sequential,  # the frozen encoder of the other modality
    clips: tuple[Tensor, Tensor, Tensor],
    queue: vimix.NegativeQueue,
    rng: np.random.Generator,
) -> Tensor:
    """The loss of one step, a scalar in nats; the keys go into the queue."""
    policy, k = vimix.CrossModalCutMix(alpha=1.0, dims="cthw"), int(rng.integers(1, len(f1)))
    l = int(rng.integers(k, len(f2)))  # noqa: E741  # the paper's name: 1 <= k <= l <= L-1
    x1_q, x1_k, x2 = clips  # 1. two views of RGB and one of flow, of the same videos
    g1, g2 = f1[:k](x1_q), f2[:l](x2)  # 2. hidden maps after stages k and l
    plan = policy.plan(batch=len(g1), grid=vimix.Grid.of(g1.shape), donor=vimix.Grid.of(g2.shape), rng=rng)
    g_mix = vimix.blend(g1, g2, plan)  # 3. a tesseract of row plan.partner of g2 in each row of g1
    z = normalize(head1(f1[k:](g_mix)), dim=1)  # 4. the rest of f1
    keys = normalize(key1(x1_k), dim=1)  # 5. of unmixed clips
    loss = vimix.mixed_info_nce(z, keys, queue.keys, plan, temperature=0.07)  # 6. labels mixed by plan.weight
    queue.enqueue(keys, torch.arange(len(keys)))
    return loss


if __name__ == "__main__":
    f1, head1, f2 = encoder(3), head(), encoder(2).eval().requires_grad_(False)
    key1 = copy.deepcopy(nn.Sequential(f1, head1)).requires_grad_(False)
    clips = (torch.rand(8, 3, 8, 32, 32), torch.rand(8, 3, 8, 32, 32), torch.rand(8, 2, 8, 32, 32))
    loss = cmmc_step(f1, head1, key1, f2, clips, vimix.NegativeQueue(32, 16), np.random.default_rng(0))
    loss.backward()
    print(f"loss {loss.item():.3f} nats")
