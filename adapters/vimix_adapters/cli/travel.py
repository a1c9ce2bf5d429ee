"""``vimix export``, ``vimix import`` and ``vimix extract``: weights and features on their way out and in."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.training import Device, Overrides, RecipeFile

CheckpointFile = Annotated[Path, typer.Argument(help="Checkpoint file or stage folder.", metavar="CHECKPOINT")]


class Format(StrEnum):
    """What weights are exported to."""

    torchvision = "torchvision"
    safetensors = "safetensors"
    onnx = "onnx"
    torch_export = "torch-export"


class Per(StrEnum):
    """What a row of features stands for."""

    video = "video"
    clip = "clip"


def export(
    checkpoint: CheckpointFile,
    format_name: Annotated[Format, typer.Option("--format", help="onnx needs the extra [onnx].")],
    out: Annotated[Path, typer.Option(help="File to write; FILE.md beside it is the model card.", metavar="FILE")],
) -> None:
    """Write a checkpoint's encoder in a format that others load, with a model card."""
    from vimix_adapters.commands import exporting

    exporting.export_checkpoint(checkpoint, format_name.value, out)


def import_weights(
    file: Annotated[Path, typer.Argument(help="Weights: torch.save or safetensors.", metavar="FILE")],
    modality: Annotated[str, typer.Option(help="What they see, such as rgb.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint to make.", metavar="RUN")],
    layout: Annotated[str, typer.Option(help="auto, coclr, crosclr, moco, simclr, torchvision or vimix.")] = "auto",
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Accept less than 95 % matched; the rest stays random.")
    ] = False,
) -> None:
    """Make a checkpoint from weights that others trained; print what matched. No code in the file is run."""
    from vimix_adapters.commands import importing

    importing.import_weights(file, modality, out, layout, allow_partial)


def extract(
    recipe: RecipeFile,
    checkpoint: CheckpointFile,
    store: Annotated[Path, typer.Argument(help="Store whose videos are embedded.", metavar="STORE")],
    out: Annotated[Path, typer.Option(help="FILE.npz, .h5 or .csv.", metavar="FILE")],
    per: Annotated[Per, typer.Option(help="A row a video (mean over its clips) or a clip.")] = Per.video,
    l2: Annotated[bool, typer.Option("--l2", help="Rows of unit length.")] = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Write features of all videos of a store, with names, labels, splits, times and a manifest."""
    from vimix_adapters.commands import extracting
    from vimix_adapters.config import read_recipe

    extracting.extract_to_file(read_recipe(recipe, overrides or ()), checkpoint, store, out, per.value, l2, device)
