"""Recipes: read in full or refused in full, with every mistake named."""

import pytest
from attrs import evolve

import vimix
from tests.recipes import all_recipes
from vimix.domain.contrast.finders import Labels, NearestAcrossViews, NearestInPartner, OwnKey
from vimix.domain.mixing.layers import RandomLayer, SameLayer
from vimix.values.errors import VimixError
from vimix_adapters import wiring
from vimix_adapters.config import (
    CmmcStage,
    InputMix,
    PretrainStage,
    Recipe,
    of_arm,
    read_recipe,
    recipe_from_toml,
    recipe_to_toml,
    stage_identities,
    training_differences,
)

MINIMAL = """
name = "x"
[data]
store = "s.h5"
[modalities.rgb]
[modalities.flow]
channels = 2
"""


def read(text: str, top: str = MINIMAL) -> Recipe:
    return recipe_from_toml(top + text, "r.toml")


def refusal(text: str, top: str = MINIMAL) -> str:
    with pytest.raises(VimixError) as refused:
        read(text, top)
    return str(refused.value)


def test_defaults_are_the_papers() -> None:
    recipe = read("")
    assert (recipe.data.frames, recipe.data.size, recipe.optim.batch, recipe.optim.lr) == (32, 128, 32, 1e-3)
    contrast = recipe.contrast
    assert (contrast.queue, contrast.momentum, contrast.temperature, contrast.embedding) == (2048, 0.999, 0.07, 128)
    assert (recipe.pretrain.epochs, recipe.pretrain.milestones, recipe.cmmc.epochs) == (300, (250, 280), 100)
    assert recipe.pretrain.mix.policy == "mixup"
    mix = recipe.cmmc.mix
    assert (mix.policy, mix.dims, mix.layers, mix.alpha) == ("cm_cutmix", "cthw", "random", 1.0)


@pytest.mark.parametrize("path", all_recipes())
def test_every_recipe_of_the_project_is_read_and_written_back(path) -> None:
    recipe = read_recipe(path)
    assert recipe_from_toml(recipe_to_toml(recipe), "again") == recipe


def test_all_mistakes_are_told_at_once_each_with_its_key() -> None:
    message = refusal(
        """
[optim]
lrr = 1
batch = 32.5
lr = -1
[contrast]
momentum = 1.5
mask_siblings = "yes"
negatives = "bach+queue"
[arms.a]
stages = [{ pretrian = "rgb" }, { cmmc = "rgb", partner = "flow", epochs = "9" }]
""",
        "seed = -1\nwidht = 3\n" + MINIMAL,
    )
    for line in (
        "seed: must be >= 0: -1",
        "widht: unknown key",
        "optim.lrr: unknown key (did you mean 'lr'?)",
        "optim.batch: expected a whole number, got 32.5",
        "optim.lr: must be > 0: -1.0",
        "contrast.momentum: must be <= 1: 1.5",
        "contrast.mask_siblings: expected true or false, got 'yes'",
        "contrast.negatives: expected one of 'batch+queue', 'queue', got 'bach+queue' (did you mean 'batch+queue'?)",
        "arms.a.stages.0: expected a table with one of pretrain =, cmmc = and joint =",
        "arms.a.stages.1.epochs: ",
    ):
        assert f"\n  {line}" in message
    assert message.startswith("r.toml: 10 mistakes in the recipe")


def test_a_seed_is_what_every_generator_takes() -> None:
    assert read(MINIMAL, "seed = 4294967295\n").seed == 2**32 - 1
    assert "seed: must be <= 4294967295: 4294967296" in refusal(MINIMAL, "seed = 4294967296\n")


def test_missing_keys_are_told() -> None:
    message = refusal("[data]\nframes = 8\n", "")
    assert all(f"{key}: missing" in message for key in ("name", "modalities", "data.store"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[arms.a]\nstages = [{ pretrain = 'rgb', epochs = 0, milestones = [] }]\n",
            "arms.a.stages.0.epochs: must be >= 1: 0",
        ),
        (
            "[arms.a]\nstages = [{ pretrain = 'rgb' }, { pretrain = 'flow' }, "
            "{ cmmc = 'rgb', partner = 'flow', epochs = -1, milestones = [] }]\n",
            "arms.a.stages.2.epochs: must be >= 1: -1",
        ),
        ("[evaluate]\nstride = 0\n", "evaluate.stride: must be >= 1: 0"),
        ("[evaluate]\nrecall_at = []\n", "evaluate.recall_at: must hold at least one number"),
        ("[evaluate]\nrecall_at = [1, 0]\n", "evaluate.recall_at: must be >= 1: 0"),
        (
            "[evaluate]\nprobe_inverse_regularisation = []\n",
            "evaluate.probe_inverse_regularisation: must hold at least one number",
        ),
        (
            "[evaluate]\nprobe_inverse_regularisation = [0.0]\n",
            "evaluate.probe_inverse_regularisation: must be > 0: 0.0",
        ),
        ("[optim]\nlr = nan\n", "optim.lr: expected a finite number, got nan"),
        ("[pretrain.mix]\nalpha = inf\n", "pretrain.mix.alpha: expected a finite number, got inf"),
        ("[augment]\nbrightness = -inf\n", "augment.brightness: expected a finite number, got -inf"),
        (
            "[evaluate]\nprobe_inverse_regularisation = [1.0, nan]\n",
            "evaluate.probe_inverse_regularisation.1: expected a finite number, got nan",
        ),
        (f"[run]\ncheckpoint_minutes = 1{400 * '0'}\n", "run.checkpoint_minutes: expected a finite number, got 100"),
        (f"[optim]\nwarmup_steps = 1{5000 * '0'}\n", "r.toml: not valid TOML: "),
        ("[optim]\nbatch = 31\n", "optim.batch: 31 must be a multiple of contrast.bn_groups = 2"),
        ("[cmmc.mix]\ndims = 'hw'\nlayers = 'random'\n", "'random' needs dims = 'cthw'"),
        ("[cmmc.mix]\npolicy = 'cm_mixup'\nlayers = 'random'\n", "only layers = 'same' is legal"),
        (
            "[cmmc.mix]\npolicy = 'cm_mixup'\nlayers = 'same'\nleast_weight = 0.5\n",
            "cmmc.mix.least_weight: 'cm_mixup' cuts no box",
        ),
        ("[contrast]\nnegatives = 'queue'\n", "contrast.negatives cannot be 'queue'"),
        (
            "[arms.a]\nset = { 'contrast.negatives' = 'queue' }\nstages = [{ pretrain = 'rgb' }]\n",
            "arms.a.stages.0.mix.policy: 'mixup' makes other keys of the batch targets",
        ),
        (
            "[arms.a]\nstages = [{ pretrain = 'rgb' }, { pretrain = 'flow' }, "
            "{ cmmc = 'rgb', partner = 'flow', mix = { policy = 'manifold_mixup' } }]\n",
            "arms.a.stages.2.partner: manifold_mixup mixes rgb with other clips of rgb",
        ),
        ("[arms.a]\nstages = [{ cmmc = 'rgb' }]\n", "arms.a.stages.0.partner: missing"),
        *(
            (f"[arms.a]\nstages = [{{ pretrain = 'flow' }}, {{ {stage} }}]\n", f"arms.a.stages.1.{expected}")
            for stage, expected in (
                ("pretrain = 'rgb', partner = 'flow'", "partner: a partner here only finds positives: add"),
                (
                    "pretrain = 'rgb', positives = { find = 'nearest_in_partner' }",
                    "positives.find: 'nearest_in_partner'",
                ),
                (
                    "pretrain = 'rgb', partner = 'rgb', positives = { find = 'nearest_in_partner' }",
                    "partner: a modality cannot be its own frozen partner",
                ),
                (
                    "cmmc = 'rgb', mix = { policy = 'manifold_mixup' }, positives = { find = 'nearest_in_partner' }",
                    "positives.find: 'nearest_in_partner' needs a frozen modality: add partner",
                ),
                (
                    "pretrain = 'rgb', positives = { find = 'nearest_across_views' }",
                    "positives.find: 'nearest_across_views' and stages joint = [...] need each other",
                ),
                (
                    "joint = ['rgb', 'flow'], positives = { find = 'labels' }",
                    "positives.find: 'nearest_across_views' and stages joint = [...] need each other; got 'lab",
                ),
                ("pretrain = 'rgb', objective = 'simclr'", "mix.policy: objective = 'simclr' mixes no clips: set"),
                (
                    "pretrain = 'rgb', objective = 'simclr', mix = { policy = 'none' }",
                    "objective: 'simclr' has no queue: set queue or contrast.queue = 0, which is 2048",
                ),
                (
                    "pretrain = 'rgb', objective = 'symmetric', mix.policy = 'none', positives = { find = 'labels' }",
                    "positives: objective = 'symmetric' has the other view as its only positive",
                ),
                ("joint = ['rgb', 'depth']", "joint: 'depth' is not in [modalities], which has rgb, flow"),
                ("joint = ['rgb']", "joint: must name at least two modalities, each once: ['rgb']"),
                ("pretrain = 'rgb', positives = { find = 'labels', k = 3 }", "positives.k: find = 'labels' takes all"),
                ("pretrain = 'rgb', positives = { find = 'labels', after = 0.5 }", "positives.after: only find"),
                (
                    "joint = ['rgb', 'flow'], positives = { find = 'nearest_across_views', after = 0.999 }",
                    "positives.after: 0.999 leaves none of the 300 epochs to mine in: lower it",
                ),
                (
                    "pretrain = 'rgb', positives = { find = 'labels', same_recording = false }",
                    "positives.same_recording: only find = 'nearest_in_partner' uses it; remove it",
                ),
                (
                    "cmmc = 'rgb', partner = 'flow', queue = 4, positives = { find = 'nearest_in_partner' }",
                    "positives.k: 5 is more than the queue holds, 4: set queue or contrast.queue",
                ),
                (
                    "cmmc = 'rgb', partner = 'flow', positives = { find = 'nearest_in_partner', k = 4096 }",
                    "positives.k: 4096 is more than the queue holds, 2048: set queue or contrast.queue",
                ),
            )
        ),
        (
            "[arms.a]\nstages = [{ pretrain = 'rgb', joint = ['rgb', 'flow'] }]\n",
            "arms.a.stages.0: expected a table with one of pretrain =, cmmc = and joint =, got {",
        ),
        (
            "stages = 'modules'\n[arms.a]\nstages = [{ pretrain = 'rgb' }, { pretrain = 'flow' }, "
            "{ cmmc = 'rgb', partner = 'flow', mix = { policy = 'cm_mixup' } }]\n",
            "arms.a.stages.2.mix.layers: 'same' needs encoders with the same stages, but rgb is s3d in blocks and flow "
            "is s3d in modules",
        ),
        (
            "[evaluate.stores.other]\nstore = 'o.h5'\nqueries = 'train'\n",
            "evaluate.stores.other.queries: 'train' is the gallery too",
        ),
        ("[contrast]\nnegatives = 'queue'\nqueue = 0\n", "leaves no negatives"),
        (
            "[contrast]\nqueue = 0\n[arms.a]\nset = { 'contrast.negatives' = 'queue' }\n"
            "stages = [{ pretrain = 'rgb', mix = { policy = 'none' } }]\n",
            "arms.a.set: contrast.queue: 0 with contrast.negatives = 'queue' leaves no negatives",
        ),
        ("[finetune]\nepochs = 20\n", "finetune.milestones: [417, 467] must lie between 0 and epochs = 20"),
        ("[pretrain]\nepochs = 100\n", "pretrain.milestones: [250, 280] must lie between 0 and epochs = 100"),
        ("[pretrain]\nmilestones = [9, 3]\n", "pretrain.milestones: [9, 3] must ascend"),
        ("[data]\nstore = 's'\nframes = 4\n", "needs at least 8 frames of 32 pixels"),
        (
            "[modalities.joint]\nencoder = 'stgcn'\nwidth = 0.5\n",
            "width: is read by encoder = 's3d' or 'r3d_18' or 'mc3_18' or 'r2plus1d_18' only; this one is 'stgcn'",
        ),
        (
            "[modalities.joint]\nstgcn = { dropout = 0.1 }\n",
            "joint.stgcn: is read by encoder = 'stgcn' only",
        ),
        (
            "[modalities.joint]\nencoder = 'sgtcn'\n",
            "'stgcn', got 'sgtcn' (did you mean 'stgcn'?)",
        ),
        (
            "[modalities.joint]\nencoder = 'stgcn'\n[arms.a]\n"
            "stages = [{ pretrain = 'rgb' }, { pretrain = 'joint' }, { cmmc = 'joint', partner = 'rgb' }]\n",
            "maps of skeletons and pictures have different axes",
        ),
        ("[evaluate]\nqueries = 'train'\n", "each video would find itself"),
        ("[arms.a]\nstages = []\n", "expected at least one stage"),
        ("[arms.a]\nstages = [{ pretrain = 'joint' }]\n", "'joint' is not in [modalities], which has rgb, flow"),
        ("[arms.a]\nstages = [{ cmmc = 'rgb', partner = 'rgb' }]\n", "cannot be its own frozen partner"),
        ("[arms.a]\nstages = [{ cmmc = 'rgb', partner = 'flow' }]\n", "'flow' is not trained by an earlier stage"),
        ("[arms.a]\nstages = [{ pretrain = 'rgb', epochs = 9 }]\n", "milestones: the inherited [250, 280] exceed 9"),
    ],
)
def test_numbers_out_of_range_and_settings_that_contradict_each_other_are_refused(text, expected) -> None:
    base = MINIMAL.replace('[data]\nstore = "s.h5"\n', "") if text.startswith("[data]") else MINIMAL
    assert expected in refusal(text, base)


def test_a_stage_inherits_what_it_does_not_say() -> None:
    recipe = read("""
[arms.a]
stages = [
  { pretrain = "rgb" },
  { pretrain = "flow", epochs = 9, milestones = [3], mix = { policy = "none" } },
  { cmmc = "rgb", partner = "flow" },
]
""")
    first, second, third = recipe.arms["a"].stages
    assert isinstance(first, PretrainStage)
    assert isinstance(third, CmmcStage)
    assert recipe.stage(first).epochs == 300
    assert (recipe.stage(second).epochs, recipe.stage(second).milestones) == (9, (3,))
    assert recipe.stage(second).mix == InputMix(policy="none")
    assert recipe.stage(third).mix == recipe.cmmc.mix


def test_a_stage_learns_at_its_own_rate_or_its_modalitys_or_the_recipes() -> None:
    recipe = read("""
[optim]
lr = 0.25
[arms.a]
stages = [
  { pretrain = "rgb" },
  { pretrain = "flow" },
  { pretrain = "flow", lr = 0.125 },
  { cmmc = "rgb", partner = "flow", lr = 0.0625 },
  { cmmc = "flow", mix = { policy = "manifold_mixup" } },
]
""")
    recipe = evolve(recipe, modalities={**recipe.modalities, "flow": evolve(recipe.modalities["flow"], lr=0.5)})
    stages = [wiring.build_stage(recipe, stage) for stage in recipe.arms["a"].stages]
    assert [stage.rate for stage in stages] == [0.25, 0.5, 0.125, 0.0625, 0.5]
    assert "stages.0.lr: must be > 0" in refusal("[arms.a]\nstages = [{ pretrain = 'rgb', lr = 0.0 }]\n")


def test_stages_say_how_positives_are_found() -> None:
    recipe = read("""
[pretrain]
epochs = 9
milestones = []
[arms.a]
stages = [
  { joint = ["flow", "rgb"], positives = { find = "nearest_across_views", after = 0.5 } },
  { pretrain = "rgb", partner = "flow", positives = { find = "nearest_in_partner", same_recording = false } },
  { cmmc = "flow", partner = "rgb", positives = { find = "nearest_in_partner", k = 3 } },
  { pretrain = "rgb", positives = { find = "labels" } },
  { cmmc = "rgb", partner = "flow" },
]
""")
    stages = [wiring.build_stage(recipe, stage) for stage in recipe.arms["a"].stages]
    assert [stage.finder for stage in stages] == [
        NearestAcrossViews(k=1),
        NearestInPartner(k=5, same_recording=False),
        NearestInPartner(k=3),
        Labels(),
        OwnKey(),
    ]
    names = "together-flow-rgb pretrain-rgb-mining-flow cmmc-flow-from-rgb pretrain-rgb cmmc-rgb-from-flow"
    assert [stage.name for stage in stages] == names.split()
    assert (stages[0].trained, stages[0].plain_epochs) == (("flow", "rgb"), 4)
    assert [dict(stage.views_needed) for stage in stages[:2]] == [{"flow": 2, "rgb": 2}, {"rgb": 2, "flow": 1}]
    assert [stage.queued_partners for stage in stages] == [(), ("flow",), ("rgb",), (), ()]
    assert read(recipe_to_toml(recipe), "") == recipe
    identities = stage_identities(recipe, "a")
    arm = recipe.arms["a"]
    for number, positives in ((1, evolve(arm.stages[1].positives, k=4)), (3, None)):
        stages = [*arm.stages]
        stages[number] = evolve(stages[number], positives=positives)
        changed = stage_identities(evolve(recipe, arms={"a": evolve(arm, stages=tuple(stages))}), "a")
        same = [one == two for one, two in zip(identities, changed, strict=True)]
        assert same == [True] * number + [False] * (5 - number)


def test_moco_as_published_stands_beside_arms_that_mix() -> None:
    recipe = read("""
[arms.moco]
set = { "contrast.negatives" = "queue" }
stages = [{ pretrain = "rgb", mix = { policy = "none" } }]
[arms.mixup]
set = { "modalities.rgb.lr" = 0.5, cmmc.mix = { dims = "thw", layers = "same" } }
stages = [{ pretrain = "rgb" }]
""")
    moco, mixup = (of_arm(recipe, arm) for arm in recipe.arms)
    assert (moco.contrast.negatives, mixup.contrast.negatives) == ("queue", "batch+queue")
    assert (moco.modalities["rgb"].lr, mixup.modalities["rgb"].lr) == (None, 0.5)
    assert (mixup.cmmc.mix.dims, mixup.cmmc.mix.policy) == ("thw", "cm_cutmix")
    assert [*moco.arms] == ["moco"]
    assert recipe_from_toml(recipe_to_toml(moco), "the checkpoint") == moco
    assert of_arm(moco, "moco") == moco


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ('"contrast.negatives" = "bach"', "arms.a.set: contrast.negatives: expected one of 'batch+queue', 'queue'"),
        ('"contrast.negativs" = "queue"', "contrast.negativs: unknown key (did you mean 'negatives'?)"),
        ('"optim.lr" = -1', "arms.a.set: optim.lr: must be > 0: -1.0"),
        ('"optim.lr.x" = 1', "arms.a.set: optim.lr.x: there is no such place in the recipe"),
        ('"pretrain.epochs" = 9', "arms.a.set: pretrain.milestones: [250, 280] must lie between 0 and epochs = 9"),
        ('"data.store" = "other.h5"', "arms.a.set: data.store: an arm can only change how it trains"),
        ("contrast = 3", "arms.a.set: contrast: an arm can only change how it trains"),
        ('"modalities.rbg.lr" = 1', "arms.a.set: modalities.rbg.lr: 'rbg' is not in [modalities], which has rgb, flow"),
        ('"modalities.rgb.width" = 0.5', "modalities.rgb.width: all arms have the same encoders: expected one of"),
        ('"contrast.embedding" = 64', "contrast.embedding: is the same for all arms: set it in [contrast]"),
    ],
)
def test_what_an_arm_may_not_set_is_refused_with_key_and_reason(changes, expected) -> None:
    assert expected in refusal(f"[arms.a]\nset = {{ {changes} }}\nstages = [{{ pretrain = 'rgb' }}]\n")


OLD = """
[data]
store = "s.h5"
test_split = "val"
[modalities.rgb]
[modalities.flow]
channels = 2
[modalities.joint]
encoder = "stgcn"
[contrast]
negatives = "queue"
[arms.moco]
negatives = "queue"
cuts = "modules"
stages = [{ pretrain = "rgb", mix = { policy = "none" } }]
[arms.mixup]
stages = [{ pretrain = "rgb" }]
"""


def test_the_recipe_of_an_old_checkpoint_is_read(tmp_path, caplog) -> None:
    """It has keys that are gone, and was written for one arm, of which it holds others that contradict it."""
    recipe = recipe_from_toml('name = "x"\n' + OLD, "the checkpoint", recorded=True)
    cuts = {"modalities.rgb.stages": "modules", "modalities.flow.stages": "modules"}
    assert recipe.arms["moco"].set == {"contrast.negatives": "queue", **cuts}
    assert [(one.stages) for one in of_arm(recipe, "moco").modalities.values()] == ["modules", "modules", "blocks"]
    assert [(one.stages) for one in of_arm(recipe, "mixup").modalities.values()] == ["modules", "modules", "blocks"]
    assert not caplog.text
    with pytest.raises(
        VimixError, match=r"1 mistake .*\n  arms\.mixup\.stages\.0\.mix\.policy: 'mixup' makes other keys"
    ):
        recipe_from_toml('name = "x"\n' + OLD, "r.toml")
    (tmp_path / "r.toml").write_text('name = "x"\n' + OLD.replace('[contrast]\nnegatives = "queue"\n', ""))
    assert of_arm(read_recipe(tmp_path / "r.toml"), "moco").contrast.negatives == "queue"
    assert "r.toml: data.test_split is no longer used" in caplog.text
    assert 'arms.moco.negatives is now written set = { "contrast.negatives" = "queue" }' in caplog.text


@pytest.mark.parametrize(
    ("mix", "layers"),
    [
        ("policy = 'cm_cutmix'", "random"),
        ("policy = 'cm_cutmix', dims = 'thw'", "same"),
        ("policy = 'cm_mixup'", "same"),
        ("policy = 'manifold_mixup'", "same"),
    ],
)
def test_layers_that_are_not_said_are_random_where_that_is_legal(mix, layers) -> None:
    partner = "" if "manifold" in mix else ", partner = 'flow'"
    arm = f"stages = [{{ pretrain = 'rgb' }}, {{ pretrain = 'flow' }}, {{ cmmc = 'rgb'{partner}, mix = {{ {mix} }} }}]"
    recipe = read(f"[arms.a]\n{arm}\n")
    assert recipe.stage(recipe.arms["a"].stages[2]).mix.layers == layers


@pytest.mark.parametrize(
    ("stage", "policy", "layers"),
    [
        ("pretrain = 'rgb', mix = { policy = 'mixup', alpha = 0.5 }", vimix.Mixup(alpha=0.5), None),
        ("pretrain = 'rgb', mix = { policy = 'temporal_cutmix' }", vimix.TemporalCutMix(), None),
        ("pretrain = 'rgb', mix = { policy = 'st_cutmix' }", vimix.SpatioTemporalCutMix(), None),
        ("pretrain = 'rgb', mix = { policy = 'videomix', per_sample = false }", vimix.VideoMix(per_sample=False), None),
        ("cmmc = 'rgb', mix = { policy = 'manifold_mixup' }", vimix.ManifoldMixup(), SameLayer()),
        ("cmmc = 'rgb', partner = 'flow', mix = { policy = 'cm_mixup' }", vimix.CrossModalMixup(), SameLayer()),
        ("cmmc = 'rgb', partner = 'flow'", vimix.CrossModalCutMix(), RandomLayer()),
        (
            "cmmc = 'rgb', partner = 'flow', mix = { extent = 'map', dims = 'thw', alpha = 2.0, per_sample = false }",
            vimix.CrossModalCutMix(extent="map", dims="thw", alpha=2.0, per_sample=False),
            SameLayer(),
        ),
        (
            "cmmc = 'rgb', partner = 'flow', mix = { least_weight = 0.5, layers = 'same' }",
            vimix.CrossModalCutMix(least_weight=0.5),
            SameLayer(),
        ),
    ],
)
def test_a_stage_is_trained_with_the_mix_that_its_recipe_names(stage, policy, layers) -> None:
    recipe = read(f"[arms.a]\nstages = [{{ pretrain = 'rgb' }}, {{ pretrain = 'flow' }}, {{ {stage} }}]\n")
    built = wiring.build_stage(recipe, recipe.arms["a"].stages[2])
    assert (type(built.policy), built.policy, built.layers) == (type(policy), policy, layers)


ARMS = """
[arms.one]
stages = [{ pretrain = "rgb" }, { pretrain = "flow" }, { cmmc = "rgb", partner = "flow" }]
[arms.two]
stages = [
  { pretrain = "rgb" },
  { pretrain = "flow" },
  { cmmc = "rgb", partner = "flow", mix = { policy = "cm_mixup" } },
  { cmmc = "flow", partner = "rgb" },
]
[arms.three]
stages = [{ pretrain = "rgb", mix = { policy = "none" } }, { pretrain = "flow" }, { cmmc = "rgb", partner = "flow" }]
[arms.four]
stages = [{ pretrain = "flow" }]
"""


def identities(top: str = "", arms: str = ARMS) -> dict[str, list[str]]:
    recipe = read(arms, top + MINIMAL)
    return {arm: stage_identities(recipe, arm) for arm in recipe.arms}


def test_stages_are_the_same_training_if_they_and_what_they_start_from_are_set_alike() -> None:
    found = identities()
    assert found["one"][:2] == found["two"][:2]
    assert found["one"][2] != found["two"][2]  # mixed otherwise
    assert found["one"][1] == found["three"][1]  # flow does not start from rgb
    assert found["one"][0] != found["three"][0]
    assert found["one"][2] != found["three"][2]  # starts from other weights
    assert found["four"][0] != found["one"][1]  # the number of a stage seeds it
    assert identities("seed = 1\n")["one"][0] != found["one"][0]
    every = [identity for arm in found.values() for identity in arm]
    assert len(set(every)) == len(every) - 3


def test_a_stage_with_the_queue_of_the_recipe_is_the_same_training_and_one_with_another_is_not() -> None:
    def arm(keys: str) -> list[str]:
        stages = f"stages = [{{ pretrain = 'rgb' }}, {{ pretrain = 'flow'{keys} }}]"
        return identities(arms=f"[arms.a]\n{stages}\n")["a"]

    assert arm("") == arm(", queue = 2048")
    assert [one == two for one, two in zip(arm(""), arm(", queue = 0"), strict=True)] == [True, False]


def test_an_arm_shares_the_stages_that_its_own_keys_do_not_change() -> None:
    """Where an encoder can be cut matters only if maps are mixed, and settings of another modality never matter."""
    stages = 'stages = [{ pretrain = "rgb" }, { pretrain = "flow" }, { cmmc = "rgb", partner = "flow" }]\n'
    sets = {
        "plain": "",
        "cut": '"modalities.rgb.stages" = "modules"',
        "fast": '"modalities.flow.lr" = 0.5',
        "short": '"cmmc.epochs" = 90',
    }
    found = identities(arms="".join(f"[arms.{name}]\nset = {{ {keys} }}\n{stages}" for name, keys in sets.items()))
    same = {name: [a == b for a, b in zip(found["plain"], found[name], strict=True)] for name in sets}
    assert same == {
        "plain": [True, True, True],
        "cut": [True, True, False],
        "fast": [True, False, False],
        "short": [True, True, False],
    }


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        ("[finetune]\nlr = 0.5\n", []),
        ("[evaluate]\nstride = 3\nqueries = 'val'\n", []),
        ("[run]\nlog_every = 3\n", []),
        ("[arms.other]\nstages = [{ pretrain = 'rgb' }]\n", []),
        ("[optim]\nlr = 0.5\n", ["optim.lr"]),
        ("[augment]\nflip = 0.0\n[cmmc.mix]\nextent = 'map'\n", ["augment.flip", "cmmc.mix.extent"]),
    ],
)
def test_a_run_goes_on_unless_what_decides_its_training_was_changed(text, differs) -> None:
    """A stage is the same training as before on the same condition."""
    begun, now = read(ARMS), read(ARMS + text)
    assert training_differences(begun, now) == differs
    assert (stage_identities(begun, "one") == stage_identities(now, "one")) == (not differs)


def test_a_run_goes_on_under_another_name_on_a_store_that_was_moved_but_not_with_other_stages() -> None:
    begun = read(ARMS)
    moved = evolve(begun, name="y", data=evolve(begun.data, store="elsewhere/s.h5", workers=7, max_bad_fraction=0.5))
    assert not training_differences(begun, moved)
    renamed = {name: evolve(arm, about="another title") for name, arm in begun.arms.items()}
    assert not training_differences(begun, evolve(begun, arms=renamed))
    one, two = begun.arms["one"], begun.arms["two"]
    assert training_differences(begun, evolve(begun, arms={**begun.arms, "one": two})) == ["[arms.one]"]
    other = evolve(one, set={"contrast.queue": 9})
    assert training_differences(begun, evolve(begun, arms={**begun.arms, "one": other})) == ["[arms.one]"]
    assert training_differences(begun, evolve(begun, seed=1)) == ["seed"]


def test_set_changes_any_key_and_reports_unknown_ones(tmp_path) -> None:
    (tmp_path / "r.toml").write_text(MINIMAL + "[arms.a]\nstages = [{ pretrain = 'rgb' }]\n")
    overrides = ("optim.lr=3e-4", "data.store=other.h5", "arms.a.stages.0.epochs=400", "evaluate.recall_at=[1, 5]")
    recipe = read_recipe(tmp_path / "r.toml", overrides)
    assert (recipe.optim.lr, recipe.data.store, recipe.evaluate.recall_at) == (3e-4, "other.h5", (1, 5))
    assert recipe.arms["a"].stages[0].epochs == 400
    for override, expected in (
        ("optim.lrr=1", "optim.lrr: unknown key (did you mean 'lr'?)"),
        ("optim.lr", "--set optim.lr: expected KEY=VALUE"),
        ("arms.a.stages.7.epochs=1", "there is no such place in the recipe"),
        ("name.x=1", "there is no such place in the recipe"),
    ):
        with pytest.raises(VimixError) as refused:
            read_recipe(tmp_path / "r.toml", [override])
        assert expected in str(refused.value)


def test_frames_and_size_are_of_pictures_only() -> None:
    recipe = read(
        "name = 'x'\n[data]\nstore = 's.h5'\nframes = 1\nsize = 1\n[modalities.joint]\nencoder = 'stgcn'\n", ""
    )
    assert (recipe.pictures, recipe.skeletons) == ((), ("joint",))
    stgcn = recipe.modalities["joint"].stgcn
    assert (stgcn.hidden_channels, stgcn.feature_size, stgcn.dropout, stgcn.persons) == (16, 256, 0.5, "present")
    assert (recipe.augment_skeleton.shear, recipe.augment_skeleton.padding_ratio) == (0.5, 6)
