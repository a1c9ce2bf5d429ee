"""``vimix evaluate``: retrieval, linear probe and training with labels."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vimix_adapters.cli.options import (
    Address,
    Device,
    EngineOption,
    Force,
    GpusPerTask,
    Overrides,
    RecipeFile,
    ray_engine,
    with_options,
)
from vimix_adapters.commands.signals import stop_at_once

if TYPE_CHECKING:
    from vimix_adapters.commands.evaluate import EvaluationRequest

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
    typer.Option(help="vimix (our own), coclr or crosclr (as published); the result records all settings."),
]
On = Annotated[
    str | None,
    typer.Option(help="Evaluate on another data set, a table of the recipe's [evaluate.stores].", metavar="NAME"),
]
Baseline = Annotated[
    Path | None,
    typer.Option(help="Result of the same command with --from-scratch, for comparison.", metavar="FILE.json"),
]
FromScratch = Annotated[
    list[str] | None,
    typer.Option(help="Train this modality from random weights: the baseline.", metavar="MODALITY"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint in FILE/, beside FILE.json.")]


def _with_request(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that scores frozen encoders the options of ``_request`` in place of its parameter ``request``."""
    return with_options(command, _request, "request")


def _request(
    recipe: RecipeFile,
    checkpoint: Checkpoints,
    out: Out,
    protocol: Protocol = None,
    on: On = None,
    engine: EngineOption = "local",
    address: Address = "",
    gpus_per_task: GpusPerTask = 0.0,
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> "EvaluationRequest":
    from vimix_adapters.commands.evaluate import EvaluationRequest
    from vimix_adapters.config import read_recipe

    settings = read_recipe(recipe, _settings(overrides, protocol))
    ray = ray_engine(engine, address, gpus_per_task, device=device)
    return EvaluationRequest(settings, checkpoint, out, device, on=on, force=force, engine=ray)


@app.command()
@_with_request
def retrieval(request: "EvaluationRequest") -> None:
    """Measure recall at 1, 5, 10 and 20: test videos query the training videos."""
    from vimix_adapters.commands.evaluate import evaluate_retrieval

    evaluate_retrieval(request)


@app.command()
@_with_request
def linear(
    request: "EvaluationRequest",
    best_on_test: Annotated[
        bool, typer.Option("--best-on-test", help="Also report the epoch that is best on the test videos.")
    ] = False,
    fractions: Annotated[
        str | None,
        typer.Option(help="Also train on these fractions of each class's training videos, such as 0.01,0.1,1."),
    ] = None,
    draws: Annotated[int, typer.Option(help="Number of random draws of each fraction below 1.", min=1)] = 5,
) -> None:
    """Measure top-1 and top-5 accuracy of a linear probe on frozen features."""
    from attrs import evolve

    from vimix_adapters.commands.evaluate import evaluate_linear

    evaluate_linear(evolve(request, best_on_test=best_on_test, fractions=_fractions(fractions), draws=draws))


@app.command("cross-modal")
@_with_request
def cross_modal(request: "EvaluationRequest") -> None:
    """Compare every modality with every other: recall from one to the other, CKA and mutual neighbours."""
    from vimix_adapters.commands.evaluate import evaluate_cross_modal

    evaluate_cross_modal(request)


def _add_training(name: str, about: str) -> None:
    """Add the command ``name``, which trains with labels; all such commands have the same options."""

    def command(
        recipe: RecipeFile,
        out: Out,
        checkpoint: OptionalCheckpoints = None,
        from_scratch: FromScratch = None,
        protocol: Protocol = None,
        on: On = None,
        baseline: Baseline = None,
        resume: Resume = False,
        force: Force = False,
        overrides: Overrides = None,
        device: Device = "auto",
    ) -> None:
        from vimix_adapters.commands.evaluate import EvaluationRequest, evaluate_supervised
        from vimix_adapters.config import read_recipe

        settings = read_recipe(recipe, _settings(overrides, protocol))
        checkpoints, scratch = checkpoint or (), from_scratch or ()
        request = EvaluationRequest(settings, checkpoints, out, device, scratch, resume, on, baseline, force=force)
        evaluate_supervised(request, name)

    app.command(name, help=about)(stop_at_once()(command))


_add_training(
    "linear-end-to-end", "Train a linear layer on augmented clips of the frozen encoder; test it on whole videos."
)
_add_training(
    "finetune",
    "Train encoder and linear layer with labels ([finetune]); test them on windows and crops of whole videos.",
)


def _fractions(text: str | None) -> list[float]:
    """Parse fractions such as ``0.01,0.1,1``, ascending. Raises VimixError unless all are above 0 and at most 1."""
    from vimix.values.errors import VimixError

    try:
        found = sorted({float(part) for part in text.split(",")}) if text else []
    except ValueError:
        found = [0.0]
    if any(not 0 < fraction <= 1 for fraction in found):
        raise VimixError(f"--fractions {text}: expected numbers above 0 and at most 1, such as 0.01,0.05,0.1,1")
    return found


def _settings(overrides: list[str] | None, protocol: str | None) -> list[str]:
    """The overrides with ``--protocol`` among them, which is a key of the recipe like any other."""
    return [*(overrides or ()), *([f"evaluate.protocol={protocol}"] if protocol else [])]
