"""``vimix evaluate``: retrieval and linear probe of trained encoders."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.run import Device, Overrides, RecipeFile

app = typer.Typer(help="Judge trained encoders.", no_args_is_help=True)

Checkpoints = Annotated[
    list[Path],
    typer.Argument(
        help="Checkpoint files or stage folders, one a modality: their scores are fused.", metavar="CHECKPOINT..."
    ),
]
Some = Annotated[list[Path] | None, typer.Argument(help="Checkpoints, one a modality.", metavar="[CHECKPOINT]...")]
Out = Annotated[Path, typer.Option(help="JSON file of the result.", metavar="FILE.json")]
Protocol = Annotated[
    str | None,
    typer.Option(help="vimix (ours), coclr or crosclr (the peers' published settings); every number is recorded."),
]
On = Annotated[
    str | None, typer.Option(help="Another data set, a table of the recipe's [evaluate.stores].", metavar="NAME")
]
Baseline = Annotated[
    Path | None,
    typer.Option(help="Result of the same --from-scratch, to stand beside the scores.", metavar="FILE.json"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint beside FILE.json.")]


@app.command()
def retrieval(
    recipe: RecipeFile,
    checkpoint: Checkpoints,
    out: Out,
    protocol: Protocol = None,
    on: On = None,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """R@1, 5, 10, 20: test videos query training videos."""
    from vimix_adapters.commands.evaluate import evaluate_retrieval
    from vimix_adapters.config import read_recipe

    evaluate_retrieval(read_recipe(recipe, _settings(overrides, protocol)), checkpoint, out, device, on)


@app.command()
def linear(
    recipe: RecipeFile,
    checkpoint: Checkpoints,
    out: Out,
    protocol: Protocol = None,
    on: On = None,
    best_on_test: Annotated[
        bool, typer.Option("--best-on-test", help="Report the best epoch on test too, labelled as such.")
    ] = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Top-1 and top-5 accuracy of a linear probe on frozen features."""
    from vimix_adapters.commands.evaluate import evaluate_linear
    from vimix_adapters.config import read_recipe

    settings = _settings(overrides, protocol)
    evaluate_linear(read_recipe(recipe, settings), checkpoint, out, device, best_on_test, on)


@app.command("linear-end-to-end")
def linear_end_to_end(
    recipe: RecipeFile,
    out: Out,
    checkpoint: Some = None,
    from_scratch: Annotated[
        list[str] | None, typer.Option(help="A modality whose frozen encoder is random: the baseline.")
    ] = None,
    protocol: Protocol = None,
    on: On = None,
    baseline: Baseline = None,
    resume: Resume = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train a linear layer on augmented clips of the frozen encoder; test on windows of whole videos."""
    from vimix_adapters.commands.evaluate import evaluate_end_to_end
    from vimix_adapters.config import read_recipe

    resolved = read_recipe(recipe, _settings(overrides, protocol))
    evaluate_end_to_end(resolved, checkpoint or (), from_scratch or (), out, device, resume, on, baseline)


@app.command()
def finetune(
    recipe: RecipeFile,
    out: Out,
    checkpoint: Some = None,
    from_scratch: Annotated[
        list[str] | None, typer.Option(help="A modality to train from random weights: the supervised baseline.")
    ] = None,
    protocol: Protocol = None,
    on: On = None,
    baseline: Baseline = None,
    resume: Resume = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train everything with labels ([finetune]); test on windows and crops of whole videos, streams averaged."""
    from vimix_adapters.commands.evaluate import evaluate_finetune
    from vimix_adapters.config import read_recipe

    resolved = read_recipe(recipe, _settings(overrides, protocol))
    evaluate_finetune(resolved, checkpoint or (), from_scratch or (), out, device, resume, on, baseline)


def _settings(overrides: list[str] | None, protocol: str | None) -> list[str]:
    """``--protocol`` is a key of the recipe like any other."""
    return [*(overrides or ()), *([f"evaluate.protocol={protocol}"] if protocol else [])]
