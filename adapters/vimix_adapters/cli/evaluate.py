"""``vimix evaluate``: retrieval and linear probe of trained encoders."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.training import Device, Overrides, RecipeFile

app = typer.Typer(help="Judge trained encoders.", no_args_is_help=True)

First = Annotated[Path, typer.Argument(help="Checkpoint file or stage folder.", metavar="CHECKPOINT")]
Second = Annotated[
    Path | None, typer.Argument(help="Checkpoint of another modality: two streams.", metavar="[CHECKPOINT2]")
]
Out = Annotated[Path, typer.Option(help="JSON file of the result.", metavar="FILE.json")]


@app.command()
def retrieval(
    recipe: RecipeFile,
    checkpoint: First,
    out: Out,
    checkpoint2: Second = None,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """R@1, 5, 10, 20: test videos query training videos."""
    from vimix_adapters.commands import evaluations
    from vimix_adapters.config import read_recipe

    evaluations.evaluate_retrieval(read_recipe(recipe, overrides or ()), _paths(checkpoint, checkpoint2), out, device)


@app.command()
def linear(
    recipe: RecipeFile,
    checkpoint: First,
    out: Out,
    checkpoint2: Second = None,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Top-1 and top-5 accuracy of a linear probe on frozen features."""
    from vimix_adapters.commands import evaluations
    from vimix_adapters.config import read_recipe

    evaluations.evaluate_linear(read_recipe(recipe, overrides or ()), _paths(checkpoint, checkpoint2), out, device)


@app.command()
def finetune(
    recipe: RecipeFile,
    out: Out,
    checkpoint: Annotated[
        list[Path] | None, typer.Argument(help="Checkpoints, one a modality.", metavar="[CHECKPOINT]...")
    ] = None,
    from_scratch: Annotated[
        list[str] | None, typer.Option(help="A modality to train from random weights: the supervised baseline.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint beside FILE.json.")] = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train everything with labels ([finetune]); test on windows and crops of whole videos, streams averaged."""
    from vimix_adapters.commands import evaluations
    from vimix_adapters.config import read_recipe

    evaluations.evaluate_finetune(
        read_recipe(recipe, overrides or ()), checkpoint or (), from_scratch or (), out, device, resume
    )


def _paths(first: Path, second: Path | None) -> list[Path]:
    return [first] if second is None else [first, second]
