"""An encoder, its projection head and its BatchNorm groups as one module: the whole query or key path."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from vimix.ports.network import HiddenMixing
from vimix.values.mixing import MixPlan
from vimix_adapters.encoders.chain import StageChain


@frozen
class Compute:
    """Where and how precisely a network computes. Embeddings, features and losses are float32 in any case."""

    device: torch.device
    dtype: torch.dtype = torch.float32

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Convolutions in ``dtype``."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            yield


class ContrastiveNetwork(nn.Module):
    """Implements ``vimix.ports.network.Network`` around a chain of stages.

    In train mode the batch passes the encoder in ``groups`` equal parts, each normalised by its own statistics, as it
    would on that many devices. With keys permuted first this is MoCo's ShuffleBN on a single device: a network cannot
    recognise a query's key by the statistics that both were normalised with.
    """

    def __init__(self, encoder: StageChain, embedding: int, groups: int, compute: Compute) -> None:
        super().__init__()
        size = encoder.feature_size
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, embedding))
        self.groups = groups
        self.compute = compute
        self.to(compute.device).to(memory_format=encoder.memory_format)

    @property
    def depth(self) -> int:
        """Number of stages L of the encoder."""
        return self.encoder.depth

    @property
    def planar(self) -> bool:
        """Whether the last two axes of maps are height and width; else they are joints and persons."""
        return self.encoder.planar

    def embed(self, clips: Tensor) -> Tensor:
        """L2-normalised embeddings [B, 128] float32 of clips [B, C, T, H, W]."""
        with self.compute.autocast():
            return self._project(self._stages(self._laid_out(clips), 0, self.depth))

    def embed_mixed(self, clips: Tensor, layer: int, mix: HiddenMixing) -> tuple[Tensor, MixPlan]:
        """The same with the map below stage ``layer`` mixed: below, mix, above."""
        with self.compute.autocast():
            mixed, plan = mix(self._stages(self._laid_out(clips), 0, layer))
            return self._project(self._stages(mixed, layer, self.depth)), plan

    @torch.no_grad()
    def keys(self, clips: Tensor, shuffle: Tensor) -> Tensor:
        """Embeddings in train mode, without gradient, with groups drawn from the batch permuted by ``shuffle`` [B]."""
        order = torch.empty_like(shuffle)
        order[shuffle] = torch.arange(len(shuffle), device=shuffle.device)
        return self.embed(clips[shuffle])[order]

    @torch.no_grad()
    def hidden(self, clips: Tensor, layer: int) -> Tensor:
        """The map below stage ``layer`` in evaluation mode; nothing above it is computed."""
        with self._evaluating(), self.compute.autocast():
            return self._stages(self._laid_out(clips), 0, layer)

    @torch.no_grad()
    def features(self, clips: Tensor) -> Tensor:
        """Pooled features [B, D] float32 in evaluation mode."""
        with self._evaluating(), self.compute.autocast():
            return self.encoder.pool(self._stages(self._laid_out(clips), 0, self.depth))

    def _laid_out(self, clips: Tensor) -> Tensor:
        return clips.contiguous(memory_format=self.encoder.memory_format)

    def _stages(self, x: Tensor, start: int, stop: int) -> Tensor:
        if not self.training or self.groups == 1:
            return self.encoder.partial_forward(x, start, stop)
        if len(x) % self.groups:
            raise ValueError(f"a batch of {len(x)} does not divide into {self.groups} BatchNorm groups")
        return torch.cat([self.encoder.partial_forward(part, start, stop) for part in x.chunk(self.groups)])

    def _project(self, hidden: Tensor) -> Tensor:
        # The head is a thousandth of the work: in float32 the embedding loses no digit to bf16.
        with torch.autocast(self.compute.device.type, enabled=False):
            return nn.functional.normalize(self.head(self.encoder.pool(hidden)), dim=1)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(training)


class TorchOptimiser:
    """Implements ``vimix.ports.network.Optimiser`` around one of torch's."""

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self._optimiser = optimiser

    def step(self, loss: Tensor) -> None:
        """Clear gradients, backpropagate and update."""
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward without annotations
        self._optimiser.step()

    def set_learning_rate(self, rate: float) -> None:
        """From the next step on; a group of parameters with a ``share`` gets that part of it."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group.get("share", 1.0)

    def state_dict(self) -> dict[str, Any]:
        """Moments and step counts."""
        return dict(self._optimiser.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``. The state is copied: torch itself would go on sharing its tensors."""
        self._optimiser.load_state_dict(deepcopy(dict(state)))
