"""An encoder as a chain of stages that can be run in parts, and its construction from a modality's settings."""

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Protocol

import torch
from torch import Tensor, nn

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.config.encoder_settings import ModalitySettings


class StageChain(nn.Module):
    """A chain of modules on [B, C, T, H, W] maps, cut into L stages: what every encoder is.

    Laws: ``partial_forward(x, a, a) is x``; ``pf(pf(x, a, b), b, c) == pf(x, a, c)``.

    ``cuts`` [L] holds the number of modules before the end of each stage; by default each module is a stage. Cuts
    change neither parameters nor their names. Raises ValueError unless ``cuts`` ascends to the number of modules.
    """

    planar = True
    """Whether the last two axes of maps are height and width."""
    memory_format: torch.memory_format = torch.channels_last_3d
    """Memory format of clips and weights in which the convolutions are fastest."""

    def __init__(self, modules: Sequence[nn.Module], feature_size: int, cuts: Sequence[int] | None = None) -> None:
        super().__init__()
        self.features = nn.ModuleList(modules)
        self.feature_size = feature_size
        """D, the length of a feature."""
        self._cuts = (0, *(range(1, len(modules) + 1) if cuts is None else cuts))
        if list(self._cuts) != sorted(set(self._cuts)) or self._cuts[-1] != len(modules):
            raise ValueError(f"cuts {self._cuts[1:]} do not ascend to the number of modules, {len(modules)}")

    @property
    def depth(self) -> int:
        """Number of stages L."""
        return len(self._cuts) - 1

    def laid_out(self, clips: Tensor) -> Tensor:
        """Clips in the memory format that is fastest for the first stage."""
        return clips.contiguous(memory_format=self.memory_format)

    def partial_forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Run stages start ... stop-1. Raises ValueError unless 0 <= start <= stop <= depth."""
        if not 0 <= start <= stop <= self.depth:
            raise ValueError(f"stages {start} to {stop} are not within 0 to {self.depth}")
        for number in range(self._cuts[start], self._cuts[stop]):
            x = self.features[number](x)
        return x

    def pool(self, hidden: Tensor) -> Tensor:
        """Mean over time and space, [B, D] float32; float64 stays, so that a network can be checked in it."""
        full = hidden if hidden.dtype == torch.float64 else hidden.float()
        return full.mean(dim=(2, 3, 4))


class EncoderBuilder(Protocol):
    """The function that an entry of the registry names."""

    def __call__(self, settings: ModalitySettings, layout: SkeletonLayout | None) -> StageChain:
        """The encoder with random weights; ``layout`` is the skeleton of the store for encoders on a graph."""
        ...


def encoder_of(settings: ModalitySettings, layout: SkeletonLayout | None = None) -> StageChain:
    """The encoder with random weights; one on a graph needs a layout."""
    builder = settings.entry.builder
    build: EncoderBuilder = resolve_name(builder) if isinstance(builder, str) else builder
    return build(settings, layout)


def scaled(channels: int, width: float) -> int:
    """Number of channels of a layer of ``channels`` in an encoder of that width."""
    return max(1, round(channels * width))
