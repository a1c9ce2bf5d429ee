"""``vimix extract``: features of a store's videos."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.export import CheckpointFile
from vimix_adapters.cli.run import Device, Overrides, RecipeFile


class Per(StrEnum):
    """What a row of features stands for."""

    video = "video"
    clip = "clip"


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
    from vimix_adapters.commands.extract import extract_to_file
    from vimix_adapters.config import read_recipe

    extract_to_file(read_recipe(recipe, overrides or ()), checkpoint, store, out, per.value, l2, device)
