"""Builds the objects that a recipe describes."""

from vimix_adapters.wiring.compute import build_compute, build_process_group
from vimix_adapters.wiring.memory import require_memory, training_memory
from vimix_adapters.wiring.metrics_sinks import require_sinks
from vimix_adapters.wiring.networks import (
    build_classifier,
    build_encoder,
    build_learner,
    build_network,
    build_stage_learner,
    build_trained,
)
from vimix_adapters.wiring.protocol_parts import build_centring, build_fusion, build_pooling, build_probe
from vimix_adapters.wiring.recorded_settings import (
    batch_shape,
    packing_record,
    recorded_packing,
    skeleton_settings,
    store_settings,
)
from vimix_adapters.wiring.stage_plans import build_policy, build_stage, require_minable
from vimix_adapters.wiring.stage_provenance import stage_provenance, supervised_settings
from vimix_adapters.wiring.stage_runs import build_stage_run, build_step, step_of
from vimix_adapters.wiring.stores import (
    UnstoredClips,
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
    build_recorded_classifier,
    build_supervised_run,
    finetuning,
    linear_training,
    recorded_classes,
)
