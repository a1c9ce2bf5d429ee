"""A network whose batch is spread over a group."""

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
"""Statistics are shared as SharedStatistics does: rank 0's are not taken alone. Newer torch has another name for it."""


class SharedNetwork(OneOfManyCopies):
    """Implements ``vimix.ports.network.Network`` around a ``ContrastiveNetwork``, one copy in each process.

    DistributedDataParallel wraps the whole query path, mixing included, and averages the gradients. Keys are computed
    after a permutation of the global batch across processes (MoCo's ShuffleBN) and returned for all of it.
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
        """Whether the last axis of its maps is one of space."""
        planar: bool = self.network.planar
        return planar

    def embed(self, clips: Tensor) -> Tensor:
        """Embeddings [B, 128] of this member's clips."""
        with self._statistics.shared():
            z: Tensor = self._wrapped(clips)[0]
        return z

    def embed_mixed(self, clips: Tensor, layer: int, mix: HiddenMixing) -> tuple[Tensor, MixPlan]:
        """The same with the map below stage ``layer`` mixed."""
        with self._statistics.shared():
            z, plan = self._wrapped(clips, layer, mix)
        return z, plan

    @torch.no_grad()
    def keys(self, clips: Tensor, shuffle: Tensor) -> Tensor:
        """Keys [G, 128] of everybody's clips, normalised in groups of the batch permuted by ``shuffle`` [G]."""
        shuffled = self._group.permute_rows(clips, shuffle.numpy())
        with self._statistics.shared():
            keys = self._group.all_gather(self.network.embed(shuffled))
        return keys[shuffle.argsort().to(keys.device, non_blocking=True)]

    def hidden(self, clips: Tensor, layer: int) -> Tensor:
        """The map below stage ``layer`` of this member's clips, in evaluation mode."""
        hidden: Tensor = self.network.hidden(clips, layer)
        return hidden

    def features(self, clips: Tensor) -> Tensor:
        """Features [B, D] of this member's clips, in evaluation mode."""
        features: Tensor = self.network.features(clips)
        return features

    def parameters(self) -> Iterable[Tensor]:
        """The network's."""
        parameters: Iterable[Tensor] = self.network.parameters()
        return parameters
