"""Stages of the domain from those of a recipe."""

from collections.abc import Callable, Mapping

from vimix.domain.contrast.finders import Finder, Labels, NearestAcrossViews, NearestInPartner, OwnKey
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
from vimix.domain.schedule.stages import Objective, Stage
from vimix.ports.clips import VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.clips.loader import batches_of_epoch

POLICIES: Mapping[str, Callable[..., MixPolicy]] = {
    "mixup": Mixup,
    "temporal_cutmix": TemporalCutMix,
    "st_cutmix": SpatioTemporalCutMix,
    "videomix": VideoMix,
    "manifold_mixup": ManifoldMixup,
    "cm_mixup": CrossModalMixup,
}
"""Policies that alpha and per_sample describe in full, by their names in recipes."""
LAYERS: Mapping[str, LayerChoice] = {"same": SameLayer(), "random": RandomLayer()}
"""Ways to draw the two layers of a hidden mix, by their names in recipes."""


def build_policy(mix: config.InputMix | config.HiddenMix) -> MixPolicy:
    """The policy of a row of Table 1 or Table 2."""
    if mix.policy == "none":
        return NoMix()
    if isinstance(mix, config.HiddenMix) and mix.policy == "cm_cutmix":
        return CrossModalCutMix(
            alpha=mix.alpha,
            per_sample=mix.per_sample,
            dims=mix.dims,
            extent=mix.extent,
            least_weight=mix.least_weight,
        )
    return POLICIES[mix.policy](alpha=mix.alpha, per_sample=mix.per_sample)


FINDERS: Mapping[str, Callable[[config.FindPositives], Finder]] = {
    "nearest_in_partner": lambda positives: NearestInPartner(positives.nearest, positives.same_recording),
    "nearest_across_views": lambda positives: NearestAcrossViews(positives.nearest),
    "labels": lambda _: Labels(),
}
"""Finders of positives by their names in recipes."""


def build_stage(recipe: config.Recipe, stage: config.Stage) -> Stage:
    """The stage of the domain, with inherited settings filled in."""
    settings, positives = recipe.stage(stage), stage.positives
    first, *together = map(Modality, stage.trained)
    return Stage(
        name=stage.name,
        modality=first,
        together=tuple(together),
        partner=None if stage.partner is None else Modality(stage.partner),
        epochs=settings.epochs,
        rate=recipe.rate(stage),
        milestones=settings.milestones,
        decay=settings.decay,
        policy=build_policy(settings.mix),
        layers=LAYERS[settings.mix.layers] if isinstance(settings, config.Cmmc) else None,
        objective=Objective(settings.objective) if isinstance(settings, config.Pretrain) else Objective.MOCO,
        finder=FINDERS[positives.find](positives) if positives else OwnKey(),
        plain_epochs=round(positives.after * settings.epochs) if positives else 0,
    )


def require_minable(recipe: config.Recipe, stage: Stage, store: VideoStore, processes: int = 1) -> None:
    """Raise VimixError if the stage ends before its queue is full, so that it would never mine a positive."""
    batch, queue = recipe.optim.batch * processes, recipe.contrast.queue
    drawn = batches_of_epoch(store, recipe.data.train_split, batch) * batch * stage.epochs
    if stage.finder.needs_similarities and drawn < queue:
        raise VimixError(
            f"stage {stage.name} draws {drawn} clips, too few to fill the queue of {queue} keys, and no "
            "positive is mined before it is full: set queue or contrast.queue to the number of training videos or less"
        )
