"""``vimix export``: weights for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

CheckpointFile = Annotated[Path, typer.Argument(help="Checkpoint file or stage folder.", metavar="CHECKPOINT")]


class Format(StrEnum):
    """What weights are exported to."""

    torchvision = "torchvision"
    safetensors = "safetensors"
    onnx = "onnx"
    torch_export = "torch-export"


def export(
    checkpoint: CheckpointFile,
    format_name: Annotated[Format, typer.Option("--format", help="onnx needs the extra [onnx].")],
    out: Annotated[Path, typer.Option(help="File to write; FILE.md beside it is the model card.", metavar="FILE")],
) -> None:
    """Write a checkpoint's encoder in a format that others load, with a model card."""
    from vimix_adapters.commands.export import export_checkpoint

    export_checkpoint(checkpoint, format_name.value, out)
