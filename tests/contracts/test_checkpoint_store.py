"""What every checkpoint store must do, the fake and the folder alike."""

import pytest
import torch

from tests.fakes.checkpoints import FakeCheckpointStore
from vimix.values.checkpoint import Checkpoint
from vimix_adapters.checkpoints.folder import FolderCheckpointStore


@pytest.fixture(params=["fake", "folder"])
def store(request, tmp_path):
    return FakeCheckpointStore() if request.param == "fake" else FolderCheckpointStore(tmp_path / "stage")


def checkpoint(step: int) -> Checkpoint:
    """With everything that a real one holds: an optimiser's integer keys among them."""
    weight = torch.full((2, 3), float(step))
    query = torch.nn.Linear(2, 1)
    optimiser = torch.optim.Adam(query.parameters())
    query(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    parts = {
        "query": {"w": weight, "n": torch.tensor(step)},
        "optimiser": optimiser.state_dict(),
        "progress": {"steps": step, "seed": 2**40},
    }
    return Checkpoint(modality="rgb", recipe='name = "x"', parts=parts, about={"stage": "s", "steps": step, "x": 0.5})


def test_an_empty_store_has_no_last_checkpoint(store) -> None:
    assert store.last() is None


def test_the_last_checkpoint_comes_back_whole(store) -> None:
    saved = checkpoint(3)
    store.save(checkpoint(1))
    store.save(saved)
    found = store.last()
    assert (found.modality, found.recipe, dict(found.about)) == ("rgb", 'name = "x"', dict(saved.about))
    assert torch.equal(found.parts["query"]["w"], saved.parts["query"]["w"])
    assert dict(found.parts["progress"]) == {"steps": 3, "seed": 2**40}
    ours, theirs = found.parts["optimiser"]["state"], saved.parts["optimiser"]["state"]
    assert ours.keys() == theirs.keys() == {0, 1}
    assert torch.equal(ours[0]["exp_avg"], theirs[0]["exp_avg"])


def test_later_changes_of_the_tensors_do_not_reach_what_was_saved(store) -> None:
    saved = checkpoint(3)
    store.save(saved)
    saved.parts["query"]["w"].zero_()
    assert store.last().parts["query"]["w"].sum() == 18
