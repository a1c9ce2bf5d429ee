"""``vimix index``: find the videos of a store that look like a given one."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.export import CheckpointFile
from vimix_adapters.cli.options import Device, Force, Overrides, RecipeFile

app = typer.Typer(help="Search a store by example.", no_args_is_help=True)


@app.command()
def build(
    recipe: RecipeFile,
    checkpoint: CheckpointFile,
    store: Annotated[Path, typer.Argument(help="Store to index.", metavar="STORE")],
    out: Annotated[Path, typer.Option(help="Index file to write.", metavar="INDEX")],
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Embed every clip of a store and write a FAISS index."""
    from vimix_adapters.commands.index import build_index
    from vimix_adapters.config import read_recipe

    build_index(read_recipe(recipe, overrides or ()), checkpoint, store, out, device, force)


@app.command()
def query(
    index: Annotated[Path, typer.Argument(help="Index file.", metavar="INDEX")],
    video: Annotated[Path, typer.Argument(help="Video or skeleton file to search with.", metavar="VIDEO")],
    k: Annotated[int, typer.Option("-k", help="Number of neighbours.", min=1)] = 5,
    start: Annotated[
        float, typer.Option("--from", help="Start, in seconds, of the part to search with.", min=0.0)
    ] = 0.0,
    end: Annotated[float | None, typer.Option("--to", help="End of that part, in seconds.")] = None,
    moments: Annotated[
        bool,
        typer.Option("--moments", help="Print the nearest moments; a video may have several that do not overlap."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Device = "auto",
) -> None:
    """Print the videos of an index that are nearest to a video, with the seconds that match best."""
    from vimix_adapters.commands.index import Query, query_index

    query_index(index, Query(video, start, end), k, moments, as_json, device)
