"""``vimix predict``: classes of video files."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.export import CheckpointFile
from vimix_adapters.cli.options import Device


def predict(
    checkpoint: CheckpointFile,
    video: Annotated[list[Path], typer.Argument(help="Video or skeleton files.", metavar="VIDEO...")],
    k: Annotated[int, typer.Option("-k", help="Number of classes to print.", min=1)] = 5,
    windows: Annotated[
        bool, typer.Option("--windows", help="Print the classes of each window with its times.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the scores of each window.")] = False,
    device: Device = "auto",
) -> None:
    """Print the most probable classes of video files, by a classifier of vimix evaluate finetune."""
    from vimix_adapters.commands.predict import predict_files

    predict_files(checkpoint, video, k, windows, as_json, device)
