"""ST-GCN as its authors and SkeletonCLR write it, as the reference of the benchmark."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vimix_adapters.encoders.graph import SUBSETS, spatial_partition
from vimix_adapters.skeletons.layouts import find_layout

BLOCKS = ((16, 1), (16, 1), (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (256, 1))
"""Channels and temporal stride of each block: a quarter of the authors' widths, except for the last."""


class PlainGraphConvolution(nn.Module):
    """A 1 × 1 convolution to the channels of all subsets, then a sum over subsets and joints."""

    def __init__(self, incoming: int, outgoing: int, adjacency: Tensor) -> None:
        super().__init__()
        self.adjacency: Tensor
        self.register_buffer("adjacency", adjacency.clone(), persistent=False)
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        self.weigh = nn.Conv2d(incoming, outgoing * SUBSETS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, incoming, T, V] to [N, outgoing, T, V]."""
        weighed: Tensor = self.weigh(x)
        rows, channels, frames, joints = weighed.shape
        parted = weighed.view(rows, SUBSETS, channels // SUBSETS, frames, joints)
        return torch.einsum("nkctv,kvw->nctw", parted, self.adjacency * self.importance).contiguous()


class PlainBlock(nn.Module):
    """Graph convolution, BatchNorm, ReLU, temporal convolution, BatchNorm, dropout, shortcut, ReLU."""

    def __init__(self, incoming: int, outgoing: int, stride: int, adjacency: Tensor, dropout: float) -> None:
        super().__init__()
        self.space = PlainGraphConvolution(incoming, outgoing, adjacency)
        self.time = nn.Sequential(
            nn.BatchNorm2d(outgoing),
            nn.ReLU(inplace=True),
            nn.Conv2d(outgoing, outgoing, (9, 1), (stride, 1), (4, 0)),
            nn.BatchNorm2d(outgoing),
            nn.Dropout(dropout, inplace=True),
        )
        self.first = incoming == 3
        self.shortcut: nn.Module | None = None
        if not self.first and (incoming != outgoing or stride != 1):
            projection = nn.Conv2d(incoming, outgoing, 1, (stride, 1))
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outgoing))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, incoming, T, V] to [N, outgoing, T / stride, V]."""
        moved: Tensor = self.time(self.space(x))
        if not self.first:
            moved = moved + (x if self.shortcut is None else self.shortcut(x))
        return functional.relu(moved, inplace=True)


class PlainSTGCN(nn.Module):
    """ST-GCN with a projection head, in float32 and the default memory layout. It always computes both persons."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        layout = find_layout("ntu")
        adjacency = torch.from_numpy(spatial_partition(layout))
        self.norm = nn.BatchNorm1d(3 * len(layout.joints))
        widths = (3, *(width for width, _ in BLOCKS))
        self.features = nn.ModuleList(
            PlainBlock(widths[i], width, stride, adjacency, dropout if i else 0.0)
            for i, (width, stride) in enumerate(BLOCKS)
        )
        size = widths[-1]
        self.head = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 128))

    def forward(self, clips: Tensor) -> Tensor:
        """Map skeletons [B, 3, T, V, M] to unit rows [B, 128]."""
        return functional.normalize(self.head(self.pooled(clips)), dim=1)

    def pooled(self, clips: Tensor) -> Tensor:
        """Map skeletons [B, 3, T, V, M] to features [B, D]: means over time, joints and persons."""
        batch, channels, frames, joints, persons = clips.shape
        x = clips.permute(0, 4, 3, 1, 2).contiguous().view(batch * persons, joints * channels, frames)
        x = self.norm(x).view(batch * persons, joints, channels, frames).permute(0, 2, 3, 1).contiguous()
        for block in self.features:
            x = block(x)
        return functional.avg_pool2d(x, x.shape[2:]).view(batch, persons, -1).mean(dim=1)
