"""A training step in plain PyTorch without optimisation, as the reference of the benchmarks."""

import copy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from vimix_adapters import config
from vimix_adapters.encoders.s3d import build_s3d, torchvisions


class PlainNetwork(nn.Module):
    """torchvision's S3D modules with a projection head, in float32 and the default layout."""

    def __init__(self, settings: config.ModalitySettings) -> None:
        super().__init__()
        norm = partial(nn.BatchNorm3d, momentum=settings.batch_norm_momentum)
        size = build_s3d(settings).feature_size
        self.features = torchvisions(settings.channels, settings.width, norm)
        self.head = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 128))

    def forward(self, clips: Tensor) -> Tensor:
        """Return unit rows [B, 128]."""
        return functional.normalize(self.head(self.features(clips).mean(dim=(2, 3, 4))), dim=1)


class PlainMoco:
    """MoCo with virtual BatchNorm groups and a queue, and with input mixup if ``mixes``. Each term is written out.

    With a ``dtype`` other than float32 the network runs under autocast, with clips and weights channels last.
    """

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        groups: int = 2,
        k: int = 2048,
        mixes: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.query, self.optimiser = network, optimiser
        self.key = copy.deepcopy(network).requires_grad_(False)
        device = next(network.parameters()).device
        self.queue = functional.normalize(torch.randn(k, 128, device=device), dim=1)
        self.groups, self.pointer, self.mixes, self.dtype = groups, 0, mixes, dtype
        self.layout = torch.contiguous_format if dtype == torch.float32 else torch.channels_last_3d
        for part in (self.query, self.key):
            part.to(memory_format=self.layout)

    def step(self, x_q: Tensor, x_k: Tensor) -> float:
        """Update the networks and the queue on two views [B, ...] and return the loss."""
        batch, order = len(x_q), torch.randperm(len(x_q), device=x_q.device)
        partner, weight = torch.randperm(batch, device=x_q.device), torch.rand(batch, device=x_q.device)
        if self.mixes:
            share = weight.view(-1, 1, 1, 1, 1)
            x_q = share * x_q + (1 - share) * x_q[partner]
        else:
            weight = torch.ones_like(weight)
        z = self._grouped(self.query, x_q)
        with torch.no_grad():
            for key, query in zip(self.key.parameters(), self.query.parameters(), strict=True):
                key.data = 0.999 * key.data + 0.001 * query.data
            keys = self._grouped(self.key, x_k[order])[torch.argsort(order)]
        shares = functional.log_softmax(z @ torch.cat([keys, self.queue]).T / 0.07, dim=1)
        rows = torch.arange(batch, device=x_q.device)
        loss = -(weight * shares[rows, rows] + (1 - weight) * shares[rows, partner]).mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward without annotations
        self.optimiser.step()
        self.queue[self.pointer : self.pointer + batch] = keys
        self.pointer = (self.pointer + batch) % (len(self.queue) - batch)
        return float(loss.detach())

    def _grouped(self, network: nn.Module, clips: Tensor) -> Tensor:
        clips = clips.contiguous(memory_format=self.layout)
        with torch.autocast(clips.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return torch.cat([network(part) for part in clips.chunk(self.groups)]).float()


def masked_mix(g1: Tensor, g2: Tensor, mask: Tensor) -> Tensor:
    """Return the paper's formula M ⊙ g1 + (1 - M) ⊙ g2. All tensors have the same shape."""
    return mask * g1 + (1 - mask) * g2
