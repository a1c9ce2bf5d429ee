"""ST-GCN (Yan et al. 2018) with a quarter of the channels, as a chain of ten stages."""

from typing import Literal

import torch
from torch import Tensor, nn

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.config.encoder_settings import ModalitySettings
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

    def laid_out(self, clips: Tensor) -> Tensor:
        """As they are: ``partial_forward`` lays out the rows of persons that it makes of them."""
        return clips

    def partial_forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Stages start ... stop-1 of maps [B, C, T, V, M], the persons as rows in between."""
        if start == stop:
            return super().partial_forward(x, start, stop)
        rows = _rows(x)
        present = torch.ones(len(rows), dtype=torch.bool, device=x.device) if self._all else _present(rows)
        if self._all or bool(present.all()) or not bool(present.any()):
            seen = self._run(rows, start, stop)
        else:
            kept = self._run(rows[present], start, stop)
            seen = kept.new_zeros(len(rows), *kept.shape[1:])
            seen[present] = kept
        return seen.view(len(x), -1, *seen.shape[1:]).permute(0, 4, 2, 3, 1)

    def _run(self, rows: Tensor, start: int, stop: int) -> Tensor:
        """The stages on persons [N, T, V, C]; what a stage sees is [N, C, T, V] in that order of memory."""
        seen = super().partial_forward(rows.permute(0, 3, 1, 2), start, stop)
        return seen.permute(0, 2, 3, 1)

    def pool(self, hidden: Tensor) -> Tensor:
        """Mean over time, joints and persons (those present), [B, D] float32."""
        persons = hidden.permute(0, 4, 2, 3, 1).flatten(2, 3).float().mean(dim=2)
        if self._all:
            return persons.mean(dim=1)
        count = persons.detach().any(dim=2).sum(dim=1, keepdim=True)  # a ReLU's maps are zero where their mean is
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
    )


def _rows(maps: Tensor) -> Tensor:
    """Persons [B·M, T, V, C] of maps [B, C, T, V, M]: no copy of those that a stage has made."""
    return maps.permute(0, 4, 2, 3, 1).flatten(0, 1).contiguous()


def _present(rows: Tensor) -> Tensor:
    """Which of the persons [N, T, V, C] are there at all, [N] bool."""
    return rows.detach().flatten(1).any(dim=1)


class InputNorm(nn.Module):
    """BatchNorm over the 3·V coordinates of persons [N, 3, T, V], one mean and deviation a coordinate of a joint."""

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels * joints)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, channels last."""
        frames = x.permute(0, 2, 3, 1)
        normed: Tensor = self.norm(frames.flatten(2).flatten(0, 1))
        return normed.view(frames.shape).permute(0, 3, 1, 2)


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
    """A 1 × 1 convolution of every ``stride``-th frame, which are taken out before it and not by it.

    oneDNN's float32 weight gradient of one with a stride writes beyond its memory where channels are fewer than the
    numbers in a vector register (its issue 6035; seen with torch 2.15 on AVX512: the process dies sooner or later).
    """

    def __init__(self, incoming: int, outgoing: int, stride: int) -> None:
        super().__init__(incoming, outgoing, 1)
        self._every = stride

    def forward(self, x: Tensor) -> Tensor:
        """[N, outgoing, ceil(T / stride), V] from [N, incoming, T, V]."""
        return super().forward(x[:, :, :: self._every])


class GraphConvolution(nn.Module):
    """Each joint gathers from its neighbours, with weights of their subset's own and a learnt importance of each edge.

    y[c, t, w] = sum over subsets k and joints v of (W_k x + b_k)[c, t, v] · A[k, v, w] · importance[k, v, w].

    The sums change places: all joints gather for all subsets in one product a frame, x being narrower than y or as
    wide, and one convolution weighs what was gathered. Each joint then has a bias of its own.
    """

    def __init__(self, incoming: int, outgoing: int, adjacency: Tensor) -> None:
        super().__init__()
        self.adjacency: Tensor
        self.register_buffer("adjacency", adjacency.clone(), persistent=False)  # the layout's, not learnt
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
        return (weighed + bias.to(weighed.dtype)).permute(0, 3, 1, 2)  # added in the order of memory


class Dropout(nn.Dropout):
    """torch's, drawn faster on a CPU, where torch takes one random number after the other and 64 bits for each.

    Here 64 bits make four numbers, which are compared at once: p is met to a 65536th.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Zeros with probability p, the rest scaled so that the mean stays; ``x`` must be dense."""
        if not (self.training and x.is_cpu and 0 < self.p < 1):
            return super().forward(x)
        kept = min(max(round((1 - self.p) * 65536), 1), 65535)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        noise = words.view(torch.int16)[: x.numel()]
        scales = noise.lt_(kept - 32768).to(x.dtype).mul_(65536 / kept)
        return x * scales.as_strided(x.shape, x.stride())


def _initialise(module: nn.Module) -> None:
    """The authors' initial weights."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=0.02)
