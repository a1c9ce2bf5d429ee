"""The pages of ``examples/`` are short, run, and do what they say."""

import runpy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.models.video import r3d_18

import vimix
from tests.builders import random_encoder, shard
from tests.fakes.store import moving_square, write_video
from tests.recipes import ROOT
from vimix.values.modality import RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.config.store_settings import PackSettings

EXAMPLES = ("cmmc_step", "embed_a_video", "moco_mixup", "own_modality")


def example(name: str) -> dict[str, Any]:
    """Its names; what stands below ``__main__`` is not run."""
    return runpy.run_path(str(ROOT / f"examples/{name}.py"))


def test_every_example_is_named_here_and_is_one_page() -> None:
    files = sorted((ROOT / "examples").glob("*.py"))
    assert [file.stem for file in files] == list(EXAMPLES)
    assert all(len(file.read_text(encoding="utf-8").splitlines()) <= 60 for file in files)


@pytest.mark.slow
def test_moco_with_mixup_learns_to_tell_random_clips_apart(capsys) -> None:
    """Chance is ln(16 + 64) = 4.4 nats. Another encoder is taken as it is."""
    main = example("moco_mixup")["main"]
    losses = main(steps=40)
    assert np.mean(losses[-10:]) < 2.7
    assert f"loss after 40 steps: {losses[-1]:.2f} nats; by chance: 4.38" in capsys.readouterr().out
    assert np.isfinite(main(steps=2, query=r3d_18(num_classes=64), batch=2)).all()


def test_the_cmmc_step_is_that_of_the_method(capsys) -> None:
    """Computed again cell by cell; it teaches all of the first encoder and nothing of the second."""
    names, generator = example("cmmc_step"), torch.Generator().manual_seed(0)
    f1, head1, f2 = names["encoder"](3), names["head"](), names["encoder"](2).eval().requires_grad_(False)
    key1 = torch.nn.Sequential(names["encoder"](3), names["head"]()).requires_grad_(False)
    clips = tuple(torch.rand(4, channels, 8, 16, 16, generator=generator) for channels in (3, 3, 2))
    queue, past = vimix.NegativeQueue(32, 16), torch.nn.functional.normalize(torch.eye(16)[:5] + 0.1)
    queue.enqueue(past, torch.arange(5))
    mixed = 0
    for seed in range(4):
        before = queue.keys.clone()
        loss = names["cmmc_step"](f1, head1, key1, f2, clips, queue, np.random.default_rng(seed))
        expected, weight = by_hand(f1, head1, key1, f2, clips, before.numpy(), np.random.default_rng(seed))
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        assert len(queue) == len(before) + 4
        mixed += int((weight < 1).sum())
        for parameter in (*f1.parameters(), *head1.parameters()):
            parameter.grad = None
        loss.backward()
        assert all(parameter.grad is not None for parameter in (*f1.parameters(), *head1.parameters()))
        assert all(parameter.grad is None for parameter in (*f2.parameters(), *key1.parameters()))
    assert mixed > 4
    runpy.run_path(str(ROOT / "examples/cmmc_step.py"), run_name="__main__")
    assert " nats" in capsys.readouterr().out


def by_hand(f1, head1, key1, f2, clips, past, rng) -> tuple[float, NDArray[np.float32]]:
    """The loss of the same draws in NumPy, and what is left of each query."""
    k = int(rng.integers(1, 5))
    donor_layer = int(rng.integers(k, 5))
    with torch.no_grad():
        g1, g2 = f1[:k](clips[0]), f2[:donor_layer](clips[2])
        policy = vimix.CrossModalCutMix()
        plan = policy.plan(batch=4, grid=vimix.Grid.of(g1.shape), donor=vimix.Grid.of(g2.shape), rng=rng)
        mix, share = g1.numpy().copy(), np.ones(4)
        for row, partner in enumerate(plan.partner):
            starts, donors, extents = (part[row] for part in (plan.cut.start, plan.cut.donor_start, plan.cut.extent))
            for cell in np.ndindex(*extents):
                mix[row][tuple(starts + cell)] = g2.numpy()[partner][tuple(donors + cell)]
            share[row] -= extents.prod() / g1[0].numel()
        z, keys = (np.float64(head1(f1[k:](torch.from_numpy(mix)))), np.float64(key1(clips[1])))
    z, keys = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (z, keys))
    scores = z @ np.concatenate([keys, past]).T / 0.07
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    rows = np.arange(4)
    return float(-(share * logs[rows, rows] + (1 - share) * logs[rows, plan.partner]).mean()), plan.weight


@pytest.mark.slow
def test_a_video_is_nearest_to_its_copy(tmp_path, capsys) -> None:
    random_encoder(tmp_path)
    for name, speed, level in (("query", 1, 0), ("copy", 1, 0), ("bright", 1, 100), ("fast", 6, 0)):
        write_video(tmp_path / f"{name}.mp4", np.clip(moving_square(20, speed=speed) + np.uint8(level), 0, 255))
    videos = [str(tmp_path / f"{name}.mp4") for name in ("bright", "copy", "fast")]
    example("embed_a_video")["main"](str(tmp_path), str(tmp_path / "query.mp4"), *videos)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"1.000  {tmp_path / 'copy.mp4'}"
    assert sorted(line.split()[1] for line in lines) == videos


@pytest.mark.slow
def test_a_modality_of_ones_own_is_computed_trained_and_embedded(tmp_path) -> None:
    pictures = {f"a/{number}": moving_square(12 + number, 48, 48) for number in range(4)}
    shard(tmp_path / "my.h5", list(pictures), PackSettings(flow="none", codec="raw"), pictures=pictures)
    names, out = example("own_modality"), tmp_path / "change"
    checkpoint = names["main"](str(tmp_path / "my.h5"), str(out), frames=8, size=32, batch=4, width=0.0625)
    assert (checkpoint.modality, checkpoint.about["steps"]) == ("change", 1)
    plain = Hdf5VideoStore(tmp_path / "my.h5")
    store = names["WithChange"](plain)
    rgb, change = plain.read(0, RGB, 0, 6).astype(int), store.read(0, "change", 0, 6)
    assert not change[0].any()
    np.testing.assert_array_equal(change[1:], abs(rgb[1:] - rgb[:-1]))
    np.testing.assert_array_equal(store.read(0, "change", 2, 3), change[2:5])  # wherever a clip begins
    np.testing.assert_array_equal(store.read(0, RGB, 1, 2), rgb[1:3])
    features = vimix.load_encoder(out, device="cpu").embed(store.read(0, "change", 0, 12))
    assert features.shape == (64,)
    assert bool(features.isfinite().all())
