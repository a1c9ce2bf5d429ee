"""``vimix report`` and ``vimix mix-preview``: what was learned, and what it is learned from, as pages."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.options import Device, Force, Overrides, RecipeFile


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs, or of several seeds of a run.", metavar="RUN...")
    ],
    out: Annotated[
        Path, typer.Option(help="Page to write; its numbers go to FILE.json beside it.", metavar="FILE.html")
    ],
    clips: Annotated[
        int, typer.Option(help="Most clips inside the page; 500 take at most 25 MB, 0 leaves them out.", min=0)
    ] = 500,
    map_method: Annotated[
        str, typer.Option("--map", help="How features become points: pca, or umap (needs the extra umap).")
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
        typer.Option(help="Page or picture to write; its numbers go to FILE.json beside it.", metavar="FILE.html|png"),
    ],
    seed: Annotated[int, typer.Option(help="Seed of the drawn mixes.", min=0)] = 0,
    force: Force = False,
    overrides: Overrides = None,
) -> None:
    """Show what each policy does to clips of the store, and which cells of hidden maps CMMC mixes."""
    from vimix_adapters.commands.mix_preview import write_preview
    from vimix_adapters.config import read_recipe

    write_preview(read_recipe(recipe, overrides or ()), out, seed, force)
