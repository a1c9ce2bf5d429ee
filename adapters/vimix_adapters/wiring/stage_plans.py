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
from vimix.domain.schedule.stages import Stage
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
    settings, layers = recipe.stage(stage), None
    if isinstance(settings, config.Pretrain):
        policy = build_input_policy(settings.mix)
    else:
        policy, layers = build_hidden_policy(settings.mix), LAYERS[settings.mix.layers]
    modality, *partners = map(Modality, stage.modalities)
    return Stage(
        name=stage.name,
        modality=modality,
        partner=partners[0] if partners else None,
        epochs=settings.epochs,
        rate=recipe.rate(stage),
        milestones=settings.milestones,
        decay=settings.decay,
        policy=policy,
        layers=layers,
    )
