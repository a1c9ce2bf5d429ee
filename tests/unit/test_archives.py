"""Archives with a digest: what was written is read, everything else is refused in one line."""

import contextlib
import logging
import random
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve

from tests.builders import checkpoint
from vimix.values.errors import VimixError
from vimix_adapters.archives import COMMENT, is_sealed, read_arrays, write_arrays
from vimix_adapters.checkpoints import checkpoint_folder
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore, load_checkpoint
from vimix_adapters.checkpoints.foreign import read_weights

ARRAYS = {
    "rows": np.arange(12, dtype=np.float32).reshape(3, 4).T,
    "names": np.array(["a", "bc"]),
    "text": np.array("{}"),
    "none": np.zeros((0, 3)),
}


def flipped(whole: bytes, bit: int) -> bytes:
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_arrays_come_back_and_numpy_reads_them_too(tmp_path) -> None:
    write_arrays(tmp_path / "a.npz", ARRAYS)
    found = read_arrays(tmp_path / "a.npz", [*ARRAYS], "arrays")
    with np.load(tmp_path / "a.npz") as theirs:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            np.testing.assert_array_equal(theirs[name], array)
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_one_line_that_names_it(tmp_path) -> None:
    FolderCheckpointStore(tmp_path).save(checkpoint(1))
    file = tmp_path / "last.pt"
    whole, rng = file.read_bytes(), random.Random(5)
    ends = [*range(8 * (len(whole) - COMMENT - 22), 8 * len(whole), 11)]
    for bit in [*(rng.randrange(8 * len(whole)) for _ in range(150)), *ends]:
        file.write_bytes(flipped(whole, bit))
        with pytest.raises(VimixError, match=r"^\S*last\.pt: expected a whole vimix checkpoint.*(damaged|cut short)"):
            load_checkpoint(file)
    file.write_bytes(whole)
    assert load_checkpoint(file).about["steps"] == 1


def test_a_flipped_bit_anywhere_in_arrays_is_one_line_that_names_them(tmp_path) -> None:
    file, rng = tmp_path / "a.npz", random.Random(6)
    write_arrays(file, ARRAYS)
    whole = file.read_bytes()
    for _ in range(150):
        file.write_bytes(flipped(whole, rng.randrange(8 * len(whole))))
        with pytest.raises(VimixError, match=r"a\.npz: expected arrays, but it cannot be read"):
            read_arrays(file, [*ARRAYS], "arrays")


def without_digest(path: Path) -> None:
    """Remove the digest, so that the file is as earlier versions wrote it."""
    whole = path.read_bytes()
    path.write_bytes(whole[: -COMMENT - 2] + b"\0\0")


def test_a_checkpoint_of_an_earlier_version_loads_with_a_note_and_its_checksums_are_compared(tmp_path, caplog) -> None:
    FolderCheckpointStore(tmp_path).save(checkpoint(1))
    file = tmp_path / "last.pt"
    without_digest(file)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(load_checkpoint(file).parts["query"]["w"], checkpoint(1).parts["query"]["w"])
    assert f"{file} was written before files had digests" in caplog.text
    assert not is_sealed(file)
    whole = file.read_bytes()
    weights = whole.index(checkpoint(1).parts["query"]["w"].numpy().tobytes())
    file.write_bytes(flipped(whole, 8 * weights))
    with pytest.raises(VimixError, match=r"it is damaged: .*data/\d+ is not what was written"):
        load_checkpoint(file)
    rng = random.Random(3)
    for _ in range(200):  # in the pickle: unpickling nonsense ends in nearly every exception there is
        file.write_bytes(flipped(whole, rng.randrange(8 * len(whole.split(b"PK", 2)[1]))))
        with contextlib.suppress(VimixError):
            load_checkpoint(file)


def test_weights_of_others_need_no_digest_and_a_wrong_one_is_refused(tmp_path) -> None:
    torch.save({"w": torch.arange(64.0)}, tmp_path / "theirs.pth")
    assert read_weights(tmp_path / "theirs.pth").tensors["w"].sum() == 2016
    write_arrays(tmp_path / "ours.pth", ARRAYS)
    whole = (tmp_path / "ours.pth").read_bytes()
    (tmp_path / "ours.pth").write_bytes(flipped(whole, 4000))
    with pytest.raises(VimixError, match=r"ours\.pth: not a file of weights, or a damaged one \(it is damaged"):
        read_weights(tmp_path / "ours.pth")


def rewritten(source: Path, target: Path, compression: int, **members: bytes) -> None:
    """Another program's archive of the same arrays, some of them replaced."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.removesuffix(".npy"), old.read(name)))


@pytest.mark.timeout(20)
def test_arrays_that_would_take_more_memory_than_the_file_has_are_refused_unread(tmp_path) -> None:
    write_arrays(tmp_path / "a.npz", ARRAYS)
    head = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"
    rewritten(tmp_path / "a.npz", tmp_path / "shape.npz", zipfile.ZIP_STORED, rows=head.ljust(127) + b"\n")
    with pytest.raises(VimixError, match="promises 8,796,093,022,208 bytes and holds 0"):
        read_arrays(tmp_path / "shape.npz", [*ARRAYS], "arrays")
    rewritten(tmp_path / "a.npz", tmp_path / "bomb.npz", zipfile.ZIP_DEFLATED, rows=bytes(2**26))
    with pytest.raises(VimixError, match=r"compressed, or promising 67,\d+,\d+ bytes in "):
        read_arrays(tmp_path / "bomb.npz", [*ARRAYS], "arrays")


@pytest.mark.parametrize("name", ["last.pt", "previous.pt"])
def test_a_checkpoint_without_permission_is_not_answered_with_advice_that_gives_it_up(
    tmp_path, monkeypatch, name
) -> None:
    """Permissions do not bind the superuser, so that the error of the system is played."""
    for step in (1, 2):
        FolderCheckpointStore(tmp_path).save(checkpoint(step))
    (tmp_path / "metrics.jsonl").touch()

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint_folder, "require_whole", refused)
    with pytest.raises(VimixError, match=f"{name}: the checkpoint cannot be read: Permission denied; make") as refusal:
        load_checkpoint(tmp_path / name)
    assert not re.search(r"mv|delete", str(refusal.value))


def test_progress_says_whether_anything_was_learned() -> None:
    parts = checkpoint(3).parts
    for bad, untrained in ((0, False), (2, False), (3, True)):
        progress = {**parts["progress"], "meter": {"bad": bad}}
        assert evolve(checkpoint(3), parts={**parts, "progress": progress}).progress.untrained is untrained
    assert not checkpoint(3).progress.untrained, "older checkpoints do not count"
