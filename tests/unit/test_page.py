"""The page: its numbers against naive computations, its clips, and that names in it stay text."""

import io
import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.fakes.skeletons import chain
from tests.fakes.store import FakeVideoStore
from tests.pages import arms, recipe, sample_page, traces
from tests.unit.test_positives import instances
from vimix.domain.contrast.diagnostics import found_positives
from vimix.domain.mixing.blend import blend
from vimix.domain.mixing.policies import CrossModalCutMix
from vimix.domain.scores.feature_scaling import centre, mean_row, unit_rows
from vimix.values.errors import VimixError
from vimix.values.grid import Grid
from vimix_adapters.config.tree import tree_of
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.reports.curves import StageMetrics
from vimix_adapters.reports.page import embedding
from vimix_adapters.reports.page.chart import ticks
from vimix_adapters.reports.page.embedding import principal_plane, require_method, scaled, thinned
from vimix_adapters.reports.page.gallery import choose_queries
from vimix_adapters.reports.page.mistakes import most_confident_mistakes
from vimix_adapters.reports.page.mix import HiddenMixes, MixedClip, MixPage, box_of, histogram_of, render_mixes
from vimix_adapters.reports.page.moving import BYTES, FRAMES, animated_webp, clip_window
from vimix_adapters.reports.page.overview import RunFacts, changed_keys, overview_of
from vimix_adapters.reports.page.page import Page, plain, render, write_page
from vimix_adapters.reports.page.training import KNOWN, POINTS, boundaries_of, curves_of, panels_of
from vimix_adapters.reports.sticks import stick_figures
from vimix_adapters.reports.summaries import RunResults
from vimix_adapters.reports.tables import Row

EVIL = "<script>alert(1)</script>&\"'"


@pytest.fixture(scope="module")
def page():
    return sample_page(FakeVideoStore(count=24))


def run(seed: int, moco: float, vimix: float, name: str = "r") -> RunResults:
    rows = [Row("random initialisation", "rgb", {"R@1": 0.1}, "random initialisation")]
    rows += [Row("MoCo", "rgb", {"R@1": moco}, "moco"), Row("Vi-Mix", "rgb", {"R@1": vimix}, "vimix", remark="cold")]
    return RunResults(Path(f"seed-{seed}"), name, seed, rows)


def test_one_run_has_a_difference_and_says_that_it_may_be_chance() -> None:
    found = overview_of([run(0, 0.3, 0.5)], [])
    (comparison,) = found.comparisons
    assert (comparison.difference, comparison.low) == (pytest.approx(0.2), None)
    assert found.verdicts == [comparison.sentence]
    assert "50.0 % of the test videos with Vi-Mix, 30.0 % with MoCo (+20.0 points)" in comparison.sentence
    assert "cannot tell" in comparison.sentence
    assert found.remarks == ["r, seed 0, Vi-Mix, rgb: cold"]


def test_seeds_give_a_mean_and_an_interval_that_holds_0_or_not() -> None:
    sure = overview_of([run(0, 0.3, 0.5), run(1, 0.32, 0.53), run(2, 0.29, 0.48)], [])
    line = next(line for line in sure.lines if line.key == "vimix")
    assert line.scores["R@1"].mean == pytest.approx(np.mean([0.5, 0.53, 0.48]))
    assert line.scores["R@1"].deviation == pytest.approx(np.std([0.5, 0.53, 0.48], ddof=1))
    assert "Vi-Mix is better: 95 % interval" in sure.verdicts[0]
    unsure = overview_of([run(0, 0.3, 0.5), run(1, 0.5, 0.3)], [])
    assert "may be chance" in unsure.verdicts[0]
    with pytest.raises(VimixError, match="same seed"):
        overview_of([run(0, 0.3, 0.5), run(0, 0.3, 0.5)], [])


def test_recipes_are_compared_each_by_itself() -> None:
    found = overview_of([run(0, 0.3, 0.5, "a"), run(0, 0.5, 0.3, "b")], [RunFacts("a", 0, "x")])
    assert [(one.recipe, round(one.difference, 2)) for one in found.comparisons] == [("a", 0.2), ("b", -0.2)]


def test_keys_of_a_recipe_that_differ_from_the_defaults_are_named() -> None:
    ours, defaults = tree_of(recipe()), tree_of(recipe())
    assert changed_keys(ours, defaults) == {}
    ours["optim"]["lr"], ours["arms"] = 0.5, {"moco": {"stages": [{"pretrain": "rgb"}]}}
    assert changed_keys(ours, defaults) == {"optim.lr": "0.5", "arms.moco.stages": '[{ pretrain = "rgb" }]'}


def test_curves_go_on_from_stage_to_stage_and_unknown_quantities_are_drawn_too() -> None:
    found = curves_of("r", 3, "Vi-Mix", traces())
    (loss,) = found["loss"]
    assert loss.epochs == pytest.approx([at / 4 for at in range(1, 17)])
    assert loss.values[0] == 4
    assert [(one.stage, one.epoch) for one in boundaries_of("r", "Vi-Mix", traces())] == [
        ("1-pretrain-rgb", 0),
        ("2-cmmc-rgb-from-flow", 2),
    ]
    panels = panels_of([found])
    assert [panel.quantity.name for panel in panels] == ["loss", "effective_rank", "found_positives"]
    assert panels[-1].quantity.title == "found positives"


def test_the_measures_of_mined_positives_are_explained() -> None:
    measured = found_positives(torch.zeros(3, 7, dtype=torch.bool), torch.zeros(3, 7), instances())
    assert {*measured} <= {quantity.name for quantity in KNOWN}


def test_long_curves_are_averaged_to_few_points() -> None:
    rows = [{"step": i + 1, "epoch": i // 10, "loss": float(i % 2)} for i in range(1000)]
    (loss,) = curves_of("r", 0, "a", [StageMetrics("s", ["rgb"], 100, rows)])["loss"]
    assert len(loss.epochs) == POINTS
    assert np.mean(loss.values) == pytest.approx(0.5, abs=0.01)
    assert loss.epochs[-1] <= 100


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 17), (0.001, 0.0013), (5e5, 7e5), (0, 0.7)])
def test_ticks_are_round_and_within_the_axis(low, high) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert low - 1e-9 <= found[0] <= found[-1] <= high + 1e-9
    leading = {f"{float(f'{at:.6e}'):e}".partition(".")[0].lstrip("-") for at in np.diff(found)}
    assert leading <= {"1", "2", "5", "4", "9"}


def test_queries_are_taken_from_all_classes_in_turn() -> None:
    labels = np.array([2, 2, 2, 0, 0, 1])
    assert [int(labels[row]) for row in choose_queries(labels, 5)] == [0, 1, 2, 0, 2]
    assert sorted(choose_queries(labels, 99)) == list(range(6))
    many = np.repeat([0, 1], 100)
    found = np.array(choose_queries(many, 40)) % 100
    assert found.max() > 80
    assert 30 < found.mean() < 70
    assert choose_queries(many, 40) == choose_queries(many, 40)


def test_errors_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 4, 30), rng.dirichlet(np.ones(4), 30).astype(np.float32)
    predicted = probabilities.argmax(axis=1)
    wrong = most_confident_mistakes(probabilities, labels, 5)
    assert all(predicted[row] != labels[row] for row in wrong)
    left = [row for row in range(30) if predicted[row] != labels[row] and row not in wrong]
    assert min(probabilities[wrong].max(axis=1)) >= max(probabilities[left].max(axis=1))


def test_the_plane_of_pca_is_that_of_the_covariance() -> None:
    rows = (np.random.default_rng(0).normal(size=(50, 5)) * [5, 1, 3, 0.1, 0.2]).astype(np.float32)
    plane, kept = principal_plane(rows)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    naive = (rows - rows.mean(axis=0)) @ vectors[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(plane), np.abs(naive), atol=1e-4)
    assert kept == pytest.approx(values[[-1, -2]].sum() / values.sum(), abs=1e-5)
    assert (plane[np.abs(plane).argmax(axis=0), [0, 1]] > 0).all()
    assert scaled(principal_plane(np.ones((3, 4), np.float32))[0]) == [(0.5, 0.5)] * 3
    assert principal_plane(np.ones((1, 4), np.float32))[1] == 1
    assert thinned(10, 4).tolist() == [0, 3, 6, 9]


def test_a_map_by_umap_needs_its_extra(monkeypatch) -> None:
    with pytest.raises(VimixError, match="expected pca or umap"):
        require_method("tsne")
    monkeypatch.setattr(embedding, "find_spec", lambda _: None)
    require_method("pca")
    with pytest.raises(VimixError, match=r"vimix-ssl\[umap\]"):
        require_method("umap")


@pytest.mark.slow
def test_umap_keeps_groups_together() -> None:
    pytest.importorskip("umap", reason="the extra umap is not installed")
    centres = np.repeat(np.eye(3, 8, dtype=np.float32) * 9, 20, axis=0)
    plane = embedding.umap_plane(centres + np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32), seed=0)
    groups = plane.reshape(3, 20, 2)
    within = np.linalg.norm(groups - groups.mean(axis=1, keepdims=True), axis=-1).max()
    between = np.linalg.norm(groups.mean(axis=1)[[0, 1, 2]] - groups.mean(axis=1)[[1, 2, 0]], axis=-1).min()
    assert within < between


def test_a_clip_shows_the_middle_of_its_video_at_its_speed() -> None:
    window = clip_window(100, 24.0)
    assert (window.frames, window.step, window.milliseconds) == (FRAMES, 3, 125)
    assert window.start == (100 - window.reach) // 2
    assert clip_window(1, 30.0).reach == 1
    frames = np.stack([np.full((120, 160, 3), 12 * at, np.uint8) for at in range(8)])
    picture = Image.open(io.BytesIO(animated_webp(frames, 125)))
    assert (picture.n_frames, picture.size) == (8, (128, 96))
    picture.seek(5)
    assert abs(np.asarray(picture.convert("RGB")).mean() - 60) < 4


@pytest.mark.slow
def test_a_clip_of_noise_is_made_small_enough() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, 96, 128, 3), dtype=np.uint8)
    data = animated_webp(noise, 125, most=BYTES // 2)
    assert len(data) <= BYTES // 2
    assert 500 * BYTES * 4 / 3 < 22e6  # in base64, which leaves 3 MB to the numbers


def test_a_person_has_one_scale_in_all_frames() -> None:
    layout = chain(3)
    joints = np.zeros((3, 3, 2, 3), np.float32)
    joints[0, :, 0, 1] = [0, 1, 2]
    joints[1, :, 0, 1] = [0, 0.5, 1]
    drawn = stick_figures(joints, layout)
    assert drawn.shape == (3, 96, 96, 3)  # the second person is never there
    heights = [int((frame.min(axis=2) < 255).any(axis=1).sum()) for frame in drawn]
    assert heights[0] > 1.8 * heights[1] > 0
    assert heights[2] == 0


class Reader(HTMLParser):
    """All elements, their attributes and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.references, self.words, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "action", "data")]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data) -> None:
        self.words.append(data)


@pytest.mark.slow
def test_the_page_needs_no_other_file(page) -> None:
    read = Reader(render(page))
    assert {reference[:1] for reference in read.references} == {"#", "d"}  # parts of the page, and data:
    assert {reference[1:] for reference in read.references if reference.startswith("#")} <= set(read.ids)
    assert len(set(read.ids)) == len(read.ids)
    assert "default-src 'none'" in render(page)


def test_names_stay_text_wherever_they_stand(monkeypatch) -> None:
    store = FakeVideoStore(count=24, classes=(f"{EVIL}bow", f"{EVIL}wave"))
    named = [type(video)(EVIL + video.name, video.label, EVIL, video.frames, video.rate) for video in store.videos]
    monkeypatch.setattr(type(store), "videos", named)
    page = sample_page(store)
    read = Reader(render(page))
    assert read.tags.count("script") == 3
    inside = json.loads(next(text for text in read.words if text.startswith('{"videos"')))
    assert inside["videos"][0]["name"].startswith(EVIL)
    assert inside["videos"][0]["class_name"].startswith(EVIL)
    odd = overview_of([run(0, 0.1, 0.2, EVIL)], [RunFacts(EVIL, 0, EVIL, changed={EVIL: EVIL}, repeat=EVIL)], [EVIL])
    text = render(Page(EVIL, odd))
    assert Reader(text).tags.count("script") == 3
    assert EVIL in "".join(Reader(text).words)


def test_every_number_of_the_page_is_in_the_file_beside_it(page, tmp_path) -> None:
    write_page(page, tmp_path / "page.html")
    beside = json.loads((tmp_path / "page.json").read_text())
    assert beside == json.loads(json.dumps(plain(page)))
    assert beside["clips"] == len(page.clips)
    assert beside["overview"]["comparisons"][0]["difference"] == pytest.approx(0.2)


@pytest.mark.parametrize("most", [0, 10])
def test_the_gallery_has_clips_and_no_more_than_wanted(most) -> None:
    few = sample_page(FakeVideoStore(count=24), clips=most)
    assert len(few.clips) == most
    assert few.galleries[0].results
    assert all(Image.open(io.BytesIO(clip)).format == "WEBP" for clip in few.clips)


def test_every_query_and_its_neighbours_by_all_modalities_have_clips(page) -> None:
    some = sample_page(FakeVideoStore(count=24), clips=24)
    for shown, least in ((some, 4), (page, 6)):
        together = [one for one in shown.galleries if one.modality == "rgb + flow"]
        assert len(together) == 3
        assert all(len(one.results) >= least for one in together)
        for result in (result for one in together for result in one.results):
            assert set(shown.videos[result.video].clips) == {"rgb", "flow"}
            assert all("rgb" in shown.videos[found.video].clips for found in result.neighbours)


def test_the_gallery_tells_recall_of_all_test_videos_not_only_of_those_shown() -> None:
    few = sample_page(FakeVideoStore(count=24), clips=10)
    measured = {(a.title, one.streams): one.retrieval for a in arms(24) for one in a.measured}
    for one in few.galleries:
        found = measured[one.arm, one.modality]
        assert (one.recall, one.queries) == (pytest.approx(found.recall[1], abs=1e-4), len(found.query_videos))
        assert len(one.results) < one.queries


def test_neighbours_on_the_map_are_those_of_faiss(page) -> None:
    pair = arms(24)[1].pairs["rgb"]
    rows = np.concatenate([pair.gallery.features, pair.queries.features])
    videos = np.concatenate([pair.gallery.videos, pair.queries.videos])
    units = unit_rows(centre(rows, mean_row(pair.gallery.features)))
    index = FaissIndex(units.shape[1])
    index.add(units)
    shown = next(one for one in page.maps if (one.arm, one.modality) == ("MoCo", "rgb"))
    names = [page.videos[number].name for number in shown.videos]
    assert names == [FakeVideoStore(count=24).videos[video].name for video in videos]
    for row, found in enumerate(index.search(units, 6).ids):
        assert [page.videos[n].name for n in shown.neighbours[row]] == [names[at] for at in found if at != row][:5]


def test_an_arm_is_compared_with_the_first_trained_one(page) -> None:
    moco, vimix = (next(one for one in page.matrices if one.arm == arm) for arm in ("MoCo", "Vi-Mix"))
    assert (moco.less, vimix.less) == ("", "MoCo")
    assert vimix.rows[0][1].changes["cka"] == pytest.approx(vimix.rows[0][1].cka - moco.rows[0][1].cka)


def test_a_drawn_box_covers_the_cells_that_the_mix_replaces() -> None:
    grid, donor = Grid((6, 4, 8, 8)), Grid((12, 2, 4, 4))
    plan = CrossModalCutMix().plan(batch=40, grid=grid, donor=donor, rng=np.random.default_rng(3))
    own, partner = torch.zeros(40, *grid.sizes), torch.ones(40, *donor.sizes)
    replaced = blend(own, partner, plan).numpy() > 0
    seen = 0
    for row in range(40):
        box = box_of(plan, row, (1, 2), grid.sizes, donor.sizes)
        cells = np.zeros(grid.sizes, bool)
        cells[tuple(slice(a, a + n) for a, n in zip(box.start, box.extent, strict=True))] = True
        np.testing.assert_array_equal(cells, replaced[row])
        assert box.weight == pytest.approx(1 - cells.mean(), abs=1e-6)
        share = [frame["wide"] * frame["high"] / 36**2 for frame in box.panes]
        np.testing.assert_allclose(share, cells.any(axis=0).mean(axis=(1, 2)) if all(box.extent) else share)
        seen += all(box.extent)
    assert seen > 10


def test_a_histogram_counts_every_weight_once() -> None:
    found = histogram_of(np.array([0.0, 0.05, 0.5, 1.0], np.float32), 1, 2)
    assert found.shares == [0.5, 0, 0, 0, 0, 0.25, 0, 0, 0, 0.25]
    assert found.mean == pytest.approx(0.3875)


def test_names_stay_text_on_the_page_of_mixes_too() -> None:
    grid = Grid((2, 2, 4, 4))
    plan = CrossModalCutMix().plan(batch=2, grid=grid, rng=np.random.default_rng(0))
    box = box_of(plan, 0, (1, 1), grid.sizes, grid.sizes)
    hidden = HiddenMixes(EVIL, EVIL, "cm_cutmix", [1], [box], [histogram_of(np.ones(3, np.float32), 1, 1)])
    mixed = MixedClip("mixup", EVIL, 0.5, EVIL, EVIL, (0, 1, 2), True)
    read = Reader(render_mixes(MixPage(EVIL, [mixed], [hidden], [b"x"] * 3)))
    assert read.tags.count("script") == 2
    assert EVIL in "".join(read.words)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_of_wcag_aa(theme) -> None:
    style = resources.files("vimix_adapters.reports.page").joinpath("templates/style.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([\w]+): (#[0-9a-f]{6});", style.split(":root {")[theme + 1]))
    assert len(colours) == 16
    for back in ("back", "panel"):
        for name in colours.keys() - {"back", "panel", "rule"}:
            assert contrast(colours[name], colours[back]) >= 4.5, (name, back)
