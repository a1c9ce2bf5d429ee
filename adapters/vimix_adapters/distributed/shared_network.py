"""A network whose batch is spread over a process group."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from vimix.ports.network import HiddenMixing
from vimix.ports.process_group import ProcessGroup
from vimix.values.mixing import MixPlan
from vimix_adapters.distributed.copies import OneOfManyCopies
from vimix_adapters.distributed.statistics import SharedStatistics

_NAME = "forward_sync_buffers"
_KNOWN = inspect.signature(DistributedDataParallel).parameters
OWN_BUFFERS: dict[str, Any] = {_NAME if _NAME in _KNOWN else "broadcast_buffers": False}
"""DistributedDataParallel must not broadcast rank 0's statistics: SharedStatistics combines those of all ranks. The
option has another name in newer torch."""


class SharedNetwork(OneOfManyCopies):
    """Implements ``vimix.ports.network.Network`` around a ``ContrastiveNetwork``, one copy in each process.

    DistributedDataParallel wraps the whole query path, mixing included, and averages the gradients. Keys are computed
    after the global batch was permuted across processes (MoCo's ShuffleBN), and every rank gets all of them.
    ``learns = False`` makes a key network, which has no gradients.
    """

    def __init__(self, network: Any, group: ProcessGroup, learns: bool = True) -> None:
        self.network = network
        self._group = group
        self._statistics = SharedStatistics(network, network.groups, group)
        self._wrapped = DistributedDataParallel(network, **OWN_BUFFERS) if learns else network

    @property
    def depth(self) -> int:
        """Number of stages L of the encoder."""
        depth: int = self.network.depth
        return depth

    @property
    def planar(self) -> bool:
        """Whether the last two axes of clips and maps are height and width."""
        planar: bool = self.network.planar
        return planar

    def embed(self, clips: Tensor) -> Tensor:
        """Embeddings [B, 128] of the clips of this rank."""
        with self._statistics.shared():
            z: Tensor = self._wrapped(clips)[0]
        return z

    def embed_mixed(self, clips: Tensor, layer: int, mix: HiddenMixing) -> tuple[Tensor, MixPlan]:
        """Embeddings [B, 128] with the map below stage ``layer`` mixed, and the plan of the mix."""
        with self._statistics.shared():
            z, plan = self._wrapped(clips, layer, mix)
        return z, plan

    @torch.no_grad()
    def keys(self, clips: Tensor, shuffle: Tensor) -> Tensor:
        """Keys [G, 128] of the clips of all ranks, computed on the global batch permuted by ``shuffle`` [G]."""
        shuffled = self._group.permute_rows(clips, shuffle.numpy())
        with self._statistics.shared():
            keys = self._group.all_gather(self.network.embed(shuffled))
        return keys[shuffle.argsort().to(keys.device, non_blocking=True)]

    def hidden(self, clips: Tensor, layer: int) -> Tensor:
        """The map below stage ``layer`` of the clips of this rank, in evaluation mode."""
        hidden: Tensor = self.network.hidden(clips, layer)
        return hidden

    def hidden_and_embedding(self, clips: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The map below stage ``layer`` and the embeddings of the clips of this rank, in evaluation mode."""
        both: tuple[Tensor, Tensor] = self.network.hidden_and_embedding(clips, layer)
        return both

    def features(self, clips: Tensor) -> Tensor:
        """Features [B, D] of the clips of this rank, in evaluation mode."""
        features: Tensor = self.network.features(clips)
        return features

    def parameters(self) -> Iterable[Tensor]:
        """Parameters of the network."""
        parameters: Iterable[Tensor] = self.network.parameters()
        return parameters
