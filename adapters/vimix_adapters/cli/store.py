"""``vimix store``: what a store holds."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look into a store.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look into a store."""


@app.command()
def info(
    store: Annotated[Path, typer.Argument(help="Store to describe.", metavar="STORE.h5")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print videos, classes, splits, modalities and settings of a store."""
    import json

    from rich.console import Console

    from vimix_adapters.commands.describing import describe, store_table

    found = describe(store)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        Console().print(store_table(found))
