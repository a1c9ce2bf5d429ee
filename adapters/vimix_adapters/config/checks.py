"""Settings that contradict each other."""

from collections.abc import Iterator, Sequence

from vimix_adapters.config.arms import mistakes_in_set, of_arm, of_stage
from vimix_adapters.config.encoder_settings import ENCODERS, EncoderEntry, ModalitySettings
from vimix_adapters.config.protocols import finetune_augment_of, finetuning_of
from vimix_adapters.config.recipe_stages import (
    CmmcStage,
    FindPositives,
    HiddenMix,
    InputMix,
    JointStage,
    Pretrain,
    PretrainStage,
    Stage,
)
from vimix_adapters.config.schema import Data, Recipe


def contradictions(recipe: Recipe) -> list[str]:
    """One line for each contradiction, with the keys and the reason."""
    found = [*_general(recipe), *_sections(recipe)]
    return [*found, *(line for arm in recipe.arms for line in _arm(recipe, arm, found))]


def _general(recipe: Recipe) -> Iterator[str]:
    batch = recipe.optim.batch
    for key, groups in (("contrast", recipe.contrast.bn_groups), ("finetune", recipe.finetune.bn_groups)):
        if batch % groups or batch < 2 * groups:
            yield (
                f"optim.batch: {batch} must be a multiple of {key}.bn_groups = {groups}, and at least twice as "
                "large, because BatchNorm normalises each part separately"
            )
    if recipe.contrast.negatives == "queue" and not recipe.contrast.queue:
        yield "contrast.queue: 0 with contrast.negatives = 'queue' leaves no negatives"
    if not recipe.modalities:
        yield "modalities: expected at least one table, such as [modalities.rgb]"
    if recipe.evaluate.queries == recipe.evaluate.gallery:
        yield f"evaluate.queries: {recipe.evaluate.gallery!r} is the gallery too; each video would find itself"
    if not recipe.evaluate.own and not recipe.evaluate.stores:
        yield "evaluate.own: with false there is no store to evaluate on: add a table such as [evaluate.stores.ucf101]"
    for name, other in recipe.evaluate.stores.items():
        if other.queries == other.gallery:
            yield f"evaluate.stores.{name}.queries: {other.gallery!r} is the gallery too; each video would find itself"
    for name, modality in recipe.modalities.items():
        yield from _encoder(f"modalities.{name}", modality)
        yield from _clip(recipe.data, modality.entry)


def _encoder(key: str, modality: ModalitySettings) -> Iterator[str]:
    entry, default = modality.entry, ModalitySettings()
    for name in sorted({name for other in ENCODERS.values() for name in other.settings} - {*entry.settings}):
        if getattr(modality, name) != getattr(default, name):
            readers = " or ".join(repr(other.name) for other in ENCODERS.values() if name in other.settings)
            yield (
                f"{key}.{name}: is read by encoder = {readers} only; this one is {entry.name!r}, which reads "
                f"{', '.join(entry.settings)}"
            )


def _clip(data: Data, entry: EncoderEntry) -> Iterator[str]:
    frames, size = entry.least_clip
    if entry.maps == "planes" and (data.frames < frames or data.size < size):
        yield (
            f"data.frames, data.size: {data.frames} frames of {data.size} pixels are too small for {entry.name}, which "
            f"needs at least {frames} frames of {size} pixels"
        )


def _sections(recipe: Recipe) -> Iterator[str]:
    yield from _schedule("pretrain", recipe.pretrain.epochs, recipe.pretrain.milestones)
    yield from _schedule("cmmc", recipe.cmmc.epochs, recipe.cmmc.milestones)
    yield from _finetuning(recipe)
    yield from _layers("cmmc.mix", recipe.cmmc.mix)
    if not recipe.arms:
        yield from _negatives(recipe, "pretrain.mix", recipe.pretrain.mix)


def _finetuning(recipe: Recipe) -> Iterator[str]:
    trainings = {settings.entry.maps: finetuning_of(recipe, name) for name, settings in recipe.modalities.items()}
    for finetuning in trainings.values():
        yield from _schedule("finetune", finetuning.epochs, finetuning.milestones)
    try:
        finetune_augment_of(recipe)
    except ValueError as error:
        yield f"finetune.augment: {error}"


def _arm(recipe: Recipe, name: str, of_all: Sequence[str]) -> Iterator[str]:
    """Contradictions of an arm that are not among those of the whole recipe, ``of_all``."""
    if wrong := mistakes_in_set(recipe, name):
        yield from (f"arms.{name}.set: {line}" for line in wrong)
        return
    own, stages = of_arm(recipe, name), recipe.arms[name].stages
    yield from (f"arms.{name}.set: {line}" for line in (*_general(own), *_sections(own)) if line not in of_all)
    if not stages:
        yield f"arms.{name}.stages: expected at least one stage"
    trained: set[str] = set()
    for number, stage in enumerate(stages):
        key = f"arms.{name}.stages.{number}"
        yield from stage_contradictions(own, key, stage)
        partner = None if isinstance(stage, JointStage) else stage.partner
        if partner in recipe.modalities and partner not in trained:
            yield f"{key}.partner: {partner!r} is not trained by an earlier stage of the arm"
        trained |= {*stage.trained}


def stage_contradictions(recipe: Recipe, key: str, stage: Stage) -> Iterator[str]:
    """Contradictions of one stage; ``key`` names it in the messages."""
    for role, modality in _roles(stage):
        if modality not in recipe.modalities:
            yield f"{key}.{role}: {modality!r} is not in [modalities], which has {', '.join(recipe.modalities)}"
    queue = of_stage(recipe, stage).contrast.queue
    if stage.queue == 0 and recipe.contrast.negatives == "queue":
        yield f"{key}.queue: 0 with contrast.negatives = 'queue' leaves no negatives"
    settings = recipe.stage(stage)
    inherited = stage.milestones is None and stage.epochs is not None
    if inherited and settings.milestones and max(settings.milestones) >= settings.epochs:
        yield f"{key}.milestones: the inherited {list(settings.milestones)} exceed {settings.epochs} epochs: set both"
    elif not inherited:
        yield from _schedule(key, settings.epochs, settings.milestones)
    yield from _negatives(recipe, f"{key}.mix", settings.mix)
    if isinstance(settings.mix, HiddenMix):
        yield from _layers(f"{key}.mix", settings.mix)
    if isinstance(stage, CmmcStage):
        yield from _partner(key, stage, alone=settings.mix.policy == "manifold_mixup")
        kinds = {settings.entry.maps for name, settings in recipe.modalities.items() if name in stage.modalities}
        if len(kinds) == 2:
            yield f"{key}.partner: maps of skeletons and pictures have different axes and cannot be mixed"
        elif isinstance(settings.mix, HiddenMix) and settings.mix.layers == "same":
            yield from _same_layer(f"{key}.mix.layers", recipe, stage)
    yield from _pretrains_with_partner(key, stage)
    if isinstance(settings, Pretrain):
        yield from _objective(key, settings, queue, plain=len(stage.modalities) == 1 and not stage.positives)
    if stage.positives is not None:
        yield from _positives(f"{key}.positives", stage, stage.positives, queue, settings.epochs)


def _objective(key: str, settings: Pretrain, queue: int, plain: bool) -> Iterator[str]:
    if settings.objective == "moco":
        return
    if settings.mix.policy != "none":
        yield f"{key}.mix.policy: objective = {settings.objective!r} mixes no clips: set mix.policy = 'none'"
    if not plain:
        yield f"{key}.positives: objective = {settings.objective!r} has the other view as its only positive"
    if settings.objective == "simclr" and queue:
        yield f"{key}.objective: 'simclr' has no queue: set queue or contrast.queue = 0, which is {queue}"


def _roles(stage: Stage) -> Iterator[tuple[str, str]]:
    """The modalities of a stage, each with the key that names it."""
    trained = "pretrain" if isinstance(stage, PretrainStage) else "cmmc" if isinstance(stage, CmmcStage) else "joint"
    for modality in stage.modalities:
        yield (trained if modality in stage.trained else "partner"), modality


def _pretrains_with_partner(key: str, stage: Stage) -> Iterator[str]:
    if isinstance(stage, PretrainStage) and stage.partner is not None:
        if stage.positives is None or stage.positives.find != "nearest_in_partner":
            yield f"{key}.partner: a partner here only finds positives: add positives.find = 'nearest_in_partner'"
        elif stage.partner == stage.pretrain:
            yield f"{key}.partner: a modality cannot be its own frozen partner"


def _positives(key: str, stage: Stage, positives: FindPositives, queue: int, epochs: int) -> Iterator[str]:
    find, across = positives.find, positives.find == "nearest_across_views"
    if across != isinstance(stage, JointStage):
        yield f"{key}.find: 'nearest_across_views' and stages joint = [...] need each other; got {find!r}"
    elif find == "nearest_in_partner" and len(stage.modalities) == 1:
        yield f"{key}.find: 'nearest_in_partner' needs a frozen modality: add partner"
    if positives.after and not across:
        yield f"{key}.after: only find = 'nearest_across_views' uses it; remove it"
    elif round(positives.after * epochs) == epochs:
        yield f"{key}.after: {positives.after} leaves none of the {epochs} epochs to mine in: lower it"
    if not positives.same_recording and find != "nearest_in_partner":
        yield f"{key}.same_recording: only find = 'nearest_in_partner' uses it; remove it"
    if find == "labels" and positives.k is not None:
        yield f"{key}.k: find = 'labels' takes all candidates of the class; remove k"
    elif find != "labels" and queue < positives.nearest:
        yield f"{key}.k: {positives.nearest} is more than the queue holds, {queue}: set queue or contrast.queue"


def _same_layer(key: str, recipe: Recipe, stage: CmmcStage) -> Iterator[str]:
    """Layer k of two encoders is the same only if both are cut at the same places."""
    cuts = {name: recipe.modalities[name] for name in stage.modalities if name in recipe.modalities}
    if len({(settings.encoder, settings.stages) for settings in cuts.values()}) > 1:
        listed = " and ".join(f"{name} is {one.encoder} in {one.stages}" for name, one in cuts.items())
        remedy = (
            "make modalities.NAME.stages equal"
            if len({settings.encoder for settings in cuts.values()}) == 1
            else "use policy = 'cm_cutmix' with layers = 'random'"
        )
        yield f"{key}: 'same' needs encoders with the same stages, but {listed}: {remedy}"


def _partner(key: str, stage: CmmcStage, alone: bool) -> Iterator[str]:
    if alone and stage.partner is not None:
        yield (
            f"{key}.partner: manifold_mixup mixes {stage.cmmc} with other clips of {stage.cmmc}: remove partner, "
            "or use cm_mixup"
        )
    elif not alone and stage.partner is None:
        yield f"{key}.partner: missing; only policy = 'manifold_mixup' mixes without another modality"
    elif stage.cmmc == stage.partner:
        yield f"{key}.partner: a modality cannot be its own frozen partner"


def _schedule(key: str, epochs: int, milestones: tuple[int, ...]) -> Iterator[str]:
    if list(milestones) != sorted(set(milestones)):
        yield f"{key}.milestones: {list(milestones)} must ascend"
    if any(not 0 < milestone < epochs for milestone in milestones):
        yield f"{key}.milestones: {list(milestones)} must lie between 0 and epochs = {epochs}"


def _negatives(recipe: Recipe, key: str, mix: InputMix | HiddenMix) -> Iterator[str]:
    if recipe.contrast.negatives == "queue" and mix.policy != "none":
        yield (
            f"{key}.policy: {mix.policy!r} makes other keys of the batch targets, so contrast.negatives cannot be "
            "'queue': use 'batch+queue', or policy = 'none'"
        )


def _layers(key: str, mix: HiddenMix) -> Iterator[str]:
    if mix.policy != "cm_cutmix" and mix.extent != "box":
        yield f"{key}.extent: {mix.policy!r} cuts no box; only policy = 'cm_cutmix' reads extent"
    if mix.policy != "cm_cutmix" and mix.least_weight:
        yield f"{key}.least_weight: {mix.policy!r} cuts no box; only policy = 'cm_cutmix' reads least_weight"
    if mix.layers == "same":
        return
    if mix.policy != "cm_cutmix":
        yield f"{key}.layers: {mix.policy!r} mixes maps of equal size, so only layers = 'same' is legal"
    elif mix.dims != "cthw":
        yield (
            f"{key}.layers: with dims = {mix.dims!r} some axes are taken whole and must have equal sizes, so only "
            "layers = 'same' is legal; 'random' needs dims = 'cthw'"
        )
