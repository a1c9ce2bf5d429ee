"""The training loader gives the same batches with any number of workers and replaces videos that cannot be read."""

import multiprocessing
import os
import pickle
import signal
import time

import cv2
import numpy as np
import pytest
import structlog
import torch

from tests.fakes.clips import BreakableStore
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.augmentation import FlowAugmentation, PictureAugmentation
from vimix_adapters.clips.loader import CutBatches, TrainingLoader
from vimix_adapters.clips.views import ClipShape, coclr_windows, cvrl_windows, read_clip
from vimix_adapters.clips.workers import end_workers
from vimix_adapters.config.augment_settings import AugmentSettings

AUGMENTATIONS = {RGB: PictureAugmentation(), FLOW: FlowAugmentation()}
CLIP = ClipShape(frames=8, size=12, stride=2)


def loader(store=None, **changes) -> TrainingLoader:
    settings = {
        "views": {RGB: 2, FLOW: 1},
        "clip": CLIP,
        "batch": 3,
        "seed": 5,
        "augmentations": AUGMENTATIONS,
        "device": torch.device("cpu"),
    }
    return TrainingLoader(store or BreakableStore(), "all", **{**settings, **changes})


def identical(one, other) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.videos, b.videos)
        and all(torch.equal(x, y) for m in a.views for x, y in zip(a.views[m], b.views[m], strict=True))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.slow
def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    """Two forked workers that live for several epochs, one of them unfinished, give the same as the main process."""
    alone, helped = loader(), loader(workers=2, start_method="fork")
    assert identical(list(alone.batches(0)), list(helped.batches(0)))
    assert next(helped.batches(1)).videos.shape == (3,)
    assert identical(list(alone.batches(1)), list(helped.batches(1)))
    assert identical(list(alone.batches(1, first=2)), list(helped.batches(1, first=2)))


@pytest.mark.slow
@pytest.mark.parametrize("broken", [frozenset(), frozenset({4, 7})])
def test_processes_share_the_batches_of_one(broken) -> None:
    """The rows are equal, replacements for unreadable videos included, and all processes make as many steps."""
    store = BreakableStore(broken=broken)
    settings = {"max_bad_fraction": 0.5, "views": {RGB: 2}}
    whole = list(loader(store, batch=4, **settings).batches(1))
    shares = [list(loader(store, batch=2, share=(rank, 2), **settings).batches(1)) for rank in range(2)]
    assert [len(share) for share in shares] == [len(whole)] * 2 == [2, 2]
    for batch, *parts in zip(whole, *shares, strict=True):
        for name in ("videos", "sources", "labels"):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
        for view in range(2):
            torch.testing.assert_close(torch.cat([part.views[RGB][view] for part in parts]), batch.views[RGB][view])
    with pytest.raises(VimixError, match="'all' has 10 videos, less than a batch of 12"):
        loader(batch=6, share=(0, 2))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_do_not_depend_on_the_number_of_cores(workers: int) -> None:
    """torch splits operations on frames of 160 pixels over its threads. The batches must be equal bit for bit."""
    settings = {"workers": workers, "clip": ClipShape(frames=2, size=160), "views": {RGB: 1}, "batch": 5}
    before = torch.get_num_threads()
    epochs = []
    try:
        for cores in (1, 3):
            torch.set_num_threads(cores)
            epochs.append(list(loader(**settings).batches(0)))
    finally:
        torch.set_num_threads(before)
    assert identical(*epochs)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_starting_another_epoch_ends_the_one_before(workers: int) -> None:
    clips = loader(workers=workers)
    begun = clips.batches(0)
    next(begun)
    assert identical(list(clips.batches(1)), list(loader().batches(1)))
    assert list(begun) == []


def test_workers_ignore_the_signals_that_ask_the_main_process_to_stop() -> None:
    """Ctrl-C and SIGTERM reach all processes of a job, and the current step still needs its batches."""
    batches = loader(workers=1, start_method="fork").batches(0)
    first = next(batches)
    for child in multiprocessing.active_children():
        for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
            os.kill(child.pid, number)
    assert len(first) == 3
    assert len(list(batches)) == 2


@pytest.mark.slow
def test_only_the_loaders_own_workers_are_ended_at_exit() -> None:
    """The epoch is unfinished, and the host program runs a process of its own."""
    host = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
    host.start()
    on_child_exit = signal.getsignal(signal.SIGCHLD)
    try:
        batches = loader(workers=2, start_method="fork").batches(0)
        next(batches)
        own = [child for child in multiprocessing.active_children() if child.pid != host.pid]
        end_workers()
        assert len(own) >= 2
        assert not any(child.is_alive() for child in own)
        assert host.is_alive()
    finally:
        signal.signal(signal.SIGCHLD, on_child_exit)
        host.kill()
        host.join()


def test_workers_are_forked_without_an_opencv_thread_pool() -> None:
    """A child inherits the pool without its threads and may wait for them for ever."""
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        loader(workers=0)
        assert cv2.getNumThreads() == 2, "without workers nothing is changed"
        loader(workers=1)
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(threads)


def test_what_runs_in_the_workers_can_be_sent_to_a_spawned_process() -> None:
    store = BreakableStore()
    cuts = CutBatches(store, store.members("all"), {RGB: 2, FLOW: 1}, CLIP, 3, 5, AUGMENTATIONS, 0)
    here, there = cuts[1, 2], pickle.loads(pickle.dumps(cuts))[1, 2]
    assert torch.equal(here.videos, there.videos)
    for key, (clips, draws) in here.views.items():
        assert torch.equal(clips, there.views[key][0])
        assert draws == there.views[key][1]


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    list(loader().batches(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_frames_of_a_clip_are_a_stride_apart_and_a_short_video_repeats_its_last() -> None:
    store = BreakableStore()
    numbers = read_clip(store, 0, RGB, 7, CLIP)[:, 0, 0, 0]
    assert numbers.tolist() == [7, 9, 11, 13, 15, 17, 19, 21]
    assert read_clip(store, 3, RGB, 0, CLIP)[:, 0, 0, 0].tolist() == [0, 2, 4, 5, 5, 5, 5, 5]


def test_views_differ_from_each_other_and_from_epoch_to_epoch() -> None:
    one, other = next(loader().batches(0)), next(loader().batches(1))
    assert not torch.allclose(*one.views[RGB])
    first, second = ({int(v): x for v, x in zip(b.videos, b.views[RGB][0], strict=True)} for b in (one, other))
    assert not any(torch.allclose(first[v], second[v]) for v in first.keys() & second.keys())


def test_flow_has_two_channels_in_units_of_its_bound() -> None:
    """The bytes 64 and 192 stand for -0.498 and 0.506. Crops of 20 to 100 % of 40 × 56 scale them by 12 / side."""
    flow = torch.cat([batch.views[FLOW][0] for batch in loader().batches(0)])
    assert flow.shape[1:] == (2, 8, 12, 12)
    assert flow.abs().amax() < 0.51 * 12 / 16
    assert torch.all(flow[:, 1] > 0), "v is never negated"
    assert {True, False} == set((flow[:, 0, 0, 0, 0] > 0).tolist()), "u is, by a flip"


def test_sources_number_recordings_and_labels_are_the_stores() -> None:
    for batch in loader().batches(0):
        assert torch.equal(batch.labels, batch.videos % 3)
        same_source = batch.sources[:, None] == batch.sources[None]
        assert torch.equal(same_source, batch.videos[:, None] // 2 == batch.videos[None] // 2)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_video_that_cannot_be_read_is_replaced_by_the_next_and_logged_once(workers: int) -> None:
    order = [int(v) for batch in loader(batch=1).batches(0) for v in batch.videos]
    broken = order[4]
    faulty = loader(BreakableStore(broken=frozenset({broken})), batch=1, max_bad_fraction=0.1, workers=workers)
    with structlog.testing.capture_logs() as logs:
        read = [[int(batch.videos[0]) for batch in faulty.batches(epoch)] for epoch in (0, 1)]
    assert read[0] == [*order[:4], order[5], *order[5:]]
    assert broken not in read[1]
    assert [(log["event"], log["video"], log["log_level"]) for log in logs] == [
        ("video_replaced", f"v{broken}", "warning")
    ]
    assert "damaged" in logs[0]["reason"]


@pytest.mark.slow
def test_a_replacement_is_cut_differently_from_its_own_row() -> None:
    order = [int(v) for batch in loader(batch=1).batches(0) for v in batch.videos]
    faulty = loader(BreakableStore(broken=frozenset({order[4]})), batch=1, max_bad_fraction=0.1)
    slots = list(faulty.batches(0))
    assert not torch.allclose(slots[4].views[RGB][0], slots[5].views[RGB][0])
    healthy = list(loader(batch=1).batches(0))
    assert torch.equal(healthy[5].views[RGB][0], slots[5].views[RGB][0]), "the other rows are unchanged"


def test_a_video_counts_as_unreadable_if_the_operating_system_reports_an_error() -> None:
    class Unplugged(BreakableStore):
        def read(self, video, modality, start, count):
            if video == 4:
                raise OSError(5, "Input/output error")
            return super().read(video, modality, start, count)

    with structlog.testing.capture_logs() as logs:
        list(loader(Unplugged(), batch=5, max_bad_fraction=0.1).batches(0))
    assert [log["reason"] for log in logs] == ["v4: [Errno 5] Input/output error"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_unreadable_videos_end_the_run(workers: int) -> None:
    faulty = loader(BreakableStore(broken=frozenset({1, 2, 6})), batch=5, max_bad_fraction=0.2, workers=workers)
    with pytest.raises(VimixError, match=r"3 of 10 videos of split 'all'.*0\.2 \(v1: frame \d+ is damaged, "):
        list(faulty.batches(0))


def test_a_store_of_nothing_but_unreadable_videos_ends_the_run_whatever_is_allowed() -> None:
    with pytest.raises(VimixError, match="10 of 10"):
        list(loader(BreakableStore(broken=frozenset(range(10))), max_bad_fraction=1.0).batches(0))


def test_a_missing_modality_and_a_split_that_fills_no_batch_are_refused() -> None:
    with pytest.raises(VimixError, match="holds rgb, flow, not 'joint'"):
        loader(views={"joint": 2})
    with pytest.raises(VimixError, match="'all' has 10 videos, less than a batch of 11"):
        loader(batch=11)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_a_gpu_are_those_of_the_cpu() -> None:
    on_gpu = loader(device=torch.device("cuda"), workers=1)
    for a, b in zip(on_gpu.batches(0), loader().batches(0), strict=True):
        assert a.videos.device.type == "cuda"
        for modality in b.views:
            for x, y in zip(a.views[modality], b.views[modality], strict=True):
                torch.testing.assert_close(x.cpu(), y, rtol=0, atol=1e-4)


def test_coclr_draws_one_window_twice_or_two_windows() -> None:
    """CoCLR's main_nce.py: TwoClipTransform(p=0.3) and OneClipTransform with probability 0.5 each."""
    rng, clip, drawn = np.random.default_rng(0), ClipShape(8, 12), 4000
    pairs = [coclr_windows(100_000, clip, rng) for _ in range(drawn)]
    once = [pair for pair in pairs if pair[0].start == pair[1].start]
    twice = [pair for pair in pairs if pair[0].start != pair[1].start]
    assert len(once) / drawn == pytest.approx(0.5, abs=0.04)
    assert all(first.colour is not second.colour for first, second in once)
    assert np.mean([first.colour for first, _ in once]) == pytest.approx(0.5, abs=0.05)
    colours = np.array([[view.colour for view in pair] for pair in twice])
    np.testing.assert_allclose(colours.mean(axis=0), 0.3, atol=0.05)
    assert colours.all(axis=1).mean() == pytest.approx(0.09, abs=0.03)
    starts = [view.start for pair in twice for view in pair]
    assert min(starts) < 10_000
    assert max(starts) > 90_000
    assert {view.start for pair in pairs[:9] for view in coclr_windows(5, clip, rng)} == {0}, "shorter than a clip"


@pytest.mark.slow
def test_cvrl_draws_intervals_that_fall_linearly_and_either_view_first() -> None:
    """The share of interval t is the integral of 2(M - t)/M² from t to t + 1; given t the earlier start is uniform."""
    rng, clip, drawn, possible = np.random.default_rng(0), ClipShape(4, 8), 20_000, 5
    starts = np.array([[w.start for w in cvrl_windows(possible + 3, clip, rng)] for _ in range(drawn)])
    intervals, earlier = np.abs(starts[:, 0] - starts[:, 1]), starts.min(axis=1)
    shares = [(2 * possible - 2 * t - 1) / possible**2 for t in range(possible)]
    np.testing.assert_allclose(np.bincount(intervals, minlength=possible) / drawn, shares, atol=0.012)
    for interval in range(possible):
        found = np.bincount(earlier[intervals == interval], minlength=possible)
        assert (found[possible - interval :] == 0).all()
        kept = found[: possible - interval]
        np.testing.assert_allclose(kept / kept.sum(), 1 / len(kept), atol=0.04)
    assert (starts[:, 0] < starts[:, 1]).mean() == pytest.approx((starts[:, 0] > starts[:, 1]).mean(), abs=0.02)
    assert {window.start for window in cvrl_windows(3, clip, rng)} == {0}, "shorter than a clip"


def ramps(count: int, length: int) -> BreakableStore:
    """Frame t of each video has the value t, so a clip tells its window."""
    ramp = np.broadcast_to(np.arange(length, dtype=np.uint8)[:, None, None, None], (length, 16, 16, 3))
    return BreakableStore(lengths=(length,) * count, pictures=dict.fromkeys(range(count), np.ascontiguousarray(ramp)))


@pytest.mark.slow
def test_cvrls_windows_are_drawn_together_for_both_views() -> None:
    """A video of nine frames and clips of eight have two windows; drawn apart, half of the pairs would be equal."""
    count, store = 400, ramps(400, 9)
    augmentations = {RGB: PictureAugmentation(AugmentSettings(views="cvrl"))}
    cut = CutBatches(store, range(count), {RGB: 2}, ClipShape(8, 8), count, 3, augmentations, 0)[0, 0]
    same = (cut.views[RGB, 0][0][:, 0, 0, 0, 0] == cut.views[RGB, 1][0][:, 0, 0, 0, 0]).float().mean()
    assert float(same) == pytest.approx(3 / 4, abs=0.07)


def test_coclrs_views_reach_the_batches_of_every_modality() -> None:
    """Jitter 1 shows whose colours are changed."""
    count, store = 24, ramps(24, 120)
    settings = AugmentSettings(views="coclr", jitter=1.0)
    augmentations = {RGB: PictureAugmentation(settings), FLOW: FlowAugmentation(settings)}
    cut = CutBatches(store, range(count), {RGB: 2, FLOW: 1}, ClipShape(4, 8), count, 3, augmentations, 0)[0, 0]
    (clips, draws), (others, other_draws) = cut.views[RGB, 0], cut.views[RGB, 1]
    same = [int(one[0, 0, 0, 0]) == int(two[0, 0, 0, 0]) for one, two in zip(clips, others, strict=True)]
    coloured = [(one.brightness != 1, two.brightness != 1) for one, two in zip(draws, other_draws, strict=True)]
    assert 6 <= sum(same) <= 18
    assert all(one != two for (one, two), alike in zip(coloured, same, strict=True) if alike)
    assert {pair for pair, alike in zip(coloured, same, strict=True) if not alike} >= {(False, False)}
    assert all(one.box != two.box for one, two in zip(draws, other_draws, strict=True)), "each view has its own crop"
    assert cut.views[FLOW, 0][0].shape == (count, 4, 8, 8, 2)
