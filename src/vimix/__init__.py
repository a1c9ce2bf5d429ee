"""Vi-Mix: self-supervised video representations by cross-modal manifold cutmix.

The names below are public and stable. They are loaded on first use, so that importing vimix does not import torch.
``load_encoder`` and ``embed_videos`` read files, so they are defined in ``vimix_adapters``, which is installed with
vimix. No other module of the core imports anything from there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vimix.domain.contrast.losses import mixed_info_nce, mixed_multi_positive_nce
    from vimix.domain.contrast.queue import NegativeQueue
    from vimix.domain.mixing.blend import blend
    from vimix.domain.mixing.policies import (
        CrossModalCutMix,
        CrossModalMixup,
        ManifoldMixup,
        Mixup,
        NoMix,
        SpatioTemporalCutMix,
        TemporalCutMix,
        VideoMix,
    )
    from vimix.values.errors import VimixError
    from vimix.values.grid import Grid
    from vimix.values.mixing import Cut, MixPlan
    from vimix_adapters.pretrained import embed_videos, load_encoder

_HOMES = {
    "mixed_info_nce": "vimix.domain.contrast.losses",
    "mixed_multi_positive_nce": "vimix.domain.contrast.losses",
    "NegativeQueue": "vimix.domain.contrast.queue",
    "blend": "vimix.domain.mixing.blend",
    "CrossModalCutMix": "vimix.domain.mixing.policies",
    "CrossModalMixup": "vimix.domain.mixing.policies",
    "ManifoldMixup": "vimix.domain.mixing.policies",
    "Mixup": "vimix.domain.mixing.policies",
    "NoMix": "vimix.domain.mixing.policies",
    "SpatioTemporalCutMix": "vimix.domain.mixing.policies",
    "TemporalCutMix": "vimix.domain.mixing.policies",
    "VideoMix": "vimix.domain.mixing.policies",
    "VimixError": "vimix.values.errors",
    "Grid": "vimix.values.grid",
    "Cut": "vimix.values.mixing",
    "MixPlan": "vimix.values.mixing",
    "embed_videos": "vimix_adapters.pretrained",
    "load_encoder": "vimix_adapters.pretrained",
}

__all__ = [
    "CrossModalCutMix",
    "CrossModalMixup",
    "Cut",
    "Grid",
    "ManifoldMixup",
    "MixPlan",
    "Mixup",
    "NegativeQueue",
    "NoMix",
    "SpatioTemporalCutMix",
    "TemporalCutMix",
    "VideoMix",
    "VimixError",
    "blend",
    "embed_videos",
    "load_encoder",
    "mixed_info_nce",
    "mixed_multi_positive_nce",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vimix' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
