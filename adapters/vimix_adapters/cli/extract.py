"""``vimix extract``: features of the videos of a store."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.export import CheckpointFile
from vimix_adapters.cli.options import Device, Force, Overrides, RecipeFile


class Per(StrEnum):
    """Unit that a row of features describes."""

    video = "video"
    clip = "clip"


def extract(
    recipe: RecipeFile,
    checkpoint: CheckpointFile,
    store: Annotated[Path, typer.Argument(help="Store whose videos are embedded.", metavar="STORE")],
    out: Annotated[Path, typer.Option(help="File to write: .npz, .h5 or .csv.", metavar="FILE")],
    per: Annotated[Per, typer.Option(help="Write one row per video (the mean over its clips) or per clip.")] = (
        Per.video
    ),
    l2: Annotated[bool, typer.Option("--l2", help="Scale rows to unit length.")] = False,
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Write features of all videos of a store, with names, labels, splits, times and a manifest."""
    from vimix_adapters.commands.extract import extract_to_file
    from vimix_adapters.config import read_recipe

    extract_to_file(read_recipe(recipe, overrides or ()), checkpoint, store, out, device, per.value, l2, force)
