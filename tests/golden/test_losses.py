"""The losses of a fixed run are those that were recorded: a change of the method does not go unseen.

``python -m tests.golden.record`` writes them anew, for a change that is meant.
"""

import json

import pytest

from tests.golden.record import FILE, losses, platform_name

SAME_PLATFORM, ANOTHER = 1e-4, 5e-3
"""Relative tolerance. Kernels add up in the order that a processor's vectors suggest, and each update amplifies it."""


@pytest.fixture(scope="module")
def found() -> dict[str, list[float]]:
    return losses()


@pytest.mark.parametrize("kind", ["pretrain", "cmmc"])
def test_the_losses_are_the_recorded_ones(found, kind) -> None:
    recorded = json.loads(FILE.read_text())
    here = recorded.get(platform_name())
    expected = here if here is not None else next(iter(recorded.values()))
    assert found[kind] == pytest.approx(expected[kind], rel=SAME_PLATFORM if here is not None else ANOTHER)


def test_the_first_loss_is_near_that_of_chance(found) -> None:
    """Eight candidates that are all alike cost log 8 = 2.08 nats; an untrained network is not far from it."""
    assert 1.6 < found["pretrain"][0] < 2.6
