"""BatchNorm with another epsilon, computing the same."""

from collections.abc import Mapping

import torch
from torch import Tensor


def with_epsilon(state: Mapping[str, Tensor], old: float, new: float) -> dict[str, Tensor]:
    """A state dict whose BatchNorms, built with eps ``new``, give in evaluation what ``state`` gives with ``old``.

    γ / √(σ² + old) = γ' / √(σ² + new): only γ changes, and in training, where σ² is the batch's, the layer stays near
    to what it was. Names are those of torch: ``<layer>.running_var`` beside ``<layer>.weight``.
    """
    result = dict(state)
    for name in [name for name in state if name.endswith(".running_var") and old != new]:
        variance, weight = state[name].double(), f"{name.removesuffix('running_var')}weight"
        factor = torch.sqrt((variance + new) / (variance + old))
        result[weight] = (state[weight].double() * factor).to(state[weight].dtype)
    return result
