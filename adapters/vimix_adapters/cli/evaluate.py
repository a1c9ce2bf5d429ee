"""``vimix evaluate``: retrieval, linear probe and training with labels."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.options import Force
from vimix_adapters.cli.run import Device, Overrides, RecipeFile

app = typer.Typer(help="Evaluate trained encoders.", no_args_is_help=True)

Checkpoints = Annotated[
    list[Path],
    typer.Argument(
        help="Checkpoint files or stage folders, one per modality; the scores of several are fused.",
        metavar="CHECKPOINT...",
    ),
]
OptionalCheckpoints = Annotated[
    list[Path] | None,
    typer.Argument(help="Checkpoint files or stage folders, one per modality.", metavar="[CHECKPOINT]..."),
]
Out = Annotated[Path, typer.Option(help="JSON file to write.", metavar="FILE.json")]
Protocol = Annotated[
    str | None,
    typer.Option(help="vimix (ours), coclr or crosclr (as the peers published them); the record holds all settings."),
]
On = Annotated[
    str | None,
    typer.Option(help="Evaluate on another data set, a table of the recipe's [evaluate.stores].", metavar="NAME"),
]
Baseline = Annotated[
    Path | None,
    typer.Option(help="Result of the same command with --from-scratch, to compare with.", metavar="FILE.json"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint in the folder FILE.")]


@app.command()
def retrieval(
    recipe: RecipeFile,
    checkpoint: Checkpoints,
    out: Out,
    protocol: Protocol = None,
    on: On = None,
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Measure recall at 1, 5, 10 and 20: test videos query the training videos."""
    from vimix_adapters.commands.evaluate import EvaluationRequest, evaluate_retrieval
    from vimix_adapters.config import read_recipe

    settings = read_recipe(recipe, _settings(overrides, protocol))
    evaluate_retrieval(EvaluationRequest(settings, checkpoint, out, device, on=on, force=force))


@app.command()
def linear(
    recipe: RecipeFile,
    checkpoint: Checkpoints,
    out: Out,
    protocol: Protocol = None,
    on: On = None,
    best_on_test: Annotated[
        bool, typer.Option("--best-on-test", help="Also report the epoch that is best on the test videos.")
    ] = False,
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Measure top-1 and top-5 accuracy of a linear probe on frozen features."""
    from vimix_adapters.commands.evaluate import EvaluationRequest, evaluate_linear
    from vimix_adapters.config import read_recipe

    settings = read_recipe(recipe, _settings(overrides, protocol))
    evaluate_linear(EvaluationRequest(settings, checkpoint, out, device, on=on, best_on_test=best_on_test, force=force))


@app.command("cross-modal")
def cross_modal(
    recipe: RecipeFile,
    checkpoint: Checkpoints,
    out: Out,
    protocol: Protocol = None,
    on: On = None,
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Compare every modality with every other: recall from one to the other, CKA and mutual neighbours."""
    from vimix_adapters.commands.evaluate import EvaluationRequest, evaluate_cross_modal
    from vimix_adapters.config import read_recipe

    settings = read_recipe(recipe, _settings(overrides, protocol))
    evaluate_cross_modal(EvaluationRequest(settings, checkpoint, out, device, on=on, force=force))


@app.command("linear-end-to-end")
def linear_end_to_end(
    recipe: RecipeFile,
    out: Out,
    checkpoint: OptionalCheckpoints = None,
    from_scratch: Annotated[
        list[str] | None, typer.Option(help="Modality whose frozen encoder has random weights: the baseline.")
    ] = None,
    protocol: Protocol = None,
    on: On = None,
    baseline: Baseline = None,
    resume: Resume = False,
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train a linear layer on augmented clips of the frozen encoder; test it on windows of whole videos."""
    from vimix_adapters.commands.evaluate import EvaluationRequest, evaluate_end_to_end
    from vimix_adapters.config import read_recipe

    settings = read_recipe(recipe, _settings(overrides, protocol))
    checkpoints, scratch = checkpoint or (), from_scratch or ()
    evaluate_end_to_end(
        EvaluationRequest(settings, checkpoints, out, device, scratch, resume, on, baseline, force=force)
    )


@app.command()
def finetune(
    recipe: RecipeFile,
    out: Out,
    checkpoint: OptionalCheckpoints = None,
    from_scratch: Annotated[
        list[str] | None, typer.Option(help="Modality to train from random weights: the supervised baseline.")
    ] = None,
    protocol: Protocol = None,
    on: On = None,
    baseline: Baseline = None,
    resume: Resume = False,
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train encoder and classifier with labels ([finetune]); test them on windows and crops of whole videos."""
    from vimix_adapters.commands.evaluate import EvaluationRequest, evaluate_finetune
    from vimix_adapters.config import read_recipe

    settings = read_recipe(recipe, _settings(overrides, protocol))
    checkpoints, scratch = checkpoint or (), from_scratch or ()
    evaluate_finetune(EvaluationRequest(settings, checkpoints, out, device, scratch, resume, on, baseline, force=force))


def _settings(overrides: list[str] | None, protocol: str | None) -> list[str]:
    """The overrides with ``--protocol`` among them, which is a key of the recipe like any other."""
    return [*(overrides or ()), *([f"evaluate.protocol={protocol}"] if protocol else [])]
