"""The losses of a fixed run are those that were recorded: a change of the method does not go unseen.

``python -m tests.golden.record`` writes them anew, for a change that is meant.
"""

import json

import pytest

from tests.golden.record import FILE, RECIPE, losses

TOLERANCE = 5e-4
"""Relative: five times what the rounding of another processor can do (see ``record``)."""


@pytest.fixture(scope="module")
def found() -> dict[str, list[float]]:
    return losses()


@pytest.mark.parametrize("kind", ["pretrain", "cmmc"])
def test_the_losses_are_the_recorded_ones(found, kind) -> None:
    assert found[kind] == pytest.approx(json.loads(FILE.read_text())[kind], rel=TOLERANCE)


def test_the_first_loss_is_near_that_of_chance(found) -> None:
    """Eight equal candidates cost log 8 = 2.08 nats, and an untrained network is not far from them."""
    assert 1.6 < found["pretrain"][0] < 2.6


@pytest.mark.slow
def test_another_learning_rate_would_be_seen() -> None:
    recorded, faster = json.loads(FILE.read_text()), losses(lr=2 * RECIPE.optim.lr)
    assert all(faster[kind] != pytest.approx(recorded[kind], rel=TOLERANCE) for kind in recorded)
