"""Checkpoint files: nothing in them is executed, and a crash or a full disk loses nothing."""

import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve

import vimix
from tests.builders import checkpoint, no_file_longer_than, random_encoder
from tests.recipes import ROOT
from tests.unit.test_foreign_weights import Payload
from vimix.values.errors import VimixError
from vimix_adapters.checkpoints import checkpoint_folder
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore, load_checkpoint
from vimix_adapters.commands.export import open_encoder


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path) -> None:
    mark = tmp_path / "executed"
    torch.save({"format": "vimix-checkpoint-1", "payload": Payload(mark)}, tmp_path / "zip.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload(mark)))
    for name in ("zip.pt", "plain.pt"):
        with pytest.raises(VimixError, match=f"{name}: expected a whole vimix checkpoint") as refusal:
            load_checkpoint(tmp_path / name)
        if name == "zip.pt":
            assert str(refusal.value).endswith("it holds more than tensors and plain values, and code is never run")
    assert not mark.exists()
    pickle.loads((tmp_path / "plain.pt").read_bytes())  # the payload is live: the test can fail
    assert mark.exists()


def test_the_key_encoders_statistics_take_the_place_of_the_querys_and_nothing_else_changes() -> None:
    names = ("bn.weight", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked")
    query = {name: torch.full((2,), float(i)) for i, name in enumerate(names)}
    key = {name: tensor + 10 for name, tensor in query.items()}
    stage = evolve(checkpoint(1), parts={**checkpoint(1).parts, "query": query, "key": key})
    script = runpy.run_path(str(ROOT / "experiments/key_statistics.py"))
    found = script["with_key_statistics"](stage)
    assert {name: tensor[0].item() for name, tensor in found.parts["query"].items()} == dict(
        zip(names, (0, 11, 12, 3), strict=True)
    )
    assert [tensor[0].item() for tensor in stage.parts["query"].values()] == [0, 1, 2, 3]
    assert (found.recipe, found.about) == (stage.recipe, stage.about)


def test_an_encoder_from_before_the_blocks_has_the_stages_it_had_wherever_it_is_loaded(tmp_path) -> None:
    """The recipes of version 0.2.0 have no ``stages``: S3D was cut after each of its 16 modules."""
    random_encoder(tmp_path)
    today = FolderCheckpointStore(tmp_path).last()
    before = [line for line in today.recipe.splitlines(keepends=True) if not line.startswith("stages =")]
    FolderCheckpointStore(tmp_path).save(evolve(today, recipe="".join(before)))
    assert vimix.load_encoder(tmp_path, device="cpu").depth == open_encoder(tmp_path).encoder.depth == 16


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused_and_the_one_before_is_named(tmp_path, keep) -> None:
    store = FolderCheckpointStore(tmp_path)
    store.save(checkpoint(1))
    store.save(checkpoint(2))
    whole = (tmp_path / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(whole[: keep if keep >= 1 else int(len(whole) * keep)])
    for question in (store.last, store.progress):
        with pytest.raises(VimixError, match=r"last\.pt: expected a whole vimix checkpoint.*previous\.pt"):
            question()
    assert load_checkpoint(tmp_path / "previous.pt").about["steps"] == 1


@pytest.mark.parametrize("keep", [0, 1, 0.5])
def test_a_damaged_file_that_is_all_a_stage_has_left_is_refused_with_the_folder_to_delete(tmp_path, keep) -> None:
    """Without torch's advice to run what is in it."""
    stage = tmp_path / "1-pretrain-rgb"
    FolderCheckpointStore(stage).save(checkpoint(1))
    whole = (stage / "last.pt").read_bytes()
    (stage / "last.pt").write_bytes(whole[: keep if keep >= 1 else int(len(whole) * keep)])
    reason = "it is cut short, damaged or another kind of file"
    with pytest.raises(VimixError, match=rf"{reason}$"):
        FolderCheckpointStore(stage).last()  # no stage's folder: perhaps one of downloads
    (stage / "metrics.jsonl").touch()
    for name in ("last.pt", "previous.pt"):
        with pytest.raises(VimixError, match=rf"{name}: .*{reason}; to train this stage anew, delete {stage}$"):
            FolderCheckpointStore(stage).last()
        if name == "last.pt":
            (stage / "last.pt").rename(stage / "previous.pt")


@pytest.mark.parametrize("content", [{"state_dict": {"a": torch.zeros(1)}}, [1, 2], {"format": "other"}])
def test_a_foreign_checkpoint_is_refused_with_what_was_found(tmp_path, content) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(VimixError, match=r"x\.pt: expected a whole vimix checkpoint.*found"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_missing_checkpoint_says_what_was_expected(tmp_path) -> None:
    with pytest.raises(VimixError, match="no such checkpoint"):
        load_checkpoint(tmp_path)


def test_a_full_disk_leaves_the_last_checkpoint_as_it_was(tmp_path) -> None:
    store = FolderCheckpointStore(tmp_path)
    store.save(checkpoint(1))
    whole = (tmp_path / "last.pt").read_bytes()
    with no_file_longer_than(len(whole) // 2), pytest.raises(VimixError, match=r"last\.pt.*File too large.*is kept"):
        store.save(checkpoint(2))
    assert (tmp_path / "last.pt").read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_disk_that_fills_up_loses_nothing(small_disk) -> None:
    store = FolderCheckpointStore(small_disk / "stage")
    store.save(evolve(checkpoint(1), recipe="x" * 2**20))
    store.save(evolve(checkpoint(2), recipe="x" * 2**20))
    with pytest.raises(VimixError, match="No space left on device"):
        store.save(evolve(checkpoint(3), recipe="x" * 3 * 2**20))
    assert store.last().about["steps"] == 2
    assert load_checkpoint(small_disk / "stage/previous.pt").about["steps"] == 1
    store.save(checkpoint(3))
    assert store.last().about["steps"] == 3, "with space again it goes on"


def test_equal_states_make_equal_files(tmp_path) -> None:
    for place in ("a", "b"):
        FolderCheckpointStore(tmp_path / place).save(checkpoint(1))
    assert (tmp_path / "a/last.pt").read_bytes() == (tmp_path / "b/last.pt").read_bytes()


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_progress_is_known_without_reading_the_weights(tmp_path) -> None:
    size = 8 * 2**20
    large = evolve(checkpoint(3), parts={**checkpoint(3).parts, "key": {"w": torch.zeros(size // 4)}})
    store = FolderCheckpointStore(tmp_path)
    store.save(large)
    read = [bytes_read()]
    for question in (store.exists, store.progress, store.last):
        assert question()
        read.append(bytes_read())
    existing, progressing, loading = np.diff(read)
    assert existing < 2**12
    assert progressing < size / 8
    assert loading >= size


def test_what_a_killed_process_left_is_removed_and_one_that_may_not_write_does_not(tmp_path) -> None:
    (tmp_path / ".last.pt.4242.tmp").write_bytes(b"half a checkpoint")
    (tmp_path / ".previous.tmp").write_bytes(b"")
    FolderCheckpointStore(tmp_path, writes=False).save(checkpoint(1))
    assert not (tmp_path / "last.pt").exists()
    FolderCheckpointStore(tmp_path).save(checkpoint(1))
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_file_system_without_second_names_keeps_the_previous_one_too(tmp_path, monkeypatch) -> None:
    def refused(*_) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(checkpoint_folder.os, "link", refused)
    store = FolderCheckpointStore(tmp_path)
    for step in (1, 2):
        store.save(checkpoint(step))
    assert [load_checkpoint(tmp_path / name).about["steps"] for name in ("previous.pt", "last.pt")] == [1, 2]
    (tmp_path / "last.pt").unlink()  # killed between the two renames
    assert store.last().about["steps"] == 1


def test_the_previous_checkpoint_is_kept_and_a_folder_stands_for_its_last(tmp_path) -> None:
    store = FolderCheckpointStore(tmp_path)
    for step in (1, 2, 3):
        store.save(checkpoint(step))
    assert load_checkpoint(tmp_path).about["steps"] == 3
    assert load_checkpoint(tmp_path / "previous.pt").about["steps"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]
