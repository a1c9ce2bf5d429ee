"""``vimix report`` and ``vimix mix-preview``: pages of the results of runs and of a recipe's mixes."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.options import Device, Force, Overrides, RecipeFile


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs; a folder may hold several seeds.", metavar="RUN...")
    ],
    out: Annotated[
        Path, typer.Option(help="File to write; the numbers go to FILE.json beside it.", metavar="FILE.html")
    ],
    clips: Annotated[
        int,
        typer.Option(help="Largest number of clips in the report; 500 take at most 25 MB, 0 leaves them out.", min=0),
    ] = 500,
    map_method: Annotated[
        str, typer.Option("--map", help="Method that draws the map of features: pca, or umap (needs the extra umap).")
    ] = "pca",
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Write one offline HTML file: scores, retrieved videos as clips, errors, a map of the features, training."""
    from vimix_adapters.commands.report import PageSettings, write_report

    write_report(runs, out, PageSettings(clips, map_method, device, overrides or ()), force)


def mix_preview(
    recipe: RecipeFile,
    out: Annotated[
        Path,
        typer.Option(help="Page or picture to write; the numbers go to FILE.json beside it.", metavar="FILE.html|png"),
    ],
    seed: Annotated[int, typer.Option(help="Random seed of the mixes.", min=0)] = 0,
    force: Force = False,
    overrides: Overrides = None,
) -> None:
    """Show how each policy mixes clips of the store, and which cells of hidden maps CMMC replaces."""
    from vimix_adapters.commands.mix_preview import write_preview
    from vimix_adapters.config import read_recipe

    write_preview(read_recipe(recipe, overrides or ()), out, seed, force)
