"""Builds the objects that a recipe describes."""

from vimix_adapters.wiring.classifiers import build_recorded_classifier, recorded_classes
from vimix_adapters.wiring.clip_shapes import batch_shape, skeleton_settings
from vimix_adapters.wiring.compute import build_compute, build_process_group
from vimix_adapters.wiring.memory import require_memory, training_memory
from vimix_adapters.wiring.metrics import require_sinks
from vimix_adapters.wiring.networks import (
    build_classifier,
    build_encoder,
    build_learner,
    build_network,
    build_stage_learner,
    build_trained,
)
from vimix_adapters.wiring.protocol_parts import build_centring, build_fusion, build_pooling, build_probe
from vimix_adapters.wiring.recorded_settings import packing_record, recorded_packing, store_settings
from vimix_adapters.wiring.stage_plans import build_policy, build_stage
from vimix_adapters.wiring.stage_provenance import stage_provenance, supervised_settings
from vimix_adapters.wiring.stage_runs import (
    build_stage_run,
    build_step,
    step_of,
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
    SupervisedTraining,
    build_supervised_run,
    finetuning,
    linear_training,
)
from vimix_adapters.wiring.unstored import UnstoredClips

__all__ = [
    "SupervisedTraining",
    "UnstoredClips",
    "batch_shape",
    "build_centring",
    "build_classifier",
    "build_compute",
    "build_encoder",
    "build_evaluation_clips",
    "build_fusion",
    "build_learner",
    "build_network",
    "build_policy",
    "build_pooling",
    "build_probe",
    "build_process_group",
    "build_recorded_classifier",
    "build_stage",
    "build_stage_learner",
    "build_stage_run",
    "build_step",
    "build_store",
    "build_supervised_run",
    "build_trained",
    "build_training_clips",
    "clip_shape",
    "finetuning",
    "linear_training",
    "packing_record",
    "recorded_classes",
    "recorded_packing",
    "require_labels",
    "require_memory",
    "require_sinks",
    "skeleton_settings",
    "sources_of",
    "stage_provenance",
    "step_of",
    "store_settings",
    "supervised_settings",
    "training_memory",
    "window_stride",
]
