"""The composition root: from a recipe to the objects that do the work. The only place that names concrete classes."""

from vimix_adapters.wiring.compute import build_compute, build_team
from vimix_adapters.wiring.linear import build_linear_training, end_to_end_of, end_to_end_recipe
from vimix_adapters.wiring.mixing import (
    HIDDEN_POLICIES,
    INPUT_POLICIES,
    LAYERS,
    build_hidden_policy,
    build_input_policy,
    build_stage,
)
from vimix_adapters.wiring.networks import (
    build_candidates,
    build_classifier,
    build_encoder,
    build_learner,
    build_network,
    build_optimiser,
    build_s3d,
    build_trained,
)
from vimix_adapters.wiring.origin import stage_origin, supervised_settings
from vimix_adapters.wiring.packing import ESTIMATORS, PackJob, pack_frames, pack_job
from vimix_adapters.wiring.scores import build_centring, build_fusion, build_pooling, build_probe
from vimix_adapters.wiring.skeletons import SkeletonJob, batch_shape, pack_skeleton, pack_skeletons, skeleton_settings
from vimix_adapters.wiring.stores import (
    CROPS,
    build_augmentations,
    build_evaluation_clips,
    build_file_clips,
    build_store,
    build_training_clips,
    clip_shape,
    require_labels,
    sources_of,
    window_stride,
)
from vimix_adapters.wiring.training import (
    build_finetuning,
    build_stage_run,
    build_step,
    build_train_settings,
    metrics_in,
    stage_seed,
)

__all__ = [
    "CROPS",
    "ESTIMATORS",
    "HIDDEN_POLICIES",
    "INPUT_POLICIES",
    "LAYERS",
    "PackJob",
    "SkeletonJob",
    "batch_shape",
    "build_augmentations",
    "build_candidates",
    "build_centring",
    "build_classifier",
    "build_compute",
    "build_encoder",
    "build_evaluation_clips",
    "build_file_clips",
    "build_finetuning",
    "build_fusion",
    "build_hidden_policy",
    "build_input_policy",
    "build_learner",
    "build_linear_training",
    "build_network",
    "build_optimiser",
    "build_pooling",
    "build_probe",
    "build_s3d",
    "build_stage",
    "build_stage_run",
    "build_step",
    "build_store",
    "build_team",
    "build_train_settings",
    "build_trained",
    "build_training_clips",
    "clip_shape",
    "end_to_end_of",
    "end_to_end_recipe",
    "metrics_in",
    "pack_frames",
    "pack_job",
    "pack_skeleton",
    "pack_skeletons",
    "require_labels",
    "skeleton_settings",
    "sources_of",
    "stage_origin",
    "stage_seed",
    "supervised_settings",
    "window_stride",
]
