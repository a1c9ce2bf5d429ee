"""Builds the encoder that a modality's settings name."""

from pkgutil import resolve_name
from typing import Protocol

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.config.encoder_settings import ModalitySettings
from vimix_adapters.encoders.chain import StageChain


class EncoderBuilder(Protocol):
    """The function that an entry of the registry names."""

    def __call__(self, settings: ModalitySettings, layout: SkeletonLayout | None) -> StageChain:
        """The encoder with random weights; ``layout`` is the skeleton of the store for encoders on a graph."""
        ...


def encoder_of(settings: ModalitySettings, layout: SkeletonLayout | None = None) -> StageChain:
    """The encoder with random weights. Raises ValueError if one on a graph gets no layout."""
    if settings.entry.maps == "graph" and layout is None:
        raise ValueError(f"{settings.encoder} needs the layout of the skeletons")
    builder = settings.entry.builder
    build: EncoderBuilder = resolve_name(builder) if isinstance(builder, str) else builder
    return build(settings, layout)
