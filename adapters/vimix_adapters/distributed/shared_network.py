"""Networks whose training batch is spread over a process group."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from vimix.ports.network import Classifier, HiddenMixing, Network, Stateful
from vimix.ports.process_group import ProcessGroup
from vimix.values.mixing import MixPlan

_NAME = "forward_sync_buffers"
_KNOWN = inspect.signature(DistributedDataParallel).parameters
OWN_BUFFERS: dict[str, Any] = {_NAME if _NAME in _KNOWN else "broadcast_buffers": False}
"""DistributedDataParallel must not broadcast rank 0's statistics: SharedStatistics combines those of all ranks. The
option has another name in newer torch."""


class SharedStatistics:
    """BatchNorm's running statistics as if the batches of all ranks had passed one network in turn, in order of rank.

    The batch of a rank maps the statistics r to keep·r + change with keep = (1 - momentum)^groups. The maps of all
    ranks are applied in turn, so that all ranks hold the statistics of one process with W times as many groups.
    """

    def __init__(self, network: nn.Module, groups: int, group: ProcessGroup) -> None:
        norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        self._network, self._groups, self._group = network, groups, group
        self._statistics: list[Tensor] = [s for m in norms for s in (m.running_mean, m.running_var) if s is not None]
        self._counts: list[Tensor] = [m.num_batches_tracked for m in norms if m.num_batches_tracked is not None]
        keep = [(1 - float(m.momentum or 0)) ** groups for m in norms for _ in range(2)]
        filled = [torch.full_like(s, share) for s, share in zip(self._statistics, keep, strict=True)]
        self._keep = torch.cat(filled) if filled else torch.empty(0)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Combine the statistics of all ranks after a pass of the network in train mode within this context."""
        if not self._statistics or not self._network.training:
            yield
            return
        before = torch.cat(self._statistics)
        yield
        self._fold(before)

    @torch.no_grad()
    def _fold(self, before: Tensor) -> None:
        value = before
        for change in self._group.all_gather((torch.cat(self._statistics) - self._keep * before)[None]):
            value = self._keep * value + change
        # Writing through ``data`` hides the change from autograd, which would report it although backward ignores it.
        torch._foreach_copy_(
            [s.data for s in self._statistics], list(torch.split(value, [len(s) for s in self._statistics]))
        )
        torch._foreach_add_(self._counts, (self._group.size - 1) * self._groups)


class OneOfManyCopies:
    """Wraps ``network``, one of equal copies in all processes. Its state does not depend on the number of processes."""

    network: Stateful

    def buffers(self) -> Iterable[Tensor]:
        """Buffers of the network."""
        return self.network.buffers()

    def state_dict(self) -> Mapping[str, Any]:
        """State of the network, without the names that wrappers add."""
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the network's state; every rank must load the same."""
        self.network.load_state_dict(state)


class SharedNetwork(OneOfManyCopies):
    """Implements ``vimix.ports.network.Network`` around a ``ContrastiveNetwork``, one copy in each process.

    DistributedDataParallel wraps the whole query path, mixing included, and averages the gradients. Keys are computed
    after the global batch was permuted across processes (MoCo's ShuffleBN), and every rank gets all of them.
    ``learns = False`` makes a key network, which has no gradients.
    """

    def __init__(self, network: Any, group: ProcessGroup, learns: bool = True) -> None:
        self.network: Network = network
        self._group = group
        self._statistics = SharedStatistics(network, network.groups, group)
        self._wrapped = DistributedDataParallel(network, **OWN_BUFFERS) if learns else network

    @property
    def depth(self) -> int:
        """Number of stages L of the encoder."""
        return self.network.depth

    @property
    def planar(self) -> bool:
        """Whether the last two axes of clips and maps are height and width."""
        return self.network.planar

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
        return self.network.hidden(clips, layer)

    def hidden_and_embedding(self, clips: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The map below stage ``layer`` and the embeddings of the clips of this rank, in evaluation mode."""
        return self.network.hidden_and_embedding(clips, layer)

    def features(self, clips: Tensor) -> Tensor:
        """Features [B, D] of the clips of this rank, in evaluation mode."""
        return self.network.features(clips)

    def parameters(self) -> Iterable[Tensor]:
        """Parameters of the network."""
        return self.network.parameters()


class SharedClassifier(OneOfManyCopies):
    """Implements ``vimix.ports.network.Classifier`` around a ``ClassifyingNetwork``, one copy in each process.

    DistributedDataParallel averages the gradients. In training each process normalises its own rows, as if they were a
    BatchNorm group of one process's batch. In evaluation the processes do not communicate.
    """

    def __init__(self, network: Any, group: ProcessGroup) -> None:
        self.network: Classifier = network
        self._statistics = SharedStatistics(network.moving, network.groups, group)
        self._wrapped = DistributedDataParallel(network, **OWN_BUFFERS)

    def logits(self, clips: Tensor) -> Tensor:
        """Logits [B, classes] of the clips of this rank, in training mode."""
        self._wrapped.train()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        with self._statistics.shared():
            logits: Tensor = self._wrapped(clips)
        return logits

    def probabilities(self, clips: Tensor) -> Tensor:
        """Softmax [B, classes] of the clips of this rank, in evaluation mode."""
        return self.network.probabilities(clips)
