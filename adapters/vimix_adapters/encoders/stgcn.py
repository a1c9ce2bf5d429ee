"""ST-GCN (Yan et al. 2018) with a quarter of the channels, as a chain of ten stages."""

from typing import Literal

import torch
from torch import Tensor, nn

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.graph import SUBSETS, Hops, spatial_partition

KERNEL = 9
"""Frames that a temporal convolution sees."""

# (channels as multiples of the first block's, temporal stride) of blocks but the last, of ``feature_size`` channels.
_BLOCKS = ((1, 1), (1, 1), (1, 1), (1, 1), (2, 2), (2, 1), (2, 1), (4, 2), (4, 1))


class STGCNEncoder(StageChain):
    """The 10 blocks of ST-GCN for skeletons [B, 3, T, V, M]; D = ``feature_size``.

    Maps at every boundary are [B, C, T, V, M]; between them the persons are rows of the batch, [B·M, C, T, V]. The
    normalisation of the input belongs to the first block: a cut point before it would mix in the input space.

    ``persons``: with ``"present"`` a person whose map is all zero is no row, so neither BatchNorm's statistics nor the
    feature know it, and a skeleton alone costs half. With ``"all"`` absent persons are rows of zeros and count in the
    mean over persons, as in the authors' code and CrosSCLR (parity). ``hops``: "one" is their graph too
    (``spatial_partition``).
    """

    planar = False
    memory_format = torch.contiguous_format

    def __init__(
        self,
        layout: SkeletonLayout,
        hidden_channels: int = 16,
        feature_size: int = 256,
        dropout: float = 0.5,
        persons: Literal["present", "all"] = "present",
        batch_norm_momentum: float = 0.1,
        hops: Hops = "all",
    ) -> None:
        adjacency = torch.from_numpy(spatial_partition(layout, hops))
        stages: list[nn.Module] = []
        incoming = 3
        for multiple, stride in (*_BLOCKS, (0, 1)):
            outgoing = hidden_channels * multiple or feature_size
            first = not stages
            block = Block(incoming, outgoing, adjacency, stride, 0.0 if first else dropout, residual=not first)
            stages.append(nn.Sequential(InputNorm(incoming, len(layout.joints)), block) if first else block)
            incoming = outgoing
        super().__init__(stages, feature_size)
        self._all = persons == "all"
        self.apply(_initialise)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = batch_norm_momentum

    def partial_forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Stages start ... stop-1 of maps [B, C, T, V, M], the persons as rows in between."""
        if start == stop:
            return super().partial_forward(x, start, stop)
        people = x.permute(0, 4, 1, 2, 3)
        rows = people.flatten(0, 1)
        present = torch.ones(len(rows), dtype=torch.bool, device=x.device) if self._all else _present(rows)
        if self._all or bool(present.all()) or not bool(present.any()):
            seen = super().partial_forward(rows, start, stop)
        else:
            kept = super().partial_forward(rows[present], start, stop)
            seen = kept.new_zeros(len(rows), *kept.shape[1:])
            seen[present] = kept
        return seen.view(*people.shape[:2], *seen.shape[1:]).permute(0, 2, 3, 4, 1)

    def pool(self, hidden: Tensor) -> Tensor:
        """Mean over time, joints and persons (those present), [B, D] float32."""
        if self._all:
            return super().pool(hidden)
        rows = hidden.float().mean(dim=(2, 3))
        count = _present(hidden.movedim(4, 1).flatten(0, 1)).view(len(hidden), -1).sum(dim=1, keepdim=True)
        return rows.sum(dim=2) / count.clamp(min=1)


def _present(rows: Tensor) -> Tensor:
    """Which of the persons [N, C, T, V] are there at all, [N] bool."""
    return rows.detach().flatten(1).any(dim=1)


class InputNorm(nn.Module):
    """BatchNorm over the 3·V coordinates of persons [N, 3, T, V], one mean and deviation a coordinate of a joint."""

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels * joints)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        coordinates = x.permute(0, 3, 1, 2)
        normed: Tensor = self.norm(coordinates.flatten(1, 2))
        return normed.view(coordinates.shape).permute(0, 2, 3, 1).contiguous()


class Block(nn.Module):
    """Graph convolution, BatchNorm, ReLU, convolution over time, BatchNorm, dropout; plus the input; ReLU."""

    def __init__(
        self, incoming: int, outgoing: int, adjacency: Tensor, stride: int, dropout: float, residual: bool
    ) -> None:
        super().__init__()
        self.space = GraphConvolution(incoming, outgoing, adjacency)
        self.time = nn.Sequential(
            nn.BatchNorm2d(outgoing),
            nn.ReLU(inplace=True),
            nn.Conv2d(outgoing, outgoing, (KERNEL, 1), (stride, 1), (KERNEL // 2, 0)),
            nn.BatchNorm2d(outgoing),
            nn.Dropout(dropout),
        )
        self.shortcut = _shortcut(incoming, outgoing, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, outgoing, ceil(T / stride), V] from [N, incoming, T, V]."""
        moved: Tensor = self.time(self.space(x))
        return torch.relu(moved if self.shortcut is None else moved + self.shortcut(x))


def _shortcut(incoming: int, outgoing: int, stride: int) -> nn.Module:
    if incoming == outgoing and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(incoming, outgoing, 1, (stride, 1)), nn.BatchNorm2d(outgoing))


class GraphConvolution(nn.Module):
    """Each joint gathers from its neighbours, with weights of their subset's own and a learnt importance of each edge.

    y[c, t, w] = sum over subsets k and joints v of (W_k x + b_k)[c, t, v] · A[k, v, w] · importance[k, v, w].
    """

    def __init__(self, incoming: int, outgoing: int, adjacency: Tensor) -> None:
        super().__init__()
        self.adjacency: Tensor
        self.register_buffer("adjacency", adjacency.clone(), persistent=False)  # the layout's, not learnt
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        self.weigh = nn.Conv2d(incoming, outgoing * SUBSETS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, outgoing, T, V] from [N, incoming, T, V]."""
        edges = self.adjacency * self.importance
        if self.weigh.in_channels < self.weigh.out_channels // SUBSETS:
            return self._gathered_first(x, edges)
        weighed: Tensor = self.weigh(x)
        weighed = weighed.view(len(x), SUBSETS, -1, *x.shape[2:])
        return torch.einsum("nkctv,kvw->nctw", weighed, edges)

    def _gathered_first(self, x: Tensor, edges: Tensor) -> Tensor:
        """The same sum in the other order: where channels grow, the narrow map is gathered (a quarter of the time)."""
        gathered = torch.einsum("nctv,kvw->nkctw", x, edges).flatten(1, 2)
        weight = self.weigh.weight.view(SUBSETS, -1, x.shape[1], 1, 1).transpose(0, 1).flatten(1, 2)
        assert self.weigh.bias is not None
        bias = torch.einsum("kc,kw->cw", self.weigh.bias.view(SUBSETS, -1), edges.sum(dim=1))
        return nn.functional.conv2d(gathered, weight) + bias.unsqueeze(1)


def _initialise(module: nn.Module) -> None:
    """The authors' initial weights."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=0.02)
