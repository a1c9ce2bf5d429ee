"""MoCo with mixup in a training loop of your own: python examples/moco_mixup.py [STEPS].

Bring the clips (here random ones) and the encoder (here a small one, or torchvision's); vimix has the rest.
"""

import copy
import sys

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

import vimix


def small_encoder() -> nn.Module:
    """Embeds clips [B, 3, T, H, W] as [B, 64]; torchvision's r3d_18(num_classes=64) will do as well."""
    stages = [nn.Conv3d(3, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.ReLU(), nn.Conv3d(16, 32, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*stages, nn.AdaptiveAvgPool3d(2), nn.Flatten(), nn.Linear(32 * 8, 64))


def view(videos: Tensor, frames: int, rng: np.random.Generator) -> Tensor:
    """A random temporal crop of each video [B, 3, T, H, W] at a random brightness: put your augmentation here."""
    starts = rng.integers(0, videos.shape[2] - frames + 1, len(videos))
    clips = torch.stack([video[:, start : start + frames] for video, start in zip(videos, starts, strict=True)])
    return clips * torch.from_numpy(rng.uniform(0.7, 1.3, (len(clips), 1, 1, 1, 1))).to(clips)


def main(steps: int = 100, query: nn.Module | None = None, batch: int = 16) -> list[float]:
    """Train, and return the loss of each step."""
    rng, _ = np.random.default_rng(0), torch.manual_seed(0)
    videos = interpolate(torch.rand(96, 3, 1, 4, 4), (16, 32, 32)) + 0.1 * torch.rand(96, 3, 16, 32, 32)
    query = query or small_encoder()
    key, queue = copy.deepcopy(query).requires_grad_(False), vimix.NegativeQueue(capacity=64, size=64)
    policy, losses = vimix.Mixup(alpha=1.0), []
    optimiser = torch.optim.Adam(query.parameters(), lr=1e-3)
    for _ in range(steps):
        rows = torch.from_numpy(rng.choice(len(videos), batch, replace=False))
        x_q, x_k = (view(videos[rows], 8, rng) for _ in range(2))
        plan = policy.plan(batch=batch, grid=vimix.Grid.of(x_q.shape), rng=rng)
        q = normalize(query(vimix.blend(x_q, x_q, plan)), dim=1)  # queries are mixed, keys are not
        for average, newest in zip(key.parameters(), query.parameters(), strict=True):
            average.lerp_(newest.detach(), 0.01)
        keys = normalize(key(x_k), dim=1)
        known = torch.cat([rows.new_full([batch], -1), queue.sources])  # a video is no negative of itself
        excluded = (known == rows[:, None]) | (known == rows[plan.partner][:, None])
        loss = vimix.mixed_info_nce(q, keys, queue.keys, plan, temperature=0.07, excluded=excluded)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        queue.enqueue(keys, rows)
        losses.append(loss.item())
    print(f"loss after {steps} steps: {losses[-1]:.2f} nats; by chance: {np.log(batch + len(queue)):.2f}")
    return losses


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
