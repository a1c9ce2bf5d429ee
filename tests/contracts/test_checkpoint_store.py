"""What every checkpoint store must do, the fake and the folder alike."""

import pytest
import torch

from tests.builders import checkpoint
from tests.fakes.checkpoints import FakeCheckpointStore
from vimix.values.checkpoint import Checkpoint, Progress
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore


@pytest.fixture(params=["fake", "folder"])
def store(request, tmp_path):
    return FakeCheckpointStore() if request.param == "fake" else FolderCheckpointStore(tmp_path / "stage")


def test_an_empty_store_has_no_last_checkpoint(store) -> None:
    assert not store.exists()
    assert store.progress() is None
    assert store.last() is None


def test_progress_is_that_of_the_last_checkpoint(store) -> None:
    for step in (3, 4):
        store.save(checkpoint(step))
        assert store.exists()
        expected = Progress(steps=step, steps_per_epoch=2, epochs=2, seed=2**40, origin={"data": "abc"})
        assert store.progress() == store.last().progress == expected
        assert store.progress().finished is (step == 4)


def test_weights_that_no_training_made_have_made_no_step(store) -> None:
    store.save(Checkpoint(modality="rgb", recipe="", parts={"query": {}}, about={"data": "old"}))
    assert store.progress() == Progress(steps=0, steps_per_epoch=0, epochs=0, seed=0, origin={"data": "old"})


def test_the_last_checkpoint_comes_back_whole(store) -> None:
    saved = checkpoint(3)
    store.save(checkpoint(1))
    store.save(saved)
    found = store.last()
    assert (found.modality, found.recipe, dict(found.about)) == ("rgb", 'name = "x"', dict(saved.about))
    assert torch.equal(found.parts["query"]["w"], saved.parts["query"]["w"])
    assert dict(found.parts["progress"]) == dict(saved.parts["progress"])
    ours, theirs = found.parts["optimiser"]["state"], saved.parts["optimiser"]["state"]
    assert ours.keys() == theirs.keys() == {0, 1}
    assert torch.equal(ours[0]["exp_avg"], theirs[0]["exp_avg"])


def test_later_changes_of_the_tensors_do_not_reach_what_was_saved(store) -> None:
    saved = checkpoint(3)
    store.save(saved)
    saved.parts["query"]["w"].zero_()
    assert store.last().parts["query"]["w"].sum() == 18
