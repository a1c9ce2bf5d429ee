"""Names of policies and layers to objects; a recipe's stages to the domain's."""

from collections.abc import Mapping

from vimix.domain.mixing.layers import LayerChoice, RandomLayer, SameLayer
from vimix.domain.mixing.policies import (
    CrossModalCutMix,
    CrossModalMixup,
    ManifoldMixup,
    MixPolicy,
    Mixup,
    NoMix,
    SpatioTemporalCutMix,
    TemporalCutMix,
    VideoMix,
)
from vimix.domain.schedule.stages import CmmcStage, ManifoldStage, PretrainStage, Stage
from vimix.values.modality import Modality
from vimix_adapters import config

INPUT_POLICIES: Mapping[str, type[Mixup | TemporalCutMix | SpatioTemporalCutMix | VideoMix]] = {
    "mixup": Mixup,
    "temporal_cutmix": TemporalCutMix,
    "st_cutmix": SpatioTemporalCutMix,
    "videomix": VideoMix,
}
HIDDEN_POLICIES: Mapping[str, type[ManifoldMixup | CrossModalMixup]] = {
    "manifold_mixup": ManifoldMixup,
    "cm_mixup": CrossModalMixup,
}
LAYERS: Mapping[str, LayerChoice] = {"same": SameLayer(), "random": RandomLayer()}


def build_input_policy(mix: config.InputMix) -> MixPolicy:
    """A policy of Table 1."""
    if mix.policy == "none":
        return NoMix()
    return INPUT_POLICIES[mix.policy](alpha=mix.alpha, per_sample=mix.per_sample)


def build_hidden_policy(mix: config.HiddenMix) -> MixPolicy:
    """A policy of Table 2."""
    if mix.policy == "cm_cutmix":
        return CrossModalCutMix(alpha=mix.alpha, per_sample=mix.per_sample, dims=mix.dims, extent=mix.extent)
    return HIDDEN_POLICIES[mix.policy](alpha=mix.alpha, per_sample=mix.per_sample)


def build_stage(recipe: config.Recipe, stage: config.Stage) -> Stage:
    """A stage of the domain from one of the recipe, with inherited settings filled in."""
    settings, modality, rate = recipe.stage(stage), Modality(stage.modality), recipe.rate(stage)
    length = (settings.epochs, settings.milestones)
    if isinstance(settings, config.Pretrain):
        return PretrainStage(stage.name, modality, *length, build_input_policy(settings.mix), rate)
    policy, layers = build_hidden_policy(settings.mix), LAYERS[settings.mix.layers]
    if len(stage.modalities) == 1:
        return ManifoldStage(stage.name, modality, *length, policy, layers, rate)
    return CmmcStage(stage.name, modality, Modality(stage.modalities[1]), *length, policy, layers, rate)
