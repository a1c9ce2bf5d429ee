"""A classifier whose training batch is spread over a process group."""

from typing import Any

from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from vimix.ports.process_group import ProcessGroup
from vimix_adapters.distributed.copies import OneOfManyCopies
from vimix_adapters.distributed.shared_network import OWN_BUFFERS
from vimix_adapters.distributed.statistics import SharedStatistics


class SharedClassifier(OneOfManyCopies):
    """Implements ``vimix.ports.network.Classifier`` around a ``ClassifyingNetwork``, one copy in each process.

    DistributedDataParallel averages the gradients. In training each process normalises its own rows, as if they were a
    BatchNorm group of one process's batch. In evaluation the processes do not communicate.
    """

    def __init__(self, network: Any, group: ProcessGroup) -> None:
        self.network = network
        self._statistics = SharedStatistics(network.moving, network.groups, group)
        self._wrapped = DistributedDataParallel(network, **OWN_BUFFERS)

    def logits(self, clips: Tensor) -> Tensor:
        """Logits [B, classes] of the clips of this rank, in training mode."""
        self.network.train()
        with self._statistics.shared():
            logits: Tensor = self._wrapped(clips)
        return logits

    def probabilities(self, clips: Tensor) -> Tensor:
        """Softmax [B, classes] of the clips of this rank, in evaluation mode."""
        probabilities: Tensor = self.network.probabilities(clips)
        return probabilities
