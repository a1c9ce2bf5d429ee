"""Changes the epsilon of BatchNorm without changing what it computes."""

from collections.abc import Mapping

import torch
from torch import Tensor


def with_epsilon(state: Mapping[str, Tensor], old: float, new: float) -> dict[str, Tensor]:
    """A state dict that computes with eps ``new`` what ``state`` computes with eps ``old``, in evaluation mode.

    γ / √(σ² + old) = γ' / √(σ² + new): only γ changes. In training mode, with the σ² of a batch, this holds
    approximately. BatchNorms are found by their names ``<layer>.running_var`` and ``<layer>.weight``.
    """
    result = dict(state)
    for name in [name for name in state if name.endswith(".running_var") and old != new]:
        variance, weight = state[name].double(), f"{name.removesuffix('running_var')}weight"
        factor = torch.sqrt((variance + new) / (variance + old))
        result[weight] = (state[weight].double() * factor).to(state[weight].dtype)
    return result
