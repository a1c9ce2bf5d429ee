"""Recipes and all settings: frozen attrs classes, read from and written to TOML."""

from vimix_adapters.config.arms import of_arm, of_stage
from vimix_adapters.config.augment_settings import AugmentSettings
from vimix_adapters.config.checks import stage_contradictions
from vimix_adapters.config.encoder_settings import (
    ENCODERS,
    EncoderEntry,
    ModalitySettings,
    Stgcn,
    encoders_for,
    register_encoder,
)
from vimix_adapters.config.identity import stage_identities, training_differences, training_settings
from vimix_adapters.config.metric_sinks import SINKS, SinkEntry, register_sink
from vimix_adapters.config.probe_settings import Finetuning, LinearSgd
from vimix_adapters.config.protocols import (
    PROTOCOLS,
    changes,
    finetune_augment_of,
    finetuning_of,
    protocol_of,
)
from vimix_adapters.config.read_recipe import read_recipe, recipe_from_toml, recipe_to_toml
from vimix_adapters.config.recipe_stages import (
    Cmmc,
    CmmcStage,
    FindPositives,
    HiddenMix,
    InputMix,
    Pretrain,
    PretrainStage,
    Stage,
)
from vimix_adapters.config.schema import Contrast, Data, Finetune, Optim, Recipe

__all__ = [
    "ENCODERS",
    "PROTOCOLS",
    "SINKS",
    "AugmentSettings",
    "Cmmc",
    "CmmcStage",
    "Contrast",
    "Data",
    "EncoderEntry",
    "FindPositives",
    "Finetune",
    "Finetuning",
    "HiddenMix",
    "InputMix",
    "LinearSgd",
    "ModalitySettings",
    "Optim",
    "Pretrain",
    "PretrainStage",
    "Recipe",
    "SinkEntry",
    "Stage",
    "Stgcn",
    "changes",
    "encoders_for",
    "finetune_augment_of",
    "finetuning_of",
    "of_arm",
    "of_stage",
    "protocol_of",
    "read_recipe",
    "recipe_from_toml",
    "recipe_to_toml",
    "register_encoder",
    "register_sink",
    "stage_contradictions",
    "stage_identities",
    "training_differences",
    "training_settings",
]
