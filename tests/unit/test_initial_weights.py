"""A stage takes encoders from a checkpoint, and the queue only if the data are the same."""

import pytest
import structlog

from vimix.values.checkpoint import Checkpoint
from vimix_adapters.wiring.networks import inherited_parts

FRESH = {"query": {"encoder.a": 0, "head.b": 0}, "key": {}, "queue": {"filled": 0, "keys": [0, 0, 0]}}


def checkpoint(**origin: str) -> Checkpoint:
    progress = {"steps": 4, "seed": 0, "origin": origin}
    parts = {
        "query": {"encoder.a": 1, "head.b": 1},
        "key": {"encoder.a": 2},
        "queue": {"filled": 9, "keys": [0, 0, 0]},
        "progress": progress,
    }
    return Checkpoint("rgb", "", parts, {"stage": "pretrain-rgb"})


def test_a_stage_on_the_same_data_takes_over_the_queue() -> None:
    parts = inherited_parts(checkpoint(data="abc"), FRESH, "abc")
    assert parts == {
        "query": {"encoder.a": 1, "head.b": 1},
        "key": {"encoder.a": 2},
        "queue": {"filled": 9, "keys": [0, 0, 0]},
    }


@pytest.mark.parametrize("origin", [{"data": "other"}, {}])
def test_the_queue_of_other_data_is_left_behind_with_a_word(origin) -> None:
    """Its entries number the recordings of the other data set, so that siblings could not be told."""
    with structlog.testing.capture_logs() as logs:
        parts = inherited_parts(checkpoint(**origin), FRESH, "abc")
    assert parts["queue"] == FRESH["queue"]
    assert parts["key"] == {"encoder.a": 2}
    assert [log["event"] for log in logs] == ["queue.starts_empty"]


def test_a_queue_of_another_size_is_left_behind_with_a_word() -> None:
    fresh = {**FRESH, "queue": {"filled": 0, "keys": [0, 0]}}
    with structlog.testing.capture_logs() as logs:
        parts = inherited_parts(checkpoint(data="abc"), fresh, "abc")
    assert parts["queue"] == fresh["queue"]
    assert [(log["event"], log["reason"]) for log in logs] == [("queue.starts_empty", "it held 3 keys, not 2")]
