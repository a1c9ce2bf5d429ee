"""``vimix export``: weights for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vimix_adapters.cli.options import Force

CheckpointFile = Annotated[Path, typer.Argument(help="Checkpoint file or stage folder.", metavar="CHECKPOINT")]
Format = Literal["torchvision", "safetensors", "onnx", "torch-export"]


def export(
    checkpoint: CheckpointFile,
    format_name: Annotated[Format, typer.Option("--format", help="Format to write; onnx needs the extra [onnx].")],
    out: Annotated[Path, typer.Option(help="File to write; its model card goes to FILE.md.", metavar="FILE")],
    force: Force = False,
) -> None:
    """Write the encoder of a checkpoint in a format that other programs load, with a model card."""
    from vimix_adapters.commands.export import export_checkpoint

    export_checkpoint(checkpoint, format_name, out, force)
