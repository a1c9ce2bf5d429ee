"""Between which layers of two encoders hidden maps are mixed (Algorithm 1: ``mix1``, ``mix2``)."""

from typing import Protocol

import numpy as np
from attrs import frozen


class LayerChoice(Protocol):
    """Draws the layers (k, l) of one step; the input (0) and the last map (L) are never eligible."""

    def draw(self, depth: int, donor_depth: int, rng: np.random.Generator) -> tuple[int, int]:
        """Layer k of the trained encoder with ``depth`` stages, and l >= k of the donor with ``donor_depth``."""
        ...


@frozen
class SameLayer:
    """k uniform in [1, L-1], l = k. Both encoders must have equally many stages, L."""

    def draw(self, depth: int, donor_depth: int, rng: np.random.Generator) -> tuple[int, int]:
        """The pair (k, k). Raises ValueError if the depths differ."""
        if depth != donor_depth:
            raise ValueError(f"the same layer needs encoders of equal depth, not {depth} and {donor_depth}")
        k = int(rng.integers(1, depth))
        return k, k


@frozen
class RandomLayer:
    """k uniform in [1, L-1], l uniform in [k, L-1] ("Random CM mix layer" of Table 2, the full method)."""

    def draw(self, depth: int, donor_depth: int, rng: np.random.Generator) -> tuple[int, int]:
        """The pair (k, l) with k <= l."""
        k = int(rng.integers(1, min(depth, donor_depth)))
        return k, int(rng.integers(k, donor_depth))
