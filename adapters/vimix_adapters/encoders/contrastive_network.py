"""An encoder with its projection head and BatchNorm groups: the whole query or key path as one module."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """Device and precision of a network; embeddings, features and losses are always float32."""

    device: torch.device
    dtype: torch.dtype = torch.float32

    def autocast(self) -> torch.autocast:
        """A context in which convolutions run in ``dtype``."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


class ContrastiveNetwork(nn.Module):
    """Implements ``vimix.ports.network.Network`` around a chain of stages.

    In training mode the batch passes the encoder in ``groups`` equal parts, which BatchNorm normalises separately, as
    on that many devices. With permuted keys this is MoCo's ShuffleBN on one device: the network cannot recognise the
    key of a query by common batch statistics.
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
        """Whether the last two axes of maps are height and width, not joints and persons."""
        return self.encoder.planar

    def embed(self, clips: Tensor) -> Tensor:
        """L2-normalised embeddings [B, 128] float32 of clips [B, C, T, H, W]."""
        with self.compute.autocast():
            return self._embedded(self.encoder.laid_out(clips), 0)

    def embed_mixed(self, clips: Tensor, layer: int, mix: HiddenMixing) -> tuple[Tensor, MixPlan]:
        """Embeddings as of ``embed``, with the map before stage ``layer`` mixed; also returns the plan of the mix."""
        with self.compute.autocast():
            mixed, plan = mix(self._stages(self.encoder.laid_out(clips), 0, layer))
            return self._embedded(mixed, layer), plan

    def forward(self, clips: Tensor, layer: int = 0, mix: HiddenMixing | None = None) -> tuple[Tensor, MixPlan | None]:
        """The query path, mixing included; DistributedDataParallel wraps this method."""
        return (self.embed(clips), None) if mix is None else self.embed_mixed(clips, layer, mix)

    @torch.no_grad()
    def keys(self, clips: Tensor, shuffle: Tensor) -> Tensor:
        """Embeddings of the batch permuted by ``shuffle`` [B], in the original order, without gradient."""
        order, back = (rows.to(clips.device, non_blocking=True) for rows in (shuffle, shuffle.argsort()))
        return self.embed(clips[order])[back]

    @torch.no_grad()
    def hidden(self, clips: Tensor, layer: int) -> Tensor:
        """The map before stage ``layer`` in evaluation mode; later stages are not computed."""
        with self._evaluating(), self.compute.autocast():
            return self._stages(self.encoder.laid_out(clips), 0, layer)

    @torch.no_grad()
    def hidden_and_embedding(self, clips: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The map before stage ``layer`` and the embeddings [B, 128], from one pass in evaluation mode."""
        with self._evaluating(), self.compute.autocast():
            hidden = self._stages(self.encoder.laid_out(clips), 0, layer)
            return hidden, self._embedded(hidden, layer)

    @torch.no_grad()
    def features(self, clips: Tensor) -> Tensor:
        """Pooled features [B, D] float32 in evaluation mode."""
        with self._evaluating(), self.compute.autocast():
            return self._pooled(self.encoder.laid_out(clips), 0)

    def _stages(self, x: Tensor, start: int, stop: int) -> Tensor:
        parts = [self.encoder.partial_forward(part, start, stop) for part in self._parts(x)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _pooled(self, x: Tensor, start: int) -> Tensor:
        """Features of maps before stage ``start``; groups are concatenated after pooling, when they are small."""
        return torch.cat(
            [self.encoder.pool(self.encoder.partial_forward(part, start, self.depth)) for part in self._parts(x)]
        )

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        if not self.training or self.groups == 1:
            return (x,)
        if len(x) % self.groups:
            raise ValueError(f"a batch of {len(x)} does not divide into {self.groups} BatchNorm groups")
        return x.chunk(self.groups)

    def _embedded(self, x: Tensor, start: int) -> Tensor:
        """Embeddings of maps before stage ``start``."""
        features = self._pooled(x, start)
        # The head is a thousandth of the work, so that float32 costs nothing.
        with torch.autocast(self.compute.device.type, enabled=False):
            return nn.functional.normalize(self.head(features), dim=1)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(training)


def _begin_momentum(optimiser: torch.optim.Optimizer) -> None:
    """Set the momentum of SGD to zeros: torch allocates it uninitialised, and a skipped step would keep it so."""
    if isinstance(optimiser, torch.optim.SGD):
        for group in optimiser.param_groups:
            for parameter in group["params"] if group["momentum"] else ():
                optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


class TorchOptimiser:
    """Implements ``vimix.ports.network.Optimiser`` with an optimiser of torch.

    A step with a loss or gradient that is not finite is skipped. A fused optimiser reads the flag on the device, as
    with torch's GradScaler; any other waits for it. ``either`` returns whether a flag is set on any rank of a group,
    so that all ranks skip or none.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, either: Callable[[Tensor], Tensor] | None = None) -> None:
        self._optimiser = optimiser
        self._either = either
        self._fused = all(group.get("fused") for group in optimiser.param_groups)
        _begin_momentum(optimiser)

    def step(self, loss: Tensor) -> Tensor:
        """Clear gradients, backpropagate and update. Returns whether the update was skipped, a bool on the device."""
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward without annotations
        skipped = self._not_finite(loss.detach())
        if self._fused:
            self._optimiser.found_inf = skipped.float()  # type: ignore[attr-defined]  # read by torch's fused step
            self._optimiser.step()
        elif not skipped:
            self._optimiser.step()
        return skipped

    def _not_finite(self, loss: Tensor) -> Tensor:
        gradients = [p.grad for group in self._optimiser.param_groups for p in group["params"] if p.grad is not None]
        norms = torch._foreach_norm(gradients)
        found = ~torch.isfinite(torch.stack([loss, *norms]).sum())
        return found if self._either is None else self._either(found)

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate; a parameter group with a ``share`` gets that share of it."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group.get("share", 1.0)

    def state_dict(self) -> dict[str, Any]:
        """State of torch's optimiser: moments and step counts."""
        return dict(self._optimiser.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``; copies the tensors, which torch would share."""
        self._optimiser.load_state_dict(deepcopy(dict(state)))
