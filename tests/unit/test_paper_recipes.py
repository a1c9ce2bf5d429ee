"""The recipes of the paper's tables: batches, peers' baselines and lengths, against the paper and the peers' code."""

import pytest
from attrs import evolve

from tests.recipes import ROOT
from vimix_adapters.config import Recipe, of_arm, read_recipe
from vimix_adapters.encoders.s3d import build_s3d

UCF101_TRAIN_1 = 9537
"""Training videos of UCF101, split 1 (its trainlist01.txt)."""


def recipe(name: str) -> Recipe:
    return read_recipe(ROOT / f"experiments/{name}.toml")


@pytest.mark.parametrize(
    ("name", "gpus", "clips"),
    [
        ("table1", 2, 32),
        ("table2", 2, 32),
        ("table3-k400", 4, 32),
        ("table5-xsub", 1, 128),
        ("table5-xview", 1, 128),
        ("positives-ucf101", 2, 32),
        ("positives-k400", 4, 32),
        ("positives-xsub", 1, 128),
        ("positives-xview", 1, 128),
    ],
)
def test_one_process_has_the_batch_of_the_papers_gpus(name, gpus, clips) -> None:
    """Section 4.2: "4 and 2 V100 GPUs for K400 and others ... 32 videos per GPU"; skeletons on 1 V100, batch 128."""
    found = recipe(name)
    assert found.optim.batch == gpus * clips
    if found.pictures:
        assert found.contrast.bn_groups == gpus, "BatchNorm over the clips of a GPU"


def test_an_epoch_of_ucf101_has_149_steps_of_64_clips() -> None:
    assert UCF101_TRAIN_1 // recipe("table2").optim.batch == 149


@pytest.mark.parametrize("name", ["table1", "table2", "table3-k400", "positives-ucf101", "positives-k400"])
def test_the_encoders_of_the_paper_are_cut_after_coclrs_five_blocks(name) -> None:
    """Its backbone/s3dg.py has block1 to block5; method, section 4."""
    found = recipe(name)
    encoders = [settings for arm in found.arms for settings in of_arm(found, arm).modalities.values()]
    assert {settings.stages for settings in encoders} == {"blocks"}
    narrow = evolve(encoders[0], width=0.0625)
    assert (build_s3d(narrow).depth, build_s3d(evolve(narrow, stages="modules")).depth) == (5, 16)


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_the_row_moco_of_the_video_tables_is_coclrs_infonce(name) -> None:
    """CoCLR's main_nce.py and model/pretrain.py: own key and queue, no masks, One- and TwoClip, N(0, 0.01²)."""
    peers, ours = of_arm(recipe(name), "moco"), of_arm(recipe(name), "moco_masked")
    assert (peers.contrast.negatives, peers.contrast.mask_siblings) == ("queue", False)
    assert (peers.contrast.queue, peers.contrast.momentum, peers.contrast.temperature) == (2048, 0.999, 0.07)
    assert (peers.augment.views, {m.init for m in peers.modalities.values()}) == ("coclr", {"normal"})
    assert (ours.contrast.negatives, ours.contrast.mask_siblings, ours.augment.views) == ("queue", True, "alike")
    assert recipe(name).arms["moco"].stages == recipe(name).arms["moco_masked"].stages


@pytest.mark.parametrize("name", ["table5-xsub", "table5-xview", "ntu60-three-streams"])
def test_the_row_skeletonclr_of_table_5_is_the_peers(name) -> None:
    """CrosSCLR's net/skeletonclr.py and net/st_gcn.py: one GPU, no shuffled BatchNorm, max_hop 1, mean over bodies."""
    peers, ours = (of_arm(recipe(name), arm) for arm in ("skeletonclr", "skeletonclr_masked"))
    contrast = peers.contrast
    assert (contrast.negatives, contrast.mask_siblings, contrast.bn_groups, contrast.queue) == (
        "queue",
        False,
        1,
        32768,
    )
    assert {(m.stgcn.persons, m.stgcn.hops) for m in peers.modalities.values()} == {("all", "one")}
    assert {(m.stgcn.persons, m.stgcn.hops) for m in ours.modalities.values()} == {("present", "all")}
    assert ours.contrast.mask_siblings
    optim = peers.optim
    assert (optim.name, optim.lr, optim.sgd_momentum, optim.weight_decay, optim.batch) == ("sgd", 0.1, 0.9, 1e-4, 128)
    assert {(peers.stage(s).epochs, peers.stage(s).milestones) for s in peers.arms["skeletonclr"].stages} == {
        (300, (250,))
    }


@pytest.mark.parametrize(("name", "queue", "epochs", "milestone"), [("ucf101", 2048, 100, 80), ("k400", 16384, 50, 40)])
def test_coclr_is_trained_as_its_code_trains_it(name, queue, epochs, milestone) -> None:
    """CoCLR's README and main_coclr.py: InfoNCE for 300 epochs, then two cycles, top 5, siblings positive, no masks."""
    own = of_arm(recipe(f"positives-{name}"), "coclr")
    stages = own.arms["coclr"].stages
    assert [(s.pretrain, s.partner, own.stage(s).epochs, own.stage(s).milestones) for s in stages] == [
        ("rgb", None, 300, (250, 280)),
        ("flow", None, 300, (250, 280)),
        *[("rgb", "flow", epochs, (milestone,)), ("flow", "rgb", epochs, (milestone,))] * 2,
    ]
    assert {own.stage(stage).mix.policy for stage in stages} == {"none"}
    found = {(s.positives.find, s.positives.nearest, s.positives.same_recording) for s in stages[2:]}
    assert found == {("nearest_in_partner", 5, True)}
    contrast, optim = own.contrast, own.optim
    assert (contrast.negatives, contrast.mask_siblings, contrast.queue) == ("queue", False, queue)
    assert (optim.name, optim.lr, optim.weight_decay, own.augment.views) == ("adam", 1e-3, 1e-5, "coclr")


@pytest.mark.parametrize("name", ["positives-xsub", "positives-xview"])
@pytest.mark.parametrize(("arm", "views"), [("crossclr_2s", 2), ("crossclr_3s", 3)])
def test_crossclr_is_trained_as_its_configuration_says(name, arm, views) -> None:
    """CrosSCLR's crossclr_3views_xview.yaml: 300 epochs, x 0.1 at 250, views learn from each other after 150, top 1."""
    own = of_arm(recipe(name), arm)
    (stage,) = own.arms[arm].stages
    assert stage.joint == ("joint", "motion", "bone")[:views]
    assert (stage.epochs, stage.milestones) == (300, (250,))
    assert (stage.positives.find, stage.positives.nearest) == ("nearest_across_views", 1)
    assert stage.positives.after * stage.epochs == 150
    contrast, optim = own.contrast, own.optim
    assert {(m.stgcn.persons, m.stgcn.hops) for m in own.modalities.values()} == {("all", "one")}
    assert not contrast.mask_siblings
    assert (contrast.negatives, contrast.bn_groups, contrast.queue, contrast.temperature) == ("queue", 1, 32768, 0.07)
    assert (optim.name, optim.lr, optim.sgd_momentum, optim.weight_decay, optim.batch) == ("sgd", 0.1, 0.9, 1e-4, 128)
