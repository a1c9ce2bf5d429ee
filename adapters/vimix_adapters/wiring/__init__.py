"""Builds the objects that a recipe describes."""

from vimix_adapters.wiring.clip_shapes import batch_shape, skeleton_settings
from vimix_adapters.wiring.compute import build_compute, build_process_group
from vimix_adapters.wiring.networks import (
    build_classifier,
    build_encoder,
    build_learner,
    build_network,
    build_trained,
)
from vimix_adapters.wiring.protocol_parts import build_centring, build_fusion, build_pooling, build_probe
from vimix_adapters.wiring.recorded_settings import packing_record, recorded_packing, store_settings
from vimix_adapters.wiring.stage_plans import build_policy, build_stage
from vimix_adapters.wiring.stage_provenance import stage_provenance, supervised_settings
from vimix_adapters.wiring.stage_runs import (
    build_stage_run,
    build_step,
)
from vimix_adapters.wiring.stores import (
    build_evaluation_clips,
    build_store,
    build_training_clips,
    clip_shape,
    require_labels,
    sources_of,
    window_stride,
)
from vimix_adapters.wiring.supervised_runs import (
    build_finetuning,
    build_linear_training,
    end_to_end_of,
    end_to_end_recipe,
)
from vimix_adapters.wiring.unstored import UnstoredClips

__all__ = [
    "UnstoredClips",
    "batch_shape",
    "build_centring",
    "build_classifier",
    "build_compute",
    "build_encoder",
    "build_evaluation_clips",
    "build_finetuning",
    "build_fusion",
    "build_learner",
    "build_linear_training",
    "build_network",
    "build_policy",
    "build_pooling",
    "build_probe",
    "build_process_group",
    "build_stage",
    "build_stage_run",
    "build_step",
    "build_store",
    "build_trained",
    "build_training_clips",
    "clip_shape",
    "end_to_end_of",
    "end_to_end_recipe",
    "packing_record",
    "recorded_packing",
    "require_labels",
    "skeleton_settings",
    "sources_of",
    "stage_provenance",
    "store_settings",
    "supervised_settings",
    "window_stride",
]
