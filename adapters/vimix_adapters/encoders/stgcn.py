"""ST-GCN (Yan et al. 2018) with a quarter of the channels, as a chain of ten stages."""

from typing import Literal

import torch
from torch import Tensor, nn

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.config.encoder_settings import ModalitySettings
from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.graph import SUBSETS, Hops, spatial_partition

KERNEL = 9
"""Length of the temporal convolutions, frames."""

# (channels as multiples of the first block's, temporal stride) of all blocks but the last, which has feature_size.
_BLOCKS = ((1, 1), (1, 1), (1, 1), (1, 1), (2, 2), (2, 1), (2, 1), (4, 2), (4, 1))


class STGCNEncoder(StageChain):
    """The 10 blocks of ST-GCN for skeletons [B, C, T, V, M] with C = ``channels``; D = ``feature_size``.

    Maps between stages are [B, C, T, V, M]; within a stage persons are rows of the batch, [B·M, C, T, V]. The
    normalisation of the input belongs to the first stage.

    With ``persons = "present"`` absent persons, whose maps are zero, are left out: they change neither BatchNorm's
    statistics nor features, and a single person costs half. With ``"all"`` they are rows of zeros that count in the
    mean over persons, as in the code of the authors and of CrosSCLR. ``hops``: see ``spatial_partition``.
    """

    planar = False
    memory_format = torch.channels_last

    def __init__(
        self,
        layout: SkeletonLayout,
        hidden_channels: int = 16,
        feature_size: int = 256,
        dropout: float = 0.5,
        persons: Literal["present", "all"] = "present",
        batch_norm_momentum: float = 0.1,
        hops: Hops = "all",
        channels: int = 3,
    ) -> None:
        adjacency = torch.from_numpy(spatial_partition(layout, hops))
        stages: list[nn.Module] = []
        incoming = channels
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

    def laid_out(self, clips: Tensor) -> Tensor:
        """The clips, unchanged: ``partial_forward`` rearranges them."""
        return clips

    def partial_forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Run stages start ... stop-1 on maps [B, C, T, V, M]."""
        if start == stop:
            return super().partial_forward(x, start, stop)
        rows = person_rows(x)
        present = torch.ones(len(rows), dtype=torch.bool, device=x.device) if self._all else _present(rows)
        if self._all or bool(present.all()) or not bool(present.any()):
            seen = self._run(rows, start, stop)
        else:
            kept = self._run(rows[present], start, stop)
            seen = kept.new_zeros(len(rows), *kept.shape[1:])
            seen[present] = kept
        return seen.view(len(x), -1, *seen.shape[1:]).permute(0, 4, 2, 3, 1)

    def _run(self, rows: Tensor, start: int, stop: int) -> Tensor:
        """Run the stages on persons [N, T, V, C], as maps [N, C, T, V] in channels-last layout."""
        seen = super().partial_forward(rows.permute(0, 3, 1, 2), start, stop)
        return seen.permute(0, 2, 3, 1)

    def pool(self, hidden: Tensor) -> Tensor:
        """Mean over time, joints and (present) persons, [B, D] float32; float64 stays."""
        rows = hidden.permute(0, 4, 2, 3, 1).flatten(2, 3)
        persons = (rows if rows.dtype == torch.float64 else rows.float()).mean(dim=2)
        if self._all:
            return persons.mean(dim=1)
        count = (
            persons.detach().any(dim=2).sum(dim=1, keepdim=True)
        )  # maps follow a ReLU: they are zero where their mean is
        return persons.sum(dim=1) / count.clamp(min=1)


def build_stgcn(settings: ModalitySettings, layout: SkeletonLayout | None) -> STGCNEncoder:
    """ST-GCN on the graph of a layout, with the settings of a recipe."""
    assert layout is not None
    own = settings.stgcn
    return STGCNEncoder(
        layout,
        own.hidden_channels,
        own.feature_size,
        own.dropout,
        own.persons,
        settings.batch_norm_momentum,
        own.hops,
        settings.channels,
    )


def person_rows(maps: Tensor) -> Tensor:
    """Persons [B·M, T, V, C] of maps [B, C, T, V, M]; maps that a stage has made are not copied."""
    return maps.permute(0, 4, 2, 3, 1).flatten(0, 1).contiguous()


def _present(rows: Tensor) -> Tensor:
    """Whether each of the persons [N, T, V, C] is present (not all zero), [N] bool."""
    return rows.detach().flatten(1).any(dim=1)


class InputNorm(nn.Module):
    """BatchNorm of persons [N, C, T, V] with statistics of their own for each of the C·V channels of joints."""

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels * joints)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, channels last."""
        frames = x.permute(0, 2, 3, 1)
        normed: Tensor = self.norm(frames.flatten(2).flatten(0, 1))
        return normed.view(frames.shape).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Graph convolution, BatchNorm, ReLU, temporal convolution, BatchNorm, dropout; the shortcut is added; ReLU."""

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
            Dropout(dropout),
        )
        self.shortcut = _shortcut(incoming, outgoing, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, outgoing, ceil(T / stride), V] from [N, incoming, T, V]."""
        moved: Tensor = self.time(self.space(x))
        return torch.relu_(moved if self.shortcut is None else moved + self.shortcut(x))


def _shortcut(incoming: int, outgoing: int, stride: int) -> nn.Module:
    if incoming == outgoing and stride == 1:
        return nn.Identity()
    return nn.Sequential(Projection(incoming, outgoing, stride), nn.BatchNorm2d(outgoing))


class Projection(nn.Conv2d):
    """A 1 × 1 convolution of every ``stride``-th frame; the frames are selected before the convolution.

    With a stride, oneDNN's float32 weight gradient writes out of bounds if there are fewer channels than numbers in a
    vector register (its issue 6035; seen with torch 2.15 on AVX512, where the process crashes).
    """

    def __init__(self, incoming: int, outgoing: int, stride: int) -> None:
        super().__init__(incoming, outgoing, 1)
        self._every = stride

    def forward(self, x: Tensor) -> Tensor:
        """[N, outgoing, ceil(T / stride), V] from [N, incoming, T, V]."""
        return super().forward(x[:, :, :: self._every])


class GraphConvolution(nn.Module):
    """Each joint gathers from its neighbours, with weights for each subset and a learnt importance of each edge.

    y[c, t, w] = sum over subsets k and joints v of (W_k x + b_k)[c, t, v] · A[k, v, w] · importance[k, v, w].

    The sums are exchanged: one matrix product per frame gathers for all subsets, because x has at most as many channels
    as y, and one convolution weighs the result. The bias then depends on the joint.
    """

    def __init__(self, incoming: int, outgoing: int, adjacency: Tensor) -> None:
        super().__init__()
        self.adjacency: Tensor
        self.register_buffer("adjacency", adjacency.clone(), persistent=False)  # from the layout, not learnt
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        self.weigh = nn.Conv2d(incoming, outgoing * SUBSETS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, outgoing, T, V] from [N, incoming, T, V], channels last."""
        count, channels, length, joints = x.shape
        edges = self.adjacency * self.importance
        frames = x.permute(0, 2, 3, 1).reshape(count * length, joints, channels)
        every = edges.permute(2, 0, 1).reshape(joints * SUBSETS, joints).expand(len(frames), -1, -1)
        gathered = torch.bmm(every, frames).view(count, length, joints, -1).permute(0, 3, 1, 2)
        weight = self.weigh.weight.view(SUBSETS, -1, channels, 1, 1).transpose(0, 1).flatten(1, 2)
        assert self.weigh.bias is not None
        bias = edges.sum(dim=1).T @ self.weigh.bias.view(SUBSETS, -1)
        weighed = nn.functional.conv2d(gathered, weight).permute(0, 2, 3, 1)
        return (weighed + bias.to(weighed.dtype)).permute(0, 3, 1, 2)  # added in channels-last order


class Dropout(nn.Dropout):
    """Dropout that is faster on CPUs, where torch draws 64 random bits for each value, one after the other.

    Here 64 bits serve four values, so that p is met to 1/65536.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Set values to zero with probability p and scale the others by 1 / (1 - p); ``x`` must be dense."""
        if not (self.training and x.is_cpu and 0 < self.p < 1):
            return super().forward(x)
        kept = min(max(round((1 - self.p) * 65536), 1), 65535)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        noise = words.view(torch.int16)[: x.numel()]
        scales = noise.lt_(kept - 32768).to(x.dtype).mul_(65536 / kept)
        return x * scales.as_strided(x.shape, x.stride())


def _initialise(module: nn.Module) -> None:
    """Initialise as the authors do."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=0.02)
